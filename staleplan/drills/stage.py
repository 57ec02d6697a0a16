"""What a drill's script may do; the live system and the simulation both offer it.

A script is written once. On the live stage its awaits are RPCs; on the simulated one
they let virtual time pass.
"""

from collections.abc import Awaitable, Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Protocol

from dns_store.core import ZoneState
from staleplan.model import Generation, JournalEntry, ZoneName, ZoneView


@dataclass(frozen=True, slots=True)
class Place:
    """Where an enactor is: a fault point, and the zone it is about."""

    az: str
    point: str
    zone: ZoneName | None = None


@dataclass(frozen=True, slots=True)
class Asked:
    """What the regional endpoint looks like from outside.

    `status` and `answers` are those of a DNS answer; `call` is the gRPC status of a
    client that resolves the name and calls, with what it was told. Source: R18.
    """

    status: str
    answers: int
    call: str
    detail: str


class Hold(Protocol):
    """A fault in force at a place."""

    async def has_caught(self) -> bool:
        """Whether an enactor has reached the place, and suffers there."""
        ...

    async def has_ended(self) -> bool:
        """Whether what was to end the fault has happened."""
        ...

    async def release(self) -> None:
        """End the fault: whoever is held goes on."""
        ...


class Stage(Protocol):
    """A region that a script acts upon. Units: seconds are incident seconds."""

    @property
    def planner_period_s(self) -> float:
        """The longest time between two plans."""
        ...

    @property
    def keep_generations(self) -> int:
        """How many generations clean-up keeps."""
        ...

    def now_s(self) -> float:
        """Incident time, epoch seconds."""
        ...

    async def sleep_s(self, seconds: float) -> None:
        """Let time pass."""
        ...

    async def wait_for(
        self, condition: Callable[[], Awaitable[bool]], at_most_s: float
    ) -> bool:
        """Let time pass until the condition holds; whether it came to hold."""
        ...

    async def newest(self) -> Generation:
        """The newest plan."""
        ...

    async def plan_now(self) -> None:
        """Let the planner make a plan at once, as when capacity changed. R15."""
        ...

    async def views(self) -> Mapping[ZoneName, ZoneView]:
        """Every zone as it is now."""
        ...

    async def in_hand(self, az: str) -> Generation:
        """The plan that an enactor is applying."""
        ...

    async def retrying(self, az: str) -> Collection[ZoneName]:
        """The zones whose lock an enactor lost, and which it tries again. R10, R14."""
        ...

    async def hold(self, at: Place, until: Place | None = None) -> Hold:
        """Make an enactor wait at a place: until released, or another place reached."""
        ...

    async def lose_locks(self, az: str, zone: ZoneName, count: int) -> Hold:
        """Make an enactor lose the next `count` locks of a zone; 0: all. R14."""
        ...

    async def ask(self) -> Asked:
        """Resolve and call the regional endpoint, as a customer does."""
        ...

    async def restart_enactors(self) -> None:
        """Operator: make every enactor abandon its pass."""
        ...

    async def restore(self, zone: ZoneName, generation: Generation) -> None:
        """Operator: point a zone at a plan, without any enactor. Source: R20, R21."""
        ...

    async def beginning(self) -> Mapping[ZoneName, ZoneState]:
        """Every zone before its first batch."""
        ...

    async def journal(self) -> list[JournalEntry]:
        """Every batch as it was judged."""
        ...
