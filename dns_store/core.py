"""What a zone accepts: the rules of Route 53's change batches, without a database.

The PostgreSQL store, its in-memory twin and the model checker all judge a batch with
`decide`, so there is one set of rules and it knows no mode: an alias or a rollback
record can be *written* only to a tree that exists, but a tree that is pointed at can
be *deleted*, unless a precondition of the batch forbids it. Everything bad in R16-R19
follows from these rules and the enactors' own choices.
"""

from collections.abc import Container
from dataclasses import dataclass, replace

from staleplan.model import (
    MAX_CHANGES,
    NOTHING,
    ActiveBelow,
    ActiveIs,
    Applied,
    AutomationRuns,
    Batch,
    BuildTree,
    Change,
    DeleteTree,
    EndpointName,
    Generation,
    Lock,
    LockIs,
    Outcome,
    PointActive,
    PointRollback,
    Precondition,
    Reason,
    Refused,
    SetLock,
    TreeExists,
    TreeUnreferenced,
    ZoneName,
    ZoneView,
)


@dataclass(frozen=True, slots=True)
class Pointer:
    """An endpoint's two records: where it answers from, and where it would go back."""

    active: Generation = NOTHING
    rollback: Generation = NOTHING


@dataclass(frozen=True, slots=True)
class Move:
    """Where a batch sends a pointer; a rollback of `None` stays where it is."""

    active: Generation
    rollback: Generation | None = None


@dataclass(frozen=True, slots=True)
class ZoneState:
    """Everything about one zone, as the in-memory twin keeps it."""

    zone: ZoneName
    endpoints: tuple[EndpointName, ...]
    pointers: tuple[Pointer, ...]
    trees: tuple[Generation, ...] = ()
    lock: Lock | None = None


def view(state: ZoneState, endpoints: tuple[EndpointName, ...] = ()) -> ZoneView:
    """What a batch on these endpoints is judged against; empty means all of them."""
    chosen = [
        pointer
        for name, pointer in zip(state.endpoints, state.pointers, strict=True)
        if not endpoints or name in endpoints
    ]
    return ZoneView(
        state.zone,
        state.lock,
        tuple(sorted({pointer.active for pointer in chosen})),
        tuple(sorted({pointer.rollback for pointer in chosen})),
        state.trees,
    )


def decide(
    found: ZoneView, batch: Batch, *, plans: Container[Generation], runs: bool
) -> Outcome:
    """Judge a batch against the zone as found: applied whole, or refused whole.

    `plans` are the plans that can be built; `runs`: automation is not paused.
    """
    for precondition in batch.preconditions:
        reason = _unmet(found, precondition, runs)
        if reason:
            return Refused(reason, precondition, found)
    after = found
    for change in batch.changes:
        step = _change(after, change, batch.generation, plans)
        if isinstance(step, Reason):
            return Refused(step, change, found)
        after = step
    return Applied(after)


def settle(state: ZoneState, batch: Batch, outcome: Outcome) -> ZoneState:
    """The zone after the batch; a refused batch leaves it as it was."""
    if isinstance(outcome, Refused):
        return state
    after = outcome.after
    moves = moves_of(view(state, batch.endpoints), batch)
    pointers = tuple(
        _moved(pointer, moves[pointer.active])
        if not batch.endpoints or name in batch.endpoints
        else pointer
        for name, pointer in zip(state.endpoints, state.pointers, strict=True)
    )
    return replace(state, pointers=pointers, trees=after.trees, lock=after.lock)


def moves_of(found: ZoneView, batch: Batch) -> dict[Generation, Move]:
    """Where an applicable batch sends pointers, by where the alias points before.

    All aliases that point at one generation move alike, so that a few numbers say
    what becomes of a zone, however many endpoints it has.
    """
    trees = found.trees
    moves = {active: Move(active) for active in found.active}
    for change in batch.changes:
        trees = _trees_after(trees, change)
        moves = {was: _further(moves[was], change, trees, batch) for was in moves}
    return moves


def rollback_of(
    active: Generation, trees: tuple[Generation, ...], own: Generation
) -> Generation:
    """Where a rollback record goes: the alias' tree, else the newest other tree."""
    if active == NOTHING or active in trees:
        return active
    return max([tree for tree in trees if tree != own] or trees)


def changes_answers(found: ZoneView, batch: Batch, outcome: Outcome) -> bool:
    """Whether DNS may answer otherwise after the batch: a lock alone changes nothing.

    `found` tells of the batch's endpoints only, while a tree serves the whole zone.
    """
    if isinstance(outcome, Refused):
        return False
    trees = {*found.trees} ^ {*outcome.after.trees}
    seen = trees if batch.endpoints else trees.intersection(outcome.after.active)
    return bool(seen) or outcome.after.active != found.active


def told(batch: Batch, outcome: Outcome) -> str:
    """Tell an operator what a batch asked for, and what came of it. Source: R20."""
    asked = ", ".join(str(change) for change in batch.changes)
    came = f"refused, {outcome.reason}" if isinstance(outcome, Refused) else "applied"
    return f"{batch.zone}: {asked}: {came}"


def count_changes(batch: Batch, zone_endpoints: int) -> int:
    """How many record changes a batch makes: every name is counted. Source: R8."""
    names = len(batch.endpoints) or zone_endpoints
    return sum(2 if isinstance(change, SetLock) else names for change in batch.changes)


def is_too_large(batch: Batch, zone_endpoints: int) -> bool:
    """Whether a batch exceeds Route 53's limit."""
    return count_changes(batch, zone_endpoints) > MAX_CHANGES


def _unmet(found: ZoneView, condition: Precondition, runs: bool) -> Reason | None:
    match condition:
        case LockIs(lock):
            return None if found.lock == lock else Reason.LOCK_CHANGED_HANDS
        case ActiveIs(generation):
            same = found.active == (generation,)
            return None if same else Reason.ACTIVE_DIFFERS
        case ActiveBelow(generation):
            return None if found.newest_active < generation else Reason.STALE
        case TreeExists(generation):
            return None if generation in found.trees else Reason.TREE_MISSING
        case TreeUnreferenced(generation):
            pointed_at = generation in found.referenced
            return Reason.TREE_REFERENCED if pointed_at else None
        case AutomationRuns():  # pragma: no branch
            return None if runs else Reason.PAUSED


def _change(
    zone: ZoneView, change: Change, own: Generation, plans: Container[Generation]
) -> ZoneView | Reason:
    lock, trees, active, rollback = zone.lock, zone.trees, zone.active, zone.rollback
    match change:
        case SetLock(lock):
            pass
        case BuildTree(generation) if generation not in plans:
            return Reason.PLAN_MISSING
        case BuildTree() | DeleteTree():
            trees = _trees_after(trees, change)
        case PointRollback(or_newest_tree):
            lost = set(active) - {NOTHING, *trees}
            if lost and not (or_newest_tree and trees):
                return Reason.ACTIVE_TREE_MISSING
            to = {rollback_of(was, trees, own) for was in active}
            rollback = tuple(sorted(to))
        case PointActive(generation):  # pragma: no branch
            if generation not in trees:
                return Reason.TREE_MISSING
            active = (generation,)
    # `replace` would take three times as long, for each change of a batch.
    return ZoneView(zone.zone, lock, active, rollback, trees)


def _trees_after(
    trees: tuple[Generation, ...], change: Change
) -> tuple[Generation, ...]:
    match change:
        case BuildTree(generation):
            return tuple(sorted({*trees, generation}))
        case DeleteTree(generation):
            return tuple(tree for tree in trees if tree != generation)
        case _:
            return trees


def _further(
    move: Move, change: Change, trees: tuple[Generation, ...], batch: Batch
) -> Move:
    match change:
        case PointRollback():
            to = rollback_of(move.active, trees, batch.generation)
            return Move(move.active, to)
        case PointActive(generation):
            return Move(generation, move.rollback)
        case _:
            return move


def _moved(pointer: Pointer, move: Move) -> Pointer:
    rollback = pointer.rollback if move.rollback is None else move.rollback
    return Pointer(move.active, rollback)
