"""DynamoDB's tables as a service calls them: by name, through DNS."""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import grpc

from protos.dynamodb.v1 import dynamodb_pb2 as pb
from protos.dynamodb.v1.dynamodb_pb2_grpc import TableServiceStub
from staleplan.runtime.by_name import ByName
from staleplan.runtime.errors import RemoteError, ServiceError, error_from_rpc
from staleplan.runtime.telemetry import Telemetry
from staleplan.tables import Conflict, Deleted, Item, Page, Version, Written

if TYPE_CHECKING:
    from protos.dynamodb.v1.dynamodb_pb2_grpc import TableServiceAsyncStub

CALL_TIMEOUT_S = 2.0
"""Deadline of a call, wall seconds: a healthy one takes 4 ms, its channel included."""

AWAY = frozenset({grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED})
"""What says that DynamoDB did not answer, rather than what it answered."""

NEVER_SENT = ("errors resolving ", "failed to connect to all addresses")
"""How gRPC begins to say that a call has not left: no address, or none that listens."""


class TableAway(ServiceError):
    """DynamoDB did not answer; `definite`: what was asked surely did not happen."""

    code = grpc.StatusCode.UNAVAILABLE
    reason = "TABLE_AWAY"

    def __init__(self, cause: RemoteError) -> None:
        super().__init__(f"DynamoDB is away: {cause}")
        self.definite = cause.definite or str(cause).startswith(NEVER_SENT)


class TableClient:
    """Tables behind a name; each call asks DNS, unless the channel is kept.

    Raises: TableAway, if nobody answers in time; RemoteError, for an answer that
        repeating would not change.
    """

    def __init__(
        self,
        dns_target: str,
        endpoint: str,
        port: int,
        telemetry: Telemetry,
        *,
        timeout_s: float = CALL_TIMEOUT_S,
        keep_channel: bool = False,
    ) -> None:
        """Will resolve `endpoint` at `dns_target` (host:port), and connect to `port`.

        Units: `timeout_s` is wall seconds for each call.
        """
        self._way = ByName(
            dns_target, endpoint, port, telemetry, keep_channel=keep_channel
        )
        self._timeout_s = timeout_s

    async def close(self) -> None:
        """Close the channel that was kept."""
        await self._way.close()

    async def get(self, table: str, key: str) -> Item | None:
        """Return an item as it is now."""
        request = pb.GetItemRequest(table=table, key=key)
        async with self._attempt() as stub:
            reply = await stub.GetItem(request, timeout=self._timeout_s)
        return _item(reply.item) if reply.HasField("item") else None

    async def put(
        self,
        table: str,
        key: str,
        attributes: Mapping[str, str],
        expected: Version | None = None,
    ) -> Written | Conflict:
        """Write an item whole, if it has the expected version."""
        request = pb.PutItemRequest(
            table=table, key=key, attributes=attributes, expected_version=expected
        )
        async with self._attempt() as stub:
            reply = await stub.PutItem(request, timeout=self._timeout_s)
        if reply.HasField("conflict"):
            return _conflict(reply.conflict)
        return Written(_item(reply.written))

    async def delete(
        self, table: str, key: str, expected: Version | None = None
    ) -> Deleted | Conflict:
        """Remove an item, if it has the expected version."""
        request = pb.DeleteItemRequest(table=table, key=key, expected_version=expected)
        async with self._attempt() as stub:
            reply = await stub.DeleteItem(request, timeout=self._timeout_s)
        return _conflict(reply.conflict) if reply.HasField("conflict") else Deleted()

    async def query(
        self, table: str, key_prefix: str = "", after_key: str = ""
    ) -> Page:
        """Return items whose keys begin with a prefix and come after another key."""
        request = pb.QueryItemsRequest(
            table=table, key_prefix=key_prefix, after_key=after_key
        )
        async with self._attempt() as stub:
            reply = await stub.QueryItems(request, timeout=self._timeout_s)
        return Page(tuple(map(_item, reply.items)), reply.more)

    @asynccontextmanager
    async def _attempt(self) -> AsyncIterator["TableServiceAsyncStub"]:
        try:
            async with self._way.channel() as channel:
                yield TableServiceStub(channel)
        except grpc.aio.AioRpcError as error:
            cause = error_from_rpc(error)
            if cause.code in AWAY:
                raise TableAway(cause) from error
            raise cause from error


def _item(message: pb.Item) -> Item:
    return Item(message.key, Version(message.version), dict(message.attributes))


def _conflict(message: pb.Conflict) -> Conflict:
    found = _item(message.found) if message.HasField("found") else None
    return Conflict(Version(message.expected_version), found)
