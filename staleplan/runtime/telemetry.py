"""Spans, metrics and the log of one service; nothing here is global.

`Exporters` belongs to a process: it owns the trace file, the connection to a
collector and the thread that writes. `Telemetry` belongs to a service, of which a
process may run several, each under its own name.
"""

from __future__ import annotations

import asyncio
import re
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self, TextIO

from opentelemetry import trace
from opentelemetry.exporter.otlp.json.file import FileSpanExporter
from opentelemetry.exporter.otlp.proto.grpc.metric_exporter import OTLPMetricExporter
from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.metrics import AlwaysOffExemplarFilter, MeterProvider
from opentelemetry.sdk.metrics.export import (
    InMemoryMetricReader,
    MetricReader,
    MetricsData,
    PeriodicExportingMetricReader,
)
from opentelemetry.sdk.resources import SERVICE_NAME, Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter
from opentelemetry.sdk.trace.sampling import ALWAYS_ON
from opentelemetry.util.types import Attributes

from staleplan.runtime.attributes import STACK
from staleplan.runtime.logs import BoundLogger

TRACER_NAME = "staleplan"
"""Instrumentation scope of every span and metric."""

SPAN_QUEUE = 65_536
"""Spans that wait for export before the oldest is dropped.

At 3,000 RPCs a second, the most that one process serves, this is 20 s of spans.
"""

SPAN_BATCH = 512
"""Spans in one export: some 200 KiB of OTLP, far below the 4 MiB of a collector."""

EXPORT_PERIOD_S = 1.0
"""How long a span waits for export, wall seconds: an operator is watching."""

METRICS_PERIOD_S = 5.0
"""How often metrics are sent to a collector, wall seconds."""

EXPORT_TIMEOUT_S = 2.0
"""How long one export may take, wall seconds, retries included."""

FLUSH_TIMEOUT_S = 1.0
"""How long spans may take to leave at shut-down, wall seconds.

A collector that is gone would hold the SDK for 7 s; who stops a stack does not wait.
"""

ABORT_TIMEOUT_S = 0.5
"""How long an export that was told to give up may take to do so, wall seconds."""

_TRACEPARENT = re.compile(r"00-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})")


class Exporters:
    """Where the spans and metrics of a process go.

    Use it as an async context manager: leaving it writes out what is left, in
    bounded time.

    Not guaranteed: what a collector that does not answer was to be sent is lost.
    """

    def __init__(
        self,
        trace_file: Path | None = None,
        otlp_endpoint: str | None = None,
        otlp_metrics_endpoint: str | None = None,
        span_exporters: Sequence[SpanExporter] = (),
    ) -> None:
        """Opens the trace file, for appending, and the way to the collector.

        Metrics have an endpoint of their own: Jaeger takes spans and no metrics.
        """
        exporters = list(span_exporters)
        if trace_file is not None:
            trace_file.parent.mkdir(parents=True, exist_ok=True)
            exporters.append(FileSpanExporter(trace_file))
        if otlp_endpoint:
            exporters.append(
                OTLPSpanExporter(endpoint=otlp_endpoint, timeout=EXPORT_TIMEOUT_S)
            )
        self.span_processors = [_batching(exporter) for exporter in exporters]
        self._otlp_metrics_endpoint = otlp_metrics_endpoint
        self._logs: list[TextIO] = []
        # How to flush and close each way out, and how to make that give up.
        self._closing: list[tuple[Callable[[], None], Callable[[], None]]] = [
            (processor.shutdown, exporter.shutdown)
            for processor, exporter in zip(self.span_processors, exporters, strict=True)
        ]

    def open_log(self, log_file: Path) -> TextIO:
        """Opens a log file, for appending; it is closed after the last service."""
        log_file.parent.mkdir(parents=True, exist_ok=True)
        stream = log_file.open("a", buffering=1)
        self._logs.append(stream)
        return stream

    def new_metric_readers(self) -> list[MetricReader]:
        """Returns what sends the metrics of one more service to the collector."""
        if not self._otlp_metrics_endpoint:
            return []
        exporter = OTLPMetricExporter(
            endpoint=self._otlp_metrics_endpoint, timeout=EXPORT_TIMEOUT_S
        )
        reader = PeriodicExportingMetricReader(
            exporter, export_interval_millis=METRICS_PERIOD_S * 1000
        )
        self._closing.append((reader.shutdown, exporter.shutdown))
        return [reader]

    async def shutdown(self) -> bool:
        """Writes out what is left; returns whether all of it left in time.

        Takes at most `FLUSH_TIMEOUT_S` + `ABORT_TIMEOUT_S`.
        """
        closing, self._closing = self._closing, []
        all_left = await asyncio.to_thread(_close_all, closing)
        for stream in self._logs:
            stream.close()
        return all_left

    async def __aenter__(self) -> Self:
        """Enters the life of the exporters."""
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Writes out what is left."""
        await self.shutdown()


class Telemetry:
    """The tracer, the meter and the log of one service."""

    def __init__(
        self,
        service: str,
        *,
        stack: str,
        exporters: Exporters,
        log: BoundLogger,
        resource: Mapping[str, str] | None = None,
    ) -> None:
        """Names every span, metric and log line after the service and its stack."""
        self.service = service
        self.log = log.bind(service=service, stack=stack)
        identity = Resource.create(
            {**(resource or {}), SERVICE_NAME: service, STACK: stack}
        )
        provider = TracerProvider(
            sampler=ALWAYS_ON, resource=identity, shutdown_on_exit=False
        )
        for processor in exporters.span_processors:
            provider.add_span_processor(processor)
        self.tracer_provider = provider
        self.tracer = provider.get_tracer(TRACER_NAME)
        self._metrics = InMemoryMetricReader()
        meter_provider = MeterProvider(
            metric_readers=[self._metrics, *exporters.new_metric_readers()],
            resource=identity,
            # Exemplars cost a quarter of each measurement, and nobody shows them.
            exemplar_filter=AlwaysOffExemplarFilter(),
            shutdown_on_exit=False,
        )
        self.meter = meter_provider.get_meter(TRACER_NAME)

    def metrics(self) -> MetricsData | None:
        """Returns every metric as it is now, or None if nothing was measured."""
        return self._metrics.get_metrics_data()


def link_to(traceparent: str, attributes: Attributes = None) -> list[trace.Link]:
    """Returns the link to the span that a W3C traceparent names.

    It is a list, as `start_span(links=...)` wants it, and empty where the text
    names no span: a plan that was published without a trace is no error.
    """
    context = span_context_of(traceparent)
    return [trace.Link(context, attributes)] if context.is_valid else []


def span_context_of(traceparent: str) -> trace.SpanContext:
    """Returns the span that a W3C traceparent names, or an invalid one if none.

    The SDK's propagator does the same in four times the time, because it reads
    tracestate too, which nobody here writes; it would be a tenth of an RPC.
    """
    match = _TRACEPARENT.fullmatch(traceparent)
    if match is None:
        return trace.INVALID_SPAN_CONTEXT
    trace_id, span_id, flags = (int(part, 16) for part in match.groups())
    return trace.SpanContext(
        trace_id, span_id, is_remote=True, trace_flags=trace.TraceFlags(flags)
    )


def traceparent_of(span: trace.Span) -> str:
    """Returns the W3C traceparent that names a span."""
    context = span.get_span_context()
    return (
        f"00-{context.trace_id:032x}-{context.span_id:016x}-{context.trace_flags:02x}"
    )


def _batching(exporter: SpanExporter) -> BatchSpanProcessor:
    return BatchSpanProcessor(
        exporter,
        max_queue_size=SPAN_QUEUE,
        max_export_batch_size=SPAN_BATCH,
        schedule_delay_millis=EXPORT_PERIOD_S * 1000,
    )


def _close_all(
    closing: Sequence[tuple[Callable[[], None], Callable[[], None]]],
) -> bool:
    """Flushes every way out side by side; makes what is late give up."""
    threads = [threading.Thread(target=flush, daemon=True) for flush, _ in closing]
    for thread in threads:
        thread.start()
    _join_all(threads, FLUSH_TIMEOUT_S)
    late = [
        abort
        for thread, (_, abort) in zip(threads, closing, strict=True)
        if thread.is_alive()
    ]
    for abort in late:
        abort()
    _join_all(threads, ABORT_TIMEOUT_S)
    return not late


def _join_all(threads: Sequence[threading.Thread], timeout_s: float) -> None:
    """Waits for threads, all of them together no longer than a time."""
    deadline_s = time.monotonic() + timeout_s
    for thread in threads:
        thread.join(max(0.0, deadline_s - time.monotonic()))
