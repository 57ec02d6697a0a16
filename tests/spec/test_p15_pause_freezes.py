"""P15: while an operator has paused it, automation changes nothing. Source: R23."""

from dataclasses import replace

from staleplan.model import DeleteTree, Generation, Reason, SetLock
from staleplan.spec import PAUSE_FREEZES
from tests.spec.samples import OPERATOR, flip_to, step, zone

WAS, IS = zone(1, 0, [1]), zone(2, 1, [1, 2])
DELETE = (DeleteTree(Generation(1)),)


def test_a_flip_or_a_deletion_during_a_pause_is_a_change() -> None:
    for changes in (flip_to(2), DELETE):
        bad = replace(step(WAS, changes, IS), paused=True)
        assert PAUSE_FREEZES.violation(bad) == (
            "enactor-a changed regional during a pause"
        )


def test_a_pause_is_for_automation_only() -> None:
    assert PAUSE_FREEZES.violation(step(WAS, flip_to(2), IS)) is None
    by_hand = replace(step(WAS, flip_to(2), IS, by=OPERATOR), paused=True)
    assert PAUSE_FREEZES.violation(by_hand) is None


def test_what_changes_no_answer_is_none() -> None:
    refused = replace(step(WAS, flip_to(2), WAS, refused=Reason.PAUSED), paused=True)
    locked = replace(step(WAS, (SetLock(None),), WAS), paused=True)
    for good in (refused, locked):
        assert PAUSE_FREEZES.violation(good) is None
