"""What can be injected: the fault points, the labels, and the kinds of fault."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

import grpc

from staleplan.runtime.errors import (
    InvalidArgumentError,
    UnknownNameError,
    check_amount,
)
from staleplan.runtime.loopback import require_loopback

POINTS: Mapping[str, str] = {
    "enactor.before_pass": "a pass begins: no plan is picked yet",
    "enactor.before_check": "a plan is picked up, the zones are not yet read",
    "enactor.take_lock": "the lock of a zone is about to be taken",
    "enactor.before_batch": "the freshness check is past, the batch not yet sent",
    "enactor.after_batch": "the store has answered the batch of a zone",
    "enactor.before_release": "a batch was refused, its lock is not yet given back",
    "enactor.before_clean_up": "every zone is done, no old plan deleted yet",
    "enactor.before_delete": "old plans are chosen, the batch not yet sent",
    "enactor.after_clean_up": "old plans are deleted, the pass ends",
    "enactor.back_off": "a lock was lost, the wait before the retry begins",
    "planner.before_publish": "a plan is made and not yet offered to the store",
    "planner.after_publish": "the store has answered the plan",
    "dns_store.change_batch": "a change batch arrived and nothing was written",
    "dns_store.publish_plan": "a plan arrived and nothing was written",
    "dns_store.read": "a read arrived",
    "dwfm.state_check": "a state check begins; an error: as if DynamoDB were away",
    "dwfm.launch": "a launch begins; an error: as if DynamoDB were away",
    "dwfm.terminate": "a termination begins; an error: as if the droplet were away",
    "world.report": "the health and capacity of load balancers is asked for",
    "dynamodb.call": "a call of the DynamoDB table API arrived",
    "droplet.call": "a call of a droplet arrived and nothing was done",
}
"""Every fault point, and when it is reached."""

LABELS: Mapping[str, str] = {
    "service": "service that reaches the point",
    "az": "availability zone of the service: a, b, c",
    "zone": "hosted zone that is worked on",
    "endpoint": "endpoint that is worked on",
    "droplet": "droplet that is called",
}
"""Every label that a selector may name."""

MAX_PORT = 65_535
"""Highest TCP port."""


@dataclass(frozen=True)
class Selector:
    """A point and the labels that must all match; an empty point is any point."""

    point: str
    labels: Mapping[str, str] = field(default_factory=dict)

    def matches(self, point: str, labels: Mapping[str, str]) -> bool:
        """Tells whether a caller at a point is meant."""
        return self.point in ("", point) and all(
            labels.get(name) == value for name, value in self.labels.items()
        )


@dataclass(frozen=True)
class Until:
    """The point that ends a pause; an empty address is the paused service itself."""

    selector: Selector
    address: str = ""


@dataclass(frozen=True)
class Delay:
    """Makes the caller wait, incident seconds."""

    seconds: float


@dataclass(frozen=True)
class Pause:
    """Makes the caller wait until it is released."""

    until: Until | None = None


@dataclass(frozen=True)
class Error:
    """Makes the caller fail with a gRPC status."""

    status: grpc.StatusCode


@dataclass(frozen=True)
class Drop:
    """Loses the reply after the effect."""


@dataclass(frozen=True)
class Crash:
    """Ends the service at once."""


@dataclass(frozen=True)
class Skew:
    """Moves the clock of the service, incident seconds; negative is late."""

    seconds: float


Effect = Delay | Pause | Error | Drop | Crash | Skew


@dataclass(frozen=True)
class Fault:
    """What happens at a point, to whom, and how often.

    Units: `for_s` is incident seconds from the injection; 0 is until cleared. A
    `count` of 0 is without limit.
    """

    selector: Selector
    effect: Effect
    count: int = 0
    probability: float = 1.0
    for_s: float = 0.0


def check_selector(
    selector: Selector, path: str = "", *, any_point: bool = False
) -> None:
    """Refuses a selector with a point or a label that does not exist.

    Raises: InvalidArgumentError, with the path of the field below `path`.
    """
    if selector.point not in POINTS and not (any_point and selector.point == ""):
        raise UnknownNameError(f"{path}point", selector.point, POINTS)
    for name in selector.labels:
        if name not in LABELS:
            raise UnknownNameError(f"{path}labels", name, LABELS)


def check_fault(fault: Fault) -> None:
    """Refuses a fault that could never do what it says.

    Raises: InvalidArgumentError, with the path of the field.
    """
    check_selector(fault.selector, "fault.")
    check_amount("fault.count", fault.count)
    check_amount("fault.for_s", fault.for_s)
    if not 0 < fault.probability <= 1:
        problem = f"must be above 0, at most 1, got {fault.probability}"
        raise InvalidArgumentError({"fault.probability": problem})
    match fault.effect:
        case Delay(seconds):
            check_amount("fault.delay.seconds", seconds)
        case Skew(seconds):
            check_amount("fault.skew.seconds", seconds, least=-math.inf)
        case Error(grpc.StatusCode.OK):
            raise InvalidArgumentError({"fault.error.status": "OK is not an error"})
        case Pause(Until(selector, address)):
            check_selector(selector, "fault.pause.until.")
            _check_address("fault.pause.until.address", address)


def _check_address(path: str, address: str) -> None:
    """Refuses an address that is neither empty nor host:port on this machine."""
    if not address:
        return
    host, _, port = address.rpartition(":")
    if not port.isdecimal() or not 0 < int(port) <= MAX_PORT:
        raise InvalidArgumentError({path: f"host:port wanted, got {address!r}"})
    try:
        require_loopback(host)
    except ValueError as refusal:
        raise InvalidArgumentError({path: str(refusal)}) from None
