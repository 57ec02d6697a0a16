"""One schema of a PostgreSQL database: connections, transactions, notifications."""

import asyncio
import random
import re
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from contextlib import aclosing
from typing import Any, TypeVar

import psycopg
from psycopg import sql
from sqlalchemy import Row, Select, make_url
from sqlalchemy.exc import DBAPIError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolExhausted
from sqlalchemy.ext.asyncio import AsyncConnection, create_async_engine

from dns_store.errors import StoreUnavailable

Result = TypeVar("Result")

POOL_SIZE = 8
"""Connections: three enactors with two calls in flight each, and two for readers."""

CONNECT_TIMEOUT_S = 5
"""Longest wait for a connection, seconds: a server on the same machine takes 10 ms."""

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

ATTEMPTS = 8
"""Tries of a call that PostgreSQL asks to repeat: each conflict lets one side win."""

RETRY_STEP_S = 0.005
"""First pause before a repeat, seconds: a call's length; doubled and jittered after."""

RECONNECT_S = (0.05, 2.0)
"""First and longest pause before listening again, seconds."""

REPEATED = {"40001", "40P01"}
"""SQLSTATE of a serialization failure and of a deadlock: nothing happened."""

RACED = {"journal_batch_id", "tree_plan"}
"""Constraints that two calls at once can break: who comes second judges again.

journal_batch_id: the same batch arrived twice. tree_plan: a plan was deleted for its
age while its tree was being built.
"""


class Database:
    """The connections of one store to its schema; both are named at the start."""

    def __init__(self, url: str, schema: str) -> None:
        if not re.fullmatch(r"[a-z][a-z0-9_]{0,39}", schema):
            raise ValueError(f"schema {schema!r} is not 1 to 40 of a-z, 0-9 and _")
        settings = {"search_path": schema, **SESSION}
        self._options = " ".join(f"-c {key}={settings[key]}" for key in settings)
        plain_url = make_url(url).set(drivername="postgresql")
        self._conninfo = plain_url.render_as_string(hide_password=False)
        self.engine = create_async_engine(
            url,
            pool_size=POOL_SIZE,
            max_overflow=0,
            pool_timeout=CONNECT_TIMEOUT_S,
            connect_args={
                "options": self._options,
                "connect_timeout": CONNECT_TIMEOUT_S,
            },
        )

    async def transact(
        self, work: Callable[[AsyncConnection], Awaitable[Result]]
    ) -> Result:
        """Run work in one transaction, again if PostgreSQL asks for it.

        Raises: StoreUnavailable.
        """
        for attempt in range(ATTEMPTS):
            committing = False
            try:
                async with self.engine.connect() as connection:
                    result = await work(connection)
                    committing = True
                    await connection.commit()
                    return result
            except PoolExhausted as error:
                raise StoreUnavailable(str(error), definite=True) from error
            except DBAPIError as error:
                if _is_repeatable(error):
                    found = str(error.orig)
                elif isinstance(error, OperationalError):
                    definite = not committing
                    raise StoreUnavailable(
                        str(error.orig), definite=definite
                    ) from error
                else:
                    raise
            # Both sides of a conflict pause, but not alike.
            await asyncio.sleep(random.uniform(0, RETRY_STEP_S * 2**attempt))
        raise StoreUnavailable(f"{ATTEMPTS} x {found}", definite=True)

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
            options=self._options,
            connect_timeout=CONNECT_TIMEOUT_S,
        )
        async with connection:
            listen = sql.SQL("LISTEN {}").format(sql.Identifier(channel))
            await connection.execute(listen)
            yield None
            async for notice in connection.notifies():
                yield notice.payload


def _is_repeatable(error: DBAPIError) -> bool:
    cause = error.orig
    if not isinstance(cause, psycopg.Error):
        return False
    return cause.sqlstate in REPEATED or cause.diag.constraint_name in RACED
