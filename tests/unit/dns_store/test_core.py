"""The rules of a zone, one by one, and what must hold of any batch."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dns_store.core import (
    Move,
    Pointer,
    ZoneState,
    count_changes,
    decide,
    is_too_large,
    moves_of,
    rollback_of,
    settle,
    told,
    view,
)
from staleplan.model import (
    NOTHING,
    ActiveBelow,
    ActiveIs,
    Applied,
    AutomationRuns,
    Batch,
    BuildTree,
    Change,
    DeleteTree,
    EnactorName,
    Generation,
    Lock,
    LockIs,
    PointActive,
    PointRollback,
    Precondition,
    Reason,
    Refused,
    SetLock,
    TreeExists,
    TreeUnreferenced,
    ZoneView,
)
from tests.samples import ENACTOR_A, REGIONAL, batch, endpoints_of

G1, G2, G3, G4 = (Generation(number) for number in range(1, 5))
LOCK = Lock(ENACTOR_A, 100)
NAMES = endpoints_of(REGIONAL)
FOUND = ZoneView(REGIONAL, LOCK, (G2,), (G1,), (G1, G2))
MIXED = ZoneState(
    REGIONAL, NAMES, (Pointer(G1, NOTHING), Pointer(G2, G1), Pointer(G2, G1)), (G1, G2)
)


@pytest.mark.parametrize(
    ("need", "reason"),
    [
        (LockIs(LOCK), None),
        (LockIs(None), Reason.LOCK_CHANGED_HANDS),
        (LockIs(replace(LOCK, expires_at_s=101)), Reason.LOCK_CHANGED_HANDS),
        (ActiveIs(G2), None),
        (ActiveIs(G1), Reason.ACTIVE_DIFFERS),
        (ActiveBelow(G3), None),
        (ActiveBelow(G2), Reason.STALE),
        (TreeExists(G1), None),
        (TreeExists(G3), Reason.TREE_MISSING),
        (TreeUnreferenced(G3), None),
        (TreeUnreferenced(G2), Reason.TREE_REFERENCED),
        (TreeUnreferenced(G1), Reason.TREE_REFERENCED),
        (AutomationRuns(), None),
    ],
)
def test_a_precondition_is_met_or_named(
    need: Precondition, reason: Reason | None
) -> None:
    outcome = decide(
        FOUND, batch("b", SetLock(None), needs=(need,)), plans=(), runs=True
    )
    if reason:
        assert outcome == Refused(reason, need, FOUND)
    else:
        assert outcome == Applied(replace(FOUND, lock=None))


def test_paused_automation_is_refused() -> None:
    one = batch("b", SetLock(None), needs=(AutomationRuns(),))
    outcome = decide(FOUND, one, plans=(), runs=False)
    assert outcome == Refused(Reason.PAUSED, AutomationRuns(), FOUND)


@pytest.mark.parametrize(
    ("change", "after"),
    [
        (SetLock(None), replace(FOUND, lock=None)),
        (BuildTree(G3), replace(FOUND, trees=(G1, G2, G3))),
        (BuildTree(G2), FOUND),
        (DeleteTree(G2), replace(FOUND, trees=(G1,))),
        (DeleteTree(G4), FOUND),
        (PointRollback(False), replace(FOUND, rollback=(G2,))),
        (PointActive(G1), replace(FOUND, active=(G1,))),
        (BuildTree(G4), Reason.PLAN_MISSING),
        (PointActive(G3), Reason.TREE_MISSING),
    ],
)
def test_a_change_is_made_or_refused(change: Change, after: ZoneView | Reason) -> None:
    outcome = decide(FOUND, batch("b", change), plans=(G2, G3), runs=True)
    if isinstance(after, Reason):
        assert outcome == Refused(after, change, FOUND)
    else:
        assert outcome == Applied(after)


def test_a_lost_active_tree_wedges_the_rollback() -> None:
    # R19: the rollback is written from the active tree, and that is gone.
    wedged = replace(FOUND, trees=(G1,))
    flip = batch("b", BuildTree(G3), PointRollback(False), PointActive(G3))
    outcome = decide(wedged, flip, plans=(G3,), runs=True)
    refused = Refused(Reason.ACTIVE_TREE_MISSING, PointRollback(False), wedged)
    assert outcome == refused


@pytest.mark.parametrize(("trees", "rollback"), [((G1,), G1), ((), G3), ((G1, G4), G4)])
def test_a_lost_active_tree_degrades_to_the_newest_other(
    trees: tuple[Generation, ...], rollback: Generation
) -> None:
    wedged = replace(FOUND, trees=trees)
    flip = batch("b", BuildTree(G3), PointRollback(True), PointActive(G3), generation=3)
    outcome = decide(wedged, flip, plans=(G3,), runs=True)
    assert isinstance(outcome, Applied)
    assert (outcome.after.active, outcome.after.rollback) == ((G3,), (rollback,))


def test_without_any_tree_there_is_nothing_to_degrade_to() -> None:
    wedged = replace(FOUND, trees=())
    outcome = decide(wedged, batch("b", PointRollback(True)), plans=(), runs=True)
    assert isinstance(outcome, Refused)
    assert outcome.reason is Reason.ACTIVE_TREE_MISSING


def test_an_alias_of_nothing_rolls_back_to_nothing() -> None:
    assert rollback_of(NOTHING, (), G1) == NOTHING


def test_a_narrowed_view_has_only_its_endpoints() -> None:
    assert view(MIXED).active == (G1, G2)
    assert view(MIXED, NAMES[:1]).active == (G1,)
    assert view(MIXED, NAMES[1:]).rollback == (G1,)


def test_a_narrowed_batch_settles_only_its_endpoints() -> None:
    one = batch("b", PointRollback(False), PointActive(G1), endpoints=NAMES[1:2])
    outcome = decide(view(MIXED, one.endpoints), one, plans=(), runs=True)
    after = settle(MIXED, one, outcome)
    assert after.pointers == (MIXED.pointers[0], Pointer(G1, G2), MIXED.pointers[2])


def test_a_refused_batch_settles_nothing() -> None:
    one = batch("b", PointActive(G4))
    assert settle(MIXED, one, decide(view(MIXED), one, plans=(), runs=True)) is MIXED


def test_a_rollback_goes_by_the_trees_of_its_moment() -> None:
    # The tree goes after the rollback was pointed at it: allowed, it dangles.
    one = batch("b", PointRollback(False), DeleteTree(G2))
    assert moves_of(FOUND, one) == {G2: Move(G2, G2)}


def test_every_name_of_a_change_counts() -> None:
    whole = batch(
        "b", SetLock(None), BuildTree(G1), PointRollback(True), PointActive(G1)
    )
    assert count_changes(whole, 320) == 962
    assert not is_too_large(whole, 332)
    assert is_too_large(whole, 333)
    assert count_changes(replace(whole, endpoints=NAMES), 320) == 11


def test_an_operator_is_told() -> None:
    one = batch("b", SetLock(None), PointActive(G4))
    outcome = decide(FOUND, one, plans=(), runs=True)
    assert told(one, outcome) == (
        "regional: SetLock(lock=None), PointActive(generation=4): "
        "refused, the tree does not exist"
    )
    assert told(one, Applied(FOUND)).endswith(": applied")


GENERATIONS = st.sampled_from([G1, G2, G3, G4])
POINTERS = st.builds(
    Pointer,
    st.sampled_from([NOTHING, G1, G2, G3, G4]),
    st.sampled_from([NOTHING, G1, G2, G3, G4]),
)
STATES = st.builds(
    ZoneState,
    st.just(REGIONAL),
    st.just(NAMES),
    st.tuples(POINTERS, POINTERS, POINTERS),
    st.sets(GENERATIONS).map(lambda trees: tuple(sorted(trees))),
    st.sampled_from([None, LOCK]),
)
CHANGES: st.SearchStrategy[Change] = st.one_of(
    GENERATIONS.map(BuildTree),
    GENERATIONS.map(DeleteTree),
    GENERATIONS.map(PointActive),
    st.booleans().map(PointRollback),
    st.sampled_from([SetLock(None), SetLock(Lock(EnactorName("enactor-b"), 7))]),
)
BATCHES = st.builds(
    lambda made, names: batch("b", *made, generation=3, endpoints=names),
    st.lists(CHANGES, min_size=1, max_size=6),
    st.sampled_from([(), NAMES[:1], NAMES[1:]]),
)


@given(STATES, BATCHES, st.sets(GENERATIONS))
def test_what_settles_is_what_was_decided(
    state: ZoneState, one: Batch, plans: set[Generation]
) -> None:
    outcome = decide(view(state, one.endpoints), one, plans=plans, runs=True)
    after = settle(state, one, outcome)
    if isinstance(outcome, Applied):
        assert view(after, one.endpoints) == outcome.after
    else:
        assert after == state
    untouched = [
        (before, now)
        for name, before, now in zip(NAMES, state.pointers, after.pointers, strict=True)
        if one.endpoints and name not in one.endpoints
    ]
    assert all(before == now for before, now in untouched)


@given(STATES, BATCHES)
def test_no_pointer_is_written_to_a_missing_tree(state: ZoneState, one: Batch) -> None:
    whole = replace(
        one,
        endpoints=(),
        changes=tuple(
            change for change in one.changes if not isinstance(change, DeleteTree)
        ),
    )
    outcome = decide(view(state), whole, plans=(G1, G2, G3, G4), runs=True)
    after = settle(state, whole, outcome)
    for before, now in zip(state.pointers, after.pointers, strict=True):
        if now.active != before.active:
            assert now.active in after.trees
        if now.rollback != before.rollback:
            assert now.rollback in {NOTHING, *after.trees}
