"""Droplets over gRPC: they obey terms, and need nothing but themselves."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import grpc
import pytest

from protos.droplet.v1 import droplet_pb2 as pb
from protos.droplet.v1.droplet_pb2_grpc import (
    DropletServiceStub,
    add_DropletServiceServicer_to_server,
)
from staleplan.runtime.channel import channel
from staleplan.runtime.errors import RemoteError, error_from_rpc
from staleplan.runtime.fault_spec import Delay, Drop, Error, Fault, Pause
from staleplan.runtime.fault_spec import Selector as At
from staleplan.world.postgres_tables import PostgresTables
from staleplan.world.service import World
from tests.integration.world_stage import PATIENCE_S, Stage, listening

FIRST, SECOND = "droplet-a-0001", "droplet-a-0002"


@asynccontextmanager
async def serving(stage: Stage, world: World) -> AsyncIterator[Any]:
    """The droplets of a world on its own server; yields a stub of them."""
    server = stage.base.server(world._settings)
    server.add(add_DropletServiceServicer_to_server, world.droplets)
    port = await server.start()
    async with channel(f"127.0.0.1:{port}", stage.telemetry) as to_world:
        yield DropletServiceStub(to_world)
    await server.stop(0)


@pytest.fixture
async def stub(stage: Stage) -> AsyncIterator[Any]:
    async with serving(stage, stage.world()) as stub:
        yield stub


def launch(
    instance: str = "i-1", term: int = 1, droplet: str = FIRST
) -> pb.LaunchInstanceRequest:
    return pb.LaunchInstanceRequest(droplet=droplet, term=term, instance=instance)


async def refused(call: Any) -> RemoteError:
    with pytest.raises(grpc.aio.AioRpcError) as raised:
        await call
    return error_from_rpc(raised.value)


async def running(stub: Any, droplet: str = FIRST) -> int:
    reply = await stub.ListDroplets(pb.ListDropletsRequest(az=droplet[8]))
    return sum(each.running for each in reply.droplets if each.name == droplet)


async def test_each_az_has_its_droplets(stage: Stage) -> None:
    world = stage.world(droplets_per_az=3, slots_per_droplet=5)
    async with serving(stage, world) as stub:
        for az in "abc":
            reply = await stub.ListDroplets(pb.ListDropletsRequest(az=az))
            assert [(each.name, each.az, each.slots) for each in reply.droplets] == [
                (f"droplet-{az}-000{n}", az, 5) for n in (1, 2, 3)
            ]


async def test_the_higher_term_wins_however_late_the_other_comes(
    stage: Stage, stub: Any
) -> None:
    """A holder that was delayed and replaced meanwhile can do nothing any more."""
    late = stage.base.faults.inject(
        Fault(At("droplet.call", {"droplet": FIRST}), Pause(), count=1)
    )
    old = asyncio.ensure_future(stub.LaunchInstance(launch("i-old", term=4)))
    async with asyncio.timeout(PATIENCE_S):
        while not late.waiters:
            assert not old.done()
            await asyncio.sleep(0)
    await stub.CheckState(pb.CheckStateRequest(droplet=FIRST, term=5))
    stage.base.faults.clear(late.id)
    reply = await old
    assert reply.stale_term == pb.StaleTerm(attempted_term=4, current_term=5)
    assert await running(stub) == 0
    actions = (await stub.ReadActions(pb.ReadActionsRequest())).actions
    assert [each.result for each in actions] == ["done", "stale term"]


async def test_a_launch_sent_again_after_a_lost_reply_is_made_once(
    stage: Stage, stub: Any
) -> None:
    stage.base.faults.inject(Fault(At("droplet.call"), Drop(), count=1))
    lost = await refused(stub.LaunchInstance(launch()))
    assert (lost.reason, lost.definite) == ("REPLY_LOST", False)
    assert not (await stub.LaunchInstance(launch())).HasField("stale_term")
    assert await running(stub) == 1


async def test_an_injected_error_starts_nothing_on_that_droplet_only(
    stage: Stage, stub: Any
) -> None:
    error = Error(grpc.StatusCode.UNAVAILABLE)
    at = At("droplet.call", {"droplet": FIRST})
    stage.base.faults.inject(Fault(at, error))
    failed = await refused(stub.LaunchInstance(launch()))
    assert (failed.code, failed.definite) == (grpc.StatusCode.UNAVAILABLE, True)
    await stub.LaunchInstance(launch(droplet=SECOND))
    assert (await running(stub), await running(stub, SECOND)) == (0, 1)


async def test_who_gives_up_on_a_slow_droplet_starts_nothing(
    stage: Stage, stub: Any
) -> None:
    stage.base.faults.inject(Fault(At("droplet.call", {"az": "a"}), Delay(1.0)))
    late = await refused(stub.LaunchInstance(launch(), timeout=0.2))
    assert late.code is grpc.StatusCode.DEADLINE_EXCEEDED
    await stub.LaunchInstance(launch(droplet="droplet-b-0001"))
    actions = (await stub.ReadActions(pb.ReadActionsRequest())).actions
    assert [each.droplet for each in actions] == ["droplet-b-0001"]


async def test_errors_arrive_typed(stub: Any) -> None:
    for number in range(8):
        await stub.LaunchInstance(launch(f"i-{number}"))
    full = await refused(stub.LaunchInstance(launch("i-8")))
    assert full.code is grpc.StatusCode.RESOURCE_EXHAUSTED
    assert (full.reason, full.definite) == ("DROPLET_FULL", True)
    assert full.detail_metadata == {"droplet": FIRST, "slots": "8"}
    unknown = await refused(stub.LaunchInstance(launch(droplet="droplet-a-1000")))
    assert unknown.code is grpc.StatusCode.NOT_FOUND
    assert unknown.reason == "UNKNOWN_DROPLET"
    assert "did you mean 'droplet-a-00" in unknown.fields["droplet"]
    bad = await refused(stub.LaunchInstance(launch("", term=0)))
    assert bad.code is grpc.StatusCode.INVALID_ARGUMENT
    assert sorted(bad.fields) == ["instance", "term"]
    assert await running(stub) == 8


async def test_instances_run_on_without_dns_or_dynamodb_and_droplets_obey(
    stage: Stage,
) -> None:
    stage.tables = PostgresTables("postgresql+psycopg://x@127.0.0.1:1/x", "nowhere")
    async with listening(stage) as world, serving(stage, world) as stub:
        await stub.LaunchInstance(launch("i-1"))
        stage.dns.empty()
        await world.load_balancers.stop()
        asked = stage.dns.asked
        state = await stub.CheckState(pb.CheckStateRequest(droplet=FIRST, term=1))
        assert list(state.state.instances) == ["i-1"]
        await stub.LaunchInstance(launch("i-2", term=2))
        end = pb.TerminateInstanceRequest(droplet=FIRST, term=2, instance="i-1")
        await stub.TerminateInstance(end)
        assert await running(stub) == 1
        assert stage.dns.asked == asked


async def test_many_at_once_fill_the_slots_and_no_more(stub: Any) -> None:
    calls = [stub.LaunchInstance(launch(f"i-{number % 20}")) for number in range(60)]
    replies = await asyncio.gather(*calls, return_exceptions=True)
    failures = [each for each in replies if isinstance(each, grpc.aio.AioRpcError)]
    assert {each.code().name for each in failures} == {"RESOURCE_EXHAUSTED"}
    assert await running(stub) == 8
    actions = (await stub.ReadActions(pb.ReadActionsRequest())).actions
    assert len(actions) == 60
    started = [each.instance for each in actions if each.result == "done"]
    assert len(started) == len(set(started)) == 8
