"""The twin equals PostgreSQL: the same operations give the same everything."""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, TypeVar

import psycopg
import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    rule,
    run_state_machine_as_test,
)
from sqlalchemy import make_url, text

from dns_store.memory import MemoryStore
from dns_store.migrations import migrate
from dns_store.postgres import PostgresStore
from dns_store.store import Store
from staleplan.model import (
    ActiveBelow,
    ActiveIs,
    AutomationRuns,
    BuildTree,
    Change,
    DeleteTree,
    EnactorName,
    Generation,
    Lock,
    LockIs,
    PointActive,
    PointRollback,
    Precondition,
    SetLock,
    TreeExists,
    TreeUnreferenced,
    ZoneName,
)
from staleplan.runtime.errors import ServiceError
from tests.samples import ENACTOR_A, FIPS, REGIONAL, batch, draft, endpoints_of

Result = TypeVar("Result")

ZONES = (REGIONAL, FIPS)
LATER = ZoneName("later")
GENERATIONS = st.integers(1, 4).map(Generation)
LOCKS = st.sampled_from(
    [None, Lock(ENACTOR_A, 1), Lock(ENACTOR_A, 2), Lock(EnactorName("enactor-b"), 1)]
)
ZONE_CHANGES: st.SearchStrategy[Change] = st.one_of(
    GENERATIONS.map(BuildTree), GENERATIONS.map(DeleteTree), LOCKS.map(SetLock)
)
NEEDS: st.SearchStrategy[Precondition] = st.one_of(
    LOCKS.map(LockIs),
    GENERATIONS.map(ActiveIs),
    GENERATIONS.map(ActiveBelow),
    GENERATIONS.map(TreeExists),
    GENERATIONS.map(TreeUnreferenced),
    st.just(AutomationRuns()),
)
TABLES = "alias, tree, plan_zone, plan, journal, audit, zone, region, automation"


WRONG_SUMS = text("""
    SELECT name FROM zone JOIN (
        SELECT zone_id AS id, array_agg(DISTINCT active) AS active,
            array_agg(DISTINCT rollback) AS rollback
        FROM alias GROUP BY zone_id
    ) AS found USING (id)
    WHERE (zone.active, zone.rollback) <> (found.active, found.rollback)
""")
"""Zones whose own pointers are not those of their aliases."""


@st.composite
def changes(draw: st.DrawFn) -> tuple[Change, ...]:
    """Mostly an enactor's batch, with random changes before, between and after."""
    made = draw(st.lists(ZONE_CHANGES, max_size=2))
    if draw(st.booleans()):
        made.append(BuildTree(draw(GENERATIONS)))
    if draw(st.booleans()):
        made.append(PointRollback(draw(st.booleans())))
    made += draw(st.lists(ZONE_CHANGES, max_size=1))
    if draw(st.booleans()):
        made.append(PointActive(draw(GENERATIONS)))
    made += draw(st.lists(ZONE_CHANGES, max_size=1))
    return tuple(made) or (SetLock(None),)


class Twins(RuleBasedStateMachine):
    """Drives both stores alike; set up by the test with a schema and a loop."""

    url: str
    schema: str
    run: Callable[[Coroutine[Any, Any, Any]], Any]

    def __init__(self) -> None:
        super().__init__()
        self.postgres = PostgresStore(self.url, self.schema)
        self.stores: tuple[Store, Store] = (MemoryStore(), self.postgres)
        self.batches = 0

    def both(self, call: Callable[[Store], Awaitable[Result]]) -> Result | str:
        """Call both, and demand equal results or equal errors."""

        async def told(store: Store) -> Result | str:
            try:
                return await call(store)
            except ServiceError as error:
                return f"{type(error).__name__}: {error}"

        expected, found = (self.run(told(store)) for store in self.stores)
        assert found == expected
        result: Result | str = found
        return result

    @initialize()
    def empty(self) -> None:
        with psycopg.connect(
            make_url(self.url)
            .set(drivername="postgresql")
            .render_as_string(hide_password=False),
            options=f"-c search_path={self.schema}",
        ) as connection:
            connection.execute(f"TRUNCATE {TABLES} RESTART IDENTITY")
            connection.execute("INSERT INTO region DEFAULT VALUES")
            connection.execute("INSERT INTO automation DEFAULT VALUES")
        self.both(lambda store: store.publish(draft(0), at_s=0.0, story="s"))

    @rule(
        parent=st.integers(0, 3),
        zones=st.sampled_from([ZONES, (*ZONES, LATER), (LATER, *ZONES), (FIPS,)]),
        answer=st.integers(0, 1),
    )
    def publish(self, parent: int, zones: tuple[ZoneName, ...], answer: int) -> None:
        plan = draft(parent, *zones, answer=answer)
        self.both(lambda store: store.publish(plan, at_s=1.0, story="s"))

    @rule(
        parts=st.lists(
            st.tuples(
                st.sampled_from([*ZONES, *ZONES, LATER]),
                changes(),
                st.lists(NEEDS, max_size=2).map(tuple),
                st.sets(st.integers(0, 2), max_size=2),
                st.booleans(),
            ),
            min_size=1,
            max_size=3,
        ),
        own=GENERATIONS,
    )
    def change(self, parts: list[Any], own: Generation) -> None:
        call = []
        for zone, made, needs, places, again in parts:
            self.batches += not again
            names = tuple(endpoints_of(zone)[place] for place in sorted(places))
            if any(isinstance(one, BuildTree | DeleteTree) for one in made):
                names = ()
            call.append(
                batch(
                    f"{zone}-{self.batches}",
                    *made,
                    zone=zone,
                    needs=needs,
                    generation=own,
                    endpoints=names,
                )
            )
        self.both(lambda store: store.change(call, at_s=2.0, trace_id="t"))

    @rule(made=changes(), zone=st.sampled_from(ZONES))
    def operate(self, made: tuple[Change, ...], zone: ZoneName) -> None:
        self.batches += 1
        one = batch(f"operator-{self.batches}", *made, zone=zone)
        self.both(lambda store: store.operate("restore", one, at_s=3.0, trace_id="t"))

    @rule(paused=st.booleans())
    def pause(self, paused: bool) -> None:
        self.both(
            lambda store: store.set_automation(
                paused=paused, operator="ann", at_s=4.0, trace_id="t"
            )
        )

    @invariant()
    def are_equal(self) -> None:
        names = list(self.run(self.postgres.versions()))
        self.both(lambda store: store.zones())
        self.both(lambda store: store.answers(names))
        self.both(lambda store: store.versions())
        self.run(self.sums_are_right())

    async def sums_are_right(self) -> None:
        async with self.postgres.engine.connect() as connection:
            assert (await connection.execute(WRONG_SUMS)).all() == []

    def teardown(self) -> None:
        self.both(lambda store: store.describe())
        self.both(lambda store: store.heads(10))
        self.both(lambda store: store.plan(None))
        self.both(lambda store: store.journal(0, 1_000))
        self.both(lambda store: store.audit(0))
        self.run(self.postgres.close())


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_the_twin_equals_postgresql(
    database_url: str, new_schema: Callable[[], str]
) -> None:
    schema = new_schema()
    # A loop of its own: hypothesis is not asynchronous.
    with asyncio.Runner(loop_factory=asyncio.new_event_loop) as runner:
        runner.run(migrate(database_url, schema))
        attributes = {"url": database_url, "schema": schema, "run": runner.run}
        machine = type("TwinsHere", (Twins,), attributes)
        run_state_machine_as_test(
            machine,
            settings=settings(
                max_examples=25,
                stateful_step_count=15,
                suppress_health_check=list(HealthCheck),
            ),
        )
