"""P5: a zone is never left between two plans. Source: R6, R8."""

import pytest

from staleplan.model import Reason, SetLock
from staleplan.spec import NO_HALF_PLAN, Step
from tests.spec.samples import OPERATOR, flip_to, step, zone

OLD, NEW, HALF = zone(3, 2, [2, 3]), zone(4, 3, [2, 3, 4]), zone((3, 4), 3, [3, 4])


@pytest.mark.parametrize(
    "good",
    [
        step(OLD, flip_to(4), NEW, generation=4),
        step(HALF, flip_to(5), HALF, generation=5, refused=Reason.STALE),
        step(HALF, (SetLock(None),), HALF, generation=4),
    ],
    ids=["whole", "refused", "no flip"],
)
def test_a_plan_is_applied_whole_or_not_at_all(good: Step) -> None:
    assert NO_HALF_PLAN.violation(good) is None


def test_a_zone_may_not_be_left_between_two_plans() -> None:
    bad = step(OLD, flip_to(4), HALF, generation=4)
    assert NO_HALF_PLAN.violation(bad) == (
        "regional answers from plans (3, 4) after one flip"
    )


def test_a_flip_is_to_the_plan_that_it_is_for() -> None:
    assert NO_HALF_PLAN.violation(step(OLD, flip_to(4), NEW, generation=5))


def test_an_operator_may_restore_some_endpoints() -> None:
    some = step(OLD, flip_to(4), HALF, generation=4, by=OPERATOR)
    assert NO_HALF_PLAN.violation(some) is None
