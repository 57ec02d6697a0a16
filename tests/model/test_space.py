"""What an event does to a state, looked at from every state of a small region."""

from collections import Counter
from collections.abc import Iterator

from enactor.safeguards import FIXED
from staleplan.check.machine import START
from staleplan.check.marks import CRASHES, LOSES_REPLY, PAUSES
from staleplan.check.question import Question
from staleplan.check.region import Enactor
from staleplan.check.sizes import FAULT_BITS, MAX_FAULTS
from staleplan.check.space import Space

SPACE = Space(Question(FIXED, plans=2, crashes=2, lost_replies=1, pauses=1))


def transitions() -> Iterator[tuple[int, int, int]]:
    """Every state, one that follows it, and the marks of the event between them."""
    reached = {SPACE.beginning}
    ahead = [*reached]
    while ahead:
        state = ahead.pop()
        for after, marks in SPACE.next_states(state):
            yield state, after, marks
            if after not in reached:
                reached.add(after)
                ahead.append(after)


def enactors(state: int) -> Counter[Enactor]:
    numbers = SPACE.unpack(state)[1]
    return Counter(SPACE.region.enactors[number] for number in numbers)


def left(state: int, kind: int) -> int:
    return SPACE.unpack(state)[2] >> FAULT_BITS * kind & MAX_FAULTS


def test_a_fault_happens_as_often_as_it_is_asked_for() -> None:
    """Whatever a state has left of each kind, an event takes one, or none."""
    happened = set()
    for state, after, marks in transitions():
        for kind, mark in enumerate((CRASHES, LOSES_REPLY, PAUSES)):
            had, has = left(state, kind), left(after, kind)
            assert had - has == bool(marks & mark)
            if had > has:
                happened.add((kind, had))
    assert happened == {(0, 2), (0, 1), (1, 1), (2, 1)}


def test_a_crash_forgets_all_but_the_locks_in_the_store() -> None:
    owners = set()
    for state, after, marks in transitions():
        if marks & CRASHES:
            (crashed,) = (enactors(state) - enactors(after)) or [Enactor()]
            (anew,) = (enactors(after) - enactors(state)) or [crashed]
            assert anew == Enactor(START, crashed.owns, None)
            assert SPACE.store_of(after) == SPACE.store_of(state)
            owners.add(anew.owns)
    assert owners == {0, 1}


def test_who_is_who_is_all_one() -> None:
    """States that differ only in that are one: the enactors are kept in order."""
    for _, after, _ in transitions():
        numbers = SPACE.unpack(after)[1]
        assert numbers == sorted(numbers)


def test_a_lock_has_one_owner() -> None:
    taken = False
    for state, after, _ in transitions():
        assert sum(each.owns for each in enactors(after).elements()) <= 1
        lost = enactors(state) - enactors(after)
        taken |= sum(each.owns for each in lost.elements()) > 0
    assert taken
