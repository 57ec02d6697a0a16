"""What properties of the fleet judge: windows, and what is measured in them."""

from dataclasses import replace

import pytest

from staleplan.spec import FLEET_PROPERTIES, Window, judge_fleet
from staleplan.spec.fleet import WAIT_CLASSES, WAIT_STEP_S
from tests.spec.fleets import QUIET, SIZE, START, interval, run


def test_a_window_measures_what_happened_in_it() -> None:
    before = interval(START, useful=3_000)
    after = interval(before, useful=1_500, late=500, asked=900)
    window = Window(SIZE, before, after)
    assert (window.seconds, window.possible) == (300.0, 3_000.0)
    assert window.goodput == 0.5
    assert window.late_share == 0.25
    assert window.offered == pytest.approx(0.7)


def test_leases_that_are_missing_are_work_that_is_wanted() -> None:
    before = replace(START, leases=0)
    after = replace(before, at_s=300.0, asked=300)
    assert Window(SIZE, before, after).offered == pytest.approx(0.5)


def test_nothing_finished_is_nothing_late() -> None:
    assert Window(SIZE, START, replace(START, at_s=300.0)).late_share == 0.0


def test_how_long_most_waited() -> None:
    waits = list(QUIET)
    waits[0], waits[8], waits[-1] = 98, 1, 1
    window = Window(SIZE, START, replace(START, at_s=300.0, waits=tuple(waits)))
    assert window.wait_s(0.5) == WAIT_STEP_S
    assert window.wait_s(0.99) == 9 * WAIT_STEP_S
    assert window.wait_s(1.0) == WAIT_CLASSES * WAIT_STEP_S


def test_nobody_who_waited_waited_not_at_all() -> None:
    window = Window(SIZE, START, replace(START, at_s=300.0))
    assert window.wait_s(0.99) == WAIT_STEP_S


def test_a_long_window_has_enough_work() -> None:
    assert SIZE.long_window_s == 300.0
    assert replace(SIZE, capacity_per_s=1 / 7.5).long_window_s == 7_500.0


def test_windows_leave_out_the_outage() -> None:
    looks = [
        replace(START, at_s=at_s, away=300.0 < at_s <= 500.0)
        for at_s in (0.0, 100.0, 200.0, 300.0, 400.0, 500.0, 600.0, 700.0, 800.0, 900.0)
    ]
    found = [(w.before.at_s, w.after.at_s) for w in run(*looks).windows(150.0)]
    assert found == [(0.0, 200.0), (600.0, 800.0)]


def test_normal_is_every_lease_and_no_long_wait() -> None:
    assert START.is_normal(SIZE)
    assert not replace(START, leases=1_199).is_normal(SIZE)
    assert replace(START, oldest_wait_s=180.0).is_normal(SIZE)
    assert not replace(START, oldest_wait_s=180.5).is_normal(SIZE)


def test_the_fleets_properties_have_ids_and_names_of_their_own() -> None:
    found = judge_fleet(FLEET_PROPERTIES, run(START, interval(START, useful=2_400)))
    assert found == dict.fromkeys(["P7", "P8", "P9", "P12", "P13", "P16"])
    assert len({each.name for each in FLEET_PROPERTIES}) == 6
