"""P6: old plans are cleaned up, so that records never run out. Source: R12."""

from staleplan.spec import BOUNDED_PLANS
from staleplan.spec.p6_bounded_plans import MAX_TREES
from tests.spec.samples import ENACTOR, OPERATOR, flip_to, step, zone


def test_a_zone_keeps_no_more_trees_than_its_bound() -> None:
    most = zone(MAX_TREES, 1, range(1, MAX_TREES + 1))
    more = zone(MAX_TREES + 1, 1, range(1, MAX_TREES + 2))
    for by in (ENACTOR, OPERATOR):
        good = step(most, flip_to(MAX_TREES), most, by=by)
        bad = step(most, flip_to(MAX_TREES + 1), more, by=by)
        assert BOUNDED_PLANS.violation(good) is None
        assert BOUNDED_PLANS.violation(bad) == "regional keeps 13 trees"
