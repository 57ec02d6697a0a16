"""Each part of a living region is killed in the middle of its work, and it goes on.

What the region did is judged from its journal afterwards: no half plan, no batch twice,
no property broken, and nothing repaired by hand.
"""

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress
from pathlib import Path

import grpc
import psycopg
import pytest
from sqlalchemy import make_url

from protos.dns_store.v1 import dns_store_pb2
from protos.runtime.v1 import runtime_pb2 as pb
from staleplan.drills.stage import Place
from staleplan.model import (
    Applied,
    JournalEntry,
    Lock,
    LockIs,
    Reason,
    SetLock,
    ZoneName,
    is_refused,
)
from staleplan.runtime import postgres as server
from staleplan.runtime.logs import BoundLogger
from staleplan.spec import NO_HALF_PLAN
from staleplan.stack.child import child_stack
from staleplan.stack.outside import Outside
from staleplan.stack.settings import AZS
from tests.regions import (
    NAMES,
    PACE,
    PATIENCE_S,
    Region,
    journal_with_all,
    judged,
    no_batch_is_lost,
    region_of,
    settings_of,
)

ANSWERS_IN_THE_DARK = 25
"""Answers that are waited for while PostgreSQL is dead: half a second of them."""

COMMIT_GATE = 2_348
"""Number of the advisory lock that a commit is made to wait for."""


@pytest.fixture(scope="module")
def state(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A PostgreSQL that only this module's stacks use."""
    state = tmp_path_factory.mktemp("survival")
    server.start(state, keep=True)
    yield state
    server.stop(state)
    server.remove(state)


@pytest.fixture(scope="module")
async def shared(state: Path) -> AsyncIterator[Region]:
    settings = settings_of(state, "fixed", "survivor")
    async with region_of(settings, lambda _: child_stack(settings)) as region:
        yield region


@pytest.fixture
async def region(shared: Region) -> AsyncIterator[Region]:
    """The hardened region that the tests share; each leaves it without faults."""
    yield shared
    for faults in shared.faults.values():
        await faults.Clear(pb.ClearRequest())


# --- PostgreSQL ---------------------------------------------------------------------


@asynccontextmanager
async def before_a_batch(region: Region) -> AsyncIterator[None]:
    """An enactor has its locks, and goes on with its batch when this is left."""
    held = await region.stage.hold(Place("a", "enactor.before_batch"))
    await region.until(held.has_caught)
    yield
    await held.release()


@asynccontextmanager
async def in_a_commit(region: Region) -> AsyncIterator[None]:
    """A flip is written and its COMMIT sent; nobody knows yet whether it will be."""
    name = region.settings.name
    gate = f"""
        CREATE FUNCTION {name}.wait() RETURNS trigger LANGUAGE plpgsql
        AS $$ BEGIN
            PERFORM pg_advisory_xact_lock_shared({COMMIT_GATE});
            RETURN NULL;
        END $$;
        CREATE CONSTRAINT TRIGGER wait AFTER INSERT ON {name}.tree
            DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION {name}.wait();
        SELECT pg_advisory_lock({COMMIT_GATE});
    """
    waiters = (
        "SELECT 1 FROM pg_locks JOIN pg_stat_activity USING (pid) "
        f"WHERE NOT granted AND objid = {COMMIT_GATE} AND query ILIKE 'COMMIT%'"
    )
    url = make_url(str(region.settings.database_url)).set(drivername="postgresql")
    connection = await psycopg.AsyncConnection.connect(
        url.render_as_string(hide_password=False), autocommit=True
    )

    async def committing() -> bool:
        return bool(await (await connection.execute(waiters)).fetchone())

    async with connection:
        await connection.execute(gate.encode())
        await region.until(committing)
        yield


@pytest.mark.parametrize("moment", [before_a_batch, in_a_commit])
async def test_a_killed_postgres_is_survived(
    region: Region,
    moment: Callable[[Region], AbstractAsyncContextManager[None]],
) -> None:
    async def store_is_blind() -> bool:
        request = dns_store_pb2.DescribeRequest()
        with pytest.raises(grpc.aio.AioRpcError) as raised:
            await region.stage.store.stub.Describe(request)
        assert raised.value.code() is grpc.StatusCode.UNAVAILABLE
        return "PostgreSQL is unavailable" in str(raised.value.details())

    # Read before: a region whose commits wait may not answer.
    before = await journal_with_all(region)
    passes = await region.passes()
    async with region.asked() as answers:
        try:
            async with moment(region):
                await region.kill_postgres()
            await region.until(store_is_blind)
            enough = len(answers) + ANSWERS_IN_THE_DARK
            await region.until(lambda: len(answers) >= enough)
            assert await store_is_blind(), "all that was in the dark"
        finally:
            await region.start_postgres()
        await region.goes_on()
    assert [each for each in answers if each[1] <= 0] == []
    await no_batch_is_lost(region, before)
    now = await region.passes()
    assert all(now[az] > passes[az] for az in AZS), "each enactor goes on by itself"


async def test_no_half_plan_depends_on_no_safeguard(state: Path) -> None:
    """A batch is all or nothing by itself: what is hardened is what to ask for."""
    settings = settings_of(state, "buggy", "unhardened")
    async with region_of(settings, lambda _: child_stack(settings)) as region:
        before = await journal_with_all(region)
        try:
            async with in_a_commit(region):
                await region.kill_postgres()
        finally:
            await region.start_postgres()

        async def everybody_goes_on() -> bool:
            new = [e async for e in region.stage.store.journal(before[-1].sequence)]
            senders = {e.batch.enactor for e in new if isinstance(e.outcome, Applied)}
            return len(senders) == len(AZS)

        await region.until(everybody_goes_on)
        await judged(region, [NO_HALF_PLAN])


# --- Services -----------------------------------------------------------------------

CRASHES = (
    ("enactor-a", "enactor.before_pass"),
    ("enactor-a", "enactor.before_check"),
    ("enactor-a", "enactor.take_lock"),
    ("enactor-a", "enactor.before_batch"),
    ("enactor-a", "enactor.after_batch"),
    ("enactor-a", "enactor.before_clean_up"),
    ("enactor-a", "enactor.before_delete"),
    ("enactor-a", "enactor.after_clean_up"),
    ("enactor-a", "enactor.back_off"),
    ("planner", "planner.before_publish"),
    ("planner", "planner.after_publish"),
    ("dns-store", "dns_store.change_batch"),
    ("dns-store", "dns_store.publish_plan"),
    ("dns-store", "dns_store.read"),
    ("world", "world.report"),
)


@pytest.mark.parametrize(("service", "point"), CRASHES)
async def test_a_crash_is_survived(region: Region, service: str, point: str) -> None:
    starts = region.starts_of(service)
    if point == "enactor.back_off":
        # A lock has to be lost first.
        lost = pb.Fault(point="enactor.take_lock", error=pb.Error(status="ABORTED"))
        await region.inject(service, lost)
    # The service may be dead before it can answer.
    with suppress(grpc.aio.AioRpcError):
        await region.inject(service, pb.Fault(point=point, count=1, crash=pb.Crash()))
    await region.until(lambda: region.starts_of(service) > starts)
    await region.goes_on()
    if service == "enactor-a":

        async def goes_on() -> bool:
            return (await region.passes())["a"] > 0

        await region.until(goes_on)
    await judged(region)


@pytest.mark.parametrize(
    ("service", "point"),
    [
        ("enactor-a", "enactor.before_batch"),
        ("dns-store", "dns_store.change_batch"),
        ("dns-store", "dns_store.publish_plan"),
    ],
)
async def test_a_lost_reply_is_not_guessed(
    region: Region, service: str, point: str
) -> None:
    """What was done is found out: from the journal, or from the newest plan."""
    count = 1 if point == "dns_store.publish_plan" else 8
    fault = pb.Fault(point=point, count=count, drop=pb.Drop())
    injected = await region.inject(service, fault)

    async def all_lost() -> bool:
        return await region.fired(service, injected) == count

    await region.until(all_lost)
    await no_batch_is_lost(region, await journal_with_all(region))
    nobody_takes_what_it_has(await region.stage.journal())
    heads = await region.stage.store.heads(50)
    generations = [head.generation for head in heads]
    assert generations == [generations[0] - n for n in range(len(heads))]


def nobody_takes_what_it_has(entries: Sequence[JournalEntry]) -> None:
    """Who guessed that a lost reply was a refusal would take its own lock again."""
    taken: dict[tuple[str, ZoneName], Lock] = {}
    for entry in entries:
        batch = entry.batch
        life = batch.id.rpartition("/")[0], batch.zone
        match batch.changes[0], entry.outcome:
            case SetLock(Lock() as lock), Applied():
                had = taken.get(life)
                assert not had or LockIs(had) not in batch.preconditions, entry
                taken[life] = lock


@pytest.mark.slow
async def test_killed_processes_are_survived(state: Path) -> None:
    """Each service is a process here, and a supervisor starts it where it was."""
    settings = settings_of(state, "fixed", "processes")
    restarted = asyncio.Queue[None]()
    outside: list[Outside] = []

    def start(log: BoundLogger) -> AbstractAsyncContextManager[Mapping[str, str]]:
        outside.append(Outside(settings, log, lambda: restarted.put_nowait(None)))
        return outside[0].running()

    async with region_of(settings, start) as region:
        addresses = dict(region.stage.addresses)
        for service in ("dns-store", "planner", "enactor-b"):
            os.kill(outside[0].processes[service], signal.SIGKILL)
            await asyncio.wait_for(restarted.get(), PATIENCE_S)
            assert outside[0].addresses == addresses
            assert await region.addresses_of(NAMES[0]) > 0
            await region.goes_on()
        try:
            await region.kill_postgres()
            os.kill(outside[0].processes["dns-store"], signal.SIGKILL)
        finally:
            await region.start_postgres()
        await asyncio.wait_for(restarted.get(), PATIENCE_S)
        await region.goes_on()
        assert await region.addresses_of(NAMES[0]) > 0
        await judged(region)


async def test_a_store_that_starts_without_its_database_waits(state: Path) -> None:
    """It is started again and again, as any supervisor would."""
    settings = settings_of(state, "fixed", "blind")
    async with region_of(settings, lambda _: child_stack(settings)) as region:
        starts = region.starts_of("dns-store")
        try:
            await region.kill_postgres()
            with suppress(grpc.aio.AioRpcError):
                crash = pb.Fault(point="dns_store.read", count=1, crash=pb.Crash())
                await region.inject("dns-store", crash)
            await region.until(lambda: region.failed_starts_of("dns-store"))
        finally:
            await region.start_postgres()
        await region.until(lambda: region.starts_of("dns-store") > starts)
        await region.goes_on()
        await judged(region)


# --- The pause switch ---------------------------------------------------------------


async def test_a_pause_stops_changes_and_no_answer(region: Region) -> None:
    """Source: R23."""
    store = region.stage.store
    async with region.asked() as answers:
        await store.set_automation(paused=True, operator="ann")
        try:
            (*_, last) = await region.stage.journal()

            async def refused() -> set[str]:
                entries = [e async for e in store.journal(last.sequence)]
                # A lock may still be given back; nothing else may change any more.
                applied = [e for e in entries if isinstance(e.outcome, Applied)]
                assert all(e.batch.changes == (SetLock(None),) for e in applied)
                paused = [e for e in entries if is_refused(e.outcome, Reason.PAUSED)]
                return {entry.batch.enactor for entry in paused}

            async def everybody_is_refused() -> bool:
                return len(await refused()) == len(AZS)

            newest = await region.stage.newest()
            await region.until(everybody_is_refused)
            assert (await store.describe()).paused
        finally:
            await store.set_automation(paused=False, operator="ann")
        await region.goes_on()
    assert await region.stage.newest() > newest
    assert [each for each in answers if each[1] <= 0] == []
    *_, pause, resume = await store.audit()
    assert (pause.action, resume.action) == ("pause", "resume")
    late = [
        entry
        for entry in await judged(region)
        if pause.at_s + PACE.speed < entry.at_s < resume.at_s
        and isinstance(entry.outcome, Applied)
    ]
    assert late == [], "applied over a wall second after the pause was asked for"
