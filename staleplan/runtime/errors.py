"""Errors that services raise, and what they become on the wire and back.

A service raises a `ServiceError`; one interceptor turns it into a gRPC status with
`google.rpc` details; `error_from_rpc` gives a client the same facts back. No
handler calls `context.abort`.
"""

from __future__ import annotations

import difflib
import math
from collections.abc import Iterable, Mapping
from typing import Any

import grpc
from google.protobuf import any_pb2
from google.rpc import (
    code_pb2,
    error_details_pb2,
    status_pb2,
)
from grpc_status import rpc_status

ERROR_DOMAIN = "staleplan"
"""Domain of every `google.rpc.ErrorInfo` that a service sends."""

DEFINITE_KEY = "definite"
"""Key of `ErrorInfo.metadata` that carries `ServiceError.definite`."""

NANOSECONDS = 1_000_000_000
"""Nanoseconds in a second: what a `google.protobuf.Duration` counts."""


class ServiceError(Exception):
    """An error that a service reports to its caller.

    A subclass sets `code`, `reason` and `definite`. `definite` answers one question:
    did what was asked for surely not happen? `fields` maps the path of each bad
    request field to what is wrong with it; `detail_metadata` carries the facts of
    the error, such as both sides of a conflict. `retry_after_s` asks the caller to
    stay away for so long, incident seconds.
    """

    code: grpc.StatusCode = grpc.StatusCode.INTERNAL
    reason: str = "INTERNAL"
    definite: bool = False

    def __init__(
        self,
        message: str,
        *,
        fields: Mapping[str, str] | None = None,
        detail_metadata: Mapping[str, str] | None = None,
        retry_after_s: float | None = None,
    ) -> None:
        super().__init__(message)
        self.fields = dict(fields or {})
        self.detail_metadata = dict(detail_metadata or {})
        self.retry_after_s = retry_after_s


class InvalidArgumentError(ServiceError):
    """A request is wrong in itself, whatever the state; nothing of it was done."""

    code = grpc.StatusCode.INVALID_ARGUMENT
    reason = "INVALID_ARGUMENT"
    definite = True

    def __init__(self, fields: Mapping[str, str]) -> None:
        message = "; ".join(f"{path}: {problem}" for path, problem in fields.items())
        super().__init__(message, fields=fields)


class UnknownNameError(InvalidArgumentError):
    """A request names something that does not exist; the message has the nearest."""

    def __init__(self, path: str, name: str, known: Iterable[str]) -> None:
        names = sorted(known)
        near = difflib.get_close_matches(name, names, n=1, cutoff=0)
        hint = f"; did you mean {near[0]!r}?" if near else ""
        super().__init__({path: f"unknown name {name!r}{hint}"})


class PermissionDeniedError(ServiceError):
    """The caller, or the way the service was started, does not allow the call."""

    code = grpc.StatusCode.PERMISSION_DENIED
    reason = "PERMISSION_DENIED"
    definite = True


class ReplyLostError(ServiceError):
    """The effect happened and its reply was lost, because a `drop` fault says so."""

    code = grpc.StatusCode.UNAVAILABLE
    reason = "REPLY_LOST"
    definite = False


class RemoteError(ServiceError):
    """An RPC failed, with every fact that the server gave about it."""

    def __init__(
        self,
        message: str,
        *,
        code: grpc.StatusCode,
        reason: str,
        definite: bool,
        fields: Mapping[str, str],
        detail_metadata: Mapping[str, str],
        retry_after_s: float | None,
    ) -> None:
        super().__init__(
            message,
            fields=fields,
            detail_metadata=detail_metadata,
            retry_after_s=retry_after_s,
        )
        self.code = code
        self.reason = reason
        self.definite = definite


def check_amount(path: str, value: float, *, least: float = 0.0) -> None:
    """Refuses a number that is not finite, or is below `least`.

    Raises: InvalidArgumentError, with the path of the field.
    """
    if not math.isfinite(value):
        raise InvalidArgumentError({path: f"must be a finite number, got {value}"})
    if value < least:
        raise InvalidArgumentError({path: f"must be at least {least:g}, got {value}"})


def status_of(error: ServiceError) -> status_pb2.Status:
    """Returns the `google.rpc.Status` that carries every fact of an error."""
    info = error_details_pb2.ErrorInfo(
        reason=error.reason,
        domain=ERROR_DOMAIN,
        metadata={**error.detail_metadata, DEFINITE_KEY: str(error.definite).lower()},
    )
    status = status_pb2.Status(
        code=code_pb2.Code.Value(error.code.name), message=str(error)
    )
    status.details.add().Pack(info)
    if error.fields:
        bad_request = error_details_pb2.BadRequest()
        for path, problem in error.fields.items():
            bad_request.field_violations.add(field=path, description=problem)
        status.details.add().Pack(bad_request)
    if error.retry_after_s is not None:
        retry = error_details_pb2.RetryInfo()
        retry.retry_delay.FromNanoseconds(round(error.retry_after_s * NANOSECONDS))
        status.details.add().Pack(retry)
    return status


def error_from_rpc(error: grpc.aio.AioRpcError) -> RemoteError:
    """Returns the error that the server raised, from the RPC error that arrived.

    A failure without details did not come from a service but from the way to it,
    so that nobody knows how far the request came: it is never definite.
    """
    try:
        status = rpc_status.from_call(error)  # type: ignore[arg-type]
    except ValueError:
        # The details contradict the status: believe the status.
        status = None
    info = error_details_pb2.ErrorInfo()
    bad_request = error_details_pb2.BadRequest()
    retry = error_details_pb2.RetryInfo()
    for detail in status.details if status else ():
        _unpack_into(detail, info, bad_request, retry)
    metadata = dict(info.metadata)
    definite = metadata.pop(DEFINITE_KEY, "false")
    return RemoteError(
        error.details() or error.code().name,
        code=error.code(),
        reason=info.reason or error.code().name,
        definite=definite == "true",
        fields={bad.field: bad.description for bad in bad_request.field_violations},
        detail_metadata=metadata,
        retry_after_s=(
            retry.retry_delay.ToNanoseconds() / NANOSECONDS
            if retry.HasField("retry_delay")
            else None
        ),
    )


def _unpack_into(detail: any_pb2.Any, *messages: Any) -> None:
    """Unpacks a detail into whichever of the messages it is."""
    for message in messages:
        if detail.Is(message.DESCRIPTOR):
            detail.Unpack(message)
