"""P2: automation never replaces a plan by an older one. Source: R11, R16."""

import pytest

from staleplan.model import EnactorName, Reason, SetLock
from staleplan.spec import NO_REGRESS, Step
from tests.spec.samples import OPERATOR, flip_to, step, zone

TEN, THREE = zone(10, 9, [9, 10]), zone(3, 10, [3, 9, 10])


@pytest.mark.parametrize(
    "good",
    [
        step(zone(0), flip_to(3), zone(3, 0, [3])),
        step(zone(3, 0, [3]), flip_to(10), zone(10, 3, [3, 10])),
        step(TEN, flip_to(10), zone(10, 10, [9, 10])),
        step(TEN, flip_to(3), TEN, refused=Reason.STALE),
        step(TEN, (SetLock(None),), TEN),
    ],
    ids=["the first", "a newer", "the same", "a late one, refused", "no flip"],
)
def test_a_plan_may_stay_or_advance(good: Step) -> None:
    assert NO_REGRESS.violation(good) is None


def test_a_plan_may_not_go_back() -> None:
    bad = step(TEN, flip_to(3), THREE)
    assert NO_REGRESS.violation(bad) == "enactor-a put regional back from plan 10 to 3"


def test_one_endpoint_that_went_back_is_enough() -> None:
    mixed = zone((3, 10), 10, [3, 10])
    assert NO_REGRESS.violation(step(TEN, flip_to(3), mixed))


def test_one_endpoint_that_was_ahead_is_enough() -> None:
    mixed = zone((3, 10), 3, [3, 10])
    assert NO_REGRESS.violation(step(mixed, flip_to(5), zone(5, 3, [3, 5, 10])))


def test_going_back_is_what_operators_are_for() -> None:
    assert NO_REGRESS.violation(step(TEN, flip_to(3), THREE, by=OPERATOR)) is None
    posing = EnactorName("enactor-operator")
    assert NO_REGRESS.violation(step(TEN, flip_to(3), THREE, by=posing))
