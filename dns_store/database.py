"""The store's schema of a PostgreSQL database: transactions, notifications."""

import asyncio
import random
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from typing import Any

import psycopg
from psycopg import sql
from sqlalchemy import Row, Select, make_url
from sqlalchemy.ext.asyncio import AsyncConnection

from staleplan.runtime import database
from staleplan.runtime.database import CONNECT_TIMEOUT_S

SESSION = {
    # The first plan of 200,000 endpoints takes 1 to 3 s; ten times that is a hang.
    "statement_timeout": "30s",
    # A sender that dies between statements must not keep its zones locked.
    "idle_in_transaction_session_timeout": "10s",
    # A call touches a few zones, which are cached. Planned for the numbers at hand,
    # or for a disk's random reads, it would read all 200,000 aliases to flip 320.
    "plan_cache_mode": "force_generic_plan",
    "random_page_cost": "1.1",
}
"""What every connection limits, and how it plans."""

RECONNECT_S = (0.05, 2.0)
"""First and longest pause before listening again, seconds."""

RACED = frozenset({"journal_batch_id", "tree_plan"})
"""Constraints that two calls at once can break: who comes second judges again.

journal_batch_id: the same batch arrived twice. tree_plan: a plan was deleted for its
age while its tree was being built.
"""


class Database(database.Database):
    """The connections of the DNS store, and what it is notified of."""

    def __init__(self, url: str, schema: str) -> None:
        super().__init__(url, schema, session=SESSION, raced=RACED)
        plain_url = make_url(url).set(drivername="postgresql")
        self._conninfo = plain_url.render_as_string(hide_password=False)

    async def read(self, query: Select[Any]) -> Sequence[Row[Any]]:
        """Run one query.

        Raises: StoreUnavailable.
        """

        async def work(connection: AsyncConnection) -> Sequence[Row[Any]]:
            return (await connection.execute(query)).all()

        return await self.transact(work)

    async def follow(self, channel: str) -> AsyncGenerator[str | None, None]:
        """Follow a channel's payloads; `None`: some may have been missed until now.

        `None` comes first, as soon as nothing is missed any more, and again after each
        lost connection.
        """
        pause_s, longest_s = RECONNECT_S
        while True:
            try:
                async with aclosing(self._listen(channel)) as payloads:
                    async for payload in payloads:
                        pause_s = RECONNECT_S[0]
                        yield payload
            except psycopg.OperationalError:
                await asyncio.sleep(random.uniform(pause_s / 2, pause_s))
                pause_s = min(2 * pause_s, longest_s)

    async def _listen(self, channel: str) -> AsyncGenerator[str | None, None]:
        connection = await psycopg.AsyncConnection.connect(
            self._conninfo,
            autocommit=True,
            options=self.options,
            connect_timeout=CONNECT_TIMEOUT_S,
        )
        async with connection:
            listen = sql.SQL("LISTEN {}").format(sql.Identifier(channel))
            await connection.execute(listen)
            yield None
            async for notice in connection.notifies():
                yield notice.payload
