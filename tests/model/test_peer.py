"""Spin is asked what `staleplan check` is asked, on a model written down by itself."""

from dataclasses import replace
from functools import partial

import pytest

from enactor.safeguards import BUGGY, FIXED, Safeguards
from staleplan.check.question import Question
from staleplan.check.search import Search
from tests.model.peer import spin
from tests.model.peer.spin import PROPERTIES, Size, SpinFailed

pytestmark = pytest.mark.skipif(
    not spin.available(), reason="needs Spin and a C compiler: apt-get install spin gcc"
)

SMALL = Size(enactors=2, zones=1, plans=3)
run = partial(spin.run, compiled="-O0")


def only(name: str) -> Safeguards:
    return replace(BUGGY, **{name: True})


def holds(size: Size, safeguards: Safeguards, *judged: str) -> bool:
    return not run(size, safeguards, judged=judged).violated


@pytest.mark.parametrize(
    ("judged", "steps"), [("P1", 13), ("P2", 10), ("P3", 13), ("P4", 17)]
)
def test_both_break_each_property_in_as_few_steps(judged: str, steps: int) -> None:
    theirs = run(SMALL, BUGGY, judged=[judged], shortest=True)
    ours = Search(Question(BUGGY, plans=SMALL.plans, reduced=False)).run()
    assert (theirs.violated, theirs.depth) == (True, steps)
    assert len(ours.paths[judged]) - 1 == steps


@pytest.mark.parametrize(
    "size",
    [Size(2, 1, 4), Size(3, 1, 3), Size(2, 2, 3), replace(SMALL, crashes=1)],
    ids=str,
)
def test_fixed_holds_them_all(size: Size) -> None:
    assert holds(size, FIXED, *PROPERTIES)


def test_fixed_is_tempted() -> None:
    assert not holds(SMALL, FIXED, "STALE"), "no enactor ever came late"


def test_recheck_alone_loses_only_the_way_back() -> None:
    """With the alias safe (P1), what P3 misses is the tree of a rollback record."""
    safeguards = only("recheck_generation_in_batch")
    assert holds(SMALL, safeguards, "P1", "P2", "P4")
    assert not holds(SMALL, safeguards, "P3")


def test_keep_alone_goes_back_but_loses_nothing() -> None:
    safeguards = only("keep_referenced_plans")
    assert holds(SMALL, safeguards, "P1", "P3", "P4")
    assert not holds(SMALL, safeguards, "P2")
    assert not holds(SMALL, safeguards, "SPARED"), "no clean-up ever had to be refused"


def test_the_same_states_with_and_without_spins_reduction() -> None:
    """Every step reads or writes what others see, so that no order can be left out."""
    whole, reduced = (run(SMALL, BUGGY, judged=(), reduced=r) for r in (False, True))
    assert (whole.states, whole.transitions) == (1_994, 5_021)
    assert (reduced.states, reduced.transitions) == (1_994, 5_021)


@pytest.mark.parametrize(
    ("size", "why"),
    [(Size(2, 3, 4), "two zones"), (Size(2, 1, 6), "three trees of a zone at a time")],
)
def test_a_size_that_the_model_cannot_tell_is_refused(size: Size, why: str) -> None:
    with pytest.raises(SpinFailed, match=why):
        run(size, FIXED)


def test_a_search_that_ran_out_of_memory_proves_nothing() -> None:
    with pytest.raises(SpinFailed, match="the search was not finished"):
        run(SMALL, FIXED, memory_mib=1)
