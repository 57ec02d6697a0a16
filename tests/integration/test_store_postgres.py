"""What only PostgreSQL can show: waiting, conflicts, lost replies."""

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
from sqlalchemy import select, text
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncConnection

from dns_store import schema as tables
from dns_store.migrations import migrate
from dns_store.postgres import PostgresStore
from staleplan.model import (
    Applied,
    EnactorName,
    Generation,
    Lock,
    Outcome,
    Reason,
    Refused,
    ZoneName,
    is_refused,
)
from staleplan.runtime.database import ATTEMPTS, StoreUnavailable
from tests.samples import FIPS, REGIONAL, batch, draft, flip

TWO = Generation(2)
ZONES = tuple(ZoneName(f"zone-{number}") for number in range(8))


@pytest.fixture
async def store(postgres_store: PostgresStore) -> PostgresStore:
    await postgres_store.publish(draft(0), at_s=1.0, story="")
    await postgres_store.publish(draft(1), at_s=2.0, story="")
    return postgres_store


async def waiting(store: PostgresStore, count: int, *tasks: asyncio.Task[Any]) -> None:
    """Return once so many of the schema's connections wait for a lock."""
    query = text(
        "SELECT count(DISTINCT waiter.pid) FROM pg_locks AS waiter "
        "JOIN pg_stat_activity USING (pid) WHERE NOT waiter.granted"
    )
    async with store.engine.connect() as connection:
        while not any(task.done() for task in tasks):
            if await connection.scalar(query) >= count:
                return
            await connection.rollback()


async def schema_of(store: PostgresStore) -> str:
    async with store.engine.connect() as connection:
        return str(await connection.scalar(text("SELECT current_schema()")))


async def test_a_waiting_call_sees_news(store: PostgresStore) -> None:
    """A call that waited for a zone judges by what the holder left behind."""
    async with store.engine.begin() as holder:
        await holder.execute(
            text("SELECT FROM zone WHERE name = 'regional' FOR NO KEY UPDATE")
        )
        call = asyncio.create_task(
            store.change([flip("late", 1)], at_s=3.0, trace_id="")
        )
        await waiting(store, 1, call)
        await holder.execute(text("UPDATE zone SET active = '{2}'"))
    (outcome,) = await call
    assert is_refused(outcome, Reason.STALE)
    assert isinstance(outcome, Refused)
    assert outcome.found.active == (TWO,)


async def test_a_pause_waits(store: PostgresStore) -> None:
    """No batch that has read "not paused" is applied after the pause returned."""
    async with store.engine.begin() as holder:
        await holder.execute(
            text("SELECT FROM zone WHERE name = 'regional' FOR NO KEY UPDATE")
        )
        call = asyncio.create_task(store.change([flip("a", 1)], at_s=3.0, trace_id=""))
        await waiting(store, 1, call)
        pause = asyncio.create_task(
            store.set_automation(paused=True, operator="ann", at_s=3.0, trace_id="")
        )
        await waiting(store, 2, call, pause)
        assert not pause.done()
    (outcome,) = await call
    await pause
    assert isinstance(outcome, Applied)
    (late,) = await store.change([flip("b", 2)], at_s=4.0, trace_id="")
    assert is_refused(late, Reason.PAUSED)


async def test_a_plan_in_the_making_blocks_no_change(store: PostgresStore) -> None:
    async with store.engine.begin() as publisher:
        await publisher.execute(text("UPDATE region SET newest = newest + 1"))
        await publisher.execute(
            text("INSERT INTO plan VALUES (3, 2, 0, '', ''::bytea)")
        )
        await publisher.execute(
            text("INSERT INTO plan_zone SELECT 3, id, id, ''::bytea FROM zone")
        )
        async with asyncio.timeout(10):
            outcomes = await store.change([flip("a", 1)], at_s=3.0, trace_id="")
            await store.set_automation(
                paused=True, operator="ann", at_s=3.0, trace_id=""
            )
    assert isinstance(outcomes[0], Applied)


async def fail_commits(store: PostgresStore, times: int, state: str) -> None:
    """Let PostgreSQL refuse the next journal entries with this SQLSTATE."""
    async with store.engine.begin() as connection:
        await connection.execute(text("CREATE SEQUENCE failures"))
        await connection.execute(
            text(f"""
                CREATE FUNCTION fail() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
                    IF nextval('failures') <= {times} THEN
                        RAISE EXCEPTION 'injected' USING ERRCODE = '{state}';
                    END IF;
                    RETURN new;
                END $$
            """)
        )
        await connection.execute(
            text(
                "CREATE TRIGGER fail BEFORE INSERT ON journal "
                "FOR EACH ROW EXECUTE FUNCTION fail()"
            )
        )


@pytest.mark.parametrize("state", ["40001", "40P01"])
async def test_a_conflict_is_repeated(store: PostgresStore, state: str) -> None:
    await fail_commits(store, 3, state)
    (outcome,) = await store.change([flip("a", 1)], at_s=3.0, trace_id="")
    assert isinstance(outcome, Applied)
    assert len(await store.journal(0, 10)) == 1


async def test_conflicts_without_end_are_reported(store: PostgresStore) -> None:
    before = await store.zones()
    await fail_commits(store, ATTEMPTS, "40001")
    with pytest.raises(StoreUnavailable, match=r"had no effect.*injected") as raised:
        await store.change([flip("a", 1)], at_s=3.0, trace_id="")
    assert raised.value.definite
    assert await store.zones() == before
    assert await store.journal(0, 10) == ()


async def test_one_id_for_two_zones_at_once_is_judged_once(
    store: PostgresStore,
) -> None:
    """The zones' locks do not order these calls: the unique id does."""
    calls = [
        store.change([flip("same", 1, zone=zone)], at_s=3.0, trace_id="")
        for zone in (REGIONAL, FIPS) * 4
    ]
    outcomes = await asyncio.gather(*calls)
    assert len(set(outcomes)) == 1
    assert len(await store.journal(0, 10)) == 1
    versions = await store.versions()
    assert sorted(versions.values()) == [0, 1]


async def test_racing_senders_never_deadlock_and_one_wins(
    postgres_store: PostgresStore,
) -> None:
    store = postgres_store
    await store.publish(draft(0, *ZONES, endpoints=50), at_s=1.0, story="")

    async def send(sender: str, zones: tuple[ZoneName, ...]) -> list[list[Outcome]]:
        holder = EnactorName(sender)
        rounds = []
        for number in range(10):
            # Who finds the lock that the last round left behind, wins this one.
            batches = []
            for view in await store.zones(zones):
                lock = Lock(holder, number)
                one = flip(f"{sender}-{number}-{view.zone}", 1, zone=view.zone)
                batches.append(
                    batch(
                        one.id,
                        *flip("", 1, lock=lock).changes[:1],
                        zone=view.zone,
                        needs=flip("", 1, found=view.lock).preconditions[:1],
                        enactor=holder,
                    )
                )
            found = await store.change(batches, at_s=2.0, trace_id="")
            rounds.append(list(found))
        return rounds

    orders = (ZONES, ZONES[::-1], ZONES[4:] + ZONES[:4])
    senders = [
        send(f"enactor-{n}", order) for n, order in zip("abc", orders, strict=True)
    ]
    await asyncio.gather(*senders)
    entries = await store.journal(0, 1_000)
    assert len(entries) == 3 * 10 * len(ZONES)
    for zone in ZONES:
        held = None
        for entry in [entry for entry in entries if entry.batch.zone == zone]:
            # Each lock was replaced by exactly one sender: who believed it rightly.
            assert isinstance(entry.outcome, Applied) == (
                entry.batch.preconditions == flip("", 1, found=held).preconditions[:1]
            )
            if isinstance(entry.outcome, Applied):
                held = entry.outcome.after.lock
        assert (await store.zones([zone]))[0].lock == held


async def test_a_lost_reply_is_sent_again_and_applied_once(
    store: PostgresStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    commit = AsyncConnection.commit

    async def cut_after_commit(connection: AsyncConnection) -> None:
        await commit(connection)
        raw = await connection.get_raw_connection()
        driver = raw.driver_connection
        assert driver is not None
        await driver.close()
        await connection.execute(text("SELECT 1"))

    monkeypatch.setattr(AsyncConnection, "commit", cut_after_commit)
    with pytest.raises(StoreUnavailable, match="may have taken effect") as raised:
        await store.change([flip("a", 1)], at_s=3.0, trace_id="")
    assert not raised.value.definite
    monkeypatch.undo()
    (outcome,) = await store.change([flip("a", 1)], at_s=4.0, trace_id="")
    assert isinstance(outcome, Applied)
    (entry,) = await store.journal(0, 10)
    assert (entry.at_s, entry.outcome) == (3.0, outcome)
    assert (await store.versions())[REGIONAL] == 1


async def test_a_schema_is_migrated_once(
    database_url: str, new_schema: Callable[[], str]
) -> None:
    schema = new_schema()
    await asyncio.gather(*(migrate(database_url, schema) for _ in range(3)))
    store = PostgresStore(database_url, schema)
    assert (await store.describe()).zones == 0
    assert await schema_of(store) == schema
    await store.close()


async def test_the_tables_have_the_columns_that_are_read(store: PostgresStore) -> None:
    async with store.engine.connect() as connection:
        for table in tables.metadata.tables.values():
            await connection.execute(select(table).limit(0))


@pytest.mark.parametrize(
    "broken",
    [
        "INSERT INTO region VALUES (false)",
        "INSERT INTO region VALUES (true)",
        "UPDATE zone SET lock_holder = 'a'",
        "UPDATE zone SET lock_expires_s = 1",
        "UPDATE zone SET endpoints = '{}'",
        "UPDATE alias SET active = -1",
        "UPDATE zone SET active = '{}'",
        "UPDATE zone SET rollback = '{}'",
        "UPDATE alias SET endpoint = 'same'",
        "INSERT INTO tree SELECT id, 9 FROM zone",
        "INSERT INTO plan VALUES (9, 7, 0, '', '')",
    ],
)
async def test_an_impossible_state_cannot_be_stored(
    store: PostgresStore, broken: str
) -> None:
    with pytest.raises(IntegrityError):
        async with store.engine.begin() as connection:
            await connection.execute(text(broken))


@pytest.mark.parametrize("schema", ["", "A", "1a", "a b", 'a"b', "a" * 41])
def test_a_schema_name_is_plain(schema: str) -> None:
    with pytest.raises(ValueError, match="is not 1 to 40 of a-z"):
        PostgresStore("postgresql+psycopg://", schema)
