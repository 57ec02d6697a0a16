"""Judges a run of `lease-storm`: what held, what should have, and what was measured."""

import itertools
from collections.abc import Mapping
from typing import Any

from dwfm.safeguards import Safeguards
from staleplan.drills.lease_storm import Script, Storm, t_s
from staleplan.drills.lease_storm_theory import collapses, storm_s
from staleplan.drills.result import Event, Impact, Judged, Verdict
from staleplan.spec import FLEET_PROPERTIES, FleetRun, Look, Size, Window, judge_fleet
from staleplan.spec.p16_renewals_spread import busiest
from staleplan.world.launches.core import Outcome

STORM_NAMES = {each.id: each.name for each in FLEET_PROPERTIES}
"""What the drill judges, by id."""

COLLAPSED = 0.05
"""Goodput below this share of capacity is a collapse: no forward progress. R28."""


def judge_storm(run: FleetRun) -> dict[str, Judged]:
    """Judge every property on what the run left behind."""
    return {
        each: Judged(held=True)
        if violation is None
        else Judged(False, t_s(violation.at_s), violation.evidence)
        for each, violation in judge_fleet(FLEET_PROPERTIES, run).items()
    }


def verdict_on(
    judged: Mapping[str, Judged], expected: Mapping[str, bool | None]
) -> Verdict:
    """Compare what held with what had to; `None`: either will do."""
    same = all(expected[each] in {None, found.held} for each, found in judged.items())
    return Verdict.AS_EXPECTED if same else Verdict.NOT_AS_EXPECTED


def events_of(storm: Storm) -> list[Event]:
    """The script's notes, on the incident's own time."""
    return [Event(t_s(at), what) for at, what in storm.timeline]


def measures_of(
    storm: Storm, run: FleetRun, outcomes: Mapping[Outcome, int]
) -> dict[str, Any]:
    """Say in figures what became of the fleet. Units: incident seconds, shares."""
    looks = storm.looks
    calm = list(itertools.takewhile(lambda look: not look.away, looks))
    before = Window(run.size, calm[0], calm[-1])
    measures: dict[str, Any] = {
        "droplets": run.size.droplets,
        "capacity_per_s": round(run.size.capacity_per_s, 3),
        "offered_before": round(before.offered, 4),
        "goodput_before": round(before.goodput, 4),
        "renewal_wait_p99_before_s": before.wait_s(0.99),
        "leases_lost": run.size.droplets - min(look.leases for look in looks),
        "leases_expired": looks[-1].leases_expired - looks[0].leases_expired,
        "renewals_due_at_most": round(
            max(busiest(host)[0] / host.capacity_per_s for host in run.renewals), 3
        ),
        "launches": {each.value: count for each, count in outcomes.items()},
        "instances": looks[-1].running,
    }
    ended_s = storm.trigger_ended_s
    if ended_s is not None:
        unaided_s = storm.operators_s or looks[-1].at_s
        after = [look for look in looks if ended_s <= look.at_s <= unaided_s]
        measures |= _after(storm, run, after, ended_s)
    return measures


def _after(
    storm: Storm, run: FleetRun, after: list[Look], ended_s: float
) -> dict[str, Any]:
    """What was measured from DynamoDB's return until operators acted."""
    window = Window(run.size, after[0], after[-1])
    return {
        "goodput_after": round(window.goodput, 4),
        "late_share_after": round(window.late_share, 4),
        "renewal_wait_p99_after_s": window.wait_s(0.99),
        "queue_at_most": max(look.queue for look in after),
        "oldest_wait_at_most_s": round(max(look.oldest_wait_s for look in after), 1),
        "collapsed_intervals": collapsed_intervals(run, ended_s),
        "recovered_after_s": _since(storm.recovered_s, ended_s),
        "operators_after_s": _since(storm.operators_s, ended_s),
        "repaired_after_s": _since(storm.repaired_s, storm.operators_s),
    }


def collapsed_intervals(run: FleetRun, ended_s: float) -> int:
    """Count the check intervals in a row, at most, with next to no goodput."""
    longest = row = 0
    for window in run.windows(run.size.check_interval_s):
        if window.before.at_s >= ended_s:
            row = row + 1 if window.goodput < COLLAPSED else 0
            longest = max(longest, row)
    return longest


def impact_of(storm: Storm, run: FleetRun) -> list[Impact]:
    """When launches found fewer droplets than there are: leases were missing. R27."""
    missing = [look.at_s for look in storm.looks if look.leases < run.size.droplets]
    if not missing:
        return []
    whole = storm.looks[-1].leases == run.size.droplets
    until_s = t_s(missing[-1]) if whole else None
    return [Impact("launches", t_s(missing[0]), until_s)]


def _since(at_s: float | None, began_s: float | None) -> float | None:
    return None if at_s is None or began_s is None else round(at_s - began_s, 1)


def expected_of(
    safeguards: Safeguards, script: Script, size: Size
) -> dict[str, bool | None]:
    """Tell which properties must hold and which must break; `None`: chance decides.

    A recovery collapses or not by arithmetic. Whoever does not queue up at all holds
    everything; whoever queues up and gets through may be late on the way.
    """
    collapse = collapses(safeguards, script, size)
    calm = True if storm_s(safeguards, script, size) == 0.0 else None
    holds = False if collapse else calm
    spread = True if safeguards.spread_renewals and collapse is False else None
    in_time = True if calm and safeguards.drop_expired_work else None
    return {
        "P7": True,
        "P8": holds,
        "P9": False if collapse else in_time,
        "P12": holds,
        "P13": True,
        "P16": spread,
    }
