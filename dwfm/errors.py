"""What DWFM tells a customer whose request came to nothing."""

from collections.abc import Mapping
from dataclasses import dataclass

import grpc

from dwfm.model import Answer, Kind, Outcome
from staleplan.runtime.errors import ServiceError


@dataclass(frozen=True, slots=True)
class Told:
    """How an outcome is told; `definite`: surely nothing of it was done."""

    code: grpc.StatusCode
    reason: str
    definite: bool
    text: str


NO_CAPACITY = Told(
    grpc.StatusCode.RESOURCE_EXHAUSTED,
    "INSUFFICIENT_CAPACITY",
    True,
    "no droplet with an active lease has room",
)

FAILURES: Mapping[Outcome, Told] = {
    Outcome.INSUFFICIENT_CAPACITY: NO_CAPACITY,
    Outcome.REQUEST_LIMIT_EXCEEDED: Told(
        grpc.StatusCode.RESOURCE_EXHAUSTED,
        "REQUEST_LIMIT_EXCEEDED",
        True,
        "no more work is taken in now",
    ),
    Outcome.DRAINING: Told(
        grpc.StatusCode.UNAVAILABLE, "DRAINING", True, "an operator drains the host"
    ),
    Outcome.STORE_AWAY: Told(
        grpc.StatusCode.UNAVAILABLE, "STORE_AWAY", False, "DynamoDB is away"
    ),
    Outcome.DROPLET_FAILED: Told(
        grpc.StatusCode.UNAVAILABLE,
        "DROPLET_FAILED",
        False,
        "the droplet did not do it, or nobody knows whether it did",
    ),
    Outcome.NO_LEASE: Told(
        grpc.StatusCode.UNAVAILABLE,
        "NO_LEASE",
        False,
        "the host has no active lease on the instance's droplet",
    ),
    Outcome.EXPIRED: Told(
        grpc.StatusCode.DEADLINE_EXCEEDED,
        "EXPIRED",
        True,
        "it could no longer be done in time",
    ),
    Outcome.RESTARTED: Told(
        grpc.StatusCode.UNAVAILABLE,
        "RESTARTED",
        False,
        "an operator restarted the host",
    ),
    Outcome.UNKNOWN: Told(
        grpc.StatusCode.NOT_FOUND, "UNKNOWN_INSTANCE", True, "there is no such instance"
    ),
    Outcome.TERMINATED: Told(
        grpc.StatusCode.FAILED_PRECONDITION,
        "INSTANCE_TERMINATED",
        True,
        "the instance of this token has ended, and a token launches once",
    ),
}
"""Every outcome that is none of those wanted. Source: R27, R30."""

WANTED: Mapping[Kind, Outcome] = {
    Kind.LAUNCH: Outcome.RUNNING,
    Kind.TERMINATE: Outcome.TERMINATED,
}
"""What a request is made for."""


class RequestFailedError(ServiceError):
    """A launch or a termination came to nothing."""

    def __init__(self, answer: Answer) -> None:
        told = FAILURES[answer.outcome]
        self.code, self.reason, self.definite = told.code, told.reason, told.definite
        super().__init__(
            f"{answer.instance}: {told.text}", retry_after_s=answer.retry_after_s
        )


def insist(answer: Answer) -> Answer:
    """Return an answer that is what was wanted.

    Raises: RequestFailedError.
    """
    if answer.outcome is not WANTED[answer.kind]:
        raise RequestFailedError(answer)
    return answer


class WaitTooLongError(ServiceError):
    """A caller who named no deadline has waited long enough."""

    code = grpc.StatusCode.DEADLINE_EXCEEDED
    reason = "WAITED_TOO_LONG"
