"""The simulated region by itself: same seed, same run; faults hold whom they should."""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

from enactor.core import Extent
from enactor.safeguards import BUGGY, FIXED, Safeguards
from staleplan.drills.dns_race import REGIONAL
from staleplan.drills.stage import Asked, Place
from staleplan.model import Generation, JournalEntry
from staleplan.runtime.clock import INCIDENT_START_S
from staleplan.sim.dns_region import DnsRegion, Pace
from staleplan.spec import DNS_PROPERTIES, judge, replay

Play = Callable[[DnsRegion], Coroutine[Any, Any, None]]


async def minutes(region: DnsRegion) -> None:
    await region.sleep_s(200.0)


def journal_of(
    seed: int, safeguards: Safeguards = BUGGY, play: Play = minutes
) -> list[JournalEntry]:
    async def run() -> list[JournalEntry]:
        region = DnsRegion(safeguards, seed)
        await play(region)
        return await region.journal()

    return asyncio.run(run())


@pytest.mark.parametrize("safeguards", [BUGGY, FIXED], ids=["buggy", "fixed"])
def test_the_same_seed_gives_the_same_journal(safeguards: Safeguards) -> None:
    one = journal_of(7, safeguards)
    assert one == journal_of(7, safeguards)
    assert one != journal_of(8, safeguards)
    assert len(one) > 50


async def test_time_is_virtual_and_starts_with_the_incident() -> None:
    region = DnsRegion(BUGGY, 1)
    assert region.now_s() == INCIDENT_START_S
    await region.sleep_s(3600.0)
    assert region.now_s() == INCIDENT_START_S + 3600.0


async def test_an_hour_without_faults_breaks_nothing() -> None:
    region = DnsRegion(BUGGY, 1)
    await region.sleep_s(3600.0)
    steps = list(replay(await region.beginning(), await region.journal()))
    assert set(judge(DNS_PROPERTIES, steps).values()) == {None}
    newest = await region.newest()
    assert newest > 100
    views = await region.views()
    assert all(newest - view.newest_active <= 1 for view in views.values())
    assert max(len(step.after.trees) for step in steps) > 1


async def test_without_clean_up_the_trees_would_outgrow_their_bound() -> None:
    # So that P6 is not held by want of plans.
    region = DnsRegion(BUGGY, 1, extent=Extent(keep_generations=99, zones_in_flight=16))
    await region.sleep_s(1800.0)
    steps = replay(await region.beginning(), await region.journal())
    broken = {each for each, what in judge(DNS_PROPERTIES, steps).items() if what}
    assert broken == {"P6"}


async def test_a_wait_ends_with_its_condition_or_its_time() -> None:
    region = DnsRegion(BUGGY, 1)

    async def two_plans() -> bool:
        return await region.newest() >= 2

    async def never() -> bool:
        return False

    assert await region.wait_for(two_plans, 100.0)
    assert region.now_s() - INCIDENT_START_S < 60.0
    before_s = region.now_s()
    assert not await region.wait_for(never, 10.0)
    assert region.now_s() == before_s + 10.0


async def test_a_held_enactor_stands_still_until_it_is_released() -> None:
    region = DnsRegion(BUGGY, 1)
    holds = [await region.hold(Place(az, "enactor.before_pass")) for az in "abc"]
    await region.sleep_s(300.0)
    assert [await hold.has_caught() for hold in holds] == [True] * 3
    assert await region.journal() == []
    await holds[0].release()
    await region.sleep_s(60.0)
    assert {entry.batch.enactor for entry in await region.journal()} == {"enactor-a"}
    assert [await hold.has_ended() for hold in holds] == [True, False, False]


async def test_a_hold_ends_when_another_place_is_reached() -> None:
    region = DnsRegion(BUGGY, 1)
    until = Place("b", "enactor.after_batch", REGIONAL)
    a = await region.hold(Place("a", "enactor.before_pass"), until=until)
    b = await region.hold(Place("b", "enactor.before_pass"))
    await region.sleep_s(60.0)
    assert not await a.has_ended()
    await b.release()
    assert await region.wait_for(a.has_ended, 60.0)


async def test_locks_are_lost_as_often_as_asked() -> None:
    region = DnsRegion(BUGGY, 1)
    for az in "bc":
        await region.hold(Place(az, "enactor.before_pass"))
    starved = await region.lose_locks("a", REGIONAL, 0)
    await region.sleep_s(60.0)
    assert await starved.has_caught()
    assert not await starved.has_ended()
    assert (await region.views())[REGIONAL].newest_active == 0
    await starved.release()
    few = await region.lose_locks("a", REGIONAL, 2)
    assert await region.wait_for(few.has_ended, 120.0)
    await region.sleep_s(60.0)
    assert (await region.views())[REGIONAL].newest_active > 0


async def test_a_wedge_of_hours_is_simulated() -> None:
    """Nobody applies anything, and nobody gives up. Source: R19."""
    region = DnsRegion(BUGGY, 1, pace=Pace(planner_period_s=3600.0))
    await region.lose_locks("a", REGIONAL, 0)
    for az in "bc":
        await region.hold(Place(az, "enactor.before_pass"))
    await region.sleep_s(9_000.0)
    assert (await region.views())[REGIONAL].newest_active == 0


async def test_operators_repair_without_an_enactor() -> None:
    """Source: R18, R20, R21."""
    region = DnsRegion(BUGGY, 1)
    await region.sleep_s(100.0)
    for az in "abc":
        await region.hold(Place(az, "enactor.before_pass"))
    await region.sleep_s(30.0)
    sent = len(await region.journal())
    empty = Asked("NOERROR", 0, "UNAVAILABLE", "DNS server returned no data")
    assert await region.ask() != empty
    await region.restore(REGIONAL, Generation(1))
    (entry,) = (await region.journal())[sent:]
    assert entry.batch.enactor == "operator"
    assert (await region.views())[REGIONAL].active == (1,)
    assert (await region.ask()).answers == 1


async def test_restarted_enactors_begin_anew() -> None:
    region = DnsRegion(BUGGY, 1)
    holds = [await region.hold(Place(az, "enactor.before_pass")) for az in "abc"]
    await region.sleep_s(30.0)
    await region.restart_enactors()
    for hold in holds:
        await hold.release()
    await region.sleep_s(60.0)
    senders = {entry.batch.enactor for entry in await region.journal()}
    assert senders == {"enactor-a", "enactor-b", "enactor-c"}
