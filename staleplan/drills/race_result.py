"""Judges a run of `dns-race`: what held, what should have, and what was measured."""

from collections.abc import Iterable, Mapping
from dataclasses import asdict
from typing import Any

from enactor.safeguards import Safeguards
from staleplan.drills.dns_race import REGIONAL, Race, Script
from staleplan.drills.result import Event, Impact, Judged, Verdict
from staleplan.model import NOTHING, Reason, Refused
from staleplan.runtime.clock import INCIDENT_START_S
from staleplan.spec import DNS_PROPERTIES, Step, judge

CONVERGES = "P12"
"""Back to normal within one planner period after the fault, without an operator."""

PROPERTY_NAMES = {each.id: each.name for each in DNS_PROPERTIES} | {
    CONVERGES: "back to normal within a planner period"
}
"""What the drill judges, by id."""

RECORD = (0.0, 157 * 60.0)
"""From 23:48 to 02:25 the regional endpoint had no answer. Source: R17, R21."""

ORDER_OF_THE_RECORD = ("P2", "P1", "P3", "P4")
"""The late flip, then the clean-up, then the wedge. Source: R16, R17, R19."""


def expected_of(safeguards: Safeguards, script: Script) -> dict[str, bool | None]:
    """Tell which properties must hold and which must break; `None`: chance decides.

    Without the fault all hold. With it, it follows from what each safeguard does.
    """
    fresh = safeguards.recheck_generation_in_batch
    answers = fresh or safeguards.keep_referenced_plans
    heals = answers or safeguards.tolerate_missing_active
    expected: dict[str, bool | None] = {
        "P1": answers,
        "P2": fresh,
        "P3": answers,
        "P4": heals,
        "P5": True,
        # A wedged enactor that starts afresh does the other zones, but never comes to
        # clean up.
        "P6": heals or not safeguards.refresh_plan_on_retry,
        CONVERGES: heals,
    }
    if not script.fault:
        return dict.fromkeys(expected, True)
    if script.natural:
        return {each: held or None for each, held in expected.items()}
    return expected


def judge_race(
    race: Race, steps: Iterable[Step], planner_period_s: float
) -> dict[str, Judged]:
    """Judge every property on the recorded steps."""
    violations = judge(DNS_PROPERTIES, steps)
    judged = {
        each: Judged(held=True)
        if violation is None
        else Judged(False, _t_s(violation.at_s), violation.evidence)
        for each, violation in violations.items()
    }
    judged[CONVERGES] = _judge_convergence(race, planner_period_s)
    return judged


def _judge_convergence(race: Race, planner_period_s: float) -> Judged:
    deadline_s = race.fault_ended_s + planner_period_s
    if race.converged_s is not None and race.converged_s <= deadline_s:
        return Judged(held=True)
    took = (
        f"took {race.converged_s - race.fault_ended_s:.0f} s"
        if race.converged_s
        else "needed an operator"
    )
    return Judged(False, _t_s(deadline_s), took)


def verdict_on(
    judged: Mapping[str, Judged], expected: Mapping[str, bool | None]
) -> Verdict:
    """Compare what held with what had to; breaking must come in the record's order."""
    same = all(
        expected[each] is None or expected[each] == found.held
        for each, found in judged.items()
    )
    broken = [judged[each] for each in ORDER_OF_THE_RECORD if not judged[each].held]
    times = [found.first_violation_t_s or 0.0 for found in broken]
    if same and times == sorted(times):
        return Verdict.AS_EXPECTED
    return Verdict.NOT_AS_EXPECTED


def events_of(race: Race) -> list[Event]:
    """The script's notes, on the incident's own time."""
    return [Event(_t_s(at), what) for at, what in race.timeline]


def measures_of(race: Race, steps: Iterable[Step]) -> dict[str, Any]:
    """Count what the journal and the outside view tell."""
    flips = [step for step in steps if step.is_flip and not step.by_operator]
    refused = [step.outcome for step in flips if isinstance(step.outcome, Refused)]
    behind = [s.before.newest_active - s.batch.generation for s in flips]
    return {
        "flips": len(flips),
        "flips_refused_stale": sum(o.reason is Reason.STALE for o in refused),
        "flips_refused_wedged": sum(
            o.reason is Reason.ACTIVE_TREE_MISSING for o in refused
        ),
        "generations_behind_at_worst": max(behind, default=0),
        "held_generation": race.held,
        "after_race": race.after_race and asdict(race.after_race),
        "after_plans": race.after_plans and asdict(race.after_plans),
        "after_repair": race.after_repair and asdict(race.after_repair),
        "converged_s": (
            None
            if race.converged_s is None
            else round(race.converged_s - race.fault_ended_s, 3)
        ),
    }


def dns_impact(steps: Iterable[Step], script: Script) -> list[Impact]:
    """When the regional endpoint had no answer, from the journal's states."""
    record = RECORD if script.is_the_night else (None, None)
    began: float | None = None
    found = []
    for step in steps:
        if step.after.zone != REGIONAL:
            continue
        empty = bool(set(step.after.active) - {NOTHING, *step.after.trees})
        if empty and began is None:
            began = _t_s(step.at_s)
        elif not empty and began is not None:
            found.append(Impact("dynamodb", began, _t_s(step.at_s), *record))
            began = None
    if began is not None:
        found.append(Impact("dynamodb", began, None, *record))
    return found


def _t_s(epoch_s: float) -> float:
    """Seconds since the incident began, to the millisecond."""
    return round(epoch_s - INCIDENT_START_S, 3)
