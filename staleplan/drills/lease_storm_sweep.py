"""Runs `lease-storm`'s fleet over and over, to see where and when it collapses.

Two tables. **The line**: a fleet without one lease, DynamoDB comes back; which fleets
recover, beside what `lease_storm_theory` says. **The load**: customers ask for more
than can be done, for half an hour; what is of use meanwhile, and how long until the
fleet is back to normal.
"""

import asyncio
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from dwfm.safeguards import BUGGY, Safeguards
from staleplan.drills.lease_storm import LOOK_S
from staleplan.drills.lease_storm_runner import PRESETS, ablations
from staleplan.drills.lease_storm_theory import line_s
from staleplan.sim.fleet import Fleet, FleetRegion
from staleplan.spec import Window

FLEETS = (16, 100, 1_000)
TIMEOUTS_S = (15.0, 30.0, 60.0)
STORMS = (0.5, 0.8, 0.9, 0.95, 1.05, 1.1, 1.2, 1.5, 2.0)
"""How long all workers would need for all leases, in times of the line."""

LOADS = (0.5, 0.8, 1.0, 1.4, 2.0, 5.0, 10.0, 20.0)
"""Offered load, in times of capacity; renewals are 0.4 of it."""

CALM_LOAD = 0.5
"""Load before and after the burst."""

AWAY_S = 330.0
"""How long DynamoDB is away at first, incident seconds: each first check has failed."""

SETTLE_S, TELL_S = 900.0, 600.0
"""Incident seconds in which a storm may end, and those by which one tells."""

CALM_S, BURST_S, AFTER_S = 900.0, 1_800.0, 3_600.0
"""Incident seconds before, of and after a burst of load."""

COLLAPSED = 0.5
"""With fewer leases than this share of the fleet, long after, it has collapsed."""


@dataclass(frozen=True, slots=True)
class LinePoint:
    """One fleet that lost every lease. Units: seconds of all workers' time."""

    fleet: int
    workers: int
    timeout_s: float
    storm_s: float
    """What all leases take."""
    line_s: float
    """What can be had without a collapse, says the theory."""
    goodput: float
    leases: float
    collapsed: bool

    @property
    def as_predicted(self) -> bool:
        """Whether theory and measurement agree."""
        return self.collapsed == (self.storm_s > self.line_s)


@dataclass(frozen=True, slots=True)
class LoadPoint:
    """One burst of load. Units: shares of capacity; `normal_after_s`: incident seconds.

    `normal_after_s` is `None` if the fleet was never normal again.
    """

    safeguards: str
    load: float
    offered: float
    """What was asked for: terminations follow launches a lifetime later."""
    goodput: float
    late: float
    renewal_wait_p99_s: float
    leases: float
    """Share that was held at worst."""
    normal_after_s: float | None


def line_points(
    fleets: Sequence[int], timeouts_s: Sequence[float], storms: Sequence[float] | None
) -> Iterator[LinePoint]:
    """Measure fleets on both sides of the line; `None`: with their usual workers."""
    for droplets in fleets:
        for timeout_s in timeouts_s:
            fleet = Fleet(droplets, timeout_s=timeout_s, load=CALM_LOAD)
            for workers in _workers(fleet, storms):
                yield asyncio.run(_line_point(replace(fleet, workers=workers)))


def _workers(fleet: Fleet, storms: Sequence[float] | None) -> list[int]:
    limits = fleet.limits_of(fleet.droplets)
    if storms is None:
        return [limits.workers]
    longest_s = line_s(fleet.timeout_s, limits.service_s)
    counts = (fleet.droplets * limits.service_s / (s * longest_s) for s in storms)
    return sorted({max(len(fleet.azs), round(count)) for count in counts})


async def _line_point(fleet: Fleet) -> LinePoint:
    region = FleetRegion(fleet, BUGGY, seed=1)
    await region.cut_off(away=True)
    await region.sleep_s(AWAY_S)
    await region.cut_off(away=False)
    await region.sleep_s(SETTLE_S)
    before = await region.look()
    await region.sleep_s(TELL_S)
    after = await region.look()
    size = region.size
    leases = after.leases / size.droplets
    return LinePoint(
        fleet=fleet.droplets,
        workers=round(size.capacity_per_s * size.service_s),
        timeout_s=fleet.timeout_s,
        storm_s=round(size.droplets / size.capacity_per_s, 1),
        line_s=line_s(fleet.timeout_s, size.service_s),
        goodput=round(Window(size, before, after).goodput, 3),
        leases=round(leases, 3),
        collapsed=leases < COLLAPSED,
    )


def load_points(
    droplets: int, loads: Sequence[float], only: Sequence[str] = ()
) -> Iterator[LoadPoint]:
    """Measure bursts of load, for every set of safeguards of an ablation."""
    for title, mode, switched in ablations():
        safeguards = replace(PRESETS[mode], **switched)
        for load in loads:
            if not only or title in only:
                yield asyncio.run(_load_point(droplets, load, title, safeguards))


async def _load_point(
    droplets: int, load: float, title: str, safeguards: Safeguards
) -> LoadPoint:
    region = FleetRegion(Fleet(droplets, load=CALM_LOAD), safeguards, seed=1)
    size = region.size
    await region.sleep_s(CALM_S)
    await region.offer(load)
    await region.sleep_s(size.check_interval_s)
    looks = [await region.look()]
    while looks[-1].at_s - looks[0].at_s < BURST_S - size.check_interval_s:
        await region.sleep_s(LOOK_S)
        looks.append(await region.look())
    window = Window(size, looks[0], looks[-1])
    await region.offer(CALM_LOAD)
    ended_s = bad_s = region.now_s()
    while region.now_s() < ended_s + AFTER_S:
        look = await region.look()
        bad_s = bad_s if look.is_normal(size) else look.at_s + LOOK_S
        await region.sleep_s(LOOK_S)
    normal = bad_s < ended_s + AFTER_S
    return LoadPoint(
        safeguards=title,
        load=load,
        offered=round(window.offered, 3),
        goodput=round(window.goodput, 3),
        late=round(window.late_share, 3),
        renewal_wait_p99_s=window.wait_s(0.99),
        leases=round(min(look.leases for look in looks) / size.droplets, 3),
        normal_after_s=round(bad_s - ended_s) if normal else None,
    )
