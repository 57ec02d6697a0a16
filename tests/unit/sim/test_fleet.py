"""The simulated fleet by itself: same seed, same run; calls fail as they should."""

import asyncio
import os
import subprocess
import sys
from dataclasses import replace

import pytest

from dwfm.model import HostName
from dwfm.safeguards import BUGGY, FIXED, Safeguards
from staleplan.runtime.clock import INCIDENT_START_S
from staleplan.sim.fleet import RUN_UP_S, Fleet, FleetRegion
from staleplan.spec import ONE_HOLDER, FleetRun, Look
from staleplan.world.launches.core import Outcome

HOUR_S = 3600.0
SMALL = Fleet(48, load=0.8)


async def storm(region: FleetRegion) -> None:
    """An outage in which leases run out, and a restart in what follows."""
    await region.sleep_s(600.0)
    await region.cut_off(away=True)
    await region.sleep_s(HOUR_S)
    await region.cut_off(away=False)
    await region.sleep_s(600.0)
    await region.throttle(0.5)
    await region.restart_hosts()
    await region.sleep_s(600.0)


def trace_of(seed: int, safeguards: Safeguards = BUGGY, fleet: Fleet = SMALL) -> str:
    region = FleetRegion(fleet, safeguards, seed)
    asyncio.run(storm(region))
    return region.trace_hash()


@pytest.mark.parametrize("safeguards", [BUGGY, FIXED], ids=["buggy", "fixed"])
def test_the_same_seed_gives_the_same_trace(safeguards: Safeguards) -> None:
    one = trace_of(7, safeguards, replace(SMALL, loss=0.05))
    assert one == trace_of(7, safeguards, replace(SMALL, loss=0.05))
    assert one != trace_of(8, safeguards, replace(SMALL, loss=0.05))
    assert one != trace_of(7, safeguards)


def test_another_process_gives_the_same_trace() -> None:
    """No order comes from a hash that Python makes anew for each process."""
    script = (
        "from dataclasses import replace\n"
        "from tests.unit.sim.test_fleet import BUGGY, FIXED, SMALL, trace_of\n"
        "lossy = replace(SMALL, loss=0.05)\n"
        "print(trace_of(7, BUGGY, lossy), trace_of(7, FIXED, lossy))\n"
    )
    told = {
        subprocess.run(
            [sys.executable, "-c", script],
            env={**os.environ, "PYTHONHASHSEED": seed},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for seed in ("1", "2")
    }
    assert len(told) == 1


async def test_a_small_fleet_is_one_az_and_a_larger_one_three() -> None:
    one = FleetRegion(Fleet(16), FIXED, 1)
    assert list(one.azs) == ["a"]
    assert one.size.capacity_per_s == pytest.approx(1 / 7.5)
    three = FleetRegion(Fleet(100), FIXED, 1)
    assert [len(az.host.droplets) for az in three.azs.values()] == [34, 33, 33]
    large = FleetRegion(Fleet(10_000), FIXED, 1)
    capacity_s = large.size.droplets / large.size.capacity_per_s
    assert capacity_s == pytest.approx(120, rel=0.01)


async def test_time_is_virtual() -> None:
    region = FleetRegion(SMALL, FIXED, 1)
    assert region.now_s() == INCIDENT_START_S - RUN_UP_S
    await region.sleep_s(HOUR_S)
    assert region.now_s() == INCIDENT_START_S - RUN_UP_S + HOUR_S


async def test_the_fleet_is_steady_from_the_beginning() -> None:
    region = FleetRegion(Fleet(1_000, load=0.8), FIXED, 1)
    await region.sleep_s(600.0)
    first = await region.look()
    await region.sleep_s(HOUR_S)
    last = await region.look()
    assert first.leases == last.leases == 1_000
    assert last.running == pytest.approx(first.running, rel=0.05)
    useful = (last.useful - first.useful) / HOUR_S / region.size.capacity_per_s
    assert useful == pytest.approx(0.8, abs=0.02)


async def test_leases_run_out_one_by_one_or_are_held() -> None:
    """Source: R26."""
    leases: dict[bool, list[int]] = {}
    for hold in (False, True):
        safeguards = replace(BUGGY, hold_leases_when_store_is_down=hold)
        region = FleetRegion(Fleet(200), safeguards, 1)
        await region.sleep_s(600.0)
        await region.cut_off(away=True)
        leases[hold] = []
        for _ in range(4):
            await region.sleep_s(2_400.0)
            leases[hold].append((await region.look()).leases)
    assert leases[True] == [200] * 4
    first, second, third, last = leases[False]
    assert 200 > first > second > third > last == 0


async def test_running_instances_go_on_without_dynamodb() -> None:
    """Source: R26."""
    region = FleetRegion(SMALL, BUGGY, 1)
    await region.sleep_s(600.0)
    await region.cut_off(away=True)
    await region.sleep_s(30.0)
    before = await region.look()
    await region.sleep_s(3 * HOUR_S)
    after = await region.look()
    assert before.running == after.running > 100
    assert after.ended_unasked == 0
    assert after.leases == 0


@pytest.mark.parametrize("safeguards", [BUGGY, FIXED], ids=["buggy", "fixed"])
@pytest.mark.parametrize("loss", [0.0, 0.05])
async def test_counts_add_up(safeguards: Safeguards, loss: float) -> None:
    region = FleetRegion(replace(SMALL, loss=loss), safeguards, 1)
    await storm(region)
    outcomes = await region.outcomes()
    azs = list(region.azs.values())
    trying = sum(az.customers.trying for az in azs)
    assert sum(outcomes.values()) + trying == sum(az.customers.arrived for az in azs)
    assert outcomes[Outcome.LAUNCHED] > 20
    for az in azs:
        customers, instances = az.customers, az.customers.instances.values()
        kept = [each for each in instances if each.kept]
        launched = customers.outcomes[Outcome.LAUNCHED]
        assert az.began + launched == customers.terminated + len(kept)
        assert az.running == sum(each.runs for each in instances)
        assert all(each.runs == 1 for each in kept if not each.ending)
        assert az.launched_twice == 0


async def test_lost_replies_launch_nothing_twice() -> None:
    region = FleetRegion(replace(SMALL, loss=0.2), FIXED, 1)
    await region.sleep_s(2 * HOUR_S)
    look = await region.look()
    assert look.launched > 100
    assert look.ended_unasked == 0
    assert sum(az.launched_twice for az in region.azs.values()) == 0
    assert look.leases == 48


async def test_dynamodb_that_answers_late_is_like_none() -> None:
    region = FleetRegion(SMALL, FIXED, 1)
    await region.sleep_s(600.0)
    await region.slow_down(60.0)
    await region.sleep_s(HOUR_S)
    slow = await region.look()
    await region.slow_down(0.0)
    await region.sleep_s(HOUR_S)
    after = await region.look()
    assert slow.ended_unasked == after.ended_unasked == 0
    assert after.leases == 48
    assert after.useful > slow.useful + 100
    assert ONE_HOLDER.violation(await run_of(region, [slow, after])) is None


async def test_another_host_takes_leases_that_have_run_out() -> None:
    """The one that held them is refused by the droplets, and learns of it."""
    region = FleetRegion(SMALL, FIXED, 1)
    az = region.azs["a"]
    await region.sleep_s(600.0)
    await region.cut_off(away=True)
    await region.sleep_s(3 * HOUR_S)
    assert az.host.leases == 16
    await region.cut_off(away=False)
    az.take_over(5, HostName("dwfm-z"))
    before = az.ended_unasked
    await region.sleep_s(400.0)
    assert az.host.leases == 11
    actions = await region.actions()
    refused = [each for each in actions if not each.obeyed]
    assert {each.holder for each in refused} <= {"dwfm-a"}
    assert ONE_HOLDER.violation(await run_of(region, [])) is None
    assert az.ended_unasked == before == 0


async def test_load_changes_when_it_is_told_to() -> None:
    region = FleetRegion(Fleet(200, load=0.5), FIXED, 1)
    await region.sleep_s(600.0)
    first = await region.look()
    await region.offer(2.0)
    await region.sleep_s(600.0)
    second = await region.look()
    await region.offer(0.4)
    await region.sleep_s(600.0)
    third = await region.look()
    calm = third.asked - second.asked
    assert second.asked - first.asked > 5 * calm > 0


async def run_of(region: FleetRegion, looks: list[Look]) -> FleetRun:
    return FleetRun(
        size=region.size,
        looks=looks,
        trigger_ended_s=None,
        actions=await region.actions(),
        renewals=await region.renewals(),
    )
