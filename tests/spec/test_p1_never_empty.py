"""P1: an endpoint that had an answer never loses it. Source: R17, R18."""

import pytest

from staleplan.model import DeleteTree, Generation
from staleplan.spec import NEVER_EMPTY, Step
from tests.spec.samples import OPERATOR, flip_to, step, zone

DELETE = (DeleteTree(Generation(3)),)


@pytest.mark.parametrize(
    "good",
    [
        step(zone(0), (), zone(0)),
        step(zone(3, 0, [3]), flip_to(4), zone(4, 3, [3, 4])),
        step(zone(4, 3, [3, 4]), DELETE, zone(4, 3, [4])),
    ],
    ids=["before the first plan", "a flip", "a lost way back"],
)
def test_an_answer_may_begin_and_change(good: Step) -> None:
    assert NEVER_EMPTY.violation(good) is None


def test_the_active_tree_may_not_go() -> None:
    bad = step(zone(3, 4, [3, 4]), DELETE, zone(3, 4, [4]), generation=10)
    assert NEVER_EMPTY.violation(bad) == (
        "regional answers from plan 3, whose tree is gone "
        "(enactor-a on behalf of plan 10)"
    )


def test_one_endpoint_of_many_is_enough() -> None:
    bad = step(zone((3, 4), 4, [3, 4]), DELETE, zone((3, 4), 4, [4]))
    assert "plan 3," in str(NEVER_EMPTY.violation(bad))


def test_it_lasts_until_it_is_repaired() -> None:
    still = step(zone(3, 4, [4]), (), zone(3, 4, [4]))
    repaired = step(zone(3, 4, [4]), flip_to(5), zone(5, 4, [4, 5]))
    assert NEVER_EMPTY.violation(still)
    assert NEVER_EMPTY.violation(repaired) is None


def test_customers_do_not_mind_who_did_it() -> None:
    assert NEVER_EMPTY.violation(step(zone(3, 3, [3]), DELETE, zone(3, 3), by=OPERATOR))
