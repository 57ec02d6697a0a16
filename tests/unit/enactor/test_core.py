"""The race, and what each safeguard does; each claim is a pair of buggy and fixed."""

from dataclasses import fields, replace

import pytest

from enactor.model import BackOff, Purpose, ReadZones, Result, Submit, TakeLocks
from enactor.safeguards import BUGGY, FIXED, Safeguards
from staleplan.model import Applied, Reason, Refused
from tests.unit.enactor.pure_world import (
    REGIONAL,
    PureWorld,
    Worker,
    only,
    without,
    workers,
)

# --- The race of 23:48, as a text --------------------------------------------------

BEFORE = """\
planner   publishes plans 1 to 2
enactor-b reads the newest plan: 2
enactor-b check: reads regional: active 0, rollback 0, trees none
enactor-b takes the lock of regional for plan 2
enactor-b flip: build 2, note the way back, flip to 2, unlock -- applied; \
regional: active 2, rollback 0, trees 2
enactor-b clean up: reads regional: active 2, rollback 0, trees 2
enactor-b ends its pass: finished
planner   publishes plan 3
enactor-a reads the newest plan: 3
enactor-a check: reads regional: active 2, rollback 0, trees 2
planner   publishes plans 4 to 10
enactor-b reads the newest plan: 10
enactor-b check: reads regional: active 2, rollback 0, trees 2
enactor-b takes the lock of regional for plan 10
enactor-b flip: build 10, note the way back, flip to 10, unlock -- applied; \
regional: active 10, rollback 2, trees 2 10
enactor-a takes the lock of regional for plan 3
"""

BUGGY_STORY = (
    BEFORE
    + """\
enactor-a flip: build 3, note the way back, flip to 3, unlock -- applied; \
regional: active 3, rollback 10, trees 2 3 10
enactor-b clean up: reads regional: active 3, rollback 10, trees 2 3 10
enactor-b clean up: delete 2, delete 3 -- applied; \
regional: active 3, rollback 10, trees 10
enactor-b ends its pass: finished
enactor-a clean up: reads regional: active 3, rollback 10, trees 10
enactor-a ends its pass: finished
planner   publishes plan 11
enactor-c reads the newest plan: 11
enactor-c check: reads regional: active 3, rollback 10, trees 10
enactor-c takes the lock of regional for plan 11
enactor-c flip: build 11, note the way back, flip to 11, unlock -- refused: \
the active tree is gone: nothing to roll back to
"""
)

FIXED_STORY = (
    BEFORE
    + """\
enactor-a flip: build 3, note the way back, flip to 3, unlock -- refused: \
the active plan is as new or newer
enactor-b clean up: reads regional: active 10, rollback 2, trees 2 10
enactor-b ends its pass: finished
enactor-a release: unlock -- applied; regional: active 10, rollback 2, trees 2 10
enactor-a clean up: reads regional: active 10, rollback 2, trees 2 10
enactor-a ends its pass: finished
planner   publishes plan 11
enactor-c reads the newest plan: 11
enactor-c check: reads regional: active 10, rollback 2, trees 2 10
enactor-c takes the lock of regional for plan 11
enactor-c flip: build 11, note the way back, flip to 11, unlock -- applied; \
regional: active 11, rollback 10, trees 2 10 11
"""
)


def race(safeguards: Safeguards) -> PureWorld:
    """The interleaving of the record, R14 to R19, whatever comes of it."""
    world = PureWorld()
    enactors = workers(world, safeguards)
    late, swift, idle = enactors["a"], enactors["b"], enactors["c"]
    world.publish(2)
    swift.finish()
    world.publish()
    late.until(TakeLocks)
    world.publish(7)
    swift.until(ReadZones, Purpose.CLEAN_UP)
    late.submit(Purpose.FLIP)
    swift.finish()
    late.finish()
    world.publish()
    idle.submit(Purpose.FLIP)
    return world


def test_the_race_as_it_failed() -> None:
    world = race(BUGGY)
    assert "\n".join(world.story) + "\n" == BUGGY_STORY
    assert world.broken() == ["P2", "P1", "P3", "P4"]


def test_the_race_hardened() -> None:
    world = race(FIXED)
    assert "\n".join(world.story) + "\n" == FIXED_STORY
    assert world.broken() == []


ABLATIONS: list[tuple[str, list[str], list[str]]] = [
    ("recheck_generation_in_batch", [], ["P2"]),
    ("refresh_plan_on_retry", ["P2", "P1", "P3", "P4"], []),
    ("keep_referenced_plans", ["P2"], []),
    ("tolerate_missing_active", ["P2", "P1", "P3"], []),
    ("pause_switch", ["P2", "P1", "P3", "P4"], []),
]


@pytest.mark.parametrize(("name", "alone", "missing"), ABLATIONS)
def test_what_each_safeguard_does_for_the_race(
    name: str, alone: list[str], missing: list[str]
) -> None:
    assert race(only(name)).broken() == alone
    assert race(without(name)).broken() == missing


def test_the_table_has_every_safeguard() -> None:
    assert {each.name for each in fields(Safeguards)} == {row[0] for row in ABLATIONS}


# --- One safeguard each ------------------------------------------------------------


def test_freshness_is_checked_once() -> None:
    """The buggy enactor looks at the beginning, and never again. Source: R11."""
    world = PureWorld()
    world.publish()
    late, swift = Worker(world, "late", BUGGY), Worker(world, "swift", BUGGY)
    late.until(TakeLocks)
    world.publish(9)
    swift.finish()
    assert world.view().active == (10,)
    checks = [line for line in world.story if line.startswith("late")]
    (outcome,) = late.submit(Purpose.FLIP)
    assert isinstance(outcome, Applied)
    since = [line for line in world.story if line.startswith("late")][len(checks) :]
    assert not any("reads" in line for line in since)
    assert world.view().active == (1,)
    assert world.broken() == ["P2"]


def test_a_late_flip_is_refused() -> None:
    """`recheck_generation_in_batch` alone keeps the newer plan. Source: R16."""
    found = {}
    for safeguards in (BUGGY, only("recheck_generation_in_batch")):
        world = PureWorld()
        world.publish()
        late, swift = (Worker(world, name, safeguards) for name in ("late", "swift"))
        late.until(TakeLocks)
        world.publish(9)
        swift.finish()
        (outcome,) = late.submit(Purpose.FLIP)
        found[safeguards] = (type(outcome), world.view().active, world.broken())
        late.finish()
        assert late.results == [Result.FINISHED]
        assert world.view().lock is None
    assert list(found.values()) == [
        (Applied, (1,), ["P2"]),
        (Refused, (10,), []),
    ]


def test_two_that_apply_the_same_plan_agree() -> None:
    # The second is refused as stale, and takes that for done.
    world = PureWorld()
    world.publish()
    one, other = (Worker(world, name, FIXED) for name in ("one", "other"))
    one.until(TakeLocks)
    other.finish()
    (outcome,) = one.submit(Purpose.FLIP)
    assert isinstance(outcome, Refused)
    assert outcome.reason is Reason.STALE
    assert one.finish() is Result.FINISHED


def test_a_tree_in_use_is_not_deleted() -> None:
    """`keep_referenced_plans` asks in the batch: the view may be old. Source: R17."""
    found = {}
    for safeguards in (BUGGY, only("keep_referenced_plans")):
        world = PureWorld()
        enactors = workers(world, safeguards)
        late, swift, third = enactors["a"], enactors["b"], enactors["c"]
        world.publish(3)
        late.until(TakeLocks)
        third.finish()
        world.publish(7)
        swift.until(ReadZones, Purpose.CLEAN_UP)
        world.publish()
        third.until(ReadZones, Purpose.CLEAN_UP)
        third.until(Submit, Purpose.CLEAN_UP)  # it saw plan 3 unused
        late.submit(Purpose.FLIP)
        assert world.view().active == (3,)
        (outcome,) = third.submit(Purpose.CLEAN_UP)
        reason = outcome.reason if isinstance(outcome, Refused) else None
        found[safeguards] = (reason, 3 in world.view().trees, "P1" in world.broken())
    assert list(found.values()) == [
        (None, False, True),
        (Reason.TREE_REFERENCED, True, False),
    ]


def test_a_retry_starts_from_the_newest_plan() -> None:
    """`refresh_plan_on_retry` alone bounds how old a plan can be. Source: R14."""
    found = {}
    for safeguards in (BUGGY, only("refresh_plan_on_retry")):
        world = PureWorld()
        late, swift = (Worker(world, name, safeguards) for name in ("late", "swift"))
        world.publish()
        for _ in range(5):  # every time that it tries, the other one has the lock
            swift.until(Submit, Purpose.FLIP)
            late.until(BackOff)
            late.step()
            swift.finish()
            world.publish()
        late.until(Submit, Purpose.FLIP)
        assert isinstance(late.pending, Submit)
        in_hand = late.pending.generation
        late.finish()
        found[safeguards] = (in_hand, set(late.results[:-1]), world.broken())
    assert list(found.values()) == [
        (1, set(), ["P2"]),
        (6, {Result.GAVE_WAY}, []),
    ]


def test_a_lost_active_tree_is_tolerated() -> None:
    """`tolerate_missing_active` alone lets the next plan heal the zone. Source: R19."""
    found = {}
    for safeguards in (BUGGY, only("tolerate_missing_active")):
        world = race(safeguards)
        found[safeguards] = (world.view().active, "P4" in world.broken())
    assert list(found.values()) == [((3,), True), ((11,), False)]


def test_a_pause_stops_every_batch_but_the_return_of_a_lock() -> None:
    """`pause_switch` alone makes an enactor mind a pause. Source: R23."""
    for safeguards in (BUGGY, only("pause_switch")):
        world = PureWorld()
        worker = Worker(world, "enactor-a", safeguards)
        world.publish(3)
        worker.finish()
        world.publish(7)
        worker.until(Submit, Purpose.FLIP)
        world.runs = False
        before = world.view()
        (outcome,) = worker.submit(Purpose.FLIP)
        if not safeguards.pause_switch:
            assert isinstance(outcome, Applied)
            assert worker.finish() is Result.FINISHED
            continue
        assert isinstance(outcome, Refused)
        assert outcome.reason is Reason.PAUSED
        worker.submit(Purpose.RELEASE)
        assert world.view() == replace(before, lock=None)
        worker.until(TakeLocks)
        worker.step()
        assert world.view().lock is None
        assert worker.pending == BackOff((REGIONAL,))


def test_a_pause_stops_clean_up() -> None:
    for safeguards, trees in ((BUGGY, (10,)), (only("pause_switch"), (3, 10))):
        world = PureWorld()
        worker = Worker(world, "enactor-a", safeguards)
        world.publish(3)
        worker.finish()
        world.publish(7)
        worker.until(Submit, Purpose.CLEAN_UP)
        world.runs = False
        worker.finish()
        assert world.view().trees == trees
