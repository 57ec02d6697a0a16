"""DynamoDB's tables on PostgreSQL: what is written is durable and seen by all.

A write names the version that it replaces, in the statement that writes: of two
writers at once the second finds another version, whoever was served first. The item
that a loser is told of is read afterwards: in READ COMMITTED, one statement that
writes and reads would wait for the winner and then show what was there before. Between
the two the item may have come to what the loser expected; then the write is tried
again, so that no answer contradicts itself.
Enforced by:
tests/integration/test_dynamodb.py::test_each_version_is_written_by_one_process

Calls that come while a statement is on its way share the next one, and its commit.
"""

import json
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any, NamedTuple

from sqlalchemy import TextClause, text
from sqlalchemy.ext.asyncio import AsyncConnection

from staleplan.runtime.database import Database
from staleplan.tables import ABSENT, Conflict, Deleted, Item, Page, Version, Written
from staleplan.world.tables import MAX_PAGE
from staleplan.world.together import Together

SESSION = {
    # Each statement touches one row by its key, or a page of 1,000.
    "statement_timeout": "5s",
    "plan_cache_mode": "force_generic_plan",
}
"""What every connection limits, and how it plans."""

CREATE_TABLE = text("""
    CREATE TABLE IF NOT EXISTS item (
        table_name text COLLATE "C" NOT NULL,
        key text COLLATE "C" NOT NULL,
        version bigint NOT NULL CHECK (version > 0),
        attributes jsonb NOT NULL CHECK (jsonb_typeof(attributes) = 'object'),
        PRIMARY KEY (table_name, key)
    ) WITH (fillfactor = 70)
""")
"""Items of all tables. A lease is written over and over: with room left in its page
the new row needs no new index entry. Keys are in the order of their bytes."""

_ASKED = """
    WITH asked AS (
        SELECT DISTINCT ON (table_name, key) * FROM unnest(
            CAST(:tables AS text[]), CAST(:keys AS text[]),
            CAST(:attributes AS jsonb[]), CAST(:expected AS bigint[])
        ) WITH ORDINALITY AS one (table_name, key, attributes, expected, place)
        ORDER BY table_name, key, place
    )
"""
"""What is asked, of each item at most once: the others are asked again afterwards.

In the order of keys, so that two statements rarely wait for each other.
"""

_PUT_NEW = """, written AS (
        INSERT INTO item SELECT table_name, key, 1, attributes FROM asked
        ON CONFLICT (table_name, key) {otherwise} RETURNING table_name, key, version
    )
    SELECT place, version FROM asked JOIN written USING (table_name, key)
"""

PUT_NEW = text(_ASKED + _PUT_NEW.format(otherwise="DO NOTHING"))

PUT_ANYHOW = text(
    _ASKED
    + _PUT_NEW.format(
        otherwise="DO UPDATE SET version = item.version + 1, "
        "attributes = excluded.attributes"
    )
)

_PUT_IF = """
    UPDATE item SET version = version + 1, attributes = asked.attributes
    FROM asked WHERE item.table_name = asked.table_name AND item.key = asked.key
        AND item.version = asked.expected
    RETURNING asked.place, item.version
"""

PUT_IF = text(_ASKED + _PUT_IF)

DELETE = text("""
    DELETE FROM item WHERE table_name = :table AND key = :key
    AND version = coalesce(CAST(:expected AS bigint), version) RETURNING version
""")

GET = text("""
    SELECT version, attributes FROM item WHERE table_name = :table AND key = :key
""")

QUERY = text("""
    SELECT key, version, attributes FROM item
    WHERE table_name = :table AND key > :after AND key >= :first AND key < :end
    ORDER BY key LIMIT :limit
""")

END = "\x7f"
"""Comes after every character of a key: a prefix and this come after all its keys."""


def schema_of(stack: str) -> str:
    """Name the schema that a stack's tables are in, beside that of its DNS store."""
    return f"{stack}_dynamodb"


class _Put(NamedTuple):
    """One write as its statement wants it."""

    table: str
    key: str
    attributes: str
    expected: Version | None


class PostgresTables:
    """`Tables` in one schema of a PostgreSQL database.

    Raises: StoreUnavailable, whatever is asked.
    """

    def __init__(self, url: str, schema: str) -> None:
        self._schema = schema
        self._database = Database(url, schema, session=SESSION, autocommit=True)
        self._writers = {
            statement: Together(partial(self._put_all, statement))
            for statement in (PUT_NEW, PUT_IF, PUT_ANYHOW)
        }

    async def create(self) -> None:
        """Make the schema and its table, unless they are there."""

        async def work(connection: AsyncConnection) -> None:
            schema = f'CREATE SCHEMA IF NOT EXISTS "{self._schema}"'
            await connection.execute(text(schema))
            await connection.execute(CREATE_TABLE)

        await self._database.transact(work)

    async def close(self) -> None:
        """Close every connection, after what was asked is answered."""
        for writer in self._writers.values():
            await writer.close()
        await self._database.engine.dispose()

    async def get(self, table: str, key: str) -> Item | None:
        """Return an item as it is now."""
        rows = await self._run(GET, table=table, key=key)
        return Item(key, *rows[0]) if rows else None

    async def put(
        self,
        table: str,
        key: str,
        attributes: Mapping[str, str],
        expected: Version | None = None,
    ) -> Written | Conflict:
        """Write an item whole, if it has the expected version."""
        kept = dict(attributes)
        put = _Put(table, key, json.dumps(kept), expected)
        if expected is None:
            statement = PUT_ANYHOW
        else:
            statement = PUT_NEW if expected == ABSENT else PUT_IF
        while True:
            version = await self._writers[statement].ask(put)
            if version is not None:
                return Written(Item(key, version, kept))
            if expected is not None:
                conflict = await self._conflict(table, key, expected)
                if conflict:
                    return conflict

    async def delete(
        self, table: str, key: str, expected: Version | None = None
    ) -> Deleted | Conflict:
        """Remove an item, if it has the expected version."""
        while True:
            rows = await self._run(DELETE, table=table, key=key, expected=expected)
            if rows or expected is None:
                return Deleted()
            conflict = await self._conflict(table, key, expected)
            if conflict:
                return conflict
            if expected == ABSENT:
                return Deleted()

    async def query(
        self, table: str, key_prefix: str = "", after_key: str = ""
    ) -> Page:
        """Return items whose keys begin with a prefix and come after another key."""
        rows = await self._run(
            QUERY,
            table=table,
            after=after_key,
            first=key_prefix,
            end=key_prefix + END,
            limit=MAX_PAGE + 1,
        )
        items = tuple(Item(*row) for row in rows[:MAX_PAGE])
        return Page(items, len(rows) > MAX_PAGE)

    async def _conflict(
        self, table: str, key: str, expected: Version
    ) -> Conflict | None:
        """Return why a write found nothing; `None`: by now it would find it."""
        found = await self.get(table, key)
        if (found.version if found else ABSENT) == expected:
            return None
        return Conflict(expected, found)

    async def _put_all(
        self, statement: TextClause, puts: Sequence[_Put]
    ) -> list[Version | None]:
        """Write; returns each item's version now, `None` for what was not written."""
        rows = await self._run(
            statement,
            tables=[put.table for put in puts],
            keys=[put.key for put in puts],
            attributes=[put.attributes for put in puts],
            expected=[put.expected for put in puts],
        )
        versions = dict(tuple(row) for row in rows)
        return [versions.get(place) for place in range(1, len(puts) + 1)]

    async def _run(self, statement: TextClause, **values: object) -> list[Any]:
        async def work(connection: AsyncConnection) -> list[Any]:
            return list((await connection.execute(statement, values)).all())

        return await self._database.transact(work)
