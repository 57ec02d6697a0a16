"""Faults and safeguards over RPC, between two services with addresses of their own."""

import asyncio
import io
import json
import random
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import grpc
import pytest

from protos.runtime.v1 import runtime_pb2 as pb
from protos.runtime.v1 import runtime_pb2_grpc
from staleplan.runtime.channel import channel
from staleplan.runtime.clock import ScaledClock, SkewedClock
from staleplan.runtime.errors import RemoteError, error_from_rpc
from staleplan.runtime.fault_spec import Drop, Fault, Selector
from staleplan.runtime.faults import Faults, InjectedError
from staleplan.runtime.logs import json_log
from staleplan.runtime.safeguards import SafeguardSwitchboard
from staleplan.runtime.server import ServiceServer
from staleplan.runtime.settings import Mode, ServiceSettings
from staleplan.runtime.telemetry import Exporters, Telemetry

# Much of what these tests wait for is the state of an object without an event.
# ruff: noqa: ASYNC110

BATCH = "enactor.before_batch"
CLEAN_UP = "enactor.before_clean_up"


@dataclass(frozen=True)
class Safeguards:
    """What may be switched."""

    keep_referenced_plans: bool
    """Clean-up deletes only what nothing points at. Source: R17."""

    tolerate_missing_active: bool
    """A missing active tree wedges nothing."""


PRESETS: dict[Mode, Safeguards] = {
    "buggy": Safeguards(False, False),
    "fixed": Safeguards(True, True),
}


class Service:
    """An enactor in name: it has fault points, safeguards and an address."""

    def __init__(self, az: str, *, drill: bool = True) -> None:
        self.log = io.StringIO()
        self.clock = SkewedClock(ScaledClock(1_000.0))
        self.faults = Faults(
            self.clock, random.Random(1), labels={"service": "enactor", "az": az}
        )
        self.switchboard = SafeguardSwitchboard("buggy", PRESETS)
        self.exporters = Exporters()
        self.telemetry = Telemetry(
            f"enactor-{az}",
            stack="one",
            exporters=self.exporters,
            log=json_log(self.clock, "info", self.log),
        )
        self.server = ServiceServer(
            self.telemetry,
            ServiceSettings(drill=drill),
            faults=self.faults,
            safeguards=self.switchboard,
        )

    async def start(self) -> None:
        self.address = f"127.0.0.1:{await self.server.start()}"
        self.channel = channel(self.address, self.telemetry)
        self.control: Any = runtime_pb2_grpc.FaultServiceStub(self.channel)
        self.safeguards: Any = runtime_pb2_grpc.SafeguardServiceStub(self.channel)

    async def stop(self) -> None:
        self.faults.clear(0)
        await self.channel.close()
        await self.server.stop(0)

    async def inject(self, **fault: Any) -> int:
        request = pb.InjectRequest(fault=pb.Fault(**fault))
        injected_id: int = (await self.control.Inject(request)).id
        return injected_id

    async def refusal(self, **fault: Any) -> RemoteError:
        """Returns the error with which a fault is refused."""
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await self.inject(**fault)
        return error_from_rpc(caught.value)

    async def listed(self) -> list[pb.InjectedFault]:
        return list((await self.control.List(pb.ListRequest())).faults)

    async def reach_paused(self, point: str, **labels: str) -> asyncio.Task[bool]:
        """Starts a caller and waits until a pause holds it."""
        caller = asyncio.create_task(self.faults.reach(point, **labels))
        while not any(fault.waiters for fault in self.faults.listed()):
            await asyncio.sleep(0)
        return caller

    def logged(self, event: str) -> list[dict[str, Any]]:
        lines = [json.loads(line) for line in self.log.getvalue().splitlines()]
        return [line for line in lines if line["event"] == event]


@pytest.fixture
async def slow() -> AsyncIterator[Service]:
    service = Service("a")
    await service.start()
    yield service
    await service.stop()


@pytest.fixture
async def quick() -> AsyncIterator[Service]:
    service = Service("b")
    await service.start()
    yield service
    await service.stop()


async def test_an_injected_fault_is_listed_fires_and_is_cleared(slow: Service) -> None:
    injected_id = await slow.inject(
        point=BATCH,
        labels={"zone": "regional"},
        count=2,
        error=pb.Error(status="UNAVAILABLE"),
    )
    with pytest.raises(InjectedError):
        await slow.faults.reach(BATCH, zone="regional")
    assert await slow.faults.reach(BATCH, zone="fips") is False
    (listed,) = await slow.listed()
    assert listed.id == injected_id
    assert listed.fault.point == BATCH
    assert dict(listed.fault.labels) == {"zone": "regional"}
    assert listed.fault.error.status == "UNAVAILABLE"
    assert listed.state == pb.FAULT_STATE_IN_FORCE
    assert listed.times_fired == 1
    reply = await slow.control.Clear(pb.ClearRequest(id=injected_id))
    assert list(reply.ids) == [injected_id]
    assert await slow.listed() == []
    assert await slow.faults.reach(BATCH, zone="regional") is False
    assert [line["id"] for line in slow.logged("fault injected")] == [injected_id]
    assert [line["ids"] for line in slow.logged("faults cleared")] == [[injected_id]]


@pytest.mark.parametrize(
    "effect",
    [
        {"delay": pb.Delay(seconds=3)},
        {"pause": pb.Pause()},
        {"pause": pb.Pause(until=pb.Until(point=CLEAN_UP, labels={"az": "b"}))},
        {"error": pb.Error(status="ABORTED")},
        {"drop": pb.Drop()},
        {"crash": pb.Crash()},
        {"skew": pb.Skew(seconds=-30)},
    ],
)
async def test_every_kind_of_fault_is_listed_as_injected(
    slow: Service, effect: dict[str, Any]
) -> None:
    wanted = pb.Fault(point=BATCH, count=3, probability=0.5, for_s=60_000, **effect)
    await slow.control.Inject(pb.InjectRequest(fault=wanted))
    (listed,) = await slow.listed()
    assert listed.fault == wanted


async def test_a_fault_that_is_over_is_listed_as_such(slow: Service) -> None:
    await slow.inject(point=BATCH, count=1, drop=pb.Drop())
    assert await slow.faults.reach(BATCH) is True
    assert [fault.state for fault in await slow.listed()] == [pb.FAULT_STATE_OVER]


async def test_a_paused_caller_is_shown_and_released(slow: Service) -> None:
    injected_id = await slow.inject(point=BATCH, pause=pb.Pause())
    caller = await slow.reach_paused(BATCH, zone="regional")
    (listed,) = await slow.listed()
    (waiter,) = listed.waiters
    assert dict(waiter.labels) == {"service": "enactor", "az": "a", "zone": "regional"}
    assert 0 < waiter.since_s <= slow.clock.now_s()
    reply = await slow.control.Release(pb.ReleaseRequest(id=injected_id))
    assert reply.released == 1
    assert await caller is False


async def test_a_pause_ends_when_a_point_of_another_service_is_reached(
    slow: Service, quick: Service
) -> None:
    until = pb.Until(address=quick.address, point=CLEAN_UP, labels={"az": "b"})
    await slow.inject(point=BATCH, pause=pb.Pause(until=until))
    caller = await slow.reach_paused(BATCH)
    await quick.faults.reach(BATCH)
    assert not caller.done()
    await quick.faults.reach(CLEAN_UP)
    assert await caller is False
    assert [fault.state for fault in await slow.listed()] == [pb.FAULT_STATE_OVER]


async def test_the_other_point_counts_from_when_inject_returns(
    slow: Service, quick: Service
) -> None:
    until = pb.Until(address=quick.address, point=CLEAN_UP)
    await slow.inject(point=BATCH, pause=pb.Pause(until=until))
    # Reached before anybody waits: the pause is over, and holds nobody for ever.
    await quick.faults.reach(CLEAN_UP)
    (injected,) = slow.faults.listed()
    while injected.in_force:
        await asyncio.sleep(0)
    assert await slow.faults.reach(BATCH) is False


async def test_a_pause_whose_other_service_is_gone_still_holds(
    slow: Service, quick: Service
) -> None:
    until = pb.Until(address=quick.address, point=CLEAN_UP)
    injected_id = await slow.inject(point=BATCH, pause=pb.Pause(until=until))
    caller = await slow.reach_paused(BATCH)
    await quick.server.stop(0)
    while not slow.logged("until is lost, the pause holds"):
        await asyncio.sleep(0)
    assert not caller.done()
    await slow.control.Clear(pb.ClearRequest(id=injected_id))
    await caller


async def test_clearing_a_pause_ends_its_watch_at_the_other_service(
    slow: Service, quick: Service
) -> None:
    until = pb.Until(address=quick.address, point=CLEAN_UP)
    await slow.inject(point=BATCH, pause=pb.Pause(until=until))
    assert len(quick.faults._watches) == 1
    await slow.control.Clear(pb.ClearRequest())
    while quick.faults._watches:
        await asyncio.sleep(0)


async def test_an_until_that_cannot_be_watched_arms_nothing(slow: Service) -> None:
    until = pb.Until(address="127.0.0.1:1", point=CLEAN_UP)
    error = await slow.refusal(point=BATCH, pause=pb.Pause(until=until))
    assert error.code is grpc.StatusCode.FAILED_PRECONDITION
    assert error.reason == "UNTIL_UNREACHABLE"
    assert list(error.fields) == ["fault.pause.until.address"]
    assert await slow.listed() == []


async def test_a_bad_fault_is_refused_by_its_field_with_the_nearest_name(
    slow: Service,
) -> None:
    drop = pb.Drop()
    point = await slow.refusal(point="enactor.before_bach", drop=drop)
    label = await slow.refusal(point=BATCH, labels={"zome": "fips"}, drop=drop)
    status = await slow.refusal(point=BATCH, error=pb.Error(status="UNAVAILABEL"))
    effect = await slow.refusal(point=BATCH)
    zero = await slow.refusal(point=BATCH, probability=0.0, drop=drop)
    for error in (point, label, status, effect, zero):
        assert error.code is grpc.StatusCode.INVALID_ARGUMENT
        assert error.definite
    assert "did you mean 'enactor.before_batch'?" in point.fields["fault.point"]
    assert "did you mean 'zone'?" in label.fields["fault.labels"]
    assert "did you mean 'UNAVAILABLE'?" in status.fields["fault.error.status"]
    assert "one of delay, pause" in effect.fields["fault.effect"]
    assert list(zero.fields) == ["fault.probability"]
    assert await slow.listed() == []


async def test_an_unknown_id_is_not_found(slow: Service) -> None:
    for call in (
        slow.control.Clear(pb.ClearRequest(id=7)),
        slow.control.Release(pb.ReleaseRequest(id=7)),
    ):
        with pytest.raises(grpc.aio.AioRpcError, match="no fault with id 7") as caught:
            await call
        assert caught.value.code() is grpc.StatusCode.NOT_FOUND


async def test_a_watch_says_that_it_is_armed_and_then_what_is_reached(
    slow: Service,
) -> None:
    call = slow.control.Watch(pb.WatchRequest(labels={"zone": "regional"}))
    assert (await call.read()).WhichOneof("event") == "armed"
    await slow.faults.reach(BATCH, zone="fips")
    await slow.faults.reach(BATCH, zone="regional")
    reached = (await call.read()).reached
    assert reached.point == BATCH
    assert reached.labels["az"] == "a"
    assert reached.times_reached == 2
    call.cancel()
    while slow.faults._watches:
        await asyncio.sleep(0)


async def test_a_watch_of_an_unknown_point_is_refused(slow: Service) -> None:
    call = slow.control.Watch(pb.WatchRequest(point="enactor.befor_batch"))
    with pytest.raises(grpc.aio.AioRpcError, match=r"enactor\.before_batch") as caught:
        await call.read()
    assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT


async def test_a_drain_ends_the_watches(slow: Service) -> None:
    call = slow.control.Watch(pb.WatchRequest())
    await call.read()
    stopping = asyncio.create_task(slow.server.stop(60))
    assert await call.read() is grpc.aio.EOF
    await stopping


async def test_safeguards_are_shown_and_switched(slow: Service) -> None:
    wanted = {"keep_referenced_plans": True}
    during = slow.switchboard.current
    reply = await slow.safeguards.Set(pb.SetRequest(safeguards=wanted))
    assert dict(reply.requested) == {
        "keep_referenced_plans": True,
        "tolerate_missing_active": False,
    }
    shown = await slow.safeguards.Get(pb.GetRequest())
    assert shown.mode == "buggy"
    assert shown.requested == reply.requested
    assert not any(shown.effective.values())
    assert dict(shown.descriptions) == {
        "keep_referenced_plans": "Clean-up deletes only what nothing points at.",
        "tolerate_missing_active": "A missing active tree wedges nothing.",
    }
    assert not during.keep_referenced_plans
    assert slow.switchboard.current.keep_referenced_plans
    shown = await slow.safeguards.Get(pb.GetRequest())
    assert shown.effective == shown.requested
    (line,) = slow.logged("safeguards requested")
    assert line["safeguards"] == wanted


async def test_an_unknown_safeguard_is_refused_and_nothing_changes(
    slow: Service,
) -> None:
    wanted = {"keep_referenced_plans": True, "tolerate_missing": True}
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await slow.safeguards.Set(pb.SetRequest(safeguards=wanted))
    error = error_from_rpc(caught.value)
    assert error.code is grpc.StatusCode.INVALID_ARGUMENT
    assert "did you mean 'tolerate_missing_active'?" in error.fields["safeguards"]
    assert slow.switchboard.current == PRESETS["buggy"]


async def test_without_drill_every_rpc_is_denied_and_names_the_flag() -> None:
    service = Service("c", drill=False)
    await service.start()
    drop = Fault(Selector(BATCH), Drop())
    service.faults.inject(drop)
    calls = [
        service.control.Inject(
            pb.InjectRequest(fault=pb.Fault(point=BATCH, drop=pb.Drop()))
        ),
        service.control.List(pb.ListRequest()),
        service.control.Clear(pb.ClearRequest()),
        service.control.Release(pb.ReleaseRequest(id=1)),
        service.control.Watch(pb.WatchRequest()).read(),
        service.safeguards.Get(pb.GetRequest()),
        service.safeguards.Set(pb.SetRequest(safeguards={})),
    ]
    for call in calls:
        with pytest.raises(grpc.aio.AioRpcError, match="--drill") as caught:
            await call
        assert caught.value.code() is grpc.StatusCode.PERMISSION_DENIED
    assert [injected.fault for injected in service.faults.listed()] == [drop]
    await service.stop()
