"""The nouns of launches."""

from dataclasses import dataclass

from staleplan.world.launches.core import Outcome


@dataclass(frozen=True, slots=True)
class Launch:
    """One launch of a customer that has ended, all of its attempts together.

    `detail` is what the customer was told last, and empty if it was launched;
    `instance` is empty if it was not. Units: `arrived_at_s` is epoch seconds, `took_s`
    until the customer had an instance or gave up, both incident time.
    """

    sequence: int
    az: str
    client_token: str
    arrived_at_s: float
    took_s: float
    attempts: int
    outcome: Outcome
    detail: str
    instance: str


@dataclass(frozen=True, slots=True)
class Ending:
    """A customer wants an instance to end. Units: `at_s` as in `Launch`."""

    sequence: int
    at_s: float
    instance: str


@dataclass(slots=True)
class Totals:
    """What customers did since the start."""

    arrived: int = 0
    ended: int = 0
    launched: int = 0
    terminated: int = 0
