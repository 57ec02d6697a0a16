import io
import json

import pytest
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider

from staleplan.runtime.clock import INCIDENT_START_S, ScaledClock
from staleplan.runtime.logs import BoundLogger, json_log


@pytest.fixture
def stream() -> io.StringIO:
    return io.StringIO()


@pytest.fixture
def log(stream: io.StringIO) -> BoundLogger:
    clock = ScaledClock(1e-6, INCIDENT_START_S + 7)
    return json_log(clock, "info", stream).bind(service="planner", stack="one")


def test_a_line_is_json_with_incident_time(
    log: BoundLogger, stream: io.StringIO
) -> None:
    log.info("published", **{"plan.generation": 7})
    assert json.loads(stream.getvalue()) == {
        "event": "published",
        "level": "info",
        "service": "planner",
        "stack": "one",
        "incident.time": "23:48:07",
        "plan.generation": 7,
    }


def test_a_line_names_its_span(log: BoundLogger, stream: io.StringIO) -> None:
    tracer = TracerProvider(shutdown_on_exit=False).get_tracer("test")
    with tracer.start_as_current_span("pass") as span:
        log.info("applied")
    line = json.loads(stream.getvalue())
    context = span.get_span_context()
    assert line["trace_id"] == trace.format_trace_id(context.trace_id)
    assert line["span_id"] == trace.format_span_id(context.span_id)


def test_what_is_below_the_level_is_not_written(
    log: BoundLogger, stream: io.StringIO
) -> None:
    log.debug("detail")
    assert stream.getvalue() == ""


def test_secrets_are_masked(log: BoundLogger, stream: io.StringIO) -> None:
    log.info(
        "connected to postgresql://me:hunter2@127.0.0.1/x",
        password="hunter2",
        api_token="hunter2",
        url="postgresql://me:hunter2@127.0.0.1/x",
    )
    assert "hunter2" not in stream.getvalue()
    line = json.loads(stream.getvalue())
    assert line["password"] == "***"
    assert line["url"] == "postgresql://me:***@127.0.0.1/x"


def test_an_exception_is_written_with_its_secrets_masked(
    log: BoundLogger, stream: io.StringIO
) -> None:
    error = RuntimeError("cannot reach postgresql://me:hunter2@127.0.0.1/x")
    log.error("failed", exc_info=error)
    line = json.loads(stream.getvalue())
    assert "RuntimeError: cannot reach" in line["exception"]
    assert "hunter2" not in stream.getvalue()
