"""P16: no one cause makes many renewals due at once. Source: R28."""

from staleplan.spec import RENEWALS_SPREAD, Renewals
from staleplan.spec.p16_renewals_spread import busiest
from staleplan.spec.property import Violation
from tests.spec.fleets import run

LARGE, SMALL = 10.0, 0.1


def violation(capacity_per_s: float, *due: int) -> Violation | None:
    return RENEWALS_SPREAD.violation(
        run(renewals=[Renewals(50.0, capacity_per_s, due)])
    )


def test_three_quarters_of_capacity_may_be_due_in_a_second() -> None:
    assert violation(LARGE, 4, 4, 7, 4) is None
    found = violation(LARGE, 4, 4, 8, 4)
    assert found == Violation(53.0, "renewals for 0.80 of capacity were due")


def test_a_small_fleet_is_counted_over_longer() -> None:
    calm = [1, *[0] * 24] * 8
    assert busiest(Renewals(0.0, SMALL, calm)) == (4 / 80, 80.0)
    assert violation(SMALL, *calm) is None
    assert violation(SMALL, *calm, 4) is not None


def test_a_run_too_short_to_count_shows_nothing() -> None:
    assert violation(SMALL, 9, 9, 9) is None
