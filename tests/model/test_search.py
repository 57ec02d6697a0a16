"""Every state is seen, a way that is found is a shortest, and what is open is said."""

from dataclasses import replace
from functools import cache
from itertools import pairwise

import pytest

from enactor.model import Command, Purpose, Submit
from enactor.safeguards import BUGGY, FIXED
from staleplan.check.marks import PROPERTIES
from staleplan.check.mutants import off
from staleplan.check.question import Mutation, Question
from staleplan.check.result import BREAKS, result_of
from staleplan.check.search import CONVERGES, Search
from staleplan.model import EnactorName, Lock, LockIs

SHORTEST = {"P1": 10, "P2": 8, "P3": 10, "P4": 14, "P12": 10}
"""Events until the enactor as it failed breaks each; publishing is no event."""


@cache
def searched(question: Question) -> Search:
    search = Search(question)
    search.run()
    return search


def lengths(search: Search) -> dict[str, int]:
    return {each: len(path) - 1 for each, path in search.found.paths.items()}


def test_the_enactor_as_it_failed_breaks_what_it_broke() -> None:
    search = searched(Question(BUGGY))
    assert lengths(search) == SHORTEST
    assert set(SHORTEST) == BREAKS
    assert result_of(search).verdict == "as expected"


@pytest.mark.parametrize(
    "question",
    [
        Question(FIXED),
        Question(FIXED, enactors=3),
        Question(FIXED, crashes=1),
        Question(FIXED, lost_replies=1),
        Question(FIXED, pauses=1),
        Question(FIXED, crashes=1, lost_replies=1, pauses=1),
    ],
    ids=["two", "three", "crash", "lost reply", "pause", "all three"],
)
def test_the_hardened_enactor_breaks_nothing(question: Question) -> None:
    search = searched(question)
    result = result_of(search)
    assert search.found.complete
    assert (lengths(search), result.vacuous) == ({}, [])
    assert result.verdict == "as expected"


def test_without_the_pause_switch_a_pause_stops_nothing() -> None:
    search = searched(Question(off(FIXED, "pause_switch"), pauses=1))
    assert lengths(search) == {"P15": 5}


def test_nothing_changes_during_a_pause_that_nobody_orders() -> None:
    assert lengths(searched(Question(off(FIXED, "pause_switch")))) == {}


# --- Figures -----------------------------------------------------------------------


def test_a_space_that_can_be_counted_by_hand() -> None:
    """One enactor, one zone, one plan: eight states in a row of six events.

    Nothing published; plan 1 in hand; found new; locked (or, the lock lost, waiting
    with plan 1 published); flipped; cleaned up; plan 1 in hand once more.
    """
    found = searched(Question(FIXED, enactors=1, plans=1)).found
    assert (found.states, found.transitions, found.depth) == (8, 10, 6)


def test_the_same_question_twice_gives_the_same_figures() -> None:
    first, second = Search(Question(BUGGY)), Search(Question(BUGGY))
    for search in (first, second):
        search.run()
        search.found.wall_s = 0.0
    assert first.found == second.found


@pytest.mark.parametrize("question", [Question(BUGGY), Question(FIXED, crashes=1)])
def test_workers_find_what_one_finds(
    question: Question, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("staleplan.check.search.SHARE", 200)
    search = Search(question, workers=2)
    found, alone = search.run(), searched(question).found
    assert lengths(search) == lengths(searched(question))
    assert found.happened.keys() == alone.happened.keys()
    figures = [(f.states, f.transitions, f.depth) for f in (found, alone)]
    assert figures[0] == figures[1]


# --- Ways --------------------------------------------------------------------------


@pytest.mark.parametrize("question", [Question(BUGGY), Question(BUGGY, pauses=1)])
def test_a_way_that_is_found_can_be_walked(question: Question) -> None:
    search = searched(question)
    for path in search.found.paths.values():
        assert path[0] == search.space.beginning
        for state, after in pairwise(path):
            assert after in {s for s, _ in search.space.next_states(state)}


@pytest.mark.parametrize("question", [Question(BUGGY), Question(BUGGY, pauses=1)])
def test_a_way_breaks_its_property_in_its_last_event(question: Question) -> None:
    search = searched(question)
    judged = {each.id: 1 << number for number, each in enumerate(PROPERTIES)}
    for each, path in search.found.paths.items():
        if each != CONVERGES:
            marks = [broken(search, *step) for step in pairwise(path)]
            assert [bool(mark & judged[each]) for mark in marks] == [
                *[False] * (len(marks) - 1),
                True,
            ]


def broken(search: Search, state: int, after: int) -> int:
    """What some event from a state to another breaks."""
    marks = 0
    for then, mark in search.space.next_states(state):
        marks |= mark * (then == after)
    return marks


def test_from_where_a_region_cannot_recover_it_never_does() -> None:
    """The end of the way to P12: whatever follows, no zone answers from plan 4."""
    search = searched(Question(BUGGY))
    reached = {search.found.paths[CONVERGES][-1]}
    left = [*reached]
    while left:
        for after, _ in search.space.next_states(left.pop()):
            if after not in reached:
                reached.add(after)
                left.append(after)
    newest = {search.region.newest(search.space.store_of(state)) for state in reached}
    stores = {search.space.store_of(state) for state in reached}
    assert search.question.plans in newest
    assert not any(map(search.region.has_converged, stores))


def test_what_only_the_next_plan_mends_has_not_converged() -> None:
    """Nobody may count on another plan, any more than on a crash."""

    def never_first(command: Command) -> Command:
        match command:
            case Submit(Purpose.FLIP, 1, orders):
                wanted = (LockIs(Lock(EnactorName("nobody"), 0)),)
                refused = (replace(each, preconditions=wanted) for each in orders)
                return replace(command, orders=tuple(refused))
        return command

    stuck = Mutation("plan 1 is never applied", never_first)
    search = searched(Question(FIXED, enactors=1, plans=2, mutation=stuck))
    assert lengths(search).keys() == {CONVERGES}
    store = search.space.store_of(search.found.paths[CONVERGES][-1])
    assert search.region.newest(store) == 1


# --- What is open ------------------------------------------------------------------


def test_a_space_that_does_not_fit_is_said_to_be_open() -> None:
    search = Search(Question(FIXED, enactors=3, zones=2, plans=3), memory_gb=0.1)
    search.run()
    assert not search.found.complete
    assert search.found.stopped.endswith("GB of memory are used")
    assert search.found.states < 100_000
    assert result_of(search).verdict == "incomplete"
