"""P12: once DynamoDB is back, so is the fleet, unaided. Source: R28, R29."""

from dataclasses import replace

from staleplan.spec import BACK_TO_NORMAL
from staleplan.spec.property import Violation
from tests.spec.fleets import START, run

LOST = replace(START, leases=700, oldest_wait_s=12.0)


def test_a_check_interval_is_time_enough() -> None:
    looks = (replace(LOST, at_s=399.0), replace(START, at_s=400.0))
    assert BACK_TO_NORMAL.violation(run(*looks, trigger_ended_s=100.0)) is None


def test_more_is_not() -> None:
    found = BACK_TO_NORMAL.violation(
        run(replace(LOST, at_s=400.0), trigger_ended_s=100.0)
    )
    told = "500 leases are missing, and work has waited for 12 s"
    assert found == Violation(400.0, told)


def test_without_a_trigger_there_is_nothing_to_come_back_from() -> None:
    assert BACK_TO_NORMAL.violation(run(replace(LOST, at_s=400.0))) is None
