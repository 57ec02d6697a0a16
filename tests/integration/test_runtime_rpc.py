"""A server and a client of the runtime: spans, errors, streams, limits."""

import asyncio
import io
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import grpc
import pytest
from opentelemetry.trace import SpanKind, StatusCode

from staleplan.runtime.attributes import (
    RPC_METHOD,
    RPC_RESPONSE_STATUS_CODE,
    RPC_SYSTEM_NAME,
    STACK,
)
from staleplan.runtime.channel import CALL_TIMEOUT_S, MAX_MESSAGE_BYTES
from staleplan.runtime.clock import ScaledClock
from staleplan.runtime.errors import error_from_rpc
from staleplan.runtime.logs import json_log
from staleplan.runtime.telemetry import Exporters, Telemetry
from tests.integration.echo import SERVICE, Pair


async def test_one_trace_spans_both_sides(pair: Pair) -> None:
    assert await pair.unary(b"hello") == b"hello"
    spans = await pair.finished(2)
    client, server = spans["client"], spans["server"]
    assert client.kind is SpanKind.CLIENT
    assert server.kind is SpanKind.SERVER
    assert server.parent is not None
    assert server.parent.span_id == client.context.span_id
    assert server.context.trace_id == client.context.trace_id
    for span in (client, server):
        assert span.name == f"{SERVICE}/Unary"
        assert span.attributes == {
            RPC_SYSTEM_NAME: "grpc",
            RPC_METHOD: f"{SERVICE}/Unary",
            RPC_RESPONSE_STATUS_CODE: "OK",
        }
        assert span.status.status_code is StatusCode.UNSET
        assert span.resource.attributes[STACK] == "one"


async def test_spans_of_the_handler_and_the_caller_join_the_trace(pair: Pair) -> None:
    with pair.client_side.tracer.start_as_current_span("pass") as outer:
        await pair.unary(b"child")
    await pair.finished(4)
    by_name = {(span.name, span.kind): span for span in pair.spans.get_finished_spans()}
    client = by_name[f"{SERVICE}/Unary", SpanKind.CLIENT]
    server = by_name[f"{SERVICE}/Unary", SpanKind.SERVER]
    inside = by_name["inside", SpanKind.INTERNAL]
    assert client.parent is not None
    assert client.parent.span_id == outer.get_span_context().span_id
    assert inside.parent is not None
    assert inside.parent.span_id == server.context.span_id


@pytest.mark.parametrize(
    ("request_bytes", "code", "description"),
    [
        (b"typed", grpc.StatusCode.ABORTED, "held by b"),
        (b"abort", grpc.StatusCode.NOT_FOUND, "no such thing"),
        (b"unforeseen", grpc.StatusCode.INTERNAL, "unexpected error"),
        (b"set_code", grpc.StatusCode.FAILED_PRECONDITION, "set"),
    ],
)
async def test_a_failed_rpc_is_red_on_both_sides(
    pair: Pair, request_bytes: bytes, code: grpc.StatusCode, description: str
) -> None:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await pair.unary(request_bytes)
    assert caught.value.code() is code
    for span in (await pair.finished(2)).values():
        assert span.status.status_code is StatusCode.ERROR
        assert description in str(span.status.description)
        assert (span.attributes or {})[RPC_RESPONSE_STATUS_CODE] == code.name


async def test_a_deadline_is_red_on_both_sides(pair: Pair) -> None:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await pair.unary(b"wait", timeout=0.2)
    assert caught.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED
    for span in (await pair.finished(2)).values():
        assert span.status.status_code is StatusCode.ERROR
        assert (span.attributes or {})[RPC_RESPONSE_STATUS_CODE] == "DEADLINE_EXCEEDED"


async def test_a_cancelled_rpc_is_red_on_both_sides(pair: Pair) -> None:
    call = pair.unary(b"wait")
    await pair.echo.waiting.wait()
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call
    for span in (await pair.finished(2)).values():
        assert span.status.status_code is StatusCode.ERROR
        assert (span.attributes or {})[RPC_RESPONSE_STATUS_CODE] == "CANCELLED"


async def test_a_server_that_is_away_is_red_at_the_client(pair: Pair) -> None:
    await pair.server.stop(0)
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await pair.unary(b"hello")
    assert caught.value.code() is grpc.StatusCode.UNAVAILABLE
    assert error_from_rpc(caught.value).definite is False
    spans = await pair.finished(1)
    assert list(spans) == ["client"]
    assert spans["client"].status.status_code is StatusCode.ERROR


async def test_a_typed_error_arrives_whole(pair: Pair) -> None:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await pair.unary(b"typed")
    error = error_from_rpc(caught.value)
    assert (error.code, error.reason, error.definite) == (
        grpc.StatusCode.ABORTED,
        "LOCK_LOST",
        True,
    )
    assert error.fields == {"lock": "gone"}
    assert error.detail_metadata == {"by": "b"}


async def test_an_unforeseen_error_tells_the_log_and_not_the_caller(pair: Pair) -> None:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await pair.unary(b"unforeseen")
    error = error_from_rpc(caught.value)
    assert "hunter2" not in str(error)
    assert error.definite is False
    line = json.loads(pair.log.getvalue().splitlines()[-1])
    assert "ZeroDivisionError" in line["exception"]
    assert line["trace_id"] in str(error)
    server = (await pair.finished(2))["server"]
    assert [event.name for event in server.events] == ["exception"]


async def test_streams_of_every_kind_are_traced(pair: Pair) -> None:
    async def requests() -> AsyncIterator[bytes]:
        yield b"a"
        yield b"b"

    split: Any = pair.channel.unary_stream(f"/{SERVICE}/Split")
    join: Any = pair.channel.stream_unary(f"/{SERVICE}/Join")
    repeat: Any = pair.channel.stream_stream(f"/{SERVICE}/Repeat")
    assert [reply async for reply in split(b"ab")] == [b"a", b"b"]
    assert await join(requests()) == b"ab"
    assert [reply async for reply in repeat(requests())] == [b"a", b"b"]
    await pair.finished(6)
    names = sorted(span.name for span in pair.spans.get_finished_spans())
    assert names == sorted(
        2 * [f"{SERVICE}/Split", f"{SERVICE}/Join", f"{SERVICE}/Repeat"]
    )


async def test_a_stream_that_fails_midway_is_red_on_both_sides(pair: Pair) -> None:
    split: Any = pair.channel.unary_stream(f"/{SERVICE}/Split")
    call = split(b"ab!c")
    replies = [await call.read(), await call.read()]
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call.read()
    assert replies == [b"a", b"b"]
    assert error_from_rpc(caught.value).reason == "LOCK_LOST"
    for span in (await pair.finished(2)).values():
        assert span.status.status_code is StatusCode.ERROR


async def test_a_stream_that_the_client_leaves_is_closed(pair: Pair) -> None:
    split: Any = pair.channel.unary_stream(f"/{SERVICE}/Split")
    call = split(b"ab?")
    assert await call.read() == b"a"
    await pair.echo.waiting.wait()
    call.cancel()
    await pair.echo.stream_closed.wait()
    for span in (await pair.finished(2)).values():
        assert (span.attributes or {})[RPC_RESPONSE_STATUS_CODE] == "CANCELLED"


async def test_the_duration_of_each_rpc_is_measured(pair: Pair) -> None:
    await pair.unary(b"hello")
    with pytest.raises(grpc.aio.AioRpcError):
        await pair.unary(b"abort")
    await pair.finished(4)
    metrics = pair.server_side.metrics()
    assert metrics is not None
    (metric,) = metrics.resource_metrics[0].scope_metrics[0].metrics
    assert (metric.name, metric.unit) == ("rpc.server.call.duration", "s")
    points: Any = metric.data.data_points
    counts = {
        point.attributes[RPC_RESPONSE_STATUS_CODE]: point.count for point in points
    }
    assert counts == {"OK": 1, "NOT_FOUND": 1}
    assert all(point.attributes[RPC_METHOD] == f"{SERVICE}/Unary" for point in points)


async def test_a_unary_call_without_a_deadline_gets_one(pair: Pair) -> None:
    await pair.unary(b"hello")
    assert pair.echo.time_remaining_s is not None
    # gRPC rounds a deadline up on its way over.
    assert 0 < pair.echo.time_remaining_s < CALL_TIMEOUT_S + 1
    await pair.unary(b"hello", timeout=60)
    assert CALL_TIMEOUT_S + 1 < pair.echo.time_remaining_s < 61


async def test_metadata_of_the_caller_is_kept(pair: Pair) -> None:
    await pair.unary(b"hello", metadata=(("x-why", "test"),))
    assert len(await pair.finished(2)) == 2


async def test_a_message_of_32_mib_passes_and_one_above_the_limit_does_not(
    pair: Pair,
) -> None:
    assert len(await pair.unary(bytes(32 * 1024 * 1024))) == 32 * 1024 * 1024
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await pair.unary(bytes(MAX_MESSAGE_BYTES + 1))
    assert caught.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED


async def test_the_trace_file_is_otlp_json_lines(tmp_path: Path) -> None:
    file = tmp_path / "folder" / "trace.jsonl"
    log = json_log(ScaledClock(), "error", io.StringIO())
    async with Exporters(trace_file=file) as exporters:
        for service in ("planner", "enactor"):
            telemetry = Telemetry(service, stack="one", exporters=exporters, log=log)
            with telemetry.tracer.start_as_current_span("pass"):
                pass
    services = set()
    for line in file.read_text().splitlines():
        for resource_spans in json.loads(line)["resourceSpans"]:
            attributes = {
                attribute["key"]: attribute["value"]["stringValue"]
                for attribute in resource_spans["resource"]["attributes"]
            }
            assert attributes[STACK] == "one"
            services.add(attributes["service.name"])
            (span,) = resource_spans["scopeSpans"][0]["spans"]
            assert span["name"] == "pass"
            assert len(span["traceId"]) == 32
            assert len(span["spanId"]) == 16
            assert int(span["startTimeUnixNano"]) <= int(span["endTimeUnixNano"])
    assert services == {"planner", "enactor"}
