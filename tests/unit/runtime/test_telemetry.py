import asyncio
import io
import threading
from collections.abc import Sequence

import pytest
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from staleplan.runtime.attributes import ENACTOR_AZ, PLAN_GENERATION, STACK
from staleplan.runtime.clock import ScaledClock
from staleplan.runtime.logs import json_log
from staleplan.runtime.telemetry import (
    Exporters,
    Telemetry,
    link_to,
    traceparent_of,
)


class StuckExporter(SpanExporter):
    """Exports nothing until it is told to give up, like one whose peer is gone."""

    def __init__(self) -> None:
        self.given_up = threading.Event()

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:  # noqa: ARG002
        self.given_up.wait()
        return SpanExportResult.FAILURE

    def shutdown(self) -> None:
        self.given_up.set()


def make_telemetry(
    service: str, exporters: Exporters, resource: dict[str, str] | None = None
) -> Telemetry:
    log = json_log(ScaledClock(), "error", io.StringIO())
    return Telemetry(
        service, stack="one", exporters=exporters, log=log, resource=resource
    )


async def test_services_of_one_process_share_the_way_out_but_not_the_name() -> None:
    spans = InMemorySpanExporter()
    async with Exporters(span_exporters=[spans]) as exporters:
        planner = make_telemetry("planner", exporters)
        enactor = make_telemetry("enactor", exporters, {ENACTOR_AZ: "a"})
        for telemetry in (planner, enactor):
            telemetry.tracer.start_span("pass").end()
        enactor.meter.create_counter("passes").add(1)
    first, second = (span.resource.attributes for span in spans.get_finished_spans())
    assert (first["service.name"], first[STACK]) == ("planner", "one")
    assert (second["service.name"], second[ENACTOR_AZ]) == ("enactor", "a")
    assert ENACTOR_AZ not in first
    assert planner.metrics() is None
    assert enactor.metrics() is not None


async def test_a_link_leads_to_the_span_that_a_traceparent_names() -> None:
    async with Exporters() as exporters:
        tracer = make_telemetry("planner", exporters).tracer
        span = tracer.start_span("publish")
        (link,) = link_to(traceparent_of(span), {PLAN_GENERATION: 7})
        assert link.context.trace_id == span.get_span_context().trace_id
        assert link.context.span_id == span.get_span_context().span_id
        assert link.attributes == {PLAN_GENERATION: 7}


@pytest.mark.parametrize("text", ["", "nonsense", f"00-{'0' * 32}-{'0' * 16}-01"])
def test_a_traceparent_that_names_no_span_is_no_link(text: str) -> None:
    assert link_to(text) == []


async def test_a_flush_that_is_done_in_time_says_so() -> None:
    exporters = Exporters(span_exporters=[InMemorySpanExporter()])
    make_telemetry("planner", exporters).tracer.start_span("pass").end()
    assert await exporters.shutdown() is True
    assert await exporters.shutdown() is True


async def test_an_exporter_that_is_stuck_gives_up_and_holds_up_no_other() -> None:
    stuck, healthy = StuckExporter(), InMemorySpanExporter()
    exporters = Exporters(span_exporters=[stuck, healthy])
    make_telemetry("planner", exporters).tracer.start_span("pass").end()
    # Bounded by FLUSH_TIMEOUT_S + ABORT_TIMEOUT_S; unbounded it would be 30 s.
    assert await asyncio.wait_for(exporters.shutdown(), 10) is False
    assert stuck.given_up.is_set()
    assert len(healthy.get_finished_spans()) == 1
