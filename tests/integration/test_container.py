"""The store on a PostgreSQL in a container, as others run it: not ours, over TCP."""

import asyncio
import gc
import os
import warnings
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, closing
from typing import TYPE_CHECKING, Any

import pytest

from dns_store.migrations import migrate
from dns_store.postgres import PostgresStore
from staleplan.model import (
    Applied,
    Generation,
    Lock,
    Outdated,
    Published,
    Reason,
    is_refused,
)
from staleplan.runtime.database import StoreUnavailable
from tests.samples import ENACTOR_A, FIPS, REGIONAL, draft, flip

if TYPE_CHECKING:
    from testcontainers.community.postgres import PostgresContainer

pytestmark = pytest.mark.docker

IMAGE = os.environ.get("STALEPLAN_TEST_POSTGRES_IMAGE", "postgres:18.0-bookworm")
"""Any image that reads POSTGRES_USER, _PASSWORD and _DB, as the official one does."""

START_TIMEOUT_S = 60.0
"""Wall seconds for a killed server to recover; it takes one."""


def why_no_engine() -> str:
    """Why no Docker engine can be used; empty: one can."""
    docker = pytest.importorskip("docker", reason="the extra `docker` is missing")
    why = ""
    with warnings.catch_warnings():
        # Where nobody listens, the client leaves its socket to the garbage collector.
        warnings.simplefilter("ignore", ResourceWarning)
        try:
            with closing(docker.from_env()) as client:
                client.ping()
        except docker.errors.DockerException as error:
            why = str(error)
        gc.collect()
    return why


@pytest.fixture(scope="module")
def container() -> Iterator["PostgresContainer"]:
    why = why_no_engine()
    if why:
        pytest.skip(f"no Docker engine answers: {why}")
    from testcontainers.community.postgres import PostgresContainer
    from testcontainers.core.config import testcontainers_config

    # It would fetch one more image, to remove what a context manager removes.
    testcontainers_config.ryuk_disabled = True
    postgres = PostgresContainer(IMAGE, driver="psycopg")
    on_loopback: Any = ("127.0.0.1", None)
    postgres.ports[str(postgres.port)] = on_loopback
    with postgres:
        yield postgres


def url_of(container: "PostgresContainer") -> str:
    """Where it answers now: a container gets another port at each start."""
    return container.get_connection_url(host="127.0.0.1")


@asynccontextmanager
async def store_on(container: "PostgresContainer") -> AsyncIterator[PostgresStore]:
    url = url_of(container)
    await migrate(url, "contained")
    store = PostgresStore(url, "contained")
    try:
        yield store
    finally:
        await store.close()


async def recovered(container: "PostgresContainer") -> None:
    async with asyncio.timeout(START_TIMEOUT_S):
        while True:
            store = PostgresStore(url_of(container), "contained")
            try:
                await store.describe()
            except StoreUnavailable:
                continue
            else:
                return
            finally:
                await store.close()


async def test_the_store_keeps_its_promises_in_a_container(
    container: "PostgresContainer",
) -> None:
    """One story: publish, change, be refused, be killed, and know it all again."""
    one, two = Generation(1), Generation(2)
    lock = Lock(ENACTOR_A, 100)
    first, again = flip("a", 1, lock=lock), flip("b", 1, zone=FIPS)
    async with store_on(container) as store:
        published = await store.publish(draft(0), at_s=1.0, story="")
        assert published == Published(one)
        outdated = await store.publish(draft(0), at_s=2.0, story="")
        assert outdated == Outdated(one, Generation(0))
        applied = await store.change([first, again], at_s=3.0, trace_id="")
        assert all(isinstance(outcome, Applied) for outcome in applied)
        (refused,) = await store.change([flip("c", 1)], at_s=4.0, trace_id="")
        assert is_refused(refused, Reason.LOCK_CHANGED_HANDS)
        kept = await store.zones(), await store.journal(0, 10), await store.plan(None)
        assert [entry.batch.id for entry in kept[1]] == ["a", "b", "c"]
        container.get_wrapped_container().kill()
        with pytest.raises(StoreUnavailable, match="PostgreSQL is unavailable"):
            await store.publish(draft(1), at_s=5.0, story="")
    container.get_wrapped_container().start()
    await recovered(container)
    async with store_on(container) as store:
        found = await store.zones(), await store.journal(0, 10), await store.plan(None)
        assert found == kept
        assert await store.change([first], at_s=6.0, trace_id="") == applied[:1]
        assert len(await store.journal(0, 10)) == 3, "known by its id, not judged again"
        published = await store.publish(draft(1), at_s=7.0, story="")
        assert published == Published(two)
        (outcome,) = await store.change(
            [flip("d", 2, found=lock)], at_s=8.0, trace_id=""
        )
        assert isinstance(outcome, Applied)
        assert (await store.zones([REGIONAL]))[0].active == (two,)
