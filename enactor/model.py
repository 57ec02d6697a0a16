"""What an enactor asks the world to do, and what it is told in return."""

from collections.abc import Generator
from dataclasses import dataclass
from enum import StrEnum

from staleplan.model import (
    Change,
    Generation,
    Lock,
    Outcome,
    PlanHead,
    Precondition,
    ZoneName,
    ZoneView,
)


@dataclass(frozen=True, slots=True)
class ReadNewestPlan:
    """Read the number and the zones of the newest plan. Reply: `PlanHead | None`."""


@dataclass(frozen=True, slots=True)
class ReadZones:
    """Read zones as they are now. Reply: a `ZoneView` for each."""

    zones: tuple[ZoneName, ...]
    purpose: "Purpose"


@dataclass(frozen=True, slots=True)
class TakeLocks:
    """Try once to take the lock of each zone. Reply: a `Lock`, or `None`, for each.

    The driver reads each lock record and, where nobody holds it any more, replaces
    it by its own, provided that it is still exactly what was read. Source: R9.
    """

    zones: tuple[ZoneName, ...]
    generation: Generation
    guards: tuple[Precondition, ...]


@dataclass(frozen=True, slots=True)
class Order:
    """One zone's change batch, before the driver gives it an id."""

    zone: ZoneName
    preconditions: tuple[Precondition, ...]
    changes: tuple[Change, ...]


@dataclass(frozen=True, slots=True)
class Submit:
    """Send the orders; each is all or nothing. Reply: an `Outcome` for each."""

    purpose: "Purpose"
    generation: Generation
    orders: tuple[Order, ...]


@dataclass(frozen=True, slots=True)
class BackOff:
    """Wait, longer each time in a row, before these zones are tried again."""

    zones: tuple[ZoneName, ...]


class Purpose(StrEnum):
    """What a command is for; drivers name fault points and spans after it."""

    CHECK = "check"
    FLIP = "flip"
    RELEASE = "release"
    CLEAN_UP = "clean up"


class Result(StrEnum):
    """How a pass ended."""

    NOTHING_TO_DO = "nothing to do"
    FINISHED = "finished"
    GAVE_WAY = "gave way to a newer plan"


Command = ReadNewestPlan | ReadZones | TakeLocks | Submit | BackOff
Reply = (
    PlanHead
    | tuple[ZoneView, ...]
    | tuple[Lock | None, ...]
    | tuple[Outcome, ...]
    | None
)
Pass = Generator[Command, Reply, Result]
"""One pass of an enactor: each command is one effect, and others may come between."""
