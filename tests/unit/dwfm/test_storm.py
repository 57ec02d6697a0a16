"""The recovery that collapses, and what each safeguard does about it. Source: R28."""

from functools import partial

import pytest

from dwfm.model import Limits, Outcome, Restarted, Throttled
from dwfm.safeguards import BUGGY, FIXED, Safeguards
from dwfm.work_queue import Throttle
from tests.unit.dwfm.fleets import (
    FLEET,
    LIMITS,
    START_S,
    Fleet,
    droplets_of,
    only,
    without,
)

OUTAGE_S = 10_000.0
"""Longer than the longest lease: none is left."""

WHOLE_FLEET_S = FLEET / LIMITS.capacity_per_s
"""How long it takes to lease the fleet anew, with nothing else to do: 150 s."""

HOURS_S = 3_600.0


def after_the_outage(safeguards: Safeguards) -> Fleet:
    """A fleet without a lease, in the moment that DynamoDB is back."""
    fleet = Fleet(safeguards)
    fleet.steady()
    fleet.world.is_away = True
    fleet.run(OUTAGE_S)
    fleet.world.is_away = False
    return fleet


def useful_in(fleet: Fleet, seconds: float) -> float:
    """Which share of the capacity is of use in the time that follows."""
    before = fleet.host.counts.in_time
    fleet.run(seconds)
    done = fleet.host.counts.in_time - before
    return done / (seconds * fleet.limits.capacity_per_s)


def test_the_storm_does_not_end_by_itself() -> None:
    """R28: the trigger is gone, and all capacity goes into work that is too late."""
    fleet = after_the_outage(BUGGY)
    assert fleet.host.leases == 0
    fleet.run(HOURS_S)
    counts = fleet.host.counts
    assert useful_in(fleet, 3_600.0) < 0.05
    assert fleet.host.leases < FLEET / 4
    assert counts.late > 50 * counts.in_time or counts.late > 4_000
    assert len(fleet.host.queue) > 10 * FLEET


def test_operators_end_it_with_a_throttle_and_restarts() -> None:
    """R29: less comes in, and what is in the queue is thrown away."""
    fleet = after_the_outage(BUGGY)
    fleet.run(HOURS_S)
    fleet.tell(Throttled(0.4))
    fleet.tell(Restarted())
    took_s = fleet.run_until_leased(FLEET, 1_000.0)
    assert took_s <= 1.5 * FLEET / 0.4
    fleet.tell(Throttled(None))
    fleet.run(HOURS_S)
    assert fleet.host.leases == FLEET, "and it stays ended"


def test_a_restart_alone_does_not_end_it() -> None:
    fleet = after_the_outage(BUGGY)
    fleet.run(HOURS_S)
    fleet.tell(Restarted())
    fleet.run(HOURS_S)
    assert fleet.host.leases < FLEET / 2


def test_admission_alone_ends_the_storm() -> None:
    fleet = after_the_outage(only("admit_by_queue_size"))
    assert fleet.run_until_leased(FLEET, HOURS_S) <= 1.25 * WHOLE_FLEET_S
    before = fleet.host.counts.timed_out
    fleet.run(HOURS_S)
    assert fleet.host.leases == FLEET
    assert fleet.host.counts.timed_out == before


def test_the_whole_fleet_is_leased_at_the_speed_of_its_capacity() -> None:
    """If nothing was held: the recovery is as quick as workers can be."""
    fleet = after_the_outage(without("hold_leases_when_store_is_down"))
    assert fleet.host.leases == 0
    assert fleet.run_until_leased(FLEET, HOURS_S) <= 1.25 * WHOLE_FLEET_S


def test_dropping_does_no_late_work() -> None:
    fleet = after_the_outage(only("drop_expired_work"))
    fleet.run(HOURS_S)
    assert fleet.host.counts.late == 0
    assert fleet.host.queue.dropped > 0
    assert fleet.host.leases == FLEET


def press(fleet: Fleet, per_s: float, seconds: float) -> None:
    """Have launches asked for at a steady rate, from now on."""

    def ask(number: int) -> None:
        fleet.launch(f"i-{number}")

    for number in range(int(seconds * per_s)):
        fleet.at(fleet.now_s + number / per_s, partial(ask, number))


def flooded(safeguards: Safeguards) -> Fleet:
    """Launches at three times the capacity, for an hour."""
    fleet = Fleet(safeguards, droplets_of(FLEET, slots=10_000))
    fleet.steady()
    per_s = 3 * LIMITS.capacity_per_s
    press(fleet, per_s, 3_600.0)
    fleet.run(3_600.0)
    return fleet


def test_launches_do_not_delay_renewals() -> None:
    fleet = flooded(only("prioritise_renewals"))
    assert fleet.host.counts.timed_out == 0
    assert fleet.host.leases == FLEET
    unsorted = flooded(BUGGY)
    assert unsorted.host.counts.timed_out > FLEET
    assert unsorted.host.leases < FLEET


def test_hardened_does_useful_work_whatever_is_asked() -> None:
    fleet = flooded(FIXED)
    counts = fleet.host.counts
    assert counts.late == counts.leases_expired == 0
    assert counts.in_time >= 0.95 * LIMITS.capacity_per_s * 3_600
    assert counts.refused_limit > counts.launched


@pytest.mark.parametrize("load", [10, 20])
def test_leases_come_back_while_launches_press(load: int) -> None:
    """New launches do not take the room that lost leases wait for."""
    fleet = after_the_outage(without("hold_leases_when_store_is_down"))
    per_s = load * LIMITS.capacity_per_s
    press(fleet, per_s, 2 * WHOLE_FLEET_S)
    assert fleet.run_until_leased(FLEET, HOURS_S) <= 1.25 * WHOLE_FLEET_S


def test_a_throttle_lets_in_what_it_says() -> None:
    fleet = Fleet(FIXED, droplets_of(4, slots=10_000))
    fleet.steady()
    fleet.tell(Throttled(0.1))
    fleet.run(20.0)
    asked = [fleet.launch(f"i{n}") for n in range(5)]
    refused = [answer for answer in asked if answer]
    assert len(refused) == 4, "one token was saved up"
    assert {each.outcome for each in refused} == {Outcome.REQUEST_LIMIT_EXCEEDED}
    assert {each.retry_after_s for each in refused} == {10.0}
    fleet.run(10.0)
    assert fleet.launch("later") is None
    fleet.tell(Throttled(None))
    assert fleet.launch("at once") is None


def test_a_throttle_minds_no_clock_that_is_set_back() -> None:
    throttle = Throttle(per_s=1.0, now_s=START_S)
    throttle.spend()
    assert not throttle.has_token(START_S - 600.0)
    assert throttle.has_token(START_S - 599.0)


def test_a_refusal_says_when_there_will_be_room() -> None:
    fleet = Fleet(FIXED, droplets_of(2, slots=100), Limits(workers=1))
    fleet.steady()
    answers = [fleet.launch(f"i{n}") for n in range(9)]
    refused = [answer for answer in answers if answer]
    assert refused
    queued = len(fleet.host.queue)
    assert {each.retry_after_s for each in refused} == {queued * 7.5}


def test_the_oldest_wait_is_known() -> None:
    fleet = Fleet(FIXED, droplets_of(2, slots=100), Limits(workers=1))
    fleet.steady()
    fleet.run(30.0)
    assert fleet.host.queue.oldest_wanted_s(fleet.now_s) == fleet.now_s
    asked_s = fleet.now_s
    for n in range(3):
        fleet.launch(f"i{n}")
    fleet.run(3.0)
    assert fleet.host.queue.oldest_wanted_s(fleet.now_s) == asked_s
