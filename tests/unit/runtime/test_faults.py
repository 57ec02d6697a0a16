"""What each fault does, to whom, how often and until when; and who watches."""

import asyncio

import grpc
import pytest
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider

from staleplan.runtime.fault_spec import (
    Crash,
    Delay,
    Drop,
    Error,
    Fault,
    Pause,
    Selector,
    Skew,
    Until,
)
from staleplan.runtime.faults import WATCH_BACKLOG, InjectedError, InjectedFault
from tests.unit.runtime.noted_faults import BATCH, CLEAN_UP, fault, make_faults

# Much of what these tests wait for is the state of an object without an event.
# ruff: noqa: ASYNC110


async def until_waiting(injected: InjectedFault, waiters: int = 1) -> None:
    while len(injected.waiters) != waiters:
        await asyncio.sleep(0)


async def test_a_point_that_nobody_minds_is_only_counted() -> None:
    faults, clock, _ = make_faults()
    assert await faults.reach(BATCH, zone="regional") is False
    assert await faults.reach(BATCH, zone="fips") is False
    assert faults.times_reached[BATCH] == 2
    assert faults.times_reached[CLEAN_UP] == 0
    assert clock.sleeps == []


async def test_reaching_a_point_that_is_not_declared_is_a_bug() -> None:
    faults, _, _ = make_faults()
    with pytest.raises(KeyError, match=r"enactor\.nowhere"):
        await faults.reach("enactor.nowhere")


async def test_delay_waits_in_incident_time() -> None:
    faults, clock, _ = make_faults()
    faults.inject(fault(Delay(45.0)))
    await faults.reach(BATCH)
    assert clock.sleeps == [45.0]


async def test_error_raises_its_status_and_names_the_point() -> None:
    faults, _, _ = make_faults()
    faults.inject(fault(Error(grpc.StatusCode.UNAVAILABLE)))
    with pytest.raises(InjectedError, match=f"fault injected at {BATCH}") as caught:
        await faults.reach(BATCH)
    assert caught.value.code is grpc.StatusCode.UNAVAILABLE
    assert caught.value.detail_metadata == {"point": BATCH}
    assert caught.value.definite


async def test_the_span_of_the_caller_names_the_fault() -> None:
    faults, _, _ = make_faults()
    faults.inject(fault(Drop()))
    tracer = TracerProvider(shutdown_on_exit=False).get_tracer("test")
    with tracer.start_as_current_span("batch") as span:
        await faults.reach(BATCH)
    assert isinstance(span, ReadableSpan)
    assert span.attributes == {"fault": BATCH}


async def test_drop_tells_the_caller_to_lose_its_reply() -> None:
    faults, _, _ = make_faults()
    faults.inject(fault(Drop()))
    assert await faults.reach(BATCH) is True
    assert await faults.reach(CLEAN_UP) is False


async def test_crash_calls_back_and_the_caller_never_goes_on() -> None:
    crashed = asyncio.Event()
    faults, _, _ = make_faults(crash=crashed.set)
    faults.inject(fault(Crash()))
    caller = asyncio.create_task(faults.reach(BATCH))
    await crashed.wait()
    await asyncio.sleep(0)
    assert not caller.done()
    caller.cancel()
    with pytest.raises(asyncio.CancelledError):
        await caller


async def test_skew_moves_the_clock_once_and_until_it_is_cleared() -> None:
    faults, _, clock = make_faults()
    injected = faults.inject(fault(Skew(-30.0)))
    assert clock.now_s() == 100.0
    await faults.reach(BATCH)
    await faults.reach(BATCH)
    assert clock.now_s() == 70.0
    assert injected.times_fired == 1
    faults.clear(injected.id)
    assert clock.now_s() == 100.0


@pytest.mark.parametrize(
    ("labels", "fires"),
    [
        ({}, True),
        ({"zone": "regional"}, True),
        ({"az": "a", "zone": "regional"}, True),
        ({"service": "enactor"}, True),
        ({"zone": "fips"}, False),
        ({"az": "b", "zone": "regional"}, False),
        ({"endpoint": "dynamodb"}, False),
    ],
)
async def test_all_labels_must_match(labels: dict[str, str], fires: bool) -> None:
    faults, _, _ = make_faults()
    faults.inject(fault(Drop(), **labels))
    assert await faults.reach(BATCH, zone="regional") is fires


async def test_labels_of_the_call_win_over_those_of_the_service() -> None:
    faults, _, _ = make_faults()
    faults.inject(fault(Drop(), az="b"))
    assert await faults.reach(BATCH, az="b") is True


async def test_count_is_how_often_it_fires() -> None:
    faults, _, _ = make_faults()
    injected = faults.inject(Fault(Selector(BATCH), Drop(), count=2))
    assert [await faults.reach(BATCH) for _ in range(4)] == [True, True, False, False]
    assert injected.times_fired == 2
    assert not injected.in_force
    assert faults.listed() == [injected]


async def drops_of(seed: int, probability: float) -> list[bool]:
    faults, _, _ = make_faults(seed=seed)
    faults.inject(Fault(Selector(BATCH), Drop(), probability=probability))
    return [await faults.reach(BATCH) for _ in range(200)]


async def test_probability_is_a_seeded_chance() -> None:
    drops = await drops_of(7, 0.25)
    assert drops == await drops_of(7, 0.25)
    assert drops != await drops_of(8, 0.25)
    assert 20 < sum(drops) < 80


async def test_for_s_ends_a_fault_and_what_it_holds() -> None:
    faults, _, _ = make_faults()
    injected = faults.inject(Fault(Selector(BATCH), Pause(), for_s=10.0))
    assert await faults.reach(BATCH) is False
    assert not injected.in_force
    assert injected.times_fired == 1


async def test_for_s_bounds_a_pause_that_has_fired_as_often_as_it_may() -> None:
    faults, _, _ = make_faults()
    injected = faults.inject(Fault(Selector(BATCH), Pause(), count=1, for_s=10.0))
    await faults.reach(BATCH)
    assert not injected.in_force


async def test_pause_holds_until_released_and_catches_the_next() -> None:
    faults, _, _ = make_faults()
    injected = faults.inject(fault(Pause()))
    first = asyncio.create_task(faults.reach(BATCH, zone="regional"))
    await until_waiting(injected)
    assert injected.waiters[0].labels["zone"] == "regional"
    assert injected.waiters[0].since_s == 100.0
    assert not first.done()
    assert faults.release(injected.id) == 1
    await first
    second = asyncio.create_task(faults.reach(BATCH))
    await until_waiting(injected)
    assert faults.clear(0) == [injected.id]
    await second
    assert faults.listed() == []


async def test_a_pause_of_count_one_is_over_once_released() -> None:
    faults, _, _ = make_faults()
    injected = faults.inject(Fault(Selector(BATCH), Pause(), count=1))
    caller = asyncio.create_task(faults.reach(BATCH))
    await until_waiting(injected)
    assert await faults.reach(BATCH) is False
    assert not caller.done()
    faults.release(injected.id)
    await caller
    assert not injected.in_force


async def test_pause_until_another_point_ends_when_that_is_reached() -> None:
    faults, _, _ = make_faults()
    until = Until(Selector(CLEAN_UP, {"zone": "regional"}))
    injected = faults.inject(fault(Pause(until)))
    caller = asyncio.create_task(faults.reach(BATCH))
    await until_waiting(injected)
    await faults.reach(CLEAN_UP, zone="fips")
    assert not caller.done()
    await faults.reach(CLEAN_UP, zone="regional")
    await caller
    assert not injected.in_force
    assert await faults.reach(BATCH) is False


async def test_a_cancelled_caller_no_longer_waits() -> None:
    faults, _, _ = make_faults()
    injected = faults.inject(fault(Pause()))
    caller = asyncio.create_task(faults.reach(BATCH))
    await until_waiting(injected)
    caller.cancel()
    await until_waiting(injected, 0)
    assert injected.in_force


async def test_faults_of_one_point_are_suffered_in_order_of_injection() -> None:
    faults, clock, _ = make_faults()
    faults.inject(fault(Delay(1.0)))
    faults.inject(fault(Delay(2.0)))
    faults.inject(fault(Error(grpc.StatusCode.ABORTED)))
    faults.inject(fault(Delay(4.0)))
    with pytest.raises(InjectedError):
        await faults.reach(BATCH)
    assert clock.sleeps == [1.0, 2.0]


async def test_a_fault_cleared_while_an_earlier_one_holds_does_not_fire() -> None:
    faults, _, _ = make_faults()
    pause = faults.inject(fault(Pause()))
    error = faults.inject(fault(Error(grpc.StatusCode.ABORTED)))
    caller = asyncio.create_task(faults.reach(BATCH))
    await until_waiting(pause)
    faults.clear(error.id)
    faults.clear(pause.id)
    assert await caller is False


async def test_a_watch_sees_what_matches_from_when_it_is_armed() -> None:
    faults, _, _ = make_faults()
    await faults.reach(BATCH, zone="regional")
    watch = faults.watch(Selector(BATCH, {"zone": "regional"}))
    await faults.reach(BATCH, zone="fips")
    await faults.reach(BATCH, zone="regional")
    faults.unwatch(watch)
    faults.unwatch(watch)
    await faults.reach(BATCH, zone="regional")
    events = [event async for event in watch]
    assert [(event.point, event.times_reached) for event in events] == [(BATCH, 3)]
    assert events[0].labels == {"service": "enactor", "az": "a", "zone": "regional"}
    assert events[0].at_s == 100.0


async def test_a_watch_of_every_point_wakes_its_reader() -> None:
    faults, _, _ = make_faults()
    events = aiter(faults.watch(Selector("")))
    next_event = asyncio.ensure_future(anext(events))
    await asyncio.sleep(0)
    await faults.reach(CLEAN_UP)
    assert (await next_event).point == CLEAN_UP
    faults.close()
    with pytest.raises(StopAsyncIteration):
        await anext(events)


async def test_a_slow_watcher_loses_the_oldest_and_can_tell() -> None:
    faults, _, _ = make_faults()
    watch = faults.watch(Selector(BATCH))
    for _ in range(WATCH_BACKLOG + 5):
        await faults.reach(BATCH)
    faults.close()
    counts = [event.times_reached async for event in watch]
    assert counts == list(range(6, WATCH_BACKLOG + 6))


async def test_a_point_is_watched_before_its_fault_is_suffered() -> None:
    faults, _, _ = make_faults()
    watch = faults.watch(Selector(BATCH))
    faults.inject(fault(Error(grpc.StatusCode.ABORTED)))
    with pytest.raises(InjectedError):
        await faults.reach(BATCH)
    faults.close()
    assert [event.point async for event in watch] == [BATCH]


async def test_closing_leaves_a_pause_in_place() -> None:
    faults, _, _ = make_faults()
    injected = faults.inject(Fault(Selector(BATCH), Pause(), for_s=60_000.0))
    caller = asyncio.create_task(faults.reach(BATCH))
    await until_waiting(injected)
    faults.close()
    assert injected.in_force
    assert injected.expiry is not None
    assert injected.expiry.cancelled()
    assert not caller.done()
    faults.clear(injected.id)
    await caller
