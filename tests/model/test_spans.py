"""A trace is read whole, or refused with what is wrong with it."""

import json
from functools import cache
from typing import Any

import pytest

from enactor.model import Purpose
from staleplan.check.spans import (
    BATCHES,
    NAMES,
    TAKE_LOCK,
    UnreadableTrace,
    read_trace,
)
from staleplan.runtime import attributes
from tests.model.recorded.record import load_trace

load_trace = cache(load_trace)


def test_a_recorded_trace_is_read() -> None:
    trace = read_trace(load_trace("fixed"))
    assert trace.plans[0].service == "planner"
    assert {span.service for span in trace.passes} == {f"enactor-{az}" for az in "abc"}
    assert {span.name for span in trace.batches.values()} == BATCHES
    for batch_id, span in trace.batches.items():
        assert batch_id.startswith(f"{span.service}/")
        assert span.start_ns <= span.end_ns
    for spans in (trace.plans, trace.passes, [*trace.batches.values()]):
        assert [*spans] == sorted(spans, key=lambda span: span.start_ns)
    deleted = [s for s in trace.batches.values() if s.name == Purpose.CLEAN_UP]
    assert all(span.told[attributes.PLAN_DELETED] for span in deleted)


def test_other_spans_are_passed_over() -> None:
    lines = [json.loads(line) for line in load_trace("fixed")]
    for span in spans_in(lines):
        if span["name"] == TAKE_LOCK:
            span["name"] = "something else"
    assert "something else" not in NAMES
    trace = read_trace(map(json.dumps, lines))
    names = {span.name for span in trace.batches.values()}
    assert names == BATCHES - {TAKE_LOCK}


def spans_in(lines: list[Any]) -> list[Any]:
    return [
        span
        for line in lines
        for resource in line["resourceSpans"]
        for scope in resource["scopeSpans"]
        for span in scope["spans"]
    ]


@pytest.mark.parametrize("line", ["{", "[]", '{"resourceSpans": [{}]}'])
def test_what_is_no_trace_is_refused(line: str) -> None:
    lines = [*load_trace("fixed")[:2], line]
    with pytest.raises(UnreadableTrace, match="line 3 is no OTLP JSON: "):
        read_trace(lines)


def test_a_span_that_stands_for_several_batches_is_refused() -> None:
    """So does an enactor tell of more batches than any reader of a trace would."""
    lines = [json.loads(line) for line in load_trace("fixed")]
    span = next(each for each in spans_in(lines) if each["name"] == "flip")
    kept = [a for a in span["attributes"] if a["key"] != attributes.BATCH_ID]
    span["attributes"] = kept
    said = f"{span['spanId']}, flip .* stands for several batches"
    with pytest.raises(UnreadableTrace, match=said):
        read_trace(map(json.dumps, lines))


def test_two_spans_of_one_batch_are_refused() -> None:
    with pytest.raises(UnreadableTrace, match="is there twice"):
        read_trace(load_trace("fixed") * 2)
