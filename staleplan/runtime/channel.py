"""The client's side of an RPC: the channel, its deadline and its span.

The channel is wrapped rather than given interceptors: grpc.aio runs an intercepted
call in a task of its own, which costs more than the span.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from functools import partial
from types import TracebackType
from typing import Any, Self, TypeVar, cast

import grpc
from opentelemetry import trace

from staleplan.runtime.attributes import RPC_METHOD, RPC_SYSTEM_NAME
from staleplan.runtime.interceptor import (
    TRACEPARENT,
    UNTRACED_SERVICES,
    end_rpc_span,
)
from staleplan.runtime.telemetry import Telemetry, traceparent_of

CALL_TIMEOUT_S = 10.0
"""Deadline of a unary call that names none, wall seconds.

A plan of 200,000 records takes 1 s; a call without a deadline may hang for ever.
"""

MAX_MESSAGE_BYTES = 64 * 1024 * 1024
"""Largest message, bytes: a plan of 200,000 records is 16 MiB, and plans grow."""

MESSAGE_OPTIONS = (
    ("grpc.max_send_message_length", MAX_MESSAGE_BYTES),
    ("grpc.max_receive_message_length", MAX_MESSAGE_BYTES),
)
"""The limit on messages as options of a channel or a server."""

MIN_RESOLUTION_PERIOD_MS = 100
"""Least time between two DNS look-ups of a channel, wall milliseconds.

gRPC's own 30 s would keep a client 30 s on a server that has moved; with 100 ms it
follows within 20 ms.
"""

MAX_RECONNECT_PAUSE_MS = 1_000
"""Longest pause between two attempts to connect, wall milliseconds.

gRPC's own grows to 120 s: after a server was away for 30 s, its clients came back 17 s
late.
"""

_T = TypeVar("_T")


def channel(target: str, telemetry: Telemetry) -> grpc.aio.Channel:
    """Returns a channel whose calls are traced and, if unary, have a deadline.

    What must notice that a name resolves to nothing has to open a new channel for
    each attempt: one that has resolved once keeps its last good addresses.
    """
    options = (
        *MESSAGE_OPTIONS,
        ("grpc.dns_min_time_between_resolutions_ms", MIN_RESOLUTION_PERIOD_MS),
        ("grpc.max_reconnect_backoff_ms", MAX_RECONNECT_PAUSE_MS),
    )
    return TracedChannel(grpc.aio.insecure_channel(target, options), telemetry)


class TracedChannel(grpc.aio.Channel):
    """A channel that opens a client span for each RPC and sends its trace context."""

    def __init__(self, channel: grpc.aio.Channel, telemetry: Telemetry) -> None:
        self._channel = channel
        self._tracer = telemetry.tracer

    def unary_unary(self, method: str, *args: Any, **kwargs: Any) -> Any:
        """Returns the callable of a method."""
        call = self._channel.unary_unary(method, *args, **kwargs)
        return self._traced(method, call, CALL_TIMEOUT_S)

    def unary_stream(self, method: str, *args: Any, **kwargs: Any) -> Any:
        """Returns the callable of a method."""
        call = self._channel.unary_stream(method, *args, **kwargs)
        return self._traced(method, call, None)

    def stream_unary(self, method: str, *args: Any, **kwargs: Any) -> Any:
        """Returns the callable of a method."""
        call = self._channel.stream_unary(method, *args, **kwargs)
        return self._traced(method, call, None)

    def stream_stream(self, method: str, *args: Any, **kwargs: Any) -> Any:
        """Returns the callable of a method."""
        call = self._channel.stream_stream(method, *args, **kwargs)
        return self._traced(method, call, None)

    def _traced(
        self, method: str, start: Callable[..., Any], default_timeout_s: float | None
    ) -> Callable[..., Any]:
        name = method.removeprefix("/")
        traced = not method.startswith(UNTRACED_SERVICES)
        attributes = {RPC_SYSTEM_NAME: "grpc", RPC_METHOD: name}

        def call(
            request: Any = None,
            *,
            timeout: float | None = default_timeout_s,
            metadata: Any = None,
            **options: Any,
        ) -> Any:
            if not traced:
                return start(request, timeout=timeout, metadata=metadata, **options)
            span = self._tracer.start_span(
                name, kind=trace.SpanKind.CLIENT, attributes=attributes
            )
            carried = (*(metadata or ()), (TRACEPARENT, traceparent_of(span)))
            rpc = start(request, timeout=timeout, metadata=carried, **options)
            rpc.add_done_callback(partial(_finish_call, span))
            return rpc

        return call

    async def close(self, grace: float | None = None) -> None:
        """Closes the channel."""
        await self._channel.close(grace)

    def get_state(self, try_to_connect: bool = False) -> grpc.ChannelConnectivity:
        """Returns the connectivity."""
        return self._channel.get_state(try_to_connect)

    async def wait_for_state_change(
        self, last_observed_state: grpc.ChannelConnectivity
    ) -> None:
        """Waits until the connectivity is another."""
        await self._channel.wait_for_state_change(last_observed_state)

    async def channel_ready(self) -> None:
        """Waits until the channel is connected."""
        await self._channel.channel_ready()

    async def __aenter__(self) -> Self:
        """Enters the life of the channel."""
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc_val: BaseException | None,
        exc_tb: TracebackType | None,
    ) -> None:
        """Closes the channel."""
        await self.close()


def _finish_call(span: trace.Span, call: grpc.aio.Call) -> None:
    """Ends the span of a call that is done.

    The accessors are coroutines, but those of a finished call never wait.
    """
    end_rpc_span(span, _value_of(call.code()), _value_of(call.details()))


def _value_of(finished: Coroutine[Any, Any, _T]) -> _T:
    """Returns what a coroutine that does not wait returns."""
    try:
        finished.send(None)
    except StopIteration as stop:
        return cast("_T", stop.value)
    finished.close()
    raise RuntimeError("the call is not finished")
