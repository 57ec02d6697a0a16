"""A plan is sent in parts, so that reading it never delays the store for long."""

from collections.abc import AsyncIterator, Callable
from pathlib import Path

import grpc
import pytest

from dns_store.__main__ import mount
from dns_store.settings import DnsStoreSettings
from protos.dns_store.v1 import dns_store_pb2 as pb
from protos.dns_store.v1.dns_store_pb2_grpc import DnsStoreServiceStub
from staleplan import wire
from staleplan.runtime.channel import MAX_MESSAGE_BYTES
from staleplan.runtime.errors import error_from_rpc
from staleplan.runtime.footing import footing
from staleplan.runtime.telemetry import Exporters
from staleplan.store_client import StoreClient
from tests.samples import draft


@pytest.fixture
async def to_store(
    database_url: str, new_schema: Callable[[], str], tmp_path: Path
) -> AsyncIterator[grpc.aio.Channel]:
    settings = DnsStoreSettings(
        stack=new_schema(),
        database_url=database_url,  # type: ignore[arg-type]
        state_folder=tmp_path,
    )
    async with (
        Exporters() as exporters,
        mount(settings, footing("dns-store", settings, exporters)) as server,
    ):
        target = f"127.0.0.1:{await server.start()}"
        async with grpc.aio.insecure_channel(target) as channel:
            yield channel
        await server.stop(0)


async def test_parts_are_one_plan(to_store: grpc.aio.Channel) -> None:
    sent = draft(0, endpoints=320)
    parts = list(wire.draft_to_parts(sent, 1))
    assert len(parts) == 1 + len(sent.zones)
    requests = iter([pb.PublishPlanRequest(plan=part) for part in parts])
    reply = await DnsStoreServiceStub(to_store).PublishPlan(requests)
    plan = await StoreClient(to_store).plan()
    assert plan
    assert (plan.generation, plan.draft) == (reply.published, sent)


async def test_parts_are_together_no_larger_than_a_message(
    to_store: grpc.aio.Channel,
) -> None:
    half = pb.Plan(targets=[pb.Target(name="a" * (MAX_MESSAGE_BYTES // 2))])
    with pytest.raises(grpc.aio.AioRpcError) as raised:
        await DnsStoreServiceStub(to_store).PublishPlan(
            iter([pb.PublishPlanRequest(plan=half)] * 2)
        )
    error = error_from_rpc(raised.value)
    assert error.fields == {"plan": f"is larger than {MAX_MESSAGE_BYTES} bytes"}
    assert await StoreClient(to_store).plan() is None
