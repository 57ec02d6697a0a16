"""A PostgreSQL server for the session, and a fresh schema for each test."""

import itertools
import os
from collections.abc import AsyncIterator, Callable, Iterator

import psycopg
import pytest
from hypothesis import settings
from sqlalchemy import make_url

from dns_store.migrations import migrate
from dns_store.postgres import PostgresStore
from staleplan.runtime.postgres import postgres, remove

# How long an example takes says something about the machine only.
settings.register_profile("untimed", deadline=None)
settings.load_profile("untimed")


@pytest.fixture(scope="session")
def database_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    given = os.environ.get("STALEPLAN_TEST_DATABASE_URL")
    state = tmp_path_factory.mktemp("postgres")
    with postgres(given, state) as url:
        yield url
    if not given:
        remove(state)


@pytest.fixture(scope="session")
def new_schema(database_url: str) -> Iterator[Callable[[], str]]:
    """Names schemas that are dropped in the end."""
    numbers = itertools.count()
    names: list[str] = []

    def name() -> str:
        names.append(f"test_{os.getpid()}_{next(numbers)}")
        return names[-1]

    yield name
    plain = make_url(database_url).set(drivername="postgresql")
    with psycopg.connect(plain.render_as_string(hide_password=False)) as connection:
        for schema in names:
            connection.execute(f'DROP SCHEMA IF EXISTS "{schema}" CASCADE'.encode())
            connection.commit()


@pytest.fixture
async def postgres_store(
    database_url: str, new_schema: Callable[[], str]
) -> AsyncIterator[PostgresStore]:
    schema = new_schema()
    await migrate(database_url, schema)
    store = PostgresStore(database_url, schema)
    yield store
    await store.close()
