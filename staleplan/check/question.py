"""What is asked of the checker: which cores, how many, and what may go wrong."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from enactor.core import Extent, enact
from enactor.model import Command, Pass
from enactor.safeguards import Safeguards
from staleplan.check.sizes import (
    MAX_ENACTORS,
    MAX_FAULTS,
    MAX_PLANS,
    MAX_ZONES,
    ZONE_NAMES,
)
from staleplan.model import ZoneName


class BadQuestion(ValueError):
    """A question of a size that a search has no numbers for."""


@dataclass(frozen=True, slots=True)
class Mutation:
    """The shipped core with one thing taken out, to see which property notices."""

    name: str
    change: Callable[[Command], Command]


@dataclass(frozen=True, slots=True)
class Question:
    """Sizes, safeguards and faults of one search.

    `keep_generations` is small, so that few plans suffice for one to be deleted.
    `reduced`: leave out orders of events that cannot make a difference.

    Raises: BadQuestion.
    """

    safeguards: Safeguards
    enactors: int = 2
    zones: int = 1
    plans: int = 4
    crashes: int = 0
    lost_replies: int = 0
    pauses: int = 0
    keep_generations: int = 1
    zones_in_flight: int = 0
    mutation: Mutation | None = None
    reduced: bool = True

    def __post_init__(self) -> None:
        """Refuse what would be answered wrongly."""
        for name, least, most in (
            ("enactors", 1, MAX_ENACTORS),
            ("zones", 1, MAX_ZONES),
            ("plans", 1, MAX_PLANS),
            ("crashes", 0, MAX_FAULTS),
            ("lost_replies", 0, MAX_FAULTS),
            ("pauses", 0, MAX_FAULTS),
            ("keep_generations", 0, MAX_PLANS),
            ("zones_in_flight", 0, MAX_ZONES),
        ):
            asked = getattr(self, name)
            if not least <= asked <= most:
                raise BadQuestion(f"{name} is {asked}: it may be {least} to {most}")

    @property
    def zone_names(self) -> tuple[ZoneName, ...]:
        """The zones of every plan."""
        return tuple(map(ZoneName, ZONE_NAMES[: self.zones]))

    def begin(self) -> Pass:
        """A pass of the shipped enactor."""
        at_once = self.zones_in_flight or self.zones
        return enact(self.safeguards, Extent(self.keep_generations, at_once))


PropertyId = Literal["P1", "P2", "P3", "P4", "P5", "P12", "P15"]
