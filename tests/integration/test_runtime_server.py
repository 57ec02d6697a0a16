"""A server of the runtime: health, reflection, drain, its address."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc
from opentelemetry.trace import StatusCode

from staleplan.runtime.settings import ServiceSettings
from tests.integration.echo import SERVICE, Pair

# The stubs of gRPC's own services are untyped.
# mypy: disable-error-code="attr-defined, arg-type, operator"

SERVING = health_pb2.HealthCheckResponse.SERVING
NOT_SERVING = health_pb2.HealthCheckResponse.NOT_SERVING


async def test_health_knows_the_server_and_each_service(pair: Pair) -> None:
    health = health_pb2_grpc.HealthStub(pair.channel)
    for name in ("", SERVICE, "grpc.health.v1.Health"):
        reply = await health.Check(health_pb2.HealthCheckRequest(service=name))
        assert reply.status == SERVING
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await health.Check(health_pb2.HealthCheckRequest(service="nobody"))
    assert caught.value.code() is grpc.StatusCode.NOT_FOUND
    assert pair.spans.get_finished_spans() == ()


async def test_reflection_lists_the_services(pair: Pair) -> None:
    stub = reflection_pb2_grpc.ServerReflectionStub(pair.channel)

    async def requests() -> AsyncIterator[Any]:
        yield reflection_pb2.ServerReflectionRequest(list_services="")

    replies = [reply async for reply in stub.ServerReflectionInfo(requests())]
    listed = {service.name for service in replies[0].list_services_response.service}
    assert {SERVICE, "grpc.health.v1.Health"} <= listed
    assert await pair.unary(b"hello") == b"hello"
    assert len(await pair.finished(2)) == 2


async def test_a_drain_says_so_and_lets_an_rpc_in_flight_end(pair: Pair) -> None:
    watch = health_pb2_grpc.HealthStub(pair.channel).Watch(
        health_pb2.HealthCheckRequest(service=SERVICE)
    )
    assert (await watch.read()).status == SERVING
    call = pair.unary(b"wait")
    await pair.echo.waiting.wait()
    stopping = asyncio.create_task(pair.server.stop(30))
    assert (await watch.read()).status == NOT_SERVING
    watch.cancel()
    assert not stopping.done()
    pair.echo.go_on.set()
    assert await call == b"wait"
    await stopping


async def test_what_outlasts_the_grace_is_cancelled(pair: Pair) -> None:
    call = pair.unary(b"wait")
    await pair.echo.waiting.wait()
    await pair.server.stop(0)
    with pytest.raises(grpc.aio.AioRpcError):
        await call
    server = (await pair.finished(2))["server"]
    assert server.status.status_code is StatusCode.ERROR


async def test_a_port_that_is_taken_is_refused(pair: Pair) -> None:
    other = Pair(ServiceSettings(stack="two", port=pair.port))
    with pytest.raises(RuntimeError, match="Failed to bind"):
        await other.server.start()
    await other.exporters.shutdown()
    assert await pair.unary(b"hello") == b"hello"


async def test_an_address_that_others_reach_is_refused(pair: Pair) -> None:
    unchecked = ServiceSettings().model_copy(update={"host": "0.0.0.0"})
    other = Pair(unchecked)
    with pytest.raises(ValueError, match=r"refused address '0\.0\.0\.0'.*TLS"):
        await other.server.start()
    await other.exporters.shutdown()
