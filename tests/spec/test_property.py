"""How a journal becomes steps, and how steps are judged."""

from dataclasses import replace

import pytest

from dns_store.core import Pointer, ZoneState, decide, settle, view
from staleplan.model import (
    Applied,
    Batch,
    DeleteTree,
    EnactorName,
    Generation,
    JournalEntry,
    PointActive,
    Refused,
    ZoneName,
)
from staleplan.spec import (
    DNS_PROPERTIES,
    HistoryMismatch,
    Property,
    Step,
    Violation,
    judge,
    replay,
)
from tests.samples import FIPS, REGIONAL, batch, endpoints_of, flip
from tests.spec.samples import OPERATOR, flip_to, step, zone

BATCHES = (
    flip("a", 1),
    flip("b", 2, zone=FIPS),
    flip("c", 2),
    flip("late", 1),
    batch("some", PointActive(Generation(1)), endpoints=endpoints_of(REGIONAL)[:1]),
    batch("gone", DeleteTree(Generation(1))),
)


def beginning() -> dict[ZoneName, ZoneState]:
    zones = (REGIONAL, FIPS)
    return {z: ZoneState(z, endpoints_of(z), (Pointer(),) * 3) for z in zones}


def journal(*batches: Batch) -> list[JournalEntry]:
    """What the store would have written down."""
    zones, entries = beginning(), []
    for number, each in enumerate(batches, 1):
        state = zones[each.zone]
        found = view(state, each.endpoints)
        plans = (Generation(1), Generation(2))
        outcome = decide(found, each, plans=plans, runs=True)
        zones[each.zone] = settle(state, each, outcome)
        entries.append(JournalEntry(number, float(number), each, outcome, ""))
    return entries


def test_a_journal_is_one_step_a_batch() -> None:
    steps = list(replay(beginning(), journal(*BATCHES)))
    assert [each.batch for each in steps] == list(BATCHES)
    assert [each.at_s for each in steps] == [1, 2, 3, 4, 5, 6]
    assert [each.after.active for each in steps] == [
        (1,),
        (2,),
        (2,),
        (2,),
        *2 * [(1, 2)],
    ]
    assert steps[2].before == steps[0].after
    assert steps[3].before == steps[3].after
    assert isinstance(steps[3].outcome, Refused)


def test_a_narrowed_batch_is_shown_with_its_whole_zone() -> None:
    steps = list(replay(beginning(), journal(*BATCHES)))
    assert isinstance(steps[4].outcome, Applied)
    assert steps[4].outcome.after.active == (1,)
    assert steps[4].after.active == (1, 2)


def test_the_first_violation_of_each_property_counts() -> None:
    found = judge(DNS_PROPERTIES, replay(beginning(), journal(*BATCHES)))
    assert {each: what and what.at_s for each, what in found.items()} == {
        "P1": 6,
        "P2": 5,
        "P3": 6,
        "P4": None,
        "P5": 5,
        "P6": None,
    }


def test_a_later_violation_does_not_replace_the_first() -> None:
    never = Property("PX", "nothing happens", lambda step: f"at {step.at_s}")
    steps = [replace(step(zone(0), (), zone(0)), at_s=at) for at in (3.0, 4.0)]
    assert judge([never], steps) == {"PX": Violation(3.0, "at 3.0")}
    assert judge([never], []) == {"PX": None}


def test_a_journal_with_a_batch_left_out_is_not_believed() -> None:
    first, *_, late = journal(flip("a", 1), flip("c", 2), flip("late", 1))
    with pytest.raises(HistoryMismatch, match=r"entry 3 \(late\): the journal says"):
        list(replay(beginning(), [first, late]))


def test_a_journal_with_an_edited_outcome_is_not_believed() -> None:
    # The late flip was refused; somebody writes that it was applied.
    entries = journal(flip("a", 1), flip("c", 2), flip("late", 1))
    outcome = entries[2].outcome
    assert isinstance(outcome, Refused)
    entries[2] = replace(entries[2], outcome=Applied(outcome.found))
    with pytest.raises(HistoryMismatch, match="its batches lead to"):
        list(replay(beginning(), entries))


def test_steps_before_the_mismatch_were_told() -> None:
    entries = journal(*BATCHES)
    told = replay(beginning(), [entries[0], replace(entries[0], sequence=2)])
    assert next(told).after.active == (1,)
    with pytest.raises(HistoryMismatch, match="entry 2"):
        next(told)


def test_operators_are_known_by_their_name_and_flips_by_their_change() -> None:
    def known(by: str) -> Step:
        return step(zone(1), flip_to(2), zone(2), by=EnactorName(by))

    assert known(OPERATOR).by_operator
    assert not known("enactor-a").by_operator
    assert known(OPERATOR).is_flip
    assert not step(zone(1), (), zone(1)).is_flip


def test_properties_have_ids_and_names_of_their_own() -> None:
    assert [each.id for each in DNS_PROPERTIES] == [f"P{n}" for n in range(1, 7)]
    assert len({each.name for each in DNS_PROPERTIES}) == 6
