"""What the record says of DWFM, fact by fact, as the shipped core shows it."""

from dataclasses import replace
from itertools import pairwise

from dwfm.core import step
from dwfm.host import Host
from dwfm.model import (
    Answer,
    Droplet,
    DropletName,
    HostName,
    InstanceId,
    LaunchAsked,
    Limits,
    Outcome,
    Throttled,
)
from dwfm.safeguards import BUGGY, FIXED
from staleplan.sim.fleet import Fleet, FleetRegion
from staleplan.spec.fleet import Look
from staleplan.world.launches.core import Outcome as Told

FLEET = Fleet(96)
INTERVAL_S = 300.0
RECORD_OUTAGE_S = 157 * 60.0


def small_host() -> Host:
    droplets = [Droplet(DropletName("droplet-a-0001"), 8, 600.0, 0.0)]
    return Host(HostName("dwfm-a"), Limits(1), BUGGY, droplets, 0.0)


def told(host: Host, instance: str, now_s: float) -> Outcome:
    """What a customer is told at once."""
    asked = LaunchAsked(InstanceId(instance), now_s + 60.0)
    (answer,) = step(host, asked, now_s)
    assert isinstance(answer, Answer)
    return answer.outcome


async def steady(fleet: Fleet = FLEET) -> FleetRegion:
    """A fleet as it failed, with all of its leases."""
    region = FleetRegion(fleet, BUGGY, 1)
    await region.sleep_s(3 * INTERVAL_S)
    assert (await region.look()).leases == fleet.droplets
    return region


async def after_the_outage(fleet: Fleet = FLEET) -> FleetRegion:
    """DynamoDB was away for as long as it was, and is back."""
    region = await steady(fleet)
    await region.cut_off(away=True)
    await region.sleep_s(RECORD_OUTAGE_S)
    await region.cut_off(away=False)
    return region


def goodput(region: FleetRegion, before: Look, after: Look) -> float:
    possible = region.size.capacity_per_s * (after.at_s - before.at_s)
    return (after.useful - before.useful) / possible


async def test_r25_a_lease_for_each_droplet_checked_every_few_minutes() -> None:
    """Each host manages the droplets of one AZ. Source: R25."""
    region = await steady()
    for name, az in region.azs.items():
        assert {each.name.split("-")[1] for each in az.host.droplets.values()} == {name}
    before = sum(sum(each.due) for each in await region.renewals())
    await region.sleep_s(3600.0)
    after = sum(sum(each.due) for each in await region.renewals())
    wanted = FLEET.droplets * 3600 / INTERVAL_S
    # The next check counts from the end of the last, which takes a few seconds.
    assert 0.95 * wanted < after - before <= wanted


async def test_r26_leases_run_out_slowly_and_instances_run_on() -> None:
    """From 23:48 to 02:24, one after another. Source: R26."""
    region = await steady()
    await region.cut_off(away=True)
    looks = [await region.look()]
    for _ in range(4):
        await region.sleep_s(RECORD_OUTAGE_S / 4)
        looks.append(await region.look())
    lost = [one.leases - other.leases for one, other in pairwise(looks)]
    assert all(FLEET.droplets / 8 < each < FLEET.droplets / 2 for each in lost)
    assert looks[-1].leases <= FLEET.droplets / 100
    assert looks[-1].ended_unasked == 0
    assert looks[-1].running > 0


def test_r27_without_a_lease_there_is_no_capacity() -> None:
    """However many droplets stand there empty. Source: R27."""
    host = small_host()
    assert told(host, "i-1", 1.0) is Outcome.INSUFFICIENT_CAPACITY
    (droplet,) = host.droplets.values()
    host.extend_lease(droplet, 0.0, 1.0)
    assert step(host, LaunchAsked(InstanceId("i-2"), 61.0), 1.0) != []


async def test_r28_the_recovery_collapses() -> None:
    """Attempts time out before they are done, and each queues another. Source: R28."""
    region = await after_the_outage()
    before = await region.look()
    await region.sleep_s(10 * INTERVAL_S)
    after = await region.look()
    assert goodput(region, before, after) < 0.05
    assert after.leases < FLEET.droplets / 2
    assert after.queue > 10 * FLEET.droplets
    timed_out = sum(az.host.counts.timed_out for az in region.azs.values())
    assert timed_out > 10 * FLEET.droplets


async def test_r29_a_throttle_and_restarts_end_it() -> None:
    """Neither of the two alone does. Source: R29."""
    for throttles, restarts in ((True, True), (True, False), (False, True)):
        region = await after_the_outage()
        await region.sleep_s(3 * INTERVAL_S)
        if throttles:
            await region.throttle(0.5)
        if restarts:
            await region.restart_hosts()
        await region.sleep_s(3 * INTERVAL_S)
        healed = (await region.look()).leases == FLEET.droplets
        assert healed == (throttles and restarts)


async def test_r30_throttled_launches_exceed_the_request_limit() -> None:
    """There is capacity, and it is not given out. Source: R30."""
    host = small_host()
    (droplet,) = host.droplets.values()
    host.extend_lease(droplet, 0.0, 1.0)
    step(host, Throttled(0.001), 1.0)
    first, second = (step(host, LaunchAsked(InstanceId(i), 61.0), 1.0) for i in "ab")
    assert not any(isinstance(each, Answer) for each in first)
    (answer,) = second
    assert isinstance(answer, Answer)
    assert answer.outcome is Outcome.REQUEST_LIMIT_EXCEEDED
    assert answer.retry_after_s == 1_000.0
    region = await after_the_outage()
    await region.throttle(0.05)
    await region.restart_hosts()
    await region.sleep_s(12 * INTERVAL_S)
    assert (await region.outcomes())[Told.REQUEST_LIMIT_EXCEEDED] > 0


async def test_r31_the_recovery_is_exercised_at_any_size() -> None:
    """Hardened, it needs nobody, however large the fleet is. Source: R31."""
    for droplets in (16, 960):
        fleet = replace(FLEET, droplets=droplets)
        lost = replace(FIXED, hold_leases_when_store_is_down=False)
        region = FleetRegion(fleet, lost, 1)
        await region.sleep_s(3 * INTERVAL_S)
        await region.cut_off(away=True)
        await region.sleep_s(RECORD_OUTAGE_S)
        assert (await region.look()).leases <= droplets / 100
        await region.cut_off(away=False)
        await region.sleep_s(1.25 * droplets / region.size.capacity_per_s)
        assert (await region.look()).leases == droplets
