"""One schema of a PostgreSQL database: its connections, and calls that are repeated."""

import asyncio
import random
import re
from collections.abc import Awaitable, Callable, Mapping
from typing import TypeVar

import grpc
import psycopg
from sqlalchemy.exc import DBAPIError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolExhausted
from sqlalchemy.ext.asyncio import AsyncConnection, create_async_engine

from staleplan.runtime.errors import ServiceError

Result = TypeVar("Result")

POOL_SIZE = 8
"""Connections: three enactors with two calls in flight each, and two for readers."""

CONNECT_TIMEOUT_S = 5
"""Longest wait for a connection, seconds: a server on the same machine takes 10 ms."""

ATTEMPTS = 8
"""Tries of a call that PostgreSQL asks to repeat: each conflict lets one side win."""

RETRY_STEP_S = 0.005
"""First pause before a repeat, seconds: a call's length; doubled and jittered after."""

REPEATED = {"40001", "40P01"}
"""SQLSTATE of a serialization failure and of a deadlock: nothing happened."""


class StoreUnavailable(ServiceError):
    """PostgreSQL did not answer; `definite`: the call surely had no effect.

    It is not definite if the connection was lost after COMMIT was sent, or after a
    statement that commits by itself.
    """

    code = grpc.StatusCode.UNAVAILABLE
    reason = "STORE_UNAVAILABLE"

    def __init__(self, found: str, *, definite: bool) -> None:
        effect = "had no effect" if definite else "may have taken effect"
        super().__init__(f"PostgreSQL is unavailable, the call {effect}: {found}")
        self.definite = definite


class Database:
    """The connections of one store to its schema; both are named at the start."""

    def __init__(
        self,
        url: str,
        schema: str,
        *,
        session: Mapping[str, str],
        raced: frozenset[str] = frozenset(),
        autocommit: bool = False,
    ) -> None:
        """Connects when first asked.

        `session` is what every connection is set to. `raced` names the constraints
        that two calls at once can break: who comes second is repeated. With
        `autocommit` each statement is a transaction, and saves two round trips.
        """
        if not re.fullmatch(r"[a-z][a-z0-9_]{0,39}", schema):
            raise ValueError(f"schema {schema!r} is not 1 to 40 of a-z, 0-9 and _")
        settings = {"search_path": schema, **session}
        self._raced = raced
        self._autocommit = autocommit
        self.options = " ".join(f"-c {key}={settings[key]}" for key in settings)
        """The settings of a connection, as libpq wants them."""
        self.engine = create_async_engine(
            url,
            pool_size=POOL_SIZE,
            max_overflow=0,
            pool_timeout=CONNECT_TIMEOUT_S,
            isolation_level="AUTOCOMMIT" if autocommit else None,
            connect_args={
                "options": self.options,
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
                    committing = self._autocommit
                    result = await work(connection)
                    committing = True
                    await connection.commit()
                    return result
            except PoolExhausted as error:
                raise StoreUnavailable(str(error), definite=True) from error
            except DBAPIError as error:
                if self._is_repeatable(error):
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

    def _is_repeatable(self, error: DBAPIError) -> bool:
        cause = error.orig
        if not isinstance(cause, psycopg.Error):
            return False
        return cause.sqlstate in REPEATED or cause.diag.constraint_name in self._raced
