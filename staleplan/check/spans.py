"""A recorded trace: which enactor made which pass, and what it sent in it.

The trace must be whole: a process that is killed takes the spans of its last second
with it, and the batches that it sent then would seem to be nobody's.
"""

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from enactor.model import Purpose
from staleplan.model import BatchId
from staleplan.runtime import attributes

PLAN, PASS, TAKE_LOCK = "plan", "pass", "take lock"
BATCHES = frozenset({TAKE_LOCK, Purpose.FLIP, Purpose.RELEASE, Purpose.CLEAN_UP})
NAMES = BATCHES | {PLAN, PASS}
"""Spans that tell what planner and enactors did; the others tell how."""


class UnreadableTrace(ValueError):
    """A file that is no trace, or one whose spans do not tell each batch."""


@dataclass(frozen=True, slots=True)
class Span:
    """One span. Units: wall nanoseconds, of one machine."""

    name: str
    service: str
    id: str
    parent: str
    start_ns: int
    end_ns: int
    told: Mapping[str, Any]

    def __str__(self) -> str:
        """Name it as one would look for it."""
        which = self.told.get(attributes.BATCH_ID, self.service)
        return f"span {self.id}, {self.name} ({which})"


@dataclass(frozen=True, slots=True)
class Trace:
    """What planner and enactors did. Shape: all in the order of their beginnings."""

    plans: tuple[Span, ...]
    passes: tuple[Span, ...]
    batches: Mapping[BatchId, Span]


def read_trace(lines: Iterable[str]) -> Trace:
    """Read OTLP JSON lines. Raises: UnreadableTrace."""
    found = sorted(_spans(lines), key=lambda span: span.start_ns)
    batches: dict[BatchId, Span] = {}
    for span in found:
        if span.name in BATCHES:
            if attributes.BATCH_ID not in span.told:
                raise UnreadableTrace(f"{span} stands for several batches")
            batch_id = BatchId(span.told[attributes.BATCH_ID])
            if batch_id in batches:
                raise UnreadableTrace(f"{span} is there twice")
            batches[batch_id] = span
    return Trace(
        tuple(span for span in found if span.name == PLAN),
        tuple(span for span in found if span.name == PASS),
        batches,
    )


def _spans(lines: Iterable[str]) -> Iterator[Span]:
    for number, line in enumerate(lines, 1):
        try:
            yield from _spans_of(json.loads(line))
        except (ValueError, LookupError, TypeError) as error:
            raise UnreadableTrace(f"line {number} is no OTLP JSON: {error}") from error


def _spans_of(export: dict[str, Any]) -> Iterator[Span]:
    for resource in export["resourceSpans"]:
        service = _told(resource["resource"])["service.name"]
        for scope in resource["scopeSpans"]:
            for span in scope["spans"]:
                if span["name"] in NAMES:
                    yield Span(
                        span["name"],
                        service,
                        span["spanId"],
                        span.get("parentSpanId", ""),
                        int(span["startTimeUnixNano"]),
                        int(span["endTimeUnixNano"]),
                        _told(span),
                    )


def _told(described: dict[str, Any]) -> dict[str, Any]:
    return {a["key"]: _value(a["value"]) for a in described.get("attributes", [])}


def _value(value: dict[str, Any]) -> Any:
    ((kind, found),) = value.items()
    match kind:
        case "intValue":
            return int(found)
        case "arrayValue":
            return [_value(each) for each in found.get("values", [])]
    return found
