"""The table API of DynamoDB, as each load balancer of its endpoint serves it."""

# gRPC decides what a method is called and what it takes.
# ruff: noqa: ARG002, N802

from typing import Any

from protos.dynamodb.v1 import dynamodb_pb2 as pb
from protos.dynamodb.v1 import dynamodb_pb2_grpc
from staleplan.runtime.errors import InvalidArgumentError
from staleplan.runtime.faults import Faults
from staleplan.tables import Conflict, Item, Tables, Version
from staleplan.world.faulted import faulted
from staleplan.world.tables import (
    Violations,
    wrong_attributes,
    wrong_name,
    wrong_query,
    wrong_version,
)

POINT = "dynamodb.call"
"""The fault point that every call passes."""


class TableService(dynamodb_pb2_grpc.TableServiceServicer):
    """Checks what is asked, passes the fault point, and asks the tables."""

    def __init__(self, tables: Tables, faults: Faults) -> None:
        self._tables = tables
        self._faults = faults

    async def GetItem(
        self, request: pb.GetItemRequest, context: Any
    ) -> pb.GetItemResponse:
        """Returns one item, as it is now."""
        _refuse(wrong_name(request.table, request.key))
        async with faulted(self._faults, POINT):
            found = await self._tables.get(request.table, request.key)
        return pb.GetItemResponse(item=_item_to_message(found) if found else None)

    async def PutItem(
        self, request: pb.PutItemRequest, context: Any
    ) -> pb.PutItemResponse:
        """Writes one item whole, if it still has the version that the caller saw."""
        expected = _expected(request)
        _refuse(
            wrong_name(request.table, request.key),
            wrong_attributes(request.key, request.attributes),
            wrong_version(expected),
        )
        async with faulted(self._faults, POINT):
            outcome = await self._tables.put(
                request.table, request.key, request.attributes, expected
            )
        if isinstance(outcome, Conflict):
            return pb.PutItemResponse(conflict=_conflict_to_message(outcome))
        return pb.PutItemResponse(written=_item_to_message(outcome.item))

    async def DeleteItem(
        self, request: pb.DeleteItemRequest, context: Any
    ) -> pb.DeleteItemResponse:
        """Removes one item, if it still has the version that the caller saw."""
        expected = _expected(request)
        _refuse(wrong_name(request.table, request.key), wrong_version(expected))
        async with faulted(self._faults, POINT):
            outcome = await self._tables.delete(request.table, request.key, expected)
        if isinstance(outcome, Conflict):
            return pb.DeleteItemResponse(conflict=_conflict_to_message(outcome))
        return pb.DeleteItemResponse()

    async def QueryItems(
        self, request: pb.QueryItemsRequest, context: Any
    ) -> pb.QueryItemsResponse:
        """Returns items of a table in the order of their keys."""
        asked = (request.table, request.key_prefix, request.after_key)
        _refuse(wrong_query(*asked))
        async with faulted(self._faults, POINT):
            page = await self._tables.query(*asked)
        items = [_item_to_message(item) for item in page.items]
        return pb.QueryItemsResponse(items=items, more=page.more)


def _refuse(*violations: Violations) -> None:
    """Raises `InvalidArgumentError`, if anything is wrong."""
    fields = {path: problem for each in violations for path, problem in each}
    if fields:
        raise InvalidArgumentError(fields)


def _expected(request: pb.PutItemRequest | pb.DeleteItemRequest) -> Version | None:
    if not request.HasField("expected_version"):
        return None
    return Version(request.expected_version)


def _item_to_message(item: Item) -> pb.Item:
    return pb.Item(key=item.key, version=item.version, attributes=item.attributes)


def _conflict_to_message(conflict: Conflict) -> pb.Conflict:
    return pb.Conflict(
        expected_version=conflict.expected,
        found=_item_to_message(conflict.found) if conflict.found else None,
    )
