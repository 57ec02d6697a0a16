"""DynamoDB by its name: through DNS and load balancers, and kept on PostgreSQL."""

import asyncio
import json
import os
import signal
import sys
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import grpc
import pytest
from sqlalchemy import text

from protos.dynamodb.v1 import dynamodb_pb2 as pb
from protos.dynamodb.v1.dynamodb_pb2_grpc import TableServiceStub
from staleplan.runtime.database import ATTEMPTS, StoreUnavailable
from staleplan.runtime.errors import RemoteError
from staleplan.runtime.fault_spec import Delay, Drop, Effect, Error, Fault, Pause
from staleplan.runtime.fault_spec import Selector as At
from staleplan.table_client import TableAway, TableClient
from staleplan.tables import ABSENT, Conflict, Item, Version, Written
from staleplan.world.model import Reading
from staleplan.world.postgres_tables import PostgresTables, schema_of
from staleplan.world.service import World
from tests.integration.postgres_use import run_sql
from tests.integration.world_stage import (
    NO_DATA,
    PATIENCE_S,
    REGIONAL,
    Stage,
    listening,
)

ONE = Version(1)
MINE = {"holder": "dwfm-a", "term": "7"}
LATE_S = 1e-5
"""Ten wall milliseconds on the slow clock of the stage, incident seconds."""


@asynccontextmanager
async def called(stage: Stage) -> AsyncIterator[tuple[World, TableClient]]:
    """A world that listens, and a client that opens a channel for each call."""
    async with listening(stage) as world:
        client = stage.table_client(world.load_balancers.port)
        yield world, client
        await client.close()


def inject(stage: Stage, effect: Effect, count: int = 1) -> int:
    return stage.base.faults.inject(Fault(At("dynamodb.call"), effect, count=count)).id


# --- By name -----------------------------------------------------------------------


async def test_what_one_load_balancer_wrote_all_can_read(stage: Stage) -> None:
    async with called(stage) as (world, client):
        await client.put("leases", "d-1", MINE)
        request = pb.GetItemRequest(table="leases", key="d-1")
        for address in REGIONAL:
            target = f"{address}:{world.load_balancers.port}"
            async with grpc.aio.insecure_channel(target) as channel:
                stub = TableServiceStub(channel)
                reply = await stub.GetItem(request, timeout=PATIENCE_S)
            assert dict(reply.item.attributes) == MINE


async def test_an_empty_answer_is_suffered_within_one_call_and_not_one_longer(
    stage: Stage,
) -> None:
    async with called(stage) as (_, client):
        await client.put("leases", "d-1", MINE)
        stage.dns.empty()
        for _ in range(3):
            with pytest.raises(TableAway, match=NO_DATA) as raised:
                await client.put("leases", "d-1", {"holder": "late"})
            assert raised.value.definite
        stage.dns.fill()
        assert await client.get("leases", "d-1") == Item("d-1", ONE, MINE)


async def test_a_kept_channel_does_not_notice_an_empty_answer(stage: Stage) -> None:
    async with listening(stage) as world:
        kept = stage.table_client(world.load_balancers.port, keep_channel=True)
        await kept.put("leases", "d-1", MINE)
        asked = stage.dns.asked
        stage.dns.empty()
        assert await kept.get("leases", "d-1") == Item("d-1", ONE, MINE)
        assert stage.dns.asked == asked
        await kept.close()


async def test_where_nobody_listens_a_write_surely_did_not_happen(stage: Stage) -> None:
    async with called(stage) as (world, client):
        await world.load_balancers.stop()
        with pytest.raises(TableAway, match="failed to connect") as raised:
            await client.put("leases", "d-1", MINE)
    assert raised.value.definite
    assert await stage.tables.get("leases", "d-1") is None


async def test_an_unhealthy_load_balancer_writes_nothing(stage: Stage) -> None:
    async with called(stage) as (world, client):
        stage.dns.fill(["127.0.1.2"])
        world._fleet.fix("lb-b-01", Reading(healthy=False, capacity=40))
        with pytest.raises(TableAway, match="lb-b-01 is unhealthy") as raised:
            await client.put("leases", "d-1", MINE)
    assert raised.value.definite
    assert await stage.tables.get("leases", "d-1") is None


async def test_a_bad_argument_is_no_absence_and_names_its_field(stage: Stage) -> None:
    async with called(stage) as (_, client):
        with pytest.raises(RemoteError, match="key: must be 1 to 255") as raised:
            await client.put("leases", "", MINE)
    assert raised.value.code is grpc.StatusCode.INVALID_ARGUMENT
    assert list(raised.value.fields) == ["key"]


async def test_a_call_is_one_trace_from_client_to_load_balancer(stage: Stage) -> None:
    async with called(stage) as (_, client):
        await client.put("leases", "d-1", MINE)
        inject(stage, Drop())
        with pytest.raises(TableAway):
            await client.put("leases", "d-1", MINE)
    (sent, served), lost = stage.traces()
    assert (sent.kind.name, served.kind.name) == ("CLIENT", "SERVER")
    assert sent.name == served.name == "staleplan.dynamodb.v1.TableService/PutItem"
    assert [span.status.is_ok for span in lost] == [False, False]


# --- Faults ------------------------------------------------------------------------


async def test_after_a_lost_reply_a_repeat_finds_what_was_written(stage: Stage) -> None:
    async with called(stage) as (_, client):
        inject(stage, Drop())
        with pytest.raises(TableAway, match="the reply is lost") as raised:
            await client.put("leases", "d-1", MINE, ABSENT)
        assert not raised.value.definite
        again = await client.put("leases", "d-1", MINE, ABSENT)
        assert again == Conflict(ABSENT, Item("d-1", ONE, MINE))


@pytest.mark.parametrize("status", ["UNAVAILABLE", "DEADLINE_EXCEEDED"])
async def test_an_injected_absence_surely_wrote_nothing(
    stage: Stage, status: str
) -> None:
    async with called(stage) as (_, client):
        inject(stage, Error(grpc.StatusCode[status]))
        with pytest.raises(TableAway, match=f"dynamodb.call: {status}") as raised:
            await client.put("leases", "d-1", MINE)
        assert raised.value.definite
        assert await client.get("leases", "d-1") is None


async def test_a_dynamodb_that_is_late_still_answers(stage: Stage) -> None:
    async with called(stage) as (_, client):
        inject(stage, Delay(LATE_S), count=3)
        written = await client.put("leases", "d-1", MINE)
        assert written == Written(Item("d-1", ONE, MINE))


async def test_who_is_too_late_for_the_deadline_writes_nothing(stage: Stage) -> None:
    async with listening(stage) as world:
        hasty = stage.table_client(world.load_balancers.port, timeout_s=0.2)
        inject(stage, Pause())
        with pytest.raises(TableAway, match="Deadline Exceeded") as raised:
            await hasty.put("leases", "d-1", MINE)
        assert not raised.value.definite
        (fault,) = stage.base.faults.listed()
        async with asyncio.timeout(PATIENCE_S):
            while fault.waiters:  # noqa: ASYNC110
                await asyncio.sleep(0)
        stage.base.faults.clear(0)
        patient = stage.table_client(world.load_balancers.port)
        assert await patient.get("leases", "d-1") is None
    assert not any(span.status.is_ok for span in stage.traces()[0])


async def test_a_paused_call_goes_on_when_it_is_released(stage: Stage) -> None:
    async with called(stage) as (_, client):
        reached = stage.base.faults.watch(At("dynamodb.call"))
        fault = inject(stage, Pause())
        write = asyncio.create_task(client.put("leases", "d-1", MINE))
        async with asyncio.timeout(PATIENCE_S):
            await anext(aiter(reached))
            assert await stage.tables.get("leases", "d-1") is None
            while not stage.base.faults.release(fault):  # noqa: ASYNC110
                await asyncio.sleep(0)
            assert await write == Written(Item("d-1", ONE, MINE))


# --- On PostgreSQL -----------------------------------------------------------------


@pytest.fixture
async def tables(
    database_url: str, new_schema: Callable[[], str]
) -> AsyncIterator[PostgresTables]:
    tables = PostgresTables(database_url, new_schema())
    await tables.create()
    yield tables
    await tables.close()


async def fail_writes(tables: PostgresTables, times: int, state: str) -> None:
    """Let PostgreSQL refuse the next writes with this SQLSTATE."""
    async with tables._database.engine.connect() as connection:
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
                "CREATE TRIGGER fail BEFORE INSERT ON item "
                "FOR EACH ROW EXECUTE FUNCTION fail()"
            )
        )


@pytest.mark.parametrize("state", ["40001", "40P01"])
async def test_a_write_that_postgresql_refuses_for_another_is_repeated(
    tables: PostgresTables, state: str
) -> None:
    await fail_writes(tables, 3, state)
    written = await tables.put("leases", "d-1", MINE, ABSENT)
    assert written == Written(Item("d-1", ONE, MINE))


async def test_refusals_without_end_are_reported_and_nothing_is_written(
    tables: PostgresTables,
) -> None:
    await fail_writes(tables, ATTEMPTS, "40001")
    with pytest.raises(StoreUnavailable, match=r"had no effect.*injected") as raised:
        await tables.put("leases", "d-1", MINE)
    assert raised.value.definite
    assert await tables.get("leases", "d-1") is None


async def test_a_write_whose_connection_is_lost_may_have_happened(
    tables: PostgresTables,
) -> None:
    await tables.put("leases", "d-1", MINE)
    waits = text(
        "SELECT pid FROM pg_locks JOIN pg_stat_activity USING (pid) WHERE NOT granted"
    )
    async with tables._database.engine.connect() as holder:
        await holder.execute(text("BEGIN"))
        await holder.execute(text("SELECT FROM item WHERE key = 'd-1' FOR UPDATE"))
        write = asyncio.create_task(tables.put("leases", "d-1", {}, ONE))
        async with asyncio.timeout(PATIENCE_S):
            while (pid := await holder.scalar(waits)) is None:
                assert not write.done()
        await holder.execute(text(f"SELECT pg_terminate_backend({pid})"))
        with pytest.raises(StoreUnavailable, match="may have taken effect") as raised:
            await write
        await holder.execute(text("ROLLBACK"))
    assert not raised.value.definite
    assert await tables.get("leases", "d-1") == Item("d-1", ONE, MINE)


async def test_each_version_is_written_by_one_process(
    tables: PostgresTables, database_url: str
) -> None:
    """Here PostgreSQL decides: what one world writes together, another writes too."""
    other = PostgresTables(database_url, tables._schema)
    won: Counter[tuple[str, Version]] = Counter()

    async def write(name: str, through: PostgresTables) -> None:
        seen = dict.fromkeys((f"d-{n}" for n in range(5)), ABSENT)
        for number in range(40):
            key = f"d-{number % 5}"
            outcome = await through.put("leases", key, {"by": name}, seen[key])
            if isinstance(outcome, Conflict):
                assert outcome.found is not None
                assert outcome.found.version > seen[key]
                seen[key] = outcome.found.version
            else:
                assert outcome.item.version == seen[key] + 1
                seen[key] = outcome.item.version
                won[key, outcome.item.version] += 1

    await asyncio.gather(
        *(write(f"{n}", through) for n in range(6) for through in (tables, other))
    )
    await other.close()
    assert set(won.values()) == {1}
    for item in (await tables.query("leases")).items:
        mine = sorted(version for key, version in won if key == item.key)
        assert mine == list(range(1, item.version + 1))


async def test_without_postgresql_a_write_surely_did_not_happen() -> None:
    nowhere = PostgresTables("postgresql+psycopg://x@127.0.0.1:1/x", "nowhere")
    with pytest.raises(StoreUnavailable, match="had no effect") as raised:
        await nowhere.put("leases", "d-1", MINE)
    assert raised.value.definite
    await nowhere.close()


async def test_a_client_is_told_when_postgresql_is_away(stage: Stage) -> None:
    stage.tables = PostgresTables("postgresql+psycopg://x@127.0.0.1:1/x", "nowhere")
    async with called(stage) as (_, client):
        with pytest.raises(TableAway, match="PostgreSQL is unavailable") as raised:
            await client.put("leases", "d-1", MINE)
    assert raised.value.definite


async def test_a_call_that_was_given_up_leaves_no_connection_behind(
    tables: PostgresTables,
) -> None:
    for _ in range(20):
        calls = [
            asyncio.create_task(tables.get("leases", "d-1")),
            asyncio.create_task(tables.put("leases", "d-1", MINE)),
        ]
        await asyncio.sleep(0)
        for call in calls:
            call.cancel()
        await asyncio.wait(calls)
    assert isinstance(await tables.put("leases", "d-2", MINE, ABSENT), Written)
    assert tables._database.engine.pool.checkedout() == 0  # type: ignore[attr-defined]


async def test_tables_are_made_once(
    database_url: str, new_schema: Callable[[], str]
) -> None:
    one = PostgresTables(database_url, new_schema())
    for _ in range(2):
        await one.create()
        await one.put("leases", "d-1", MINE)
    found = await one.get("leases", "d-1")
    assert found is not None
    assert found.version == 2
    await one.close()


async def test_what_was_written_outlives_the_worlds_crash(
    stage: Stage, database_url: str
) -> None:
    stack = f"test_{os.getpid()}_crash"
    told = {
        "STALEPLAN_DNS_TARGET": stage.dns.target,
        "STALEPLAN_DATABASE_URL": database_url,
        "STALEPLAN_STACK": stack,
    }

    @asynccontextmanager
    async def running(ending: signal.Signals) -> AsyncIterator[TableClient]:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "staleplan.world"),
            env={**os.environ, **told},
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.DEVNULL,
        )
        assert process.stdout
        async with asyncio.timeout(PATIENCE_S):
            ready = json.loads(await process.stdout.readline())
            yield stage.table_client(ready["load_balancer_port"])
            process.send_signal(ending)
            await process.wait()

    async with running(signal.SIGKILL) as client:
        await client.put("leases", "d-1", MINE)
    async with running(signal.SIGTERM) as client:
        assert await client.get("leases", "d-1") == Item("d-1", ONE, MINE)
    run_sql(database_url, f'DROP SCHEMA "{schema_of(stack)}" CASCADE')
