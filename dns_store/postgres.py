"""The store on PostgreSQL: what is applied is durable, and applied all or nothing.

A call with batches of several zones is one transaction, so that one commit pays for
all of them; yet each batch is judged alone, by `core.decide`. In order:

1. Lock the zones, in one order for all calls.
2. Read the zones as they are now, a few numbers each, however many endpoints, and what
   the journal has of these batches: those are not judged again.
3. Judge in Python.
4. Write pointers, trees, locks, versions and the journal, and notify who follows.

The read is a statement of its own, after the lock. In READ COMMITTED a statement sees
what was committed before it began; one that locked and read at once would wait for a
zone's holder and then judge by what it had seen before the wait.
Enforced by: tests/integration/test_store_postgres.py::test_a_waiting_call_sees_news
"""

import zlib
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing

from sqlalchemy import func, insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from dns_store import plans
from dns_store import schema as tables
from dns_store.core import decide, told
from dns_store.database import Database
from dns_store.edge import check_call, new_zones
from dns_store.errors import UnknownZone
from dns_store.rows import (
    ALL_ZONES,
    AnswersRow,
    Judged,
    KnownZone,
    ZoneRow,
    answers_of,
    from_json,
    partly_moved,
    payload_of,
    unpack_sets,
    view_of,
    written,
)
from dns_store.store import (
    AuditEntry,
    PlanSets,
    RegionSummary,
    ZoneAnswers,
)
from staleplan.model import (
    Batch,
    BuildTree,
    Draft,
    EndpointName,
    Generation,
    JournalEntry,
    Outcome,
    Outdated,
    Plan,
    PlanHead,
    Published,
    ZoneName,
    ZoneView,
)


class PostgresStore:
    """`Store` on one schema of a PostgreSQL database, migrated before."""

    def __init__(self, url: str, schema: str) -> None:
        self._database = Database(url, schema)
        self.engine = self._database.engine
        self._channel = f"zones_{schema}"
        # Advisory locks are the database's: each schema has a number of its own.
        self._gate = zlib.crc32(schema.encode())
        self._zones: dict[ZoneName, KnownZone] = {}

    async def close(self) -> None:
        """Close every connection."""
        await self.engine.dispose()

    # --- Plans ---------------------------------------------------------------------

    async def publish(
        self, draft: Draft, *, at_s: float, story: str
    ) -> Published | Outdated:
        """Store a draft as the next plan if its parent is the newest."""

        async def work(connection: AsyncConnection) -> Published | Outdated:
            if not await plans.advance(connection, draft.parent):
                return Outdated(await plans.newest_of(connection), draft.parent)
            generation = Generation(draft.parent + 1)
            await self._learn_zones(connection)
            added = new_zones(draft, self.endpoints())
            if added:
                await plans.add_zones(connection, added)
                await connection.execute(
                    tables.NOTIFY,
                    {
                        "channel": self._channel,
                        "changed": payload_of([plan.zone for plan in added]),
                    },
                )
            await plans.add_plan(connection, generation, draft, at_s, story)
            return Published(generation)

        return await self._database.transact(work)

    async def plan(self, generation: Generation | None) -> Plan | None:
        """Read a plan, whole; `None` asks for the newest."""
        return plans.plan_of(await self._database.read(plans.whole(generation)))

    async def heads(self, limit: int) -> tuple[PlanHead, ...]:
        """Read the newest plans' numbers and zones, newest first."""
        rows = await self._database.read(plans.heads(plans.newest(limit)))
        return tuple(map(plans.head_of, rows))

    async def head(self, generation: Generation | None) -> PlanHead | None:
        """Read one plan's number and zones; `None` asks for the newest."""
        rows = await self._database.read(plans.heads(plans.one(generation)))
        return plans.head_of(rows[0]) if rows else None

    async def plan_sets(self, generation: Generation) -> PlanSets | None:
        """Read the answer sets of a plan; `None` when the plan is gone."""
        plan = tables.plan.c
        query = select(plan.body).where(plan.generation == generation)
        rows = await self._database.read(query)
        return unpack_sets(rows[0].body) if rows else None

    # --- Zones ---------------------------------------------------------------------

    def endpoints(self) -> dict[ZoneName, tuple[EndpointName, ...]]:
        """Look up the endpoints of the zones known so far; they never change."""
        return {name: zone.endpoints for name, zone in self._zones.items()}

    async def zones(self, names: Sequence[ZoneName] = ()) -> tuple[ZoneView, ...]:
        """Read zones as they are now, in the order of their creation."""

        async def work(connection: AsyncConnection) -> tuple[ZoneView, ...]:
            ids = await self._ids(connection, names)
            unused = [None] * len(ids)
            asked = {"zones": list(ids), "endpoints": unused, "ids": unused}
            rows = await connection.execute(tables.READ_ZONES, asked | {"wanted": []})
            return tuple(map(view_of, map(ZoneRow._make, rows)))

        return await self._database.transact(work)

    async def change(
        self, batches: Sequence[Batch], *, at_s: float, trace_id: str
    ) -> tuple[Outcome, ...]:
        """Judge batches of different zones, each all or nothing, and journal them."""

        async def work(connection: AsyncConnection) -> tuple[Outcome, ...]:
            outcomes, _ = await self._change(connection, batches, at_s, trace_id)
            return outcomes

        return await self._database.transact(work)

    async def operate(
        self, action: str, batch: Batch, *, at_s: float, trace_id: str
    ) -> Outcome:
        """Judge an operator's batch, and audit it with its outcome."""

        async def work(connection: AsyncConnection) -> Outcome:
            (outcome,), judged = await self._change(connection, [batch], at_s, trace_id)
            if judged:
                detail = told(batch, outcome)
                operator = batch.enactor
                await _audit(connection, operator, (action, detail), at_s, trace_id)
            return outcome

        return await self._database.transact(work)

    async def _change(
        self,
        connection: AsyncConnection,
        batches: Sequence[Batch],
        at_s: float,
        trace_id: str,
    ) -> tuple[tuple[Outcome, ...], list[Judged]]:
        if not self._zones.keys() >= {batch.zone for batch in batches}:
            await self._learn_zones(connection)
        check_call(batches, self.endpoints())
        ids = [self._zones[batch.zone].id for batch in batches]
        await connection.execute(tables.LOCK_ZONES, {"gate": self._gate, "zones": ids})
        outcomes, judged = await self._judge(connection, batches)
        if judged:
            rows = written(judged) | {"at_s": at_s, "trace_id": trace_id}
            await connection.execute(
                tables.WRITE_BATCHES, rows | {"channel": self._channel}
            )
        partly = partly_moved(judged)
        if partly:
            await connection.execute(tables.SUM_UP, {"zones": partly})
        return outcomes, judged

    async def _judge(
        self, connection: AsyncConnection, batches: Sequence[Batch]
    ) -> tuple[tuple[Outcome, ...], list[Judged]]:
        """The outcome of each batch, and those batches that had none before."""
        wanted = [
            change.generation
            for batch in batches
            for change in batch.changes
            if isinstance(change, BuildTree)
        ]
        asked = {
            "zones": [self._zones[batch.zone].id for batch in batches],
            "endpoints": [" ".join(batch.endpoints) or None for batch in batches],
            "ids": [batch.id for batch in batches],
            "wanted": wanted,
        }
        read = await connection.execute(tables.READ_ZONES, asked)
        rows = {row.name: row for row in map(ZoneRow._make, read)}
        outcomes: list[Outcome] = []
        judged = []
        for batch in batches:
            row = rows[batch.zone]
            if row.outcome is not None:
                outcomes.append(from_json(row.outcome))
                continue
            found = view_of(row)
            outcome = decide(found, batch, plans=row.plans, runs=not row.paused)
            outcomes.append(outcome)
            judged.append(Judged(row.id, batch, found, outcome))
        return tuple(outcomes), judged

    async def journal(
        self, after_sequence: int, limit: int, zone: ZoneName | None = None
    ) -> tuple[JournalEntry, ...]:
        """Read batches as they were judged, oldest first."""
        entry = tables.journal
        query = select(entry).where(entry.c.sequence > after_sequence)
        if zone is not None:
            named = select(tables.zone.c.id).where(tables.zone.c.name == zone)
            query = query.where(entry.c.zone_id == named.scalar_subquery())
        rows = await self._database.read(query.order_by(entry.c.sequence).limit(limit))
        return tuple(
            JournalEntry(
                row.sequence,
                row.at_s,
                from_json(row.batch),
                from_json(row.outcome),
                row.trace_id,
            )
            for row in rows
        )

    # --- Operators -----------------------------------------------------------------

    async def set_automation(
        self, *, paused: bool, operator: str, at_s: float, trace_id: str
    ) -> None:
        """Pause or resume the region's automation, and audit it.

        Once a pause returns, no batch that asks for `AutomationRuns` is applied any
        more: the gate, which every call holds shared, lets it wait for those that
        have read the old state.
        Enforced by: tests/integration/test_store_postgres.py::test_a_pause_waits
        """

        async def work(connection: AsyncConnection) -> None:
            await connection.execute(select(func.pg_advisory_xact_lock(self._gate)))
            await connection.execute(update(tables.automation).values(paused=paused))
            action = "pause" if paused else "resume"
            detail = f"automation {action}d"
            await _audit(connection, operator, (action, detail), at_s, trace_id)

        await self._database.transact(work)

    async def audit(self, after_sequence: int) -> tuple[AuditEntry, ...]:
        """Read what operators did, oldest first."""
        entry = tables.audit
        rows = await self._database.read(
            select(entry)
            .where(entry.c.sequence > after_sequence)
            .order_by(entry.c.sequence)
        )
        return tuple(AuditEntry(*row) for row in rows)

    async def describe(self) -> RegionSummary:
        """Read the region's figures."""
        figures = (
            select(tables.region.c.newest),
            select(tables.automation.c.paused),
            select(func.count()).select_from(tables.zone),
            select(func.count()).select_from(tables.alias),
        )
        query = select(*(figure.scalar_subquery() for figure in figures))
        return RegionSummary(*(await self._database.read(query))[0])

    # --- DNS -----------------------------------------------------------------------

    async def versions(self) -> dict[ZoneName, int]:
        """Read each zone's version, which rises with each change of its answers."""
        zone = tables.zone
        rows = await self._database.read(
            select(zone.c.name, zone.c.version).order_by(zone.c.id)
        )
        return {row.name: row.version for row in rows}

    async def answers(self, names: Sequence[ZoneName]) -> tuple[ZoneAnswers, ...]:
        """Read what DNS is to answer for these zones, in the order of creation."""

        async def work(connection: AsyncConnection) -> tuple[ZoneAnswers, ...]:
            ids = await self._ids(connection, names)
            rows = await connection.execute(tables.READ_ANSWERS, {"zones": list(ids)})
            return tuple(answers_of(ids[r.id], r) for r in map(AnswersRow._make, rows))

        return await self._database.transact(work) if names else ()

    async def changed(self) -> AsyncGenerator[frozenset[ZoneName], None]:
        """Follow the zones that change; first, and after a lost connection, all."""
        payloads = self._database.follow(self._channel)
        async with aclosing(payloads):
            async for payload in payloads:
                if payload is None or payload == ALL_ZONES:
                    yield frozenset(await self.versions())
                else:
                    yield frozenset(map(ZoneName, payload.split()))

    # --- What is known of zones ----------------------------------------------------

    async def _learn_zones(self, connection: AsyncConnection) -> None:
        """Read the zones that were created since: zones never change or go."""
        zone = tables.zone
        last = max((known.id for known in self._zones.values()), default=0)
        query = select(zone.c.id, zone.c.name, zone.c.endpoints)
        rows = await connection.execute(
            query.where(zone.c.id > last).order_by(zone.c.id)
        )
        for row in rows:
            self._zones[row.name] = KnownZone(row.id, tuple(row.endpoints))

    async def _ids(
        self, connection: AsyncConnection, names: Sequence[ZoneName]
    ) -> dict[int, KnownZone]:
        if not names or not self._zones.keys() >= set(names):
            await self._learn_zones(connection)
        for number, name in enumerate(names):
            if name not in self._zones:
                raise UnknownZone(f"zones[{number}]", name, self._zones)
        zones = [self._zones[name] for name in names or self._zones]
        return {zone.id: zone for zone in zones}


async def _audit(
    connection: AsyncConnection,
    operator: str,
    did: tuple[str, str],
    at_s: float,
    trace_id: str,
) -> None:
    action, detail = did
    entry = {"operator": operator, "action": action, "detail": detail}
    await connection.execute(
        insert(tables.audit), entry | {"at_s": at_s, "trace_id": trace_id}
    )
