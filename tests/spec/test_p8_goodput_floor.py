"""P8: whatever is offered, what is finished in time keeps up with it. Source: R28."""

from dataclasses import replace

from staleplan.spec import GOODPUT_FLOOR
from tests.spec.fleets import START, interval, run


def test_nine_tenths_of_what_is_asked_for_is_enough() -> None:
    assert GOODPUT_FLOOR.violation(run(START, interval(START, useful=2_161))) is None


def test_less_is_not() -> None:
    found = GOODPUT_FLOOR.violation(run(START, interval(START, useful=2_159)))
    assert found is not None
    assert found.at_s == 300.0
    assert found.evidence.endswith("was of use for 300 s, 80% was asked for")


def test_more_than_capacity_cannot_be_asked_for() -> None:
    flooded = interval(START, useful=2_700, asked=60_000)
    assert GOODPUT_FLOOR.violation(run(START, flooded)) is None
    flooded = interval(START, useful=2_699, asked=60_000)
    assert GOODPUT_FLOOR.violation(run(START, flooded)) is not None


def test_a_good_average_does_not_hide_a_bad_window() -> None:
    good = interval(START, useful=3_000)
    bad = interval(good, useful=0)
    found = GOODPUT_FLOOR.violation(run(START, good, bad, interval(bad, useful=3_000)))
    assert found is not None
    assert found.at_s == 600.0


def test_an_outage_is_nobodys_fault() -> None:
    away = replace(START, at_s=300.0, away=True)
    assert GOODPUT_FLOOR.violation(run(START, away)) is None
