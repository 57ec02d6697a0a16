"""An instance ends once, and its slot is free again."""

import pytest

from dwfm.model import Answer, InstanceId, Kind, Outcome
from tests.unit.dwfm.fleets import account, leased, name_of

FIRST = name_of(0)
ONE = InstanceId("i-1")


def test_a_termination_ends_it_and_frees_its_slot() -> None:
    fleet = leased(droplets=1, slots=1)
    fleet.launch("i-1")
    fleet.run(10.0)
    assert fleet.host.candidates == []
    assert fleet.terminate("i-1", patience_s=9.0) is None
    assert fleet.terminate("i-1", patience_s=90.0) is None, "it waits for the same"
    fleet.run(10.0)
    ended = [a for _, a in fleet.answers if a.kind is Kind.TERMINATE]
    assert [each.outcome for each in ended] == [Outcome.TERMINATED]
    assert fleet.world.places == {}
    assert len(fleet.host.candidates) == 1
    again = fleet.terminate("i-1")
    assert again
    assert again.outcome is Outcome.TERMINATED
    account(fleet)


def test_what_never_ran_cannot_be_ended() -> None:
    fleet = leased()
    answer = fleet.terminate("i-1")
    assert answer == Answer(ONE, Outcome.UNKNOWN, kind=Kind.TERMINATE)


def test_a_droplet_without_a_lease_ends_nothing() -> None:
    """R26: what runs goes on, whatever happens to the control plane."""
    fleet = leased(droplets=1)
    fleet.launch("i-1")
    fleet.run(10.0)
    fleet.host.lose_lease(fleet.host.droplets[FIRST])
    fleet.world.silent.add(FIRST)
    fleet.run(1.0)
    fleet.terminate("i-1")
    fleet.run(10.0)
    assert fleet.outcome_of("i-1", Kind.TERMINATE) is Outcome.NO_LEASE
    assert fleet.world.runs_on(ONE) == [FIRST]
    account(fleet)


@pytest.mark.parametrize("away", [True, False])
def test_a_termination_that_fails_may_be_asked_again(away: bool) -> None:
    fleet = leased(droplets=1)
    fleet.launch("i-1")
    fleet.run(10.0)
    fleet.world.is_away = away
    if not away:
        fleet.world.silent.add(FIRST)
    fleet.terminate("i-1")
    fleet.run(10.0)
    told = Outcome.STORE_AWAY if away else Outcome.DROPLET_FAILED
    assert fleet.outcome_of("i-1", Kind.TERMINATE) is told
    fleet.world.is_away = False
    fleet.world.silent.clear()
    fleet.terminate("i-1")
    fleet.run(10.0)
    assert fleet.outcome_of("i-1", Kind.TERMINATE) is Outcome.TERMINATED
    account(fleet)


def test_a_full_queue_takes_no_termination() -> None:
    fleet = leased(droplets=1, slots=50)
    fleet.launch("i-1")
    fleet.run(10.0)
    for number in range(2, 20):
        fleet.launch(f"i-{number}")
    answer = fleet.terminate("i-1")
    assert answer
    assert answer.outcome is Outcome.REQUEST_LIMIT_EXCEEDED
    assert answer.kind is Kind.TERMINATE
    assert answer.retry_after_s
    account(fleet)


def test_a_termination_whose_time_is_up_is_told_so() -> None:
    fleet = leased(droplets=1)
    fleet.launch("i-1")
    fleet.run(10.0)
    fleet.terminate("i-1", patience_s=5.0)
    assert fleet.outcome_of("i-1", Kind.TERMINATE) is Outcome.EXPIRED
    assert fleet.world.runs_on(ONE) == [FIRST]
    account(fleet)


def test_a_launch_and_a_termination_of_one_instance_have_each_their_answer() -> None:
    fleet = leased()
    fleet.launch("i-1")
    early = fleet.terminate("i-1")
    assert early == Answer(ONE, Outcome.UNKNOWN, kind=Kind.TERMINATE)
    fleet.run(10.0)
    assert fleet.outcome_of("i-1") is Outcome.RUNNING
    fleet.terminate("i-1")
    again = fleet.launch("i-1")
    assert again
    assert (again.outcome, again.kind) == (Outcome.RUNNING, Kind.LAUNCH)
