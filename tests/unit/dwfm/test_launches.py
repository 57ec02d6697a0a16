"""An instance is launched once, and everything that was asked is accounted for."""

from dataclasses import asdict

import pytest

from dwfm import host as of_host
from dwfm.model import (
    Answer,
    Drained,
    InstanceId,
    Kind,
    Limits,
    Outcome,
    Ran,
    Reached,
    Restarted,
    Stale,
    Store,
    Term,
    Work,
)
from dwfm.safeguards import BUGGY, FIXED
from tests.unit.dwfm.fleets import (
    FEW,
    START_S,
    Fleet,
    account,
    droplets_of,
    leased,
    name_of,
)

FIRST, SECOND = name_of(0), name_of(1)
ONE = InstanceId("i-1")


# --- Launches -----------------------------------------------------------------------


def test_a_launch_runs_on_a_droplet_with_a_lease() -> None:
    fleet = leased()
    assert fleet.launch("i-1") is None
    fleet.run(10.0)
    ((_, answer),) = fleet.answers
    assert (answer.outcome, answer.kind) == (Outcome.RUNNING, Kind.LAUNCH)
    assert fleet.world.runs_on(ONE) == [answer.droplet]
    assert fleet.world.places == {"i-1": answer.droplet}
    account(fleet)


def test_without_a_lease_there_is_no_capacity() -> None:
    """R27: droplets stand idle, and launches fail."""
    fleet = Fleet(FIXED, droplets_of(2), FEW)
    answer = fleet.launch("i-1")
    assert answer
    assert answer.outcome is Outcome.INSUFFICIENT_CAPACITY
    assert fleet.world.places == {}
    account(fleet)


def test_a_fleet_that_is_full_takes_no_more() -> None:
    fleet = leased(droplets=2, slots=1)
    outcomes = []
    for token in ("i-1", "i-2", "i-3"):
        fleet.launch(token)
        fleet.run(10.0)
        outcomes.append(fleet.outcome_of(token))
    full = Outcome.INSUFFICIENT_CAPACITY
    assert outcomes == [Outcome.RUNNING, Outcome.RUNNING, full]
    fleet.terminate("i-1")
    fleet.run(10.0)
    fleet.launch("i-4")
    fleet.run(10.0)
    assert fleet.outcome_of("i-4") is Outcome.RUNNING
    account(fleet)


def test_more_at_once_than_fits_is_refused_when_its_turn_comes() -> None:
    fleet = Fleet(FIXED, droplets_of(1, slots=2), Limits(workers=1))
    fleet.steady()
    fleet.run(60.0)
    for number in range(3):
        assert fleet.launch(f"i-{number}") is None, "there is room for the first"
    fleet.run(60.0)
    outcomes = [fleet.outcome_of(f"i-{n}") for n in range(3)]
    full = Outcome.INSUFFICIENT_CAPACITY
    assert outcomes == [Outcome.RUNNING, Outcome.RUNNING, full]
    account(fleet)


def test_who_asks_again_while_it_is_launched_waits_for_the_same_answer() -> None:
    fleet = leased()
    fleet.launch("i-1", patience_s=9.0)
    assert fleet.launch("i-1", patience_s=100.0) is None
    assert fleet.host.launching[ONE].deadline_s == fleet.now_s + 100.0
    fleet.run(10.0)
    assert len(fleet.answers) == 1
    assert fleet.host.counts.launches_asked == 1


def test_who_asks_again_later_is_told_the_same() -> None:
    fleet = leased()
    fleet.launch("i-1")
    fleet.run(10.0)
    again = fleet.launch("i-1")
    assert again == fleet.answers[0][1]
    fleet.terminate("i-1")
    fleet.run(10.0)
    late = fleet.launch("i-1")
    assert late
    assert late.outcome is Outcome.TERMINATED
    assert fleet.world.runs_on(ONE) == []
    account(fleet)


def test_what_cannot_be_done_in_time_is_told_so() -> None:
    fleet = leased()
    fleet.launch("i-1", patience_s=5.0)
    assert fleet.outcome_of("i-1") is Outcome.EXPIRED
    assert fleet.world.places == {}
    account(fleet)


def test_unhardened_it_is_done_although_nobody_waits() -> None:
    fleet = Fleet(BUGGY, droplets_of(1), FEW)
    fleet.steady()
    fleet.run(60.0)
    fleet.launch("i-1", patience_s=5.0)
    fleet.run(10.0)
    assert fleet.outcome_of("i-1") is Outcome.RUNNING
    assert fleet.host.counts.late == 1
    account(fleet)


def test_a_drained_host_refuses_launches_and_keeps_its_leases() -> None:
    fleet = leased()
    fleet.tell(Drained(draining=True))
    fleet.launch("i-1")
    assert fleet.outcome_of("i-1") is Outcome.DRAINING
    fleet.run(1_000.0)
    assert fleet.host.leases == 2
    fleet.tell(Drained(draining=False))
    fleet.launch("i-1")
    fleet.run(10.0)
    assert fleet.outcome_of("i-1") is Outcome.RUNNING
    account(fleet)


# --- What goes wrong ----------------------------------------------------------------


def test_a_token_keeps_its_droplet() -> None:
    """An earlier attempt wrote where it is to run: it runs there, and nowhere else."""
    fleet = leased()
    there, here = fleet.host.candidates
    fleet.world.places[ONE] = there.name
    fleet.world.on(there.name).add(ONE)
    fleet.launch("i-1")
    assert [w.droplet for w in fleet.host.running] == [here]
    fleet.run(30.0)
    assert fleet.answers[-1][1] == Answer(ONE, Outcome.RUNNING, there.name)
    assert fleet.world.runs_on(ONE) == [there.name]
    assert (there.room, here.room) == (1, 2)
    account(fleet)


def test_a_token_whose_droplet_is_out_of_reach_fails() -> None:
    fleet = leased()
    fleet.world.places[ONE] = name_of(99)
    fleet.launch("i-1")
    fleet.run(30.0)
    assert fleet.outcome_of("i-1") is Outcome.NO_LEASE
    assert [each.room for each in fleet.droplets] == [2, 2]
    account(fleet)


def test_without_dynamodb_nothing_is_launched() -> None:
    fleet = leased()
    fleet.world.is_away = True
    fleet.launch("i-1")
    fleet.run(10.0)
    assert fleet.outcome_of("i-1") is Outcome.STORE_AWAY
    assert fleet.world.runs_on(ONE) == []
    assert len(fleet.host.candidates) == 2
    account(fleet)


def test_a_launch_of_unknown_outcome_is_ended_again() -> None:
    """Its slot is taken until then, and nobody is told that it runs."""
    fleet = leased(droplets=1)
    fleet.launch("i-1")
    (work,) = fleet.host.running
    fleet.tell(Ran(work, Store.WRITTEN, Reached.SILENT))
    assert fleet.world.runs_on(ONE) == [FIRST], "it does, for now"
    assert fleet.outcome_of("i-1") is Outcome.DROPLET_FAILED
    assert fleet.host.droplets[FIRST].room == 1
    fleet.launch("i-1")
    assert fleet.outcome_of("i-1") is Outcome.DROPLET_FAILED, "it is being undone"
    fleet.run(320.0)
    assert fleet.world.runs_on(ONE) == []
    assert fleet.world.places == {}
    assert fleet.host.droplets[FIRST].room == 2
    assert fleet.host.undoing == {}
    account(fleet)


def test_a_launch_whose_row_nobody_knows_is_ended_again() -> None:
    fleet = leased(droplets=1)
    fleet.launch("i-1")
    (work,) = fleet.host.running
    fleet.tell(Ran(work, Store.UNKNOWN, Reached.SILENT))
    assert fleet.outcome_of("i-1") is Outcome.STORE_AWAY
    fleet.run(320.0)
    assert fleet.world.places == {}
    account(fleet)


def test_what_is_left_over_is_ended_however_often_it_fails() -> None:
    fleet = leased(droplets=1)
    fleet.launch("i-1")
    (work,) = fleet.host.running
    fleet.tell(Ran(work, Store.WRITTEN, Reached.SILENT))
    told = len(fleet.answers)
    fleet.run_until(lambda: bool(fleet.host.running))
    fleet.world.silent.add(FIRST)
    fleet.run(20.0)
    assert fleet.world.runs_on(ONE) == [FIRST], "the droplet was silent again"
    assert fleet.host.undoing
    fleet.world.silent.clear()
    fleet.run(320.0)
    assert fleet.world.places == {}
    assert fleet.host.undoing == {}
    assert len(fleet.answers) == told, "nobody asked"


def test_what_is_left_over_is_thrown_away_in_a_restart_and_ended_later() -> None:
    fleet = leased(droplets=1)
    fleet.launch("i-1")
    (work,) = fleet.host.running
    fleet.tell(Ran(work, Store.WRITTEN, Reached.SILENT))
    fleet.run_until(lambda: any(w.kind is Kind.TERMINATE for w in fleet.host.running))
    told = len(fleet.answers)
    fleet.tell(Restarted())
    assert len(fleet.answers) == told
    fleet.run(640.0)
    assert fleet.host.undoing == {}


def test_a_full_droplet_may_lose_its_lease() -> None:
    fleet = leased(droplets=1, slots=1)
    fleet.launch("i-1")
    fleet.run(10.0)
    fleet.world.silent.add(FIRST)
    fleet.run(1_000.0)
    assert fleet.host.leases == 0
    assert fleet.world.runs_on(ONE) == [FIRST]
    account(fleet)


def test_a_stale_term_launches_nothing_and_loses_the_lease() -> None:
    fleet = leased(droplets=1)
    fleet.world.terms[FIRST] = Term(9)
    fleet.launch("i-1")
    fleet.run(10.0)
    assert fleet.outcome_of("i-1") is Outcome.NO_LEASE
    assert fleet.world.runs_on(ONE) == []
    assert fleet.host.counts.leases_expired == 0
    fleet.run(40.0)
    assert fleet.host.leases == 1
    assert fleet.world.terms[FIRST] == Term(10)
    (droplet,) = fleet.droplets
    checks = len(fleet.checks_of(droplet))
    fleet.run(300.0)
    assert len(fleet.checks_of(droplet)) == checks + 1, "its old slot is forgotten"
    account(fleet)


def test_a_restart_tells_everybody_and_ends_what_may_run() -> None:
    fleet = leased()
    for number in range(5):
        fleet.launch(f"i-{number}")
    fleet.tell(Restarted())
    assert {a.outcome for _, a in fleet.answers} == {Outcome.RESTARTED}
    assert len(fleet.answers) == 5
    account(fleet)
    fleet.run(330.0)
    assert fleet.world.running == {FIRST: set(), SECOND: set()}
    assert fleet.world.places == {}
    account(fleet)


def test_what_runs_is_learned_from_the_droplet() -> None:
    """Another process launched it: who asks again is told where it runs."""
    fleet = Fleet(FIXED, droplets_of(1, slots=1), FEW)
    fleet.world.on(FIRST).add(ONE)
    fleet.steady()
    assert fleet.host.candidates == []
    assert fleet.launch("i-1") == Answer(ONE, Outcome.RUNNING, FIRST)
    fleet.terminate("i-1")
    fleet.run(10.0)
    assert fleet.world.runs_on(ONE) == []
    assert len(fleet.host.candidates) == 1


def test_ended_instances_are_forgotten_when_there_are_too_many(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(of_host, "MAX_ENDED", 2)
    host = leased().host
    for number in range(5):
        host.remember_ended(InstanceId(f"i-{number}"))
    assert list(host.ended) == ["i-3", "i-4"]


def test_an_answer_that_nobody_waits_for_changes_nothing() -> None:
    fleet = leased()
    before = asdict(fleet.host.counts)
    strange = Work(Kind.LAUNCH, START_S, START_S, instance=ONE)
    fleet.tell(Ran(strange, Store.WRITTEN, Stale(Term(3))))
    assert fleet.answers == []
    assert fleet.host.leases == 2
    assert asdict(fleet.host.counts) == before
