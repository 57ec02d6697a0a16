"""What the script of `lease-storm` may do; live and simulated fleets both offer it."""

from collections.abc import Mapping, Sequence
from typing import Protocol

from staleplan.spec.fleet import Action, Look, Renewals, Size
from staleplan.world.launches.core import Outcome


class LeaseStage(Protocol):
    """A fleet that a script acts upon. Units: seconds are incident seconds."""

    @property
    def size(self) -> Size:
        """How large it is."""
        ...

    def now_s(self) -> float:
        """Incident time, epoch seconds."""
        ...

    async def sleep_s(self, seconds: float) -> None:
        """Let time pass."""
        ...

    async def look(self) -> Look:
        """Look at the fleet as it is now."""
        ...

    async def cut_off(self, away: bool) -> None:
        """Let DynamoDB's name lead nowhere, or to DynamoDB again."""
        ...

    async def throttle(self, share: float | None) -> None:
        """Operator: let new work in at a share of capacity; `None`: any. R29."""
        ...

    async def restart_hosts(self) -> None:
        """Operator: restart every DWFM host, which clears its queue. R29."""
        ...

    async def renewals(self) -> Sequence[Renewals]:
        """When renewals became due, of every host."""
        ...

    async def actions(self) -> Sequence[Action]:
        """What every droplet was shown."""
        ...

    async def outcomes(self) -> Mapping[Outcome, int]:
        """Launches that ended since the beginning, by what came of them."""
        ...
