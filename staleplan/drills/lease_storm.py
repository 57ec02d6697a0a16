"""The drill `lease-storm`: 23:48 to 05:28, as DWFM saw it.

DynamoDB's name stops answering, and comes back (R26). Nothing else is done to the
fleet: whether leases run out, whether the recovery collapses (R28) and whether that
ends by itself is up to DWFM. Only if it does not, operators throttle new work and
restart the hosts (R29). The same script is played in every mode.
"""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

from staleplan.drills.lease_storm_stage import LeaseStage
from staleplan.runtime.clock import INCIDENT_START_S
from staleplan.spec import FleetRun, Look, Window
from staleplan.spec.p8_goodput_floor import FLOOR
from staleplan.spec.p9_nothing_late import MOST_LATE

LOOK_S = 10.0
"""Between two looks, incident seconds: a thirtieth of a check interval."""

RECORD_OUTAGE_S = 157 * 60.0
"""From 23:48 to 02:25, incident seconds. Source: R26, R28."""

START_INTERVALS = 3
"""Check intervals in which all leases must be there: the first check takes one."""

PATIENCE_INTERVALS = 12
"""Check intervals after which operators act: an hour; it took them 1 h 49 min. R29."""

THROTTLE = 0.5
"""Share of capacity that operators let in as new work. Inferred."""

RESTARTS = 4
"""Restarts that operators try, each after two check intervals without success."""

END_INTERVALS = 3
"""Check intervals that are watched afterwards: it must stay as it is."""


class Void(Exception):
    """The fleet was not well before the fault: the run proves nothing, either way."""


@dataclass(frozen=True, slots=True)
class Script:
    """How a run goes. Units: incident seconds. `outage_s` of 0: no fault."""

    seed: int
    outage_s: float = RECORD_OUTAGE_S
    operators: bool = True


@dataclass(slots=True)
class Storm:
    """What the script did and saw. Units: seconds are epoch, incident time."""

    timeline: list[tuple[float, str]] = field(default_factory=list)
    looks: list[Look] = field(default_factory=list)
    trigger_ended_s: float | None = None
    recovered_s: float | None = None
    """When the fleet was back to normal by itself."""
    operators_s: float | None = None
    """When operators acted."""
    repaired_s: float | None = None
    """When the fleet was back to normal with their help."""


async def run_storm(stage: LeaseStage, script: Script) -> Storm:
    """Play the drill on a stage.

    Raises: Void, if the fleet was not steady before the fault.
    """
    storm = Storm()
    await _become_steady(stage, storm)
    if not script.outage_s:
        await _watch(stage, storm, stage.size.long_window_s)
        return storm
    await _watch(stage, storm, INCIDENT_START_S - stage.now_s())
    await stage.cut_off(away=True)
    _note(stage, storm, "DynamoDB's name leads nowhere (R26)")
    await _watch(stage, storm, script.outage_s)
    await stage.cut_off(away=False)
    storm.trigger_ended_s = stage.now_s()
    lost = stage.size.droplets - storm.looks[-1].leases
    _note(stage, storm, f"DynamoDB is back; {lost} leases have run out")
    await _recover(stage, storm)
    if storm.recovered_s is None and script.operators:
        await _repair(stage, storm)
    return storm


async def run_of(stage: LeaseStage, storm: Storm) -> FleetRun:
    """All that a run has left behind."""
    return FleetRun(
        size=stage.size,
        looks=storm.looks,
        trigger_ended_s=storm.trigger_ended_s,
        actions=await stage.actions(),
        renewals=await stage.renewals(),
    )


async def _become_steady(stage: LeaseStage, storm: Storm) -> None:
    size = stage.size

    async def leased() -> bool:
        return (await stage.look()).leases == size.droplets

    at_most_s = START_INTERVALS * size.check_interval_s
    if not await _wait_for(stage, leased, at_most_s):
        held = (await stage.look()).leases
        raise Void(f"only {held} of {size.droplets} leases were ever held")
    await stage.sleep_s(size.check_interval_s)
    await _watch(stage, storm, size.long_window_s)
    window = Window(size, storm.looks[0], storm.looks[-1])
    if any(look.leases < size.droplets for look in storm.looks):
        raise Void("leases ran out before the fault")
    if window.goodput < FLOOR * min(1.0, window.offered):
        raise Void(f"goodput was {window.goodput:.2f} before the fault")
    if window.late_share > MOST_LATE:
        raise Void(f"{window.late_share:.1%} of work was late before the fault")
    _note(
        stage,
        storm,
        f"steady: {size.droplets} leases, {window.offered:.2f} of capacity is asked "
        f"for and {window.goodput:.2f} done in time",
    )


async def _recover(stage: LeaseStage, storm: Storm) -> None:
    """Watch for as long as operators have patience."""
    size = stage.size
    began_s = stage.now_s()
    patience_s = PATIENCE_INTERVALS * size.check_interval_s
    await _watch(stage, storm, max(patience_s, size.long_window_s))
    after = [look for look in storm.looks if look.at_s > began_s]
    if after[-1].is_normal(size):
        storm.recovered_s = next(look.at_s for look in after if look.is_normal(size))
        took_s = storm.recovered_s - began_s
        storm.timeline.append(
            (storm.recovered_s, f"normal again, {took_s:.0f} s later")
        )


async def _repair(stage: LeaseStage, storm: Storm) -> None:
    """Do what the operators did. Source: R29, R30."""
    storm.operators_s = stage.now_s()
    interval_s = stage.size.check_interval_s
    last = storm.looks[-1]
    _note(
        stage,
        storm,
        f"{last.leases} leases, {last.queue} pieces of work wait, the oldest for "
        f"{last.oldest_wait_s:.0f} s; operators throttle new work to {THROTTLE:.0%} of "
        "capacity and restart the hosts, which clears their queues (R29)",
    )
    await stage.throttle(THROTTLE)

    async def repaired() -> bool:
        look = await stage.look()
        storm.looks.append(look)
        return look.is_normal(stage.size)

    for _ in range(RESTARTS):
        await stage.restart_hosts()
        if await _wait_for(stage, repaired, 2 * interval_s):
            storm.repaired_s = stage.now_s()
            _note(stage, storm, "all leases are back; the throttle is lifted (R30)")
            break
    await stage.throttle(None)
    await _watch(stage, storm, END_INTERVALS * interval_s)


async def _watch(stage: LeaseStage, storm: Storm, seconds: float) -> None:
    """Let time pass, and look at the fleet again and again."""
    end_s = stage.now_s() + seconds
    if not storm.looks or storm.looks[-1].at_s < stage.now_s():
        storm.looks.append(await stage.look())
    while stage.now_s() < end_s:
        await stage.sleep_s(min(LOOK_S, end_s - stage.now_s()))
        storm.looks.append(await stage.look())


async def _wait_for(
    stage: LeaseStage, condition: Callable[[], Awaitable[bool]], at_most_s: float
) -> bool:
    end_s = stage.now_s() + at_most_s
    while not await condition():
        if stage.now_s() >= end_s:
            return False
        await stage.sleep_s(LOOK_S)
    return True


def _note(stage: LeaseStage, storm: Storm, event: str) -> None:
    storm.timeline.append((stage.now_s(), event))


def t_s(epoch_s: float) -> float:
    """Seconds since the incident began, to the millisecond."""
    return round(epoch_s - INCIDENT_START_S, 3)
