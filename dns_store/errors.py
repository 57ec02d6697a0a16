"""What the store cannot do, said with both sides: what was asked, what was found."""

from collections.abc import Iterable, Mapping

import grpc

from staleplan.model import EndpointName, ZoneName
from staleplan.runtime.errors import (
    InvalidArgumentError,
    ServiceError,
    UnknownNameError,
)


class InvalidDraft(InvalidArgumentError):
    """A draft breaks rules of form; nothing of it is stored."""

    reason = "INVALID_DRAFT"


class InvalidBatch(InvalidArgumentError):
    """A batch breaks rules of form; no batch of the call is judged."""

    reason = "INVALID_BATCH"


class UnknownZone(UnknownNameError):
    """No plan has ever named this zone; no batch of the call is judged."""

    reason = "UNKNOWN_ZONE"

    def __init__(self, path: str, zone: ZoneName, known: Iterable[ZoneName]) -> None:
        super().__init__(path, zone, known)


class UnknownEndpoint(UnknownNameError):
    """The zone has no such endpoint; no batch of the call is judged."""

    reason = "UNKNOWN_ENDPOINT"

    def __init__(
        self, path: str, endpoint: EndpointName, known: Iterable[EndpointName]
    ) -> None:
        super().__init__(path, endpoint, known)


class EndpointsChanged(ServiceError):
    """A draft leaves out a zone or alters its endpoints; nothing of it is stored."""

    code = grpc.StatusCode.FAILED_PRECONDITION
    reason = "ENDPOINTS_CHANGED"
    definite = True

    def __init__(self, fields: Mapping[str, str]) -> None:
        message = "; ".join(f"{path}: {problem}" for path, problem in fields.items())
        super().__init__(message, fields=fields)
