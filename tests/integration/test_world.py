"""Load balancers that listen, and a customer that finds them through real DNS."""

import asyncio
import json
import os
import socket
import sys
from collections.abc import Awaitable, Callable

import grpc
import pytest

from protos.world.v1 import world_pb2 as pb
from protos.world.v1 import world_pb2_grpc
from staleplan.runtime.server import ServiceServer
from staleplan.world import customers
from staleplan.world.customers import Customer
from staleplan.world.errors import NoPortError
from staleplan.world.model import Experience
from staleplan.world.service import World
from staleplan.world.settings import WorldSettings
from tests.integration.postgres_use import run_sql
from tests.integration.world_stage import (
    NO_DATA,
    PATIENCE_S,
    REGIONAL,
    Stage,
    listening,
)


async def until(
    call: Callable[[], Awaitable[Experience]], status: str
) -> list[Experience]:
    """Call until the status comes; returns every call that was made."""
    calls: list[Experience] = []
    async with asyncio.timeout(PATIENCE_S):
        while not calls or calls[-1].status != status:
            calls.append(await call())
    return calls


async def fix(world: World, name: str, *, healthy: bool) -> None:
    reading = pb.Reading(healthy=healthy, capacity=40)
    request = pb.SetLoadBalancerRequest(name=name, reading=reading)
    await world.service.SetLoadBalancer(request, None)


# --- Load balancers ----------------------------------------------------------------


async def test_every_regional_load_balancer_answers_with_its_own_name(
    stage: Stage,
) -> None:
    async with listening(stage) as world:
        names = []
        for address in REGIONAL:
            target = f"{address}:{world.load_balancers.port}"
            async with grpc.aio.insecure_channel(target) as channel:
                stub = world_pb2_grpc.EndpointServiceStub(channel)
                reply = await stub.Call(pb.CallRequest(), timeout=PATIENCE_S)
                names.append(reply.load_balancer)
    assert names == [f"lb-{az}-{n:02}" for n in (1, 2) for az in "abc"]


async def test_an_unhealthy_load_balancer_refuses_calls_until_it_is_well(
    stage: Stage,
) -> None:
    async with listening(stage) as world:
        stage.dns.fill(["127.0.1.2"])
        customer = stage.customer(world.load_balancers.port)
        assert (await customer.call()).load_balancer == "lb-b-01"
        await fix(world, "lb-b-01", healthy=False)
        refused = await customer.call()
        assert refused.status == "UNAVAILABLE"
        assert refused.detail == "load balancer lb-b-01 is unhealthy"
        assert refused.load_balancer == ""
        await fix(world, "lb-b-01", healthy=True)
        assert (await customer.call()).status == "OK"


async def test_a_load_balancer_that_varies_falls_ill_by_itself(stage: Stage) -> None:
    async with listening(stage) as world:
        stage.dns.fill(["127.0.1.1"])
        customer = stage.customer(world.load_balancers.port)
        statuses = set()
        for _ in range(24 * 12):
            stage.clock.skew_s += 300.0
            statuses.add((await customer.call()).status)
    assert statuses == {"OK", "UNAVAILABLE"}


async def test_a_port_that_one_address_lacks_is_not_taken(stage: Stage) -> None:
    with socket.socket() as taken:
        taken.bind((REGIONAL[-1], 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(NoPortError, match=rf"port {port}: not free on all of 127"):
            await stage.world(load_balancer_port=port).start()
        for address in REGIONAL[:-1]:
            with socket.socket() as free:
                free.bind((address, port))
    async with stage.world(load_balancer_port=port) as world:
        assert world.load_balancers.port == port


async def test_two_worlds_stand_side_by_side(stage: Stage) -> None:
    async with listening(stage) as one, listening(stage) as other:
        for world in (one, other):
            customer = stage.customer(world.load_balancers.port)
            assert (await customer.call()).status == "OK"


# --- Customers ---------------------------------------------------------------------


async def test_a_fresh_channel_suffers_an_empty_answer_and_is_well_at_once(
    stage: Stage,
) -> None:
    async with listening(stage) as world:
        customer = stage.customer(world.load_balancers.port)
        assert (await customer.call()).status == "OK"
        stage.dns.empty()
        failed = await customer.call()
        assert failed.status == "UNAVAILABLE"
        assert NO_DATA in failed.detail
        stage.dns.fill()
        assert (await customer.call()).status == "OK"


async def test_a_kept_channel_never_notices_an_empty_answer(stage: Stage) -> None:
    async with listening(stage) as world:
        kept = stage.customer(world.load_balancers.port, keep_channel=True)
        fresh = stage.customer(world.load_balancers.port)
        assert (await kept.call()).status == "OK"
        stage.dns.empty()
        for _ in range(5):
            assert (await fresh.call()).status == "UNAVAILABLE"
            assert (await kept.call()).status == "OK"


async def test_a_kept_channel_that_never_resolved_is_late_when_the_answer_is_back(
    stage: Stage,
) -> None:
    async with listening(stage) as world:
        kept = stage.customer(world.load_balancers.port, keep_channel=True)
        stage.dns.empty()
        # It asks at 0, 1 and 2.6 s, for A and AAAA each. Then it waits 2.6 s more.
        async with asyncio.timeout(PATIENCE_S):
            while stage.dns.asked < 6:
                assert NO_DATA in (await kept.call()).detail
        stage.dns.fill()
        fresh = stage.customer(world.load_balancers.port)
        assert (await fresh.call()).status == "OK"
        calls = await until(kept.call, "OK")
        assert len(calls) > 1
        assert all(NO_DATA in call.detail for call in calls[:-1])


async def test_a_kept_channel_follows_a_record_only_when_its_connection_is_gone(
    stage: Stage,
) -> None:
    async with listening(stage) as world:
        stage.dns.fill(["127.0.1.1"])
        kept = stage.customer(world.load_balancers.port, keep_channel=True)
        assert (await kept.call()).load_balancer == "lb-a-01"
        stage.dns.fill(["127.0.1.2"])
        assert (await kept.call()).load_balancer == "lb-a-01"
        await world.load_balancers._servers[0].stop(None)
        calls = await until(kept.call, "OK")
        assert calls[-1].load_balancer == "lb-b-01"


async def test_a_call_is_one_trace_from_customer_to_load_balancer(stage: Stage) -> None:
    async with listening(stage) as world:
        customer = stage.customer(world.load_balancers.port)
        await customer.call()
        stage.dns.empty()
        await customer.call()
    (root, client, server), failed = stage.traces()
    assert root.name == "customer.call"
    assert (client.kind.name, server.kind.name) == ("CLIENT", "SERVER")
    assert {span.status.is_ok for span in (root, client, server)} == {True}
    assert [span.kind.name for span in failed] == ["INTERNAL", "CLIENT"]
    assert all(NO_DATA in (span.status.description or "") for span in failed)


async def test_a_slow_call_does_not_delay_the_next_ones_up_to_the_bound(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    answer = asyncio.Event()
    begun: asyncio.Queue[int] = asyncio.Queue()

    async def slow_call(_: Customer) -> None:
        begun.put_nowait(1)
        await answer.wait()

    monkeypatch.setattr(Customer, "call", slow_call)
    running = asyncio.create_task(stage.customer(1).run())
    async with asyncio.timeout(PATIENCE_S):
        for _ in range(customers.MAX_IN_FLIGHT):
            await begun.get()
        for _ in range(5):
            await stage.clock.sleep_s(customers.MIN_INTERVAL_S * 1e-3)
        assert begun.empty()
        answer.set()
        await begun.get()
    running.cancel()
    await asyncio.wait([running])


@pytest.mark.parametrize("keep_channel", [False, True])
async def test_the_world_calls_by_itself_and_its_experience_can_be_read(
    stage: Stage, *, keep_channel: bool
) -> None:
    server_settings = WorldSettings(drill=True)
    customer = {"call_interval_s": 1e-9, "keep_channel": keep_channel}
    async with stage.world(customer=customer) as world:
        server = ServiceServer(stage.telemetry, server_settings)
        server.add(world_pb2_grpc.add_WorldServiceServicer_to_server, world.service)
        port = await server.start()
        async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
            stub = world_pb2_grpc.WorldServiceStub(channel)
            calls: list[pb.Experience] = []
            async with asyncio.timeout(PATIENCE_S):
                while len(calls) < 20:
                    after = calls[-1].sequence if calls else 0
                    request = pb.ReadExperienceRequest(after_sequence=after)
                    calls += (await stub.ReadExperience(request)).calls
        await server.stop(0)
    assert [call.sequence for call in calls] == list(range(1, len(calls) + 1))
    assert {call.status for call in calls} == {"OK"}
    answered_by = {call.load_balancer for call in calls}
    assert (len(answered_by) > 1) is not keep_channel


async def test_a_customer_that_breaks_down_says_so_in_the_log(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def broken(_: Customer) -> None:
        raise LookupError("a bug")

    monkeypatch.setattr(Customer, "call", broken)
    async with stage.world(customer={"call_interval_s": 1e-9}) as world:
        assert world._calling
        async with asyncio.timeout(PATIENCE_S):
            await asyncio.wait([world._calling])
    assert "the customer stopped to call" in stage.log.getvalue()
    assert "a bug" in stage.log.getvalue()


async def test_a_world_that_was_stopped_listens_no_more(stage: Stage) -> None:
    async with listening(stage) as world:
        port = world.load_balancers.port
    call = await stage.customer(port).call()
    assert call.status == "UNAVAILABLE"
    assert "Connection refused" in call.detail


async def test_the_world_runs_as_a_process_of_its_own_and_drains(
    stage: Stage, database_url: str
) -> None:
    told = {
        "STALEPLAN_DNS_TARGET": stage.dns.target,
        "STALEPLAN_DATABASE_URL": database_url,
        "STALEPLAN_STACK": f"test_{os.getpid()}_world",
    }
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "staleplan.world",
        env={**os.environ, **told},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
    )
    assert process.stdout
    async with asyncio.timeout(PATIENCE_S):
        ready = json.loads(await process.stdout.readline())
        assert ready["service"] == "world"
        call = await stage.customer(ready["load_balancer_port"]).call()
        assert call.load_balancer.startswith("lb-")
        process.terminate()
        assert await process.wait() == 0
    run_sql(database_url, f'DROP SCHEMA "{told["STALEPLAN_STACK"]}_dynamodb" CASCADE')


def test_only_the_newest_experiences_are_kept_and_pages_are_whole(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(customers, "MAX_EXPERIENCES", 10)
    customer = stage.customer(1)
    for sequence in range(1, 26):
        customer._remember(0.0, "OK", "lb-a-01", "", 0.001)
        assert customer.experiences(0, 99)[-1].sequence == sequence

    def read(after: int, limit: int) -> list[int]:
        return [each.sequence for each in customer.experiences(after, limit)]

    assert read(0, 99) == list(range(16, 26))
    assert read(0, 3) == [16, 17, 18]
    assert read(18, 3) == [19, 20, 21]
    assert read(25, 3) == []
    assert read(99, 3) == []
