"""What DynamoDB's table API refuses, and how it passes its fault point."""

import random
from typing import Any

import grpc
import pytest

from protos.dynamodb.v1 import dynamodb_pb2 as pb
from staleplan.runtime.clock import ScaledClock, SkewedClock
from staleplan.runtime.errors import InvalidArgumentError, ReplyLostError
from staleplan.runtime.fault_spec import Drop, Error, Fault, Selector
from staleplan.runtime.faults import Faults, InjectedError
from staleplan.tables import Page
from staleplan.world.table_service import TableService
from staleplan.world.tables import MAX_ITEM_BYTES, MAX_PAGE, MemoryTables

CONTEXT: Any = None
NAME = {"table": "leases", "key": "d-1"}
GRPC_LIMIT = 4 * 1024 * 1024


class Dynamodb:
    """A table service over tables in memory."""

    def __init__(self) -> None:
        self.tables = MemoryTables()
        self.faults = Faults(SkewedClock(ScaledClock()), random.Random(0))
        self._service = TableService(self.tables, self.faults)

    async def put(self, **asked: Any) -> pb.PutItemResponse:
        return await self._service.PutItem(pb.PutItemRequest(**asked), CONTEXT)

    async def get(self, **asked: Any) -> pb.GetItemResponse:
        return await self._service.GetItem(pb.GetItemRequest(**asked), CONTEXT)

    async def delete(self, **asked: Any) -> pb.DeleteItemResponse:
        return await self._service.DeleteItem(pb.DeleteItemRequest(**asked), CONTEXT)

    async def query(self, **asked: Any) -> pb.QueryItemsResponse:
        return await self._service.QueryItems(pb.QueryItemsRequest(**asked), CONTEXT)


NAMES = [
    ({"table": "", "key": "d-1"}, "table", "3 to 63 of a-z, A-Z, 0-9"),
    ({"table": "le", "key": "d-1"}, "table", "got 'le'"),
    ({"table": "le/ses", "key": "d-1"}, "table", "got 'le/ses'"),
    ({"table": "l" * 64, "key": "d-1"}, "table", f"got '{'l' * 40}...'"),
    ({"table": "leases\n", "key": "d-1"}, "table", r"got 'leases\n'"),
    ({"table": "leases", "key": ""}, "key", "1 to 255 visible ASCII characters"),
    ({"table": "leases", "key": "d 1"}, "key", "got 'd 1'"),
    ({"table": "leases", "key": "dé1"}, "key", "got 'dé1'"),
    ({"table": "leases", "key": "d\0"}, "key", r"got 'd\x00'"),
    ({"table": "leases", "key": "d" * 256}, "key", "..."),
]
ATTRIBUTES: list[tuple[dict[str, str], str, str]] = [
    ({f"a{n}": "" for n in range(33)}, "attributes", "at most 32, got 33"),
    ({"": "x"}, "attributes", "a name is 1 to 64 of"),
    ({"a b": "x"}, "attributes", "got 'a b'"),
    ({"n" * 65: "x"}, "attributes", "1 to 64"),
    ({"term": "1\0"}, "attributes[term]", "must not have the character NUL"),
    ({"big": "é" * 1600}, "attributes", "at most 3072 bytes with the key, got 3206"),
]


@pytest.mark.parametrize(("name", "path", "problem"), NAMES)
@pytest.mark.parametrize("call", ["put", "get", "delete"])
async def test_a_bad_name_is_refused_by_its_field(
    call: str, name: dict[str, str], path: str, problem: str
) -> None:
    dynamodb = Dynamodb()
    with pytest.raises(InvalidArgumentError) as raised:
        await getattr(dynamodb, call)(**name)
    assert list(raised.value.fields) == [path]
    assert problem in raised.value.fields[path]
    assert dynamodb.faults.times_reached["dynamodb.call"] == 0


@pytest.mark.parametrize(("attributes", "path", "problem"), ATTRIBUTES)
async def test_bad_attributes_are_refused_and_nothing_is_written(
    attributes: dict[str, str], path: str, problem: str
) -> None:
    dynamodb = Dynamodb()
    with pytest.raises(InvalidArgumentError) as raised:
        await dynamodb.put(**NAME, attributes=attributes)
    assert list(raised.value.fields) == [path]
    assert problem in raised.value.fields[path]
    assert await dynamodb.tables.query("leases") == Page((), more=False)


@pytest.mark.parametrize("call", ["put", "delete"])
async def test_a_negative_version_is_refused(call: str) -> None:
    dynamodb = Dynamodb()
    with pytest.raises(InvalidArgumentError) as raised:
        await getattr(dynamodb, call)(**NAME, expected_version=-1)
    assert raised.value.fields == {"expected_version": "must be at least 0, got -1"}


async def test_everything_that_is_wrong_is_said_at_once() -> None:
    with pytest.raises(InvalidArgumentError) as raised:
        await Dynamodb().put(table="", key="", attributes={"": ""}, expected_version=-9)
    assert sorted(raised.value.fields) == [
        "attributes",
        "expected_version",
        "key",
        "table",
    ]


@pytest.mark.parametrize(
    ("asked", "path"),
    [
        ({"table": "no"}, "table"),
        ({"table": "leases", "key_prefix": "d "}, "key_prefix"),
        ({"table": "leases", "after_key": "d" * 256}, "after_key"),
    ],
)
async def test_a_bad_query_is_refused_by_its_field(
    asked: dict[str, str], path: str
) -> None:
    with pytest.raises(InvalidArgumentError) as raised:
        await Dynamodb().query(**asked)
    assert list(raised.value.fields) == [path]


async def test_the_largest_items_and_names_are_taken_and_a_page_fits_a_message() -> (
    None
):
    dynamodb = Dynamodb()
    table, key = "L" * 63, "~" * 250
    names = [f"{'n' * 60}{number:04}" for number in range(32)]
    room = MAX_ITEM_BYTES - 255 - 32 * 64
    attributes = dict.fromkeys(names, "") | {names[0]: "v" * room}
    for number in range(MAX_PAGE):
        await dynamodb.put(table=table, key=f"{key}{number:05}", attributes=attributes)
    page = await dynamodb.query(table=table)
    assert len(page.items) == MAX_PAGE
    assert page.ByteSize() < GRPC_LIMIT


async def test_an_expected_version_of_zero_is_not_the_same_as_none() -> None:
    dynamodb = Dynamodb()
    assert (await dynamodb.put(**NAME, expected_version=0)).written.version == 1
    lost = await dynamodb.put(**NAME, expected_version=0)
    assert lost.conflict.found.version == 1
    assert (await dynamodb.put(**NAME)).written.version == 2


@pytest.mark.parametrize("call", ["put", "get", "delete", "query"])
async def test_every_call_passes_the_fault_point(call: str) -> None:
    dynamodb = Dynamodb()
    asked = {"table": "leases"} if call == "query" else NAME
    await dynamodb.put(**NAME, attributes={"holder": "a"})
    before = await dynamodb.tables.query("leases")
    fault = Error(grpc.StatusCode.INTERNAL)
    dynamodb.faults.inject(Fault(Selector("dynamodb.call"), fault, count=1))
    with pytest.raises(InjectedError) as raised:
        await getattr(dynamodb, call)(**asked)
    assert raised.value.code is grpc.StatusCode.INTERNAL
    assert await dynamodb.tables.query("leases") == before


async def test_a_dropped_reply_is_lost_after_the_write() -> None:
    dynamodb = Dynamodb()
    dynamodb.faults.inject(Fault(Selector("dynamodb.call"), Drop(), count=1))
    with pytest.raises(ReplyLostError, match=r"dynamodb\.call: the reply is lost"):
        await dynamodb.put(**NAME, attributes={"holder": "a"})
    found = await dynamodb.get(**NAME)
    assert (found.item.version, dict(found.item.attributes)) == (1, {"holder": "a"})
