"""The log: JSON lines with incident time and trace ids, and never a secret."""

from __future__ import annotations

import logging
import re
import sys
from collections.abc import Callable
from typing import TextIO

import structlog
from opentelemetry import trace
from structlog.typing import EventDict, FilteringBoundLogger, WrappedLogger

from staleplan.runtime.attributes import INCIDENT_TIME
from staleplan.runtime.clock import Clock, local_time

BoundLogger = FilteringBoundLogger
"""What `Telemetry.log` is."""

MASK = "***"
"""What stands in a log line for a secret."""

_SECRET_NAME = re.compile(r"password|secret|token|credential|private_key", re.I)
_URL_PASSWORD = re.compile(r"(://[^/\s:@]*):[^/\s@]+@")


def json_log(
    clock: Clock, level: str = "info", stream: TextIO | None = None
) -> BoundLogger:
    """Returns a log that writes JSON lines to a stream, standard error by default."""
    logger: BoundLogger = structlog.wrap_logger(
        structlog.WriteLogger(stream or sys.stderr),
        processors=[
            structlog.processors.add_log_level,
            _incident_time_of(clock),
            add_trace_ids,
            structlog.processors.format_exc_info,
            mask_secrets,
            structlog.processors.JSONRenderer(default=str),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(
            logging.getLevelNamesMapping()[level.upper()]
        ),
        cache_logger_on_first_use=True,
    )
    return logger


def add_trace_ids(_: WrappedLogger, __: str, event: EventDict) -> EventDict:
    """Names the span that was current when the line was written."""
    context = trace.get_current_span().get_span_context()
    if context.is_valid:
        event["trace_id"] = trace.format_trace_id(context.trace_id)
        event["span_id"] = trace.format_span_id(context.span_id)
    return event


def mask_secrets(_: WrappedLogger, __: str, event: EventDict) -> EventDict:
    """Masks values whose name says secret, and passwords inside URLs."""
    for name, value in event.items():
        if _SECRET_NAME.search(name):
            event[name] = MASK
        elif isinstance(value, str):
            event[name] = _URL_PASSWORD.sub(rf"\1:{MASK}@", value)
    return event


def _incident_time_of(
    clock: Clock,
) -> Callable[[WrappedLogger, str, EventDict], EventDict]:
    def add_incident_time(_: WrappedLogger, __: str, event: EventDict) -> EventDict:
        event[INCIDENT_TIME] = local_time(clock.now_s())
        return event

    return add_incident_time
