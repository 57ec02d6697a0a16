"""Tables: in memory, on PostgreSQL, and as a client finds them behind a name."""

import asyncio
import random
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import pytest

from staleplan.tables import (
    ABSENT,
    Conflict,
    Deleted,
    Item,
    Page,
    Tables,
    Version,
    Written,
)
from staleplan.world.postgres_tables import PostgresTables
from staleplan.world.tables import MAX_PAGE, MemoryTables
from tests.integration.world_stage import listening, staged

ONE, TWO, THREE, NINE = map(Version, (1, 2, 3, 9))
ODD = {"quotes": "\"'\\{},", "none": "", "far": "\U0001f4a7 ÄÖ", "json": '{"a": [1]}'}


@asynccontextmanager
async def served() -> AsyncIterator[Tables]:
    """Tables in memory, behind load balancers, DNS and gRPC."""
    async with staged() as stage, listening(stage) as world:
        client = stage.table_client(world.load_balancers.port)
        yield client
        await client.close()


@asynccontextmanager
async def stored(url: str, schema: str) -> AsyncIterator[Tables]:
    tables = PostgresTables(url, schema)
    await tables.create()
    yield tables
    await tables.close()


@pytest.fixture(params=["memory", "postgres", "client"])
async def tables(
    request: pytest.FixtureRequest, database_url: str, new_schema: Callable[[], str]
) -> AsyncIterator[Tables]:
    match request.param:
        case "memory":
            yield MemoryTables()
        case "postgres":
            async with stored(database_url, new_schema()) as found:
                yield found
        case _:
            async with served() as found:
                yield found


async def test_a_write_is_read_back_and_raises_the_version(tables: Tables) -> None:
    assert await tables.get("leases", "d-1") is None
    first = await tables.put("leases", "d-1", {"holder": "a"})
    assert first == Written(Item("d-1", ONE, {"holder": "a"}))
    second = await tables.put("leases", "d-1", {"term": "7"})
    assert second == Written(Item("d-1", TWO, {"term": "7"}))
    assert await tables.get("leases", "d-1") == Item("d-1", TWO, {"term": "7"})


async def test_what_is_written_is_kept_to_the_letter(tables: Tables) -> None:
    await tables.put("leases", "odd\\'\"{},", ODD)
    assert await tables.get("leases", "odd\\'\"{},") == Item("odd\\'\"{},", ONE, ODD)
    await tables.put("leases", "empty", {})
    assert await tables.get("leases", "empty") == Item("empty", ONE, {})


async def test_a_table_knows_nothing_of_another(tables: Tables) -> None:
    await tables.put("leases", "d-1", {"a": "1"})
    assert await tables.get("launches", "d-1") is None
    assert await tables.query("launches") == Page((), more=False)
    other = await tables.put("launches", "d-1", {"b": "2"}, ABSENT)
    assert isinstance(other, Written)


async def test_what_the_caller_may_do_to_its_copy_changes_nothing(
    tables: Tables,
) -> None:
    mine = {"holder": "a"}
    await tables.put("leases", "d-1", mine)
    mine["holder"] = "b"
    assert await tables.get("leases", "d-1") == Item("d-1", ONE, {"holder": "a"})


async def test_a_write_with_the_version_that_it_replaces_is_made(
    tables: Tables,
) -> None:
    assert isinstance(await tables.put("leases", "d-1", {}, ABSENT), Written)
    second = await tables.put("leases", "d-1", {"holder": "b"}, ONE)
    assert second == Written(Item("d-1", TWO, {"holder": "b"}))


@pytest.mark.parametrize("expected", [ABSENT, ONE, THREE, NINE])
async def test_a_write_with_another_version_changes_nothing_and_says_what_is_there(
    tables: Tables, expected: Version
) -> None:
    await tables.put("leases", "d-1", {"holder": "a"})
    await tables.put("leases", "d-1", {"holder": "b"})
    found = Item("d-1", TWO, {"holder": "b"})
    lost = await tables.put("leases", "d-1", {"holder": "c"}, expected)
    assert lost == Conflict(expected, found)
    assert await tables.delete("leases", "d-1", expected) == Conflict(expected, found)
    assert await tables.get("leases", "d-1") == found


@pytest.mark.parametrize("expected", [ONE, NINE])
async def test_a_write_that_expects_an_item_makes_none(
    tables: Tables, expected: Version
) -> None:
    lost = await tables.put("leases", "d-1", {"holder": "c"}, expected)
    assert lost == Conflict(expected, None)
    assert await tables.delete("leases", "d-1", expected) == Conflict(expected, None)
    assert await tables.query("leases") == Page((), more=False)


async def test_what_is_deleted_is_gone_and_begins_anew(tables: Tables) -> None:
    await tables.put("leases", "d-1", {})
    await tables.put("leases", "d-1", {})
    assert await tables.delete("leases", "d-1", TWO) == Deleted()
    assert await tables.get("leases", "d-1") is None
    assert await tables.query("leases") == Page((), more=False)
    again = await tables.put("leases", "d-1", {}, ABSENT)
    assert again == Written(Item("d-1", ONE, {}))
    assert await tables.delete("leases", "d-1") == Deleted()


@pytest.mark.parametrize("expected", [None, ABSENT])
async def test_deleting_what_is_not_there_is_done(
    tables: Tables, expected: Version | None
) -> None:
    assert await tables.delete("leases", "d-1", expected) == Deleted()


async def test_a_query_is_in_the_order_of_keys_below_a_prefix(tables: Tables) -> None:
    keys = ["d-a-1", "d-b-1", "D-a-1", "d-a-2", "d-a", "d-a-~", "d-a-1/x", "d.a"]
    for key in keys:
        await tables.put("leases", key, {"of": key})

    async def found(key_prefix: str, after_key: str = "") -> list[str]:
        page = await tables.query("leases", key_prefix, after_key)
        assert all(item.attributes == {"of": item.key} for item in page.items)
        assert not page.more
        return [item.key for item in page.items]

    assert await found("") == sorted(keys)
    assert await found("d-a-") == ["d-a-1", "d-a-1/x", "d-a-2", "d-a-~"]
    assert await found("d-a-", "d-a-1") == ["d-a-1/x", "d-a-2", "d-a-~"]
    assert await found("d-a-", "d-a-1~") == ["d-a-2", "d-a-~"]
    assert await found("d-b", "z") == []
    assert await found("e") == []


async def test_a_long_query_is_read_in_pages(tables: Tables) -> None:
    keys = [f"d-{number:04}" for number in range(MAX_PAGE + 5)]
    random.Random(1).shuffle(keys)
    for some in range(0, len(keys), 50):
        await asyncio.gather(
            *(tables.put("leases", key, {}, ABSENT) for key in keys[some : some + 50])
        )
    first = await tables.query("leases", "d-")
    assert len(first.items) == MAX_PAGE
    assert first.more
    rest = await tables.query("leases", "d-", first.items[-1].key)
    assert not rest.more
    assert [item.key for item in (*first.items, *rest.items)] == sorted(keys)


async def test_of_many_writers_at_once_one_wins(tables: Tables) -> None:
    """Each raises the version it saw by one; each loser saw who was before it."""
    won: list[Version] = []

    async def write(name: str) -> None:
        expected = ABSENT
        for _ in range(20):
            outcome = await tables.put("leases", "d-1", {"by": name}, expected)
            if isinstance(outcome, Written):
                assert outcome.item.version == expected + 1
                won.append(outcome.item.version)
                expected = outcome.item.version
            else:
                assert outcome.expected == expected
                assert outcome.found is not None
                assert outcome.found.version > expected
                expected = outcome.found.version

    await asyncio.gather(*(write(f"dwfm-{n}") for n in range(8)))
    assert sorted(won) == list(range(1, len(won) + 1))
    found = await tables.get("leases", "d-1")
    assert found is not None
    assert found.version == len(won) >= 20


async def test_writers_that_expect_nothing_all_write(tables: Tables) -> None:
    writes = (tables.put("leases", "d-1", {"by": str(n)}) for n in range(30))
    outcomes = await asyncio.gather(*writes)
    items = [each.item for each in outcomes if isinstance(each, Written)]
    assert sorted(item.version for item in items) == list(range(1, 31))
    last = max(items, key=lambda item: item.version)
    assert await tables.get("leases", "d-1") == last


async def test_writers_and_deleters_at_once_leave_what_the_last_one_left(
    tables: Tables,
) -> None:
    async def churn(seed: int) -> None:
        chance = random.Random(seed)
        for _ in range(15):
            key = f"d-{chance.randrange(3)}"
            seen = await tables.get("leases", key)
            version = seen.version if seen else ABSENT
            if chance.random() < 0.3:
                gone = await tables.delete("leases", key, version)
                found = gone.found if isinstance(gone, Conflict) else None
                conflict = isinstance(gone, Conflict)
            else:
                written = await tables.put("leases", key, {"by": str(seed)}, version)
                found = written.found if isinstance(written, Conflict) else None
                conflict = isinstance(written, Conflict)
            # No answer contradicts itself.
            assert not conflict or (found.version if found else ABSENT) != version

    await asyncio.gather(*map(churn, range(6)))
    page = await tables.query("leases")
    for item in page.items:
        assert await tables.get("leases", item.key) == item
