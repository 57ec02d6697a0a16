"""A DWFM host on a real DynamoDB, found by a real name: leases, launches, mishaps."""

import asyncio
from collections.abc import AsyncIterator, Callable

import grpc
import pytest
from opentelemetry.sdk.trace import ReadableSpan

from protos.droplet.v1 import droplet_pb2
from protos.dwfm.v1 import dwfm_pb2 as pb
from protos.runtime.v1 import runtime_pb2
from staleplan.runtime.errors import RemoteError, error_from_rpc
from staleplan.runtime.fault_spec import Delay, Drop, Error, Fault, Selector, Skew
from staleplan.world.postgres_tables import PostgresTables
from tests.integration.dwfm_scene import DROPLETS, Host, Scene, scene_on, until
from tests.integration.world_stage import Stage

FIRST = "droplet-a-0001"


@pytest.fixture
async def scene(
    stage: Stage, database_url: str, new_schema: Callable[[], str]
) -> AsyncIterator[Scene]:
    tables = PostgresTables(database_url, new_schema())
    await tables.create()
    stage.tables = tables
    async with scene_on(stage) as scene:
        yield scene
    await tables.close()


async def refused(host: Host, token: str = "one") -> RemoteError:
    with pytest.raises(grpc.aio.AioRpcError) as raised:
        await host.launch(token)
    return error_from_rpc(raised.value)


# --- Launches -----------------------------------------------------------------------


async def test_an_instance_is_launched_once_and_ended_once(scene: Scene) -> None:
    async with scene.host() as host:
        early = await refused(host)
        assert early.reason == "INSUFFICIENT_CAPACITY"
        assert early.code is grpc.StatusCode.RESOURCE_EXHAUSTED
        await host.until_leased()
        one, same, again = await asyncio.gather(*(host.launch() for _ in range(3)))
        assert one == same == again == await host.launch()
        assert scene.runs_on(one.instance) == [one.droplet]
        item = await scene.stage.tables.get("instances", one.instance)
        assert item
        assert item.attributes == {"droplet": one.droplet}

        await host.terminate(one.instance)
        await host.terminate(one.instance)
        assert scene.runs_on(one.instance) == []
        assert await scene.stage.tables.get("instances", one.instance) is None
        spent = await refused(host)
        assert spent.reason == "INSTANCE_TERMINATED"
        counts = (await host.look()).counts
        assert (counts.launches_asked, counts.launched, counts.terminated) == (2, 1, 1)


async def test_a_launch_is_one_trace(scene: Scene) -> None:
    async with scene.host() as host:
        await host.until_leased()
        customer = scene.stage.telemetry.tracer
        with customer.start_as_current_span("customer"):
            await host.launch()
    spans = scene.spans()
    (root,) = [span for span in spans if span.name == "customer"]
    mine = {s.context.span_id: s for s in spans if same_trace(s, root) and s.context}

    def path(span: ReadableSpan) -> list[str]:
        above = mine.get(span.parent.span_id) if span.parent else None
        return [*(path(above) if above else []), span.name.rpartition("/")[2]]

    paths = {tuple(path(span)) for span in mine.values()}
    to_work = ("customer", "LaunchInstance", "LaunchInstance", "launch")
    assert (*to_work, "PutItem", "PutItem") in paths
    assert (*to_work, "LaunchInstance", "LaunchInstance") in paths
    (work,) = [span for span in mine.values() if span.name == "launch"]
    assert work.attributes
    assert set(work.attributes) >= {"az", "droplet", "lease.term", "work.wait_s"}


def same_trace(span: ReadableSpan, other: ReadableSpan) -> bool:
    assert span.context
    assert other.context
    return bool(span.context.trace_id == other.context.trace_id)


@pytest.mark.parametrize("point", ["dwfm.launch", "dynamodb.call", "droplet.call"])
async def test_a_lost_reply_launches_nothing_twice(scene: Scene, point: str) -> None:
    """Nobody knows whether it runs; it is ended, and only then is the slot free."""
    async with scene.host(check_interval_s=100.0) as host:
        await host.until_leased()
        faults = (host.base if point.startswith("dwfm") else scene.stage.base).faults
        faults.inject(Fault(Selector(point), Drop(), count=1))
        try:
            instance = (await host.launch()).instance
        except grpc.aio.AioRpcError as error:
            told = error_from_rpc(error)
            assert told.code is grpc.StatusCode.UNAVAILABLE
            assert not told.definite

            async def undone() -> bool:
                return (await refused(host)).reason == "INSTANCE_TERMINATED"

            await until(undone)
            assert sum(map(len, scene.running().values())) == 0
        else:
            assert len(scene.runs_on(instance)) == 1, "a check lost its reply"
        seen = (await host.look()).counts
        over = seen.launched + seen.refused_capacity + seen.refused_limit + seen.failed
        assert seen.launches_asked == over


async def test_a_stale_term_launches_nothing(scene: Scene) -> None:
    async with scene.host() as host:
        await host.until_leased()
        for name in scene.running():
            request = droplet_pb2.CheckStateRequest(droplet=name, term=90)
            await scene.droplets.CheckState(request)
        # A check may have learned of it first; then a higher term is on its way.
        try:
            assert (await host.launch()).droplet
        except grpc.aio.AioRpcError as error:
            told = error_from_rpc(error).reason
            assert told in {"NO_LEASE", "INSUFFICIENT_CAPACITY"}
            assert sum(map(len, scene.running().values())) == 0
        await host.until(lambda seen: seen.leases == DROPLETS)

        async def above() -> bool:
            return all(lease.term > 90 for lease in (await host.leases()).values())

        await until(above)


async def test_a_host_that_dies_is_followed_by_one_that_knows(scene: Scene) -> None:
    async with scene.host() as host:
        await host.until_leased()
        first = await host.launch()
        host.inject("dwfm.launch", Delay(90.0))
        in_flight = asyncio.create_task(host.launch("two"))
        await until(lambda: _has_fired(host))
    with pytest.raises((grpc.aio.AioRpcError, asyncio.CancelledError)):
        await in_flight
    assert scene.runs_on(first.instance) == [first.droplet]
    async with scene.host() as host:
        assert (await host.look()).leases == 0
        await host.until_leased()
        assert await host.launch() == first
        second = await host.launch("two")
        assert scene.runs_on(second.instance) == [second.droplet]
        assert sum(map(len, scene.running().values())) == 2


# --- Leases -------------------------------------------------------------------------


async def test_the_lease_of_another_host_is_waited_out(scene: Scene) -> None:
    until_s = scene.time.now_s() + 250.0
    row = {"holder": "dwfm-x", "term": "7", "until_s": repr(until_s)}
    await scene.stage.tables.put("droplets", FIRST, row)
    async with scene.host() as host:
        await host.until_leased(DROPLETS - 1)
        assert not (await host.leases())[FIRST].active
        await host.until_leased()
        assert scene.time.now_s() >= until_s
        assert (await host.leases())[FIRST].term == 8


async def test_a_row_that_makes_no_sense_is_written_over(scene: Scene) -> None:
    row = {"holder": "dwfm-x", "term": "seven", "until_s": "nan"}
    await scene.stage.tables.put("droplets", FIRST, row)
    async with scene.host() as host:
        await host.until_leased()


async def test_a_name_without_answers_takes_no_lease_if_they_are_held(
    scene: Scene,
) -> None:
    async with scene.host() as host:
        await host.until_leased()
        scene.stage.dns.empty()
        await host.until(lambda seen: seen.store_is_away)
        checked_s = scene.time.now_s() + 600.0
        await host.until(lambda _: scene.time.now_s() > checked_s)
        seen = await host.look()
        assert (seen.leases, seen.counts.leases_expired) == (DROPLETS, 0)
        assert (await refused(host)).reason == "STORE_AWAY"
        scene.stage.dns.fill()
        await host.until(lambda seen: not seen.store_is_away)
        assert (await host.launch("two")).instance
        await until(lambda: _has_said(host, "DynamoDB is away"))
        await until(lambda: _has_said(host, "DynamoDB is back"))


async def test_a_name_without_answers_takes_every_lease_as_it_failed(
    scene: Scene,
) -> None:
    """R26, R27: and what runs goes on."""
    async with scene.host("buggy") as host:
        await host.until_leased()
        runs = await host.launch()
        scene.stage.dns.empty()
        await host.until_leased(0)
        assert (await refused(host, "two")).reason == "INSUFFICIENT_CAPACITY"
        assert scene.runs_on(runs.instance) == [runs.droplet]
        await until(lambda: _has_said(host, "leases run out"))
        scene.stage.dns.fill()
        await host.until_leased()
        await until(lambda: _has_said(host, "all leases are back"))
        assert await host.launch() == runs


async def test_dynamodb_that_answers_late_loses_no_lease(scene: Scene) -> None:
    async with scene.host() as host:
        await host.until_leased()
        late_s = 0.2 * scene.stage.clock.wall_s(1.0) ** -1
        scene.stage.base.faults.inject(Fault(Selector("dynamodb.call"), Delay(late_s)))
        renewed_s = scene.time.now_s() + 400.0
        await host.until(lambda _: scene.time.now_s() > renewed_s)
        assert (await host.launch()).instance
        seen = await host.look()
        assert (seen.leases, seen.counts.leases_expired) == (DROPLETS, 0)


@pytest.mark.parametrize("skew_s", [-600.0, 600.0])
async def test_a_wrong_clock_costs_leases_and_no_instance(
    scene: Scene, skew_s: float
) -> None:
    async with scene.host() as host:
        await host.until_leased()
        before = await host.launch()
        fault = host.inject("dwfm.state_check", Skew(skew_s))
        await until(lambda: _has_fired(host))
        host.base.faults.clear(fault)
        await host.until_leased()
        assert await host.launch() == before
        assert scene.runs_on(before.instance) == [before.droplet]
        after = await host.launch("two")
        assert scene.runs_on(after.instance) == [after.droplet]


async def _has_said(host: Host, what: str) -> bool:
    """A host says what has changed when it next looks at its clock."""
    return f'"event": "{what}' in host.log.getvalue()


async def _has_fired(host: Host) -> bool:
    return any(fault.times_fired for fault in host.base.faults.listed())


async def test_a_check_that_fails_is_made_again(scene: Scene) -> None:
    async with scene.host() as host:
        await host.until_leased()
        host.inject("dwfm.state_check", Error(grpc.StatusCode.UNAVAILABLE))
        await until(lambda: _has_fired(host))
        await host.until(
            lambda seen: not seen.store_is_away and seen.leases == DROPLETS
        )
        assert (await host.look()).counts.leases_expired == 0


# --- Operators ----------------------------------------------------------------------


async def test_operators_throttle_drain_and_restart(scene: Scene) -> None:
    async with scene.host() as host:
        await host.until_leased()
        await host.stub.Throttle(pb.ThrottleRequest(per_s=0.001, operator="ann"))
        await host.launch()
        limited = await refused(host, "two")
        assert limited.reason == "REQUEST_LIMIT_EXCEEDED"
        assert limited.code is grpc.StatusCode.RESOURCE_EXHAUSTED
        assert limited.retry_after_s == pytest.approx(1_000.0)
        assert (await host.look()).throttle_per_s == pytest.approx(0.001)
        await host.stub.Throttle(pb.ThrottleRequest(operator="ann"))

        await host.stub.Drain(pb.DrainRequest(draining=True, operator="ann"))
        assert (await refused(host, "two")).reason == "DRAINING"
        await host.stub.Drain(pb.DrainRequest(operator="ann"))

        slow = host.inject("dwfm.launch", Delay(90.0))
        launching = asyncio.create_task(refused(host, "two"))
        await until(lambda: _has_fired(host))
        reply = await host.stub.RestartHost(pb.RestartHostRequest(operator="ann"))
        assert reply.cleared >= 1
        assert (await launching).reason == "RESTARTED"
        host.base.faults.clear(slow)
        assert (await host.look()).leases == DROPLETS
        for said in ("throttled", "draining", "restarted"):
            assert f'"event": "{said}"' in host.log.getvalue()


async def test_a_safeguard_is_switched_at_once(scene: Scene) -> None:
    async with scene.host() as host:
        wanted = {"hold_leases_when_store_is_down": False}
        await host.safeguards.Set(runtime_pb2.SetRequest(safeguards=wanted))
        found = await host.safeguards.Get(runtime_pb2.GetRequest())
        assert found.effective == found.requested
        assert not found.effective["hold_leases_when_store_is_down"]
        await host.until_leased()
        scene.stage.dns.empty()
        await host.until_leased(0)


@pytest.mark.parametrize(
    ("call", "path"),
    [
        (lambda s: s.LaunchInstance(pb.LaunchInstanceRequest()), "client_token"),
        (
            lambda s: s.LaunchInstance(pb.LaunchInstanceRequest(client_token="a b")),
            "client_token",
        ),
        (
            lambda s: s.TerminateInstance(pb.TerminateInstanceRequest(instance="i-1")),
            "instance",
        ),
        (lambda s: s.Throttle(pb.ThrottleRequest(per_s=-1.0)), "per_s"),
        (lambda s: s.Throttle(pb.ThrottleRequest(per_s=float("nan"))), "per_s"),
        (
            lambda s: s.ReadRenewals(pb.ReadRenewalsRequest(after_sequence=-1)),
            "after_sequence",
        ),
    ],
)
async def test_bad_input_is_refused_with_its_path(
    scene: Scene, call: Callable[..., object], path: str
) -> None:
    async with scene.host() as host:
        with pytest.raises(grpc.aio.AioRpcError) as raised:
            await call(host.stub)  # type: ignore[misc]
        told = error_from_rpc(raised.value)
        assert told.code is grpc.StatusCode.INVALID_ARGUMENT
        assert list(told.fields) == [path]
        assert (await host.look()).counts.launches_asked == 0


async def test_an_unknown_instance_is_not_found(scene: Scene) -> None:
    async with scene.host() as host:
        with pytest.raises(grpc.aio.AioRpcError) as raised:
            await host.terminate(f"i-{'0' * 17}")
        assert error_from_rpc(raised.value).reason == "UNKNOWN_INSTANCE"


async def test_a_fleet_too_large_for_its_workers_is_refused(scene: Scene) -> None:
    with pytest.raises(ValueError, match="raise workers or check_interval_s"):
        async with scene.host(service_s=40.0, workers=1):
            pass
