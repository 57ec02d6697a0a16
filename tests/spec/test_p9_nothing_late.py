"""P9: no work is done after its deadline. Source: R28."""

from staleplan.spec import NOTHING_LATE
from staleplan.spec.property import Violation
from tests.spec.fleets import START, interval, run


def test_one_in_a_hundred_may_be_late_and_no_more() -> None:
    few = interval(START, useful=1_980, late=20)
    more = interval(START, useful=1_979, late=21)
    assert NOTHING_LATE.violation(run(START, few)) is None
    found = NOTHING_LATE.violation(run(START, more))
    assert found == Violation(300.0, "1.1% of the work was too late")
