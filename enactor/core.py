"""The enactor's decisions: one pass, from picking up a plan to cleaning up behind it.

`enact` reads like the record. Every `yield` is one effect, and one point where another
enactor, the planner or an operator may come between. A generator's local state is a
function of what it was sent: the model checker relies on that. It also tells states
apart by local variables, so none is kept longer than it is needed.
"""

from collections.abc import Generator, Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from typing import cast

from enactor.model import (
    BackOff,
    Command,
    Order,
    Pass,
    Purpose,
    ReadNewestPlan,
    ReadZones,
    Reply,
    Result,
    Submit,
    TakeLocks,
)
from enactor.safeguards import Safeguards
from staleplan.model import (
    MAX_CHANGES,
    MAX_ZONE_ENDPOINTS,
    ActiveBelow,
    AutomationRuns,
    BuildTree,
    DeleteTree,
    Generation,
    Lock,
    LockIs,
    Outcome,
    PlanHead,
    PointActive,
    PointRollback,
    Precondition,
    Reason,
    Refused,
    SetLock,
    TreeUnreferenced,
    ZoneName,
    ZoneView,
    in_groups,
)

Zones = tuple[ZoneName, ...]
Views = tuple[ZoneView, ...]
Locks = tuple[Lock | None, ...]
Outcomes = tuple[Outcome, ...]
Guards = tuple[Precondition, ...]

MAX_TREES_IN_BATCH = MAX_CHANGES // MAX_ZONE_ENDPOINTS
"""Trees deleted from a zone at once: deleting one counts every endpoint of the zone."""


@dataclass(frozen=True, slots=True)
class Extent:
    """How much an enactor keeps, and how much it does at a time.

    `keep_generations`: trees this much older than the plan applied are deleted (R12).
    `zones_in_flight`: zones that are locked and flipped together.
    """

    keep_generations: int
    zones_in_flight: int


def enact(safeguards: Safeguards, extent: Extent) -> Pass:
    """Apply the newest plan to every zone that is behind, then clean up. Source: R11.

    The zones are walked in the plan's order, each retried until it succeeds.
    """
    guards = (AutomationRuns(),) if safeguards.pause_switch else ()
    plan = cast("PlanHead | None", (yield ReadNewestPlan()))
    if plan is None:
        return Result.NOTHING_TO_DO
    result = yield from _apply(plan, guards, safeguards, extent)
    if result is not Result.FINISHED:
        return result
    for group in in_groups(plan.zones, extent.zones_in_flight):
        yield from _clean_up(group, plan.generation, guards, safeguards, extent)
    return result


def _apply(
    plan: PlanHead, guards: Guards, safeguards: Safeguards, extent: Extent
) -> Pass:
    """Point every zone that is behind at the plan; finished when none is left."""
    # The one-time check of R11. From here on the plan in hand may grow old: another
    # enactor may finish a newer one, and clean up, before this walk reaches a zone.
    # Enforced by: tests/unit/enactor/test_core.py::test_freshness_is_checked_once
    behind = _behind(plan, (yield ReadZones(plan.zones, Purpose.CHECK)))
    for group in in_groups(behind, extent.zones_in_flight):
        left = yield from _flip(group, plan.generation, guards, safeguards)
        while left:
            yield BackOff(left)
            if safeguards.refresh_plan_on_retry:
                return Result.GAVE_WAY
            left = yield from _flip(left, plan.generation, guards, safeguards)
    return Result.FINISHED if behind else Result.NOTHING_TO_DO


def _behind(plan: PlanHead, found: Reply) -> Zones:
    views = cast("Views", found)
    return tuple(v.zone for v in views if v.oldest_active < plan.generation)


def lock_orders(
    views: Iterable[ZoneView], mine: Lock, now_s: float, guards: Guards
) -> tuple[Order, ...]:
    """Ask for each lock that is free to take: unheld, lapsed, or this enactor's own.

    The lock record must still be exactly what was read. Source: R8, R9.
    """
    return tuple(
        Order(view.zone, (LockIs(view.lock), *guards), (SetLock(mine),))
        for view in views
        if view.lock is None
        or view.lock.holder == mine.holder
        or view.lock.expires_at_s <= now_s
    )


def _flip(
    zones: Zones, generation: Generation, guards: Guards, safeguards: Safeguards
) -> Generator[Command, Reply, Zones]:
    """Try once to point each zone at the plan; return the zones to try again."""
    held = _held(zones, (yield TakeLocks(zones, generation, guards)))
    if not held:
        return zones
    orders = tuple(
        _flip_order(zone, lock, generation, guards, safeguards)
        for zone, lock in held.items()
    )
    refused = _refused((yield Submit(Purpose.FLIP, generation, orders)))
    # A refused batch left its lock in place: give it back, others are waiting.
    kept = tuple(
        Order(zone, (LockIs(held[zone]),), (SetLock(None),))
        for zone, reason in refused.items()
        if reason is not Reason.LOCK_CHANGED_HANDS
    )
    if kept:
        yield Submit(Purpose.RELEASE, generation, kept)
    return tuple(
        zone
        for zone in zones
        if zone not in held or refused.get(zone, Reason.STALE) is not Reason.STALE
    )


def _held(zones: Zones, taken: Reply) -> dict[ZoneName, Lock]:
    locks = cast("Locks", taken)
    return {z: lock for z, lock in zip(zones, locks, strict=True) if lock is not None}


def _refused(outcomes: Reply) -> dict[ZoneName, Reason]:
    found = cast("Outcomes", outcomes)
    return {o.found.zone: o.reason for o in found if isinstance(o, Refused)}


def _flip_order(
    zone: ZoneName,
    lock: Lock,
    generation: Generation,
    guards: Guards,
    safeguards: Safeguards,
) -> Order:
    """Build the plan's tree, note the way back, flip, and give the lock back.

    Source: R6, R7, R9.
    """
    # The race of 23:48 in four steps. (1) This enactor passes its one-time check with
    # plan 3 and then waits for the lock. (2) Another one flips the zone to plan 10.
    # (3) This batch arrives: the lock is right and the tree can be built, so only the
    # generation tells that it is late. (4) The other one cleans up, plan 3 included.
    # Enforced by: tests/unit/enactor/test_core.py::test_a_late_flip_is_refused
    fresh = (ActiveBelow(generation),) if safeguards.recheck_generation_in_batch else ()
    return Order(
        zone,
        (LockIs(lock), *guards, *fresh),
        (
            BuildTree(generation),
            PointRollback(or_newest_tree=safeguards.tolerate_missing_active),
            PointActive(generation),
            SetLock(None),
        ),
    )


def _clean_up(
    zones: Zones,
    applied: Generation,
    guards: Guards,
    safeguards: Safeguards,
    extent: Extent,
) -> Generator[Command, Reply, None]:
    """Delete the trees that are much older than the plan just applied. Source: R12.

    A zone that somebody holds is left for the next clean-up.
    """
    choose = (
        _old_trees_unreferenced
        if safeguards.keep_referenced_plans
        else _old_trees_by_age
    )
    before = Generation(applied - extent.keep_generations)
    found = yield ReadZones(zones, Purpose.CLEAN_UP)
    orders = tuple(
        order
        for view in cast("Views", found)
        if view.lock is None
        for order in choose(view, before, guards)
    )
    del found  # what was seen is old by now: only the orders count
    if orders:
        yield Submit(Purpose.CLEAN_UP, applied, orders)


def _old_trees_by_age(
    view: ZoneView, before: Generation, guards: Guards
) -> Iterator[Order]:
    old = [tree for tree in view.trees if tree < before][:MAX_TREES_IN_BATCH]
    if old:
        deletes = tuple(DeleteTree(tree) for tree in old)
        yield Order(view.zone, (LockIs(None), *guards), deletes)


def _old_trees_unreferenced(
    view: ZoneView, before: Generation, guards: Guards
) -> Iterator[Order]:
    # The view may be old when the batch arrives: a late flip may have pointed at a
    # tree in between, so the store asks again, inside the batch.
    # Enforced by: tests/unit/enactor/test_core.py::test_a_tree_in_use_is_not_deleted
    unused = (t for t in view.trees if t < before and t not in view.referenced)
    old = list(islice(unused, MAX_TREES_IN_BATCH))
    if old:
        unreferenced = tuple(TreeUnreferenced(tree) for tree in old)
        deletes = tuple(DeleteTree(tree) for tree in old)
        yield Order(view.zone, (LockIs(None), *guards, *unreferenced), deletes)
