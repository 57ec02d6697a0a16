import grpc
import pytest
from grpc_status import rpc_status

from staleplan.runtime.errors import (
    InvalidArgumentError,
    ReplyLostError,
    ServiceError,
    UnknownNameError,
    error_from_rpc,
    status_of,
)


class ParentNotLatestError(ServiceError):
    code = grpc.StatusCode.ABORTED
    reason = "PARENT_NOT_LATEST"
    definite = True


def as_received(error: ServiceError) -> grpc.aio.AioRpcError:
    status = rpc_status.to_status(status_of(error))
    return grpc.aio.AioRpcError(
        status.code,
        grpc.aio.Metadata(),
        grpc.aio.Metadata(*status.trailing_metadata),
        status.details,
    )


def test_every_fact_arrives() -> None:
    sent = ParentNotLatestError(
        "parent 7 is not the latest, 9 is",
        fields={"plan.parent": "is 7"},
        detail_metadata={"latest": "9", "attempted": "7"},
    )
    received = error_from_rpc(as_received(sent))
    assert received.code is grpc.StatusCode.ABORTED
    assert received.reason == "PARENT_NOT_LATEST"
    assert received.definite is True
    assert str(received) == "parent 7 is not the latest, 9 is"
    assert received.fields == {"plan.parent": "is 7"}
    assert received.detail_metadata == {"latest": "9", "attempted": "7"}


def test_a_lost_reply_is_not_definite() -> None:
    received = error_from_rpc(as_received(ReplyLostError("lost")))
    assert received.reason == "REPLY_LOST"
    assert received.definite is False


@pytest.mark.parametrize(
    "code", [grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.RESOURCE_EXHAUSTED]
)
def test_a_failure_of_the_way_is_never_definite(code: grpc.StatusCode) -> None:
    broken = grpc.aio.AioRpcError(
        code, grpc.aio.Metadata(), grpc.aio.Metadata(), "gone"
    )
    received = error_from_rpc(broken)
    assert received.code is code
    assert received.reason == code.name
    assert received.definite is False
    assert str(received) == "gone"
    assert received.fields == {}


def test_details_that_contradict_the_status_are_not_believed() -> None:
    status = rpc_status.to_status(status_of(ParentNotLatestError("stale")))
    broken = grpc.aio.AioRpcError(
        grpc.StatusCode.UNAVAILABLE,
        grpc.aio.Metadata(),
        grpc.aio.Metadata(*status.trailing_metadata),
        "reset",
    )
    received = error_from_rpc(broken)
    assert received.reason == "UNAVAILABLE"
    assert received.definite is False


def test_the_message_of_a_bad_argument_names_its_fields() -> None:
    error = InvalidArgumentError({"a.b": "must be 1", "c": "is missing"})
    assert str(error) == "a.b: must be 1; c: is missing"


def test_an_unknown_name_suggests_the_nearest() -> None:
    error = UnknownNameError("zone", "regionel", ["fips", "regional"])
    assert error.fields == {"zone": "unknown name 'regionel'; did you mean 'regional'?"}
    assert UnknownNameError("zone", "x", []).fields == {"zone": "unknown name 'x'"}


@pytest.mark.parametrize("retry_after_s", [0.0, 0.25, 12.5, 86_400.0])
def test_when_to_come_back_arrives(retry_after_s: float) -> None:
    sent = ParentNotLatestError("later", retry_after_s=retry_after_s)
    received = error_from_rpc(as_received(sent))
    assert received.retry_after_s == retry_after_s
    assert received.reason == "PARENT_NOT_LATEST"


def test_an_error_that_says_nothing_of_time_asks_for_none() -> None:
    assert error_from_rpc(as_received(ReplyLostError("lost"))).retry_after_s is None
