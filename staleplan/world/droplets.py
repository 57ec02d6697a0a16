"""Droplets: physical servers that obey whoever shows the highest term they have seen.

A lease is only as good as the one who must obey it. A droplet knows nothing of leases,
holders or clocks: it remembers one number. A holder that was replaced without noticing
comes with a lower one and is refused, however late its call arrives. So no two holders
of a lease can both act, whatever DynamoDB, DNS or anybody's clock says. Source: R25.

What runs goes on running: nothing here waits for anything or expires. Source: R26.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from enum import StrEnum

from staleplan.world.model import NO_TERM, StaleTerm, Term


class Effect(StrEnum):
    """What became of an action whose term was not stale."""

    DONE = "done"
    NOTHING_TO_DO = "nothing to do"
    """It was so already: an action may be sent twice."""
    FULL = "full"
    NOT_RUNNING = "not running"


@dataclass(slots=True, eq=False)
class Droplet:
    """One physical server, and the instances that run on it, in order of their start.

    An action with a stale term changes nothing; every other one is remembered by its
    term, whatever its effect.
    """

    name: str
    az: str
    slots: int
    term: Term = NO_TERM
    running: dict[str, None] = field(default_factory=dict)

    def obey(self, term: Term) -> StaleTerm | None:
        """Learn a term; returns why not, if the droplet has seen a higher one."""
        if term < self.term:
            return StaleTerm(term, self.term)
        self.term = term
        return None

    def launch(self, term: Term, instance: str) -> Effect | StaleTerm:
        """Start an instance, if there is room."""
        stale = self.obey(term)
        if stale:
            return stale
        if instance in self.running:
            return Effect.NOTHING_TO_DO
        if len(self.running) >= self.slots:
            return Effect.FULL
        self.running[instance] = None
        return Effect.DONE

    def terminate(self, term: Term, instance: str) -> Effect | StaleTerm:
        """End an instance."""
        stale = self.obey(term)
        if stale:
            return stale
        if instance not in self.running:
            return Effect.NOTHING_TO_DO
        del self.running[instance]
        return Effect.DONE

    def reboot(self, term: Term, instance: str) -> Effect | StaleTerm:
        """Start a running instance anew."""
        stale = self.obey(term)
        if stale:
            return stale
        return Effect.DONE if instance in self.running else Effect.NOT_RUNNING


def lay_out_droplets(azs: Iterable[str], per_az: int, slots: int) -> dict[str, Droplet]:
    """Make the droplets of a region, by name, in the order of their names."""
    return {
        name: Droplet(name, az, slots)
        for az in azs
        for name in (f"droplet-{az}-{number:04}" for number in range(1, per_az + 1))
    }
