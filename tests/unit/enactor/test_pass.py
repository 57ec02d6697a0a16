"""One pass of an enactor, stepped by hand, and its clean-up."""

from dataclasses import replace

import pytest

from dns_store.core import Pointer, ZoneState
from enactor.core import MAX_TREES_IN_BATCH, Extent, lock_orders
from enactor.model import BackOff, Order, Purpose, ReadZones, Result, Submit, TakeLocks
from enactor.safeguards import BUGGY, FIXED, Safeguards
from staleplan.model import (
    MAX_CHANGES,
    MAX_ZONE_ENDPOINTS,
    ActiveBelow,
    AutomationRuns,
    BuildTree,
    DeleteTree,
    EnactorName,
    EndpointName,
    Generation,
    Lock,
    LockIs,
    PointActive,
    PointRollback,
    Reason,
    Refused,
    SetLock,
    TreeUnreferenced,
    ZoneName,
    ZoneView,
)
from tests.unit.enactor.pure_world import REGIONAL, PureWorld, Worker, only

FIPS = ZoneName("fips")
ACCOUNTS = ZoneName("accounts-000")
PRESETS = pytest.mark.parametrize("safeguards", [BUGGY, FIXED], ids=["buggy", "fixed"])


# --- A pass by itself --------------------------------------------------------------


@PRESETS
def test_without_a_plan_there_is_nothing_to_do(safeguards: Safeguards) -> None:
    world = PureWorld()
    assert Worker(world, "enactor-a", safeguards).finish() is Result.NOTHING_TO_DO
    assert world.journal == []


@PRESETS
def test_what_is_applied_already_is_left_alone(safeguards: Safeguards) -> None:
    world = PureWorld()
    world.publish()
    first, second = (Worker(world, name, safeguards) for name in ("one", "two"))
    assert first.finish() is Result.FINISHED
    sent = len(world.journal)
    assert second.finish() is Result.NOTHING_TO_DO
    assert len(world.journal) == sent


def test_one_flip_is_lock_tree_way_back_alias_and_lock() -> None:
    # R6, R7, R9: and the buggy enactor's batch asks for nothing but its lock.
    world = PureWorld(now_s=100.5)
    world.publish()
    worker = Worker(world, "enactor-a", BUGGY)
    worker.until(TakeLocks)
    asked = [worker.pending]
    worker.step()
    asked.append(worker.pending)
    worker.finish()
    mine = Lock(worker.name, 130)
    one = Generation(1)
    changes = (BuildTree(one), PointRollback(False), PointActive(one), SetLock(None))
    order = Order(REGIONAL, (LockIs(mine),), changes)
    flip = Submit(Purpose.FLIP, one, (order,))
    assert asked == [TakeLocks((REGIONAL,), one, ()), flip]
    assert world.view() == ZoneView(REGIONAL, None, (one,), (Generation(0),), (one,))


def test_the_hardened_flip_asks_for_more() -> None:
    world = PureWorld()
    world.publish()
    worker = Worker(world, "enactor-a", FIXED)
    worker.until(Submit, Purpose.FLIP)
    assert isinstance(worker.pending, Submit)
    (order,) = worker.pending.orders
    _, *more = order.preconditions
    assert more == [AutomationRuns(), ActiveBelow(Generation(1))]
    assert PointRollback(or_newest_tree=True) in order.changes


def test_zones_are_walked_in_the_plans_order_in_groups() -> None:
    zones = (ACCOUNTS, FIPS, REGIONAL)
    world = PureWorld(zones)
    world.publish()
    extent = Extent(keep_generations=1, zones_in_flight=2)
    worker = Worker(world, "enactor-a", BUGGY, extent)
    asked = []
    while not worker.is_done:
        if isinstance(worker.pending, TakeLocks | ReadZones):
            asked.append((type(worker.pending).__name__, worker.pending.zones))
        worker.step()
    assert asked == [
        ("ReadZones", zones),
        ("TakeLocks", (ACCOUNTS, FIPS)),
        ("TakeLocks", (REGIONAL,)),
        ("ReadZones", (ACCOUNTS, FIPS)),
        ("ReadZones", (REGIONAL,)),
    ]
    assert {view.active for view in map(world.view, zones)} == {(Generation(1),)}


def test_only_zones_that_are_behind_are_flipped() -> None:
    world = PureWorld((FIPS, REGIONAL))
    world.publish()
    worker = Worker(world, "enactor-a", BUGGY)
    fips = Lock(EnactorName("somebody"), 30)
    world.zones[FIPS] = replace(world.zones[FIPS], lock=fips)
    worker.until(BackOff)
    assert worker.pending == BackOff((FIPS,))
    later = Worker(world, "enactor-b", BUGGY)
    later.until(TakeLocks)
    assert later.pending == TakeLocks((FIPS,), Generation(1), ())
    world.pass_time(31)
    assert worker.finish() is Result.FINISHED
    assert world.view(FIPS).active == (1,)


def test_a_zone_with_one_endpoint_behind_is_behind() -> None:
    # As after an operator restored some endpoints of it.
    world = PureWorld(newest=2)
    names = (EndpointName("one.example"), EndpointName("other.example"))
    pointers = (Pointer(Generation(1)), Pointer(Generation(2)))
    trees = (Generation(1), Generation(2))
    world.zones[REGIONAL] = ZoneState(REGIONAL, names, pointers, trees)
    assert Worker(world, "enactor-a", BUGGY).finish() is Result.FINISHED
    assert world.view().active == (2,)


def test_no_lock_means_no_batch() -> None:
    world = PureWorld()
    world.publish()
    holder, other = (Worker(world, name, BUGGY) for name in ("one", "two"))
    holder.until(Submit)
    sent = len(world.journal)
    other.until(BackOff)
    assert len(world.journal) == sent
    assert world.view().lock == Lock(holder.name, 30)


@PRESETS
def test_a_batch_whose_lock_changed_hands_fails_whole(safeguards: Safeguards) -> None:
    # R9: and it does not take the lock from its new holder.
    world = PureWorld()
    world.publish()
    slow, swift = (Worker(world, name, safeguards) for name in ("slow", "swift"))
    slow.until(Submit)
    world.pass_time(31)
    swift.until(Submit)
    before = world.view()
    (outcome,) = slow.submit(Purpose.FLIP)
    assert isinstance(outcome, Refused)
    assert outcome.reason is Reason.LOCK_CHANGED_HANDS
    assert world.view() == before
    assert slow.pending == BackOff((REGIONAL,))
    assert swift.finish() is Result.FINISHED


@PRESETS
def test_a_refused_batch_gives_its_lock_back(safeguards: Safeguards) -> None:
    world = PureWorld(newest=1)
    worker = Worker(world, "enactor-a", safeguards)
    worker.until(Submit, Purpose.FLIP)
    world.newest = 0  # the plan is gone: nothing can be built
    (outcome,) = worker.submit(Purpose.FLIP)
    assert isinstance(outcome, Refused)
    assert outcome.reason is Reason.PLAN_MISSING
    mine = Lock(worker.name, 30)
    assert world.view().lock == mine
    give_back = Order(REGIONAL, (LockIs(mine),), (SetLock(None),))
    released = worker.pending
    worker.submit(Purpose.RELEASE)
    assert released == Submit(Purpose.RELEASE, Generation(1), (give_back,))
    assert world.view().lock is None
    assert worker.pending == BackOff((REGIONAL,))


def test_a_lock_is_taken_if_free_lapsed_or_ones_own() -> None:
    me, other = EnactorName("enactor-a"), EnactorName("enactor-b")
    mine = Lock(me, 200)
    found = {
        "free": None,
        "own": Lock(me, 150),
        "lapsed": Lock(other, 100),
        "held": Lock(other, 101),
    }
    views = [ZoneView(ZoneName(z), lock, (), (), ()) for z, lock in found.items()]
    orders = lock_orders(views, mine, 100.0, (AutomationRuns(),))
    assert orders == tuple(
        Order(ZoneName(zone), (LockIs(found[zone]), AutomationRuns()), (SetLock(mine),))
        for zone in ("free", "own", "lapsed")
    )


# --- Clean-up ----------------------------------------------------------------------


@PRESETS
def test_clean_up_keeps_some_generations(safeguards: Safeguards) -> None:
    world = PureWorld()
    worker = Worker(world, "enactor-a", safeguards, Extent(2, 16))
    for _ in range(6):
        world.publish()
        worker.finish()
    assert world.view().trees == (4, 5, 6)
    assert world.broken() == []


@PRESETS
def test_clean_up_leaves_a_zone_that_somebody_holds(safeguards: Safeguards) -> None:
    world = PureWorld()
    worker, holder = (Worker(world, name, safeguards) for name in ("one", "two"))
    world.publish()
    worker.finish()
    world.publish(2)
    worker.until(ReadZones, Purpose.CLEAN_UP)
    world.publish()
    holder.until(Submit, Purpose.FLIP)
    assert world.view().trees == (1, 3)
    sent = len(world.journal)
    assert worker.finish() is Result.FINISHED
    assert len(world.journal) == sent


@PRESETS
def test_clean_up_deletes_no_more_than_a_batch_may_hold(safeguards: Safeguards) -> None:
    assert MAX_TREES_IN_BATCH * MAX_ZONE_ENDPOINTS <= MAX_CHANGES
    trees = tuple(Generation(number) for number in range(1, 9))
    left = ZoneView(REGIONAL, None, trees[-1:], trees[-2:-1], trees)
    orders = _clean_up_orders(safeguards, left)
    assert [order.changes for order in orders] == [tuple(map(DeleteTree, trees[:3]))]


def _clean_up_orders(safeguards: Safeguards, found: ZoneView) -> tuple[Order, ...]:
    """What clean-up sends when it finds the zone so."""
    world = PureWorld(newest=9)
    worker = Worker(world, "enactor-a", safeguards)
    worker.until(ReadZones, Purpose.CLEAN_UP)
    try:
        command = worker._pass.send((found,))
    except StopIteration:
        return ()
    assert isinstance(command, Submit)
    return command.orders


def test_the_buggy_clean_up_goes_by_age_alone() -> None:
    # R12, R17: whoever points at an old tree loses it.
    trees = (Generation(2), Generation(3), Generation(4))
    found = ZoneView(REGIONAL, None, trees[:1], trees[1:2], (*trees, Generation(8)))
    (order,) = _clean_up_orders(BUGGY, found)
    assert order.changes == tuple(map(DeleteTree, trees))
    assert order.preconditions == (LockIs(None),)
    (order,) = _clean_up_orders(only("keep_referenced_plans"), found)
    assert order.changes == (DeleteTree(Generation(4)),)
    assert order.preconditions == (LockIs(None), TreeUnreferenced(Generation(4)))


def test_nothing_is_sent_when_everything_old_is_in_use() -> None:
    two, eight = Generation(2), Generation(8)
    found = ZoneView(REGIONAL, None, (two,), (eight,), (two, eight))
    assert _clean_up_orders(only("keep_referenced_plans"), found) == ()
    assert _clean_up_orders(BUGGY, found)
