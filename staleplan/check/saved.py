"""What `staleplan check --save` leaves of each violation, beside its transcript.

A schedule, to be replayed on a running stack, and a trace, to be looked at in Jaeger:
one span an event, a second apart, red where a property broke.
"""

import json
from collections.abc import Mapping
from pathlib import Path

from opentelemetry import trace
from opentelemetry.exporter.otlp.json.file import FileSpanExporter
from opentelemetry.sdk.resources import SERVICE_NAME, Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.trace import Span, StatusCode, Tracer

from staleplan.check.schedule import Action, Schedule, schedule_of
from staleplan.check.search import Search
from staleplan.check.story import events
from staleplan.model import Generation
from staleplan.runtime import attributes
from staleplan.runtime.clock import INCIDENT_START_S
from staleplan.runtime.telemetry import TRACER_NAME

SECOND_NS = 1_000_000_000


def save(search: Search, stories: Mapping[str, str], mode: str, folder: Path) -> None:
    """Write a transcript, a schedule and a trace of each violation."""
    folder.mkdir(parents=True, exist_ok=True)
    for each, story in stories.items():
        told = list(events(search, search.found.paths[each]))
        schedule = schedule_of(search.question, told)
        name = f"{mode}_{each}"
        (folder / f"{name}.txt").write_text(story + "\n")
        written = json.dumps(schedule.to_json(), indent=2)
        (folder / f"{name}.json").write_text(written + "\n")
        write_trace(schedule, name, folder / f"{name}.trace.jsonl")


def write_trace(schedule: Schedule, name: str, path: Path) -> None:
    """Write a schedule as one trace; what touches a plan is linked to its beginning."""
    path.unlink(missing_ok=True)
    processor = SimpleSpanProcessor(FileSpanExporter(path))
    at_ns = int(INCIDENT_START_S) * SECOND_NS
    root = _tracer("check", processor).start_span(name, start_time=at_ns)
    within = trace.set_span_in_context(root)
    tracers: dict[str, Tracer] = {}
    published: dict[Generation, Span] = {}
    for event in schedule.events:
        tracer = tracers.setdefault(
            event.who, _tracer(event.who.removeprefix("the "), processor)
        )
        plan = published.get(event.generation)
        links = [trace.Link(plan.get_span_context())] if plan else []
        span = tracer.start_span(event.kind, within, links=links, start_time=at_ns)
        _describe(span, event)
        if event.kind == "publish":
            published[event.generation] = span
        at_ns += SECOND_NS
        span.end(at_ns)
    root.end(at_ns)
    processor.shutdown()


def _tracer(service: str, processor: SimpleSpanProcessor) -> Tracer:
    provider = TracerProvider(
        resource=Resource.create({SERVICE_NAME: service}), shutdown_on_exit=False
    )
    provider.add_span_processor(processor)
    return provider.get_tracer(TRACER_NAME)


def _describe(span: Span, event: Action) -> None:
    span.set_attribute("event", event.what)
    if event.generation:
        span.set_attribute(attributes.PLAN_GENERATION, event.generation)
    if event.outcomes:
        span.set_attribute(attributes.ZONES, list(event.outcomes))
        span.set_attribute(attributes.BATCH_OUTCOME, list(event.outcomes.values()))
    if event.broke:
        span.set_status(StatusCode.ERROR, ", ".join(event.broke))
