"""When launches arrive, how long instances are kept, when one tries again.

Chance comes in as `draw`, a number in [0, 1) from whoever has a seed. Units: incident
seconds.
"""

import math
from enum import StrEnum

ATTEMPTS = 3
"""Attempts of a call, the first included: the SDKs' standard."""

FIRST_PAUSE_S = 1.0
"""Longest pause after the first attempt; doubled after each: the SDKs' standard."""

LONGEST_PAUSE_S = 20.0
"""Longest pause of all: the SDKs' standard."""


class Outcome(StrEnum):
    """What came of an attempt, and of a launch: what came of its last attempt."""

    LAUNCHED = "launched"
    INSUFFICIENT_CAPACITY = "insufficient capacity"
    """No droplet with an active lease has room. Source: R27."""
    REQUEST_LIMIT_EXCEEDED = "request limit exceeded"
    """Throttled. Source: R30."""
    UNAVAILABLE = "unavailable"
    DEADLINE_EXCEEDED = "deadline exceeded"
    FAILED = "failed"
    """Refused for good, or never sent: trying again would change nothing."""


_BY_REASON = {
    "INSUFFICIENT_CAPACITY": Outcome.INSUFFICIENT_CAPACITY,
    "REQUEST_LIMIT_EXCEEDED": Outcome.REQUEST_LIMIT_EXCEEDED,
}
_BY_STATUS = {
    "OK": Outcome.LAUNCHED,
    "UNAVAILABLE": Outcome.UNAVAILABLE,
    "DEADLINE_EXCEEDED": Outcome.DEADLINE_EXCEEDED,
}
_FAILED = Outcome.FAILED
_FINAL = (Outcome.LAUNCHED, _FAILED)


def outcome_of(status: str, reason: str = "") -> Outcome:
    """Say what a reply means, by its gRPC status and the reason of its error."""
    return _BY_REASON.get(reason) or _BY_STATUS.get(status, _FAILED)


def is_worth_retrying(outcome: Outcome, attempts: int) -> bool:
    """Tell whether to try again after so many attempts, the last with this outcome.

    The SDKs also repeat what EC2 has no capacity for: to them it is a server's error.
    """
    return attempts < ATTEMPTS and outcome not in _FINAL


def pause_s(attempts: int, draw: float, retry_after_s: float = 0.0) -> float:
    """Say how long to wait after so many failed attempts: full jitter.

    What the server asked for is waited for in any case, and the jitter after it:
    those who were all sent away at once shall not all return at once.
    """
    longest_s = min(FIRST_PAUSE_S * (1 << (attempts - 1)), LONGEST_PAUSE_S)
    return retry_after_s + draw * longest_s


def gap_s(per_s: float, draw: float) -> float:
    """Say how long after one arrival the next comes, at a mean rate (Poisson)."""
    return -math.log(1.0 - draw) / per_s if per_s else math.inf


def lifetime_s(mean_s: float, draw: float) -> float:
    """Say how long an instance is kept: many shortly, a few for long."""
    return -math.log(1.0 - draw) * mean_s
