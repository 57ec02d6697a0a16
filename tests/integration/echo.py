"""A service that echoes, its server, and a client of it."""

import asyncio
import io
from collections.abc import AsyncIterator
from typing import Any

import grpc
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from staleplan.runtime.channel import channel
from staleplan.runtime.clock import ScaledClock
from staleplan.runtime.errors import ServiceError
from staleplan.runtime.logs import json_log
from staleplan.runtime.server import ServiceServer
from staleplan.runtime.settings import ServiceSettings
from staleplan.runtime.telemetry import Exporters, Telemetry

# gRPC decides what a method takes.
# ruff: noqa: ARG002

SERVICE = "staleplan.test.v1.EchoService"


class LockLostError(ServiceError):
    code = grpc.StatusCode.ABORTED
    reason = "LOCK_LOST"
    definite = True


class Echo:
    """Answers with what it was sent, or fails as the request says."""

    def __init__(self, telemetry: Telemetry) -> None:
        self.tracer = telemetry.tracer
        self.waiting = asyncio.Event()
        self.go_on = asyncio.Event()
        self.stream_closed = asyncio.Event()
        self.time_remaining_s: float | None = None

    async def unary(self, request: bytes, context: Any) -> bytes:
        self.time_remaining_s = context.time_remaining()
        match request:
            case b"typed":
                raise LockLostError(
                    "held by b", fields={"lock": "gone"}, detail_metadata={"by": "b"}
                )
            case b"abort":
                await context.abort(grpc.StatusCode.NOT_FOUND, "no such thing")
            case b"unforeseen":
                raise ZeroDivisionError("password=hunter2")
            case b"set_code":
                context.set_code(grpc.StatusCode.FAILED_PRECONDITION)
                context.set_details("set")
            case b"wait":
                self.waiting.set()
                await self.go_on.wait()
            case b"child":
                with self.tracer.start_as_current_span("inside"):
                    pass
        return request

    async def split(self, request: bytes, context: Any) -> AsyncIterator[bytes]:
        try:
            for byte in request:
                if byte == ord("!"):
                    raise LockLostError("in the middle")
                yield bytes([byte])
            if request.endswith(b"?"):
                self.waiting.set()
                await self.go_on.wait()
        finally:
            self.stream_closed.set()

    async def join(self, requests: AsyncIterator[bytes], context: Any) -> bytes:
        return b"".join([request async for request in requests])

    async def repeat(
        self, requests: AsyncIterator[bytes], context: Any
    ) -> AsyncIterator[bytes]:
        async for request in requests:
            yield request


def add_echo(servicer: Echo, server: Any) -> None:
    """Mounts an `Echo`, as generated code would."""
    handlers: dict[str, Any] = {
        "Unary": grpc.unary_unary_rpc_method_handler(servicer.unary),
        "Split": grpc.unary_stream_rpc_method_handler(servicer.split),
        "Join": grpc.stream_unary_rpc_method_handler(servicer.join),
        "Repeat": grpc.stream_stream_rpc_method_handler(servicer.repeat),
    }
    handler = grpc.method_handlers_generic_handler(SERVICE, handlers)
    server.add_generic_rpc_handlers((handler,))
    server.add_registered_method_handlers(SERVICE, handlers)


class Pair:
    """A server, a client of it, and the spans of both."""

    def __init__(self, settings: ServiceSettings) -> None:
        self.log = io.StringIO()
        self.spans = InMemorySpanExporter()
        self.exporters = Exporters(span_exporters=[self.spans])
        log = json_log(ScaledClock(), "info", self.log)
        self.client_side = Telemetry(
            "client", stack="one", exporters=self.exporters, log=log
        )
        self.server_side = Telemetry(
            "server", stack="one", exporters=self.exporters, log=log
        )
        self.server = ServiceServer(self.server_side, settings)
        self.echo = Echo(self.server_side)
        self.server.add(add_echo, self.echo)
        self.port = 0

    async def start(self) -> None:
        self.port = await self.server.start()
        self.channel = channel(f"127.0.0.1:{self.port}", self.client_side)
        self.unary: Any = self.channel.unary_unary(f"/{SERVICE}/Unary")

    async def stop(self) -> None:
        await self.channel.close()
        await self.server.stop(0)
        await self.exporters.shutdown()

    async def finished(self, count: int) -> dict[str, ReadableSpan]:
        """Waits for a number of spans; returns them by service."""
        for processor in self.exporters.span_processors:
            while not (  # noqa: ASYNC110
                processor.force_flush()
                and len(self.spans.get_finished_spans()) >= count
            ):
                await asyncio.sleep(0)
        spans = self.spans.get_finished_spans()
        return {str(span.resource.attributes["service.name"]): span for span in spans}
