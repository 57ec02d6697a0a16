"""The fleet under virtual time: AZs side by side, each with its own host and customers.

It is a stage for `lease-storm`. The same seed gives the same run, to the last event.
"""

import gc
import hashlib
import random
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from dwfm.model import Droplet, DropletName, Limits, Restarted, Throttled
from dwfm.safeguards import Safeguards
from staleplan.runtime.clock import INCIDENT_START_S
from staleplan.sim.fleet_az import Az
from staleplan.sim.fleet_customers import CALL_TIMEOUT_S, LIFETIME_S
from staleplan.spec.fleet import Action, Look, Renewals, Size
from staleplan.world.launches.core import Outcome

AZS = ("a", "b", "c")

ONE_AZ = 48
"""Fewer droplets than these are one AZ: below 16 in each, a worker would idle."""

LEASE_TTL_S = (600.0, 9_360.0)
"""Leases last from ten minutes to 2 h 36 min, spread over the droplets: so they ran
out one by one between 23:48 and 02:24. Source: R26."""

SLOTS = 8
"""Instances that a droplet holds. Inferred, as in the live world."""

WORKERS_PER_DROPLET = 7.5 / 120.0
"""So that a fleet that has lost all leases is re-leased in two minutes at best, and
renewals take 0.4 of the workers. Inferred."""


RUN_UP_S = 1_800.0
"""How long before 23:48 a run begins, incident seconds: time to become steady."""


@dataclass(frozen=True, slots=True)
class Fleet:
    """How large a simulated fleet is, and what is asked of it.

    `load`: all work that is asked for, renewals included, as a share of capacity;
    `workers`: in all, `None` for as many as `WORKERS_PER_DROPLET` says; `loss`: how
    probable it is that a reply gets lost. Units: incident seconds.
    """

    droplets: int = 1_000
    workers: int | None = None
    timeout_s: float = 30.0
    load: float = 0.5
    loss: float = 0.0
    start_s: float = INCIDENT_START_S - RUN_UP_S

    @property
    def azs(self) -> Sequence[str]:
        """The AZs that it is spread over."""
        return AZS[:1] if self.droplets < ONE_AZ else AZS

    def limits_of(self, droplets: int) -> Limits:
        """What a host is given that has so many of the droplets."""
        share = self.workers and self.workers * droplets / self.droplets
        workers = max(1, round(share or droplets * WORKERS_PER_DROPLET))
        return Limits(workers, timeout_s=self.timeout_s)


class FleetRegion:
    """The AZs of a fleet, as a stage. See `LeaseStage` for most methods."""

    def __init__(self, fleet: Fleet, safeguards: Safeguards, seed: int) -> None:
        self.fleet = fleet
        self._now_s = fleet.start_s
        self.azs = {
            az: self._az(az, number, safeguards, seed)
            for number, az in enumerate(fleet.azs)
        }
        hosts = [az.host for az in self.azs.values()]
        self.size = Size(
            droplets=fleet.droplets,
            capacity_per_s=sum(host.limits.capacity_per_s for host in hosts),
            service_s=hosts[0].limits.service_s,
            timeout_s=fleet.timeout_s,
            check_interval_s=hosts[0].limits.check_interval_s,
            longest_deadline_s=max(fleet.timeout_s, CALL_TIMEOUT_S),
        )

    def _az(self, name: str, number: int, safeguards: Safeguards, seed: int) -> Az:
        fleet = self.fleet
        of = len(fleet.azs)
        count = fleet.droplets // of + (number < fleet.droplets % of)
        limits = fleet.limits_of(count)
        chance = random.Random(f"{seed}/{name}")
        droplets = [
            Droplet(
                DropletName(f"droplet-{name}-{each:04}"),
                SLOTS,
                chance.uniform(*LEASE_TTL_S),
                fleet.start_s + limits.check_interval_s * each / count,
            )
            for each in range(count)
        ]
        most = launches_per_s(1.0, count, limits)
        arrivals = launches_per_s(fleet.load, count, limits)
        az = Az(
            name,
            droplets,
            limits,
            safeguards,
            chance,
            now_s=fleet.start_s,
            running=round(min(arrivals, most) * LIFETIME_S),
            loss=fleet.loss,
        )
        az.customers.set_arrivals(arrivals, fleet.start_s)
        return az

    # --- The stage -----------------------------------------------------------------

    def now_s(self) -> float:
        return self._now_s

    async def sleep_s(self, seconds: float) -> None:
        self._now_s += seconds
        with _no_collector():
            for az in self.azs.values():
                az.run_until(self._now_s)

    async def look(self) -> Look:
        azs = list(self.azs.values())
        hosts = [az.host for az in azs]
        now_s = self._now_s
        return Look(
            at_s=now_s,
            away=azs[0].away,
            leases=sum(host.leases for host in hosts),
            queue=sum(len(host.queue) for host in hosts),
            oldest_wait_s=max(now_s - h.queue.oldest_wanted_s(now_s) for h in hosts),
            running=sum(az.running for az in azs),
            leases_expired=sum(host.counts.leases_expired for host in hosts),
            useful=sum(host.counts.in_time for host in hosts),
            late=sum(host.counts.late for host in hosts),
            asked=sum(az.customers.arrived + az.customers.ends_asked for az in azs),
            launched=sum(host.counts.launched for host in hosts),
            ended_unasked=sum(az.ended_unasked for az in azs),
            waits=tuple(map(sum, zip(*(az.waits for az in azs), strict=True))),
        )

    async def offer(self, load: float) -> None:
        """Let customers ask for so much of capacity, renewals included."""
        for az in self.azs.values():
            limits = az.host.limits
            per_s = launches_per_s(load, len(az.host.droplets), limits)
            az.customers.set_arrivals(per_s, self._now_s)

    async def cut_off(self, away: bool) -> None:
        for az in self.azs.values():
            az.away = away

    async def slow_down(self, late_s: float) -> None:
        """Let DynamoDB answer so much later than usual."""
        for az in self.azs.values():
            az.late_s = late_s

    async def throttle(self, share: float | None) -> None:
        for az in self.azs.values():
            per_s = share and share * az.host.limits.capacity_per_s
            az.tell(Throttled(per_s), self._now_s)

    async def restart_hosts(self) -> None:
        for az in self.azs.values():
            az.tell(Restarted(), self._now_s)

    async def renewals(self) -> Sequence[Renewals]:
        began_s = self.fleet.start_s
        return [
            Renewals(began_s, az.host.limits.capacity_per_s, az.renewals)
            for az in self.azs.values()
        ]

    async def actions(self) -> Sequence[Action]:
        return [action for az in self.azs.values() for action in az.actions]

    async def outcomes(self) -> Mapping[Outcome, int]:
        return sum((az.customers.outcomes for az in self.azs.values()), Counter())

    def trace_hash(self) -> str:
        """Say in one word what happened, event by event."""
        traces = ",".join(str(az.trace) for az in self.azs.values())
        return hashlib.blake2b(traces.encode(), digest_size=16).hexdigest()


def launches_per_s(load: float, droplets: int, limits: Limits) -> float:
    """Launches that bring the load, with renewals, and terminations of what they start.

    Beyond capacity, launches that are refused bring no terminations.
    """
    capacity_per_s = limits.capacity_per_s
    renewals_per_s = droplets / limits.check_interval_s
    served_per_s = max(0.0, min(load, 1.0) * capacity_per_s - renewals_per_s) / 2
    return served_per_s + max(0.0, load - 1.0) * capacity_per_s


@contextmanager
def _no_collector() -> Iterator[None]:
    """Spare the search for cycles: a run leaves next to none, and has much to search.

    It would take a third of the time.
    """
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()
