"""A PostgreSQL that is killed leaves no half batch, and its users go on."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import aclosing
from pathlib import Path

import pytest

from dns_store.migrations import migrate
from dns_store.postgres import PostgresStore
from staleplan.model import Applied, Batch, Lock, Outcome, ZoneName
from staleplan.runtime import postgres as server
from staleplan.runtime.database import StoreUnavailable
from tests.samples import ENACTOR_A, batch, draft, flip

ZONES = tuple(ZoneName(f"zone-{number}") for number in range(8))


@pytest.fixture
def state(tmp_path: Path) -> Iterator[Path]:
    """A server of the test's own."""
    server.start(tmp_path, keep=True)
    yield tmp_path
    server.stop(tmp_path)
    server.remove(tmp_path)


@pytest.fixture
async def mortal(state: Path) -> AsyncIterator[PostgresStore]:
    url = server.start(state, keep=True)
    await migrate(url, "mortal")
    store = PostgresStore(url, "mortal")
    await store.publish(draft(0, *ZONES, endpoints=320), at_s=1.0, story="")
    yield store
    await store.close()


async def recovered(call: Callable[[], Awaitable[object]]) -> int:
    """Call until it succeeds; the calls that failed."""
    failed = 0
    while True:
        try:
            await call()
        except StoreUnavailable:
            failed += 1
        else:
            return failed


async def send_until_killed(
    store: PostgresStore, prefix: str, zones: tuple[ZoneName, ...], sent: list[Batch]
) -> StoreUnavailable:
    number = 0
    while True:
        number += 1
        flips = flip("", 1, lock=Lock(ENACTOR_A, number)).changes
        batches = [
            batch(f"{prefix}-{number}-{zone}", *flips, zone=zone) for zone in zones
        ]
        sent += batches
        try:
            await store.change(batches, at_s=2.0, trace_id="")
        except StoreUnavailable as error:
            return error


@pytest.mark.slow
async def test_a_killed_server_leaves_no_half_batch(
    mortal: PostgresStore, state: Path
) -> None:
    for kill in range(3):
        sent: list[Batch] = []
        senders = [
            asyncio.create_task(
                send_until_killed(mortal, f"{kill}-{n}", ZONES[n : n + 4], sent)
            )
            for n in (0, 4)
        ]
        while len(sent) < 80:  # noqa: ASYNC110  the senders set no event
            await asyncio.sleep(0)
        await asyncio.to_thread(server.kill_server, state)
        await asyncio.gather(*senders)
        await asyncio.to_thread(server.start, state, keep=True)
        await recovered(mortal.describe)
        await journal_agrees(mortal, sent)


async def journal_agrees(store: PostgresStore, sent: list[Batch]) -> None:
    """Each zone is as its last journal entry says, whole."""
    applied = {entry.batch.id for entry in await store.journal(0, 100_000)}
    last: dict[ZoneName, Outcome] = {}
    for entry in await store.journal(0, 100_000):
        last[entry.batch.zone] = entry.outcome
    for view in await store.zones():
        assert last[view.zone] == Applied(view)
    # What was sent with one call is there together or not at all.
    for start in range(0, len(sent), 4):
        together = {one.id in applied for one in sent[start : start + 4]}
        assert len(together) == 1
    # Sent again, all of it is applied once.
    for start in range(0, len(sent), 4):
        await store.change(sent[start : start + 4], at_s=3.0, trace_id="")
    ids = [entry.batch.id for entry in await store.journal(0, 100_000)]
    assert {one.id for one in sent} <= {*ids}
    assert len({*ids}) == len(ids)


@pytest.mark.slow
async def test_calls_and_followers_survive_a_restart(
    mortal: PostgresStore, state: Path
) -> None:
    async with aclosing(mortal.changed()) as changes:
        assert await anext(changes) == set(ZONES)
        await asyncio.gather(*(mortal.describe() for _ in range(8)))
        await asyncio.to_thread(server.kill_server, state)
        with pytest.raises(StoreUnavailable, match="had no effect") as raised:
            await mortal.change([flip("a", 1, zone=ZONES[0])], at_s=2.0, trace_id="")
        assert raised.value.definite
        await asyncio.to_thread(server.start, state, keep=True)
        assert await anext(changes) == set(ZONES)
        assert await recovered(mortal.describe) <= 1
        await mortal.change([flip("a", 1, zone=ZONES[0])], at_s=3.0, trace_id="")
        assert await anext(changes) == {ZONES[0]}
