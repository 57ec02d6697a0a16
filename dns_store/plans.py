"""How plans are written to PostgreSQL and read again."""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Row, Select, func, insert, select, update
from sqlalchemy.dialects.postgresql import aggregate_order_by
from sqlalchemy.ext.asyncio import AsyncConnection

from dns_store import schema as tables
from dns_store.rows import pack_answers, pack_sets, unpack_answers, unpack_sets
from dns_store.store import KEPT_PLANS
from staleplan.model import Draft, Generation, Plan, PlanHead, ZonePlan


async def advance(connection: AsyncConnection, parent: Generation) -> bool:
    """Count the region on from its newest plan if that is `parent`.

    Another publisher waits here until this one commits, and then finds its parent
    outdated. Enforced by: tests/contract/test_plans.py::test_one_of_two_publishers_wins
    """
    newest = tables.region.c.newest
    count_on = update(tables.region).where(newest == parent).values(newest=newest + 1)
    return (await connection.execute(count_on)).rowcount == 1


async def newest_of(connection: AsyncConnection) -> Generation:
    """Read the region's newest generation."""
    result = await connection.execute(select(tables.region.c.newest))
    return Generation(result.scalar_one())


async def add_zones(connection: AsyncConnection, added: Sequence[ZonePlan]) -> None:
    """Create zones and their aliases, which point at nothing yet."""
    names = [plan.zone for plan in added]
    endpoints = [" ".join(plan.endpoints) for plan in added]
    rows = {"zones": names, "endpoints": endpoints}
    await connection.execute(tables.CREATE_ZONES, rows)
    await connection.execute(tables.CREATE_ALIASES, {"zones": names})
    # Until PostgreSQL has counted the rows, it plans as if there were few zones.
    await connection.execute(tables.ANALYZE_ALIASES)


async def add_plan(
    connection: AsyncConnection,
    generation: Generation,
    draft: Draft,
    at_s: float,
    story: str,
) -> None:
    """Write a plan whose zones exist, and delete plans too old to be kept."""
    plan = {
        "generation": generation,
        "parent": draft.parent,
        "published_at_s": at_s,
        "story": story,
        "body": pack_sets(draft.targets, draft.answer_sets),
    }
    await connection.execute(insert(tables.plan), plan)
    parts = {
        "generation": generation,
        "zones": [part.zone for part in draft.zones],
        "answers": [pack_answers(part.answers) for part in draft.zones],
    }
    await connection.execute(tables.CREATE_PLAN_ZONES, parts)
    oldest = {"newest": generation, "kept": KEPT_PLANS}
    await connection.execute(tables.DELETE_OLD_PLANS, oldest)


def one(generation: Generation | None) -> Select[Any]:
    """Choose one plan by its number; `None` chooses the newest."""
    number = tables.plan.c.generation
    if generation is None:
        return select(func.max(number))
    return select(number).where(number == generation)


def newest(limit: int) -> Select[Any]:
    """Choose the newest plans."""
    number = tables.plan.c.generation
    return select(number).order_by(number.desc()).limit(limit)


def heads(chosen: Select[Any]) -> Select[Any]:
    """Query the chosen plans' numbers, zones and stories, newest first."""
    plan, part, zone = tables.plan.c, tables.plan_zone.c, tables.zone.c
    zones = func.array_agg(aggregate_order_by(zone.name, part.position))
    return (
        select(plan.generation, zones.label("zones"), plan.story)
        .join_from(tables.plan, tables.plan_zone, part.generation == plan.generation)
        .join(tables.zone, zone.id == part.zone_id)
        .where(plan.generation.in_(chosen))
        .group_by(plan.generation)
        .order_by(plan.generation.desc())
    )


def head_of(row: Row[Any]) -> PlanHead:
    """Read a row of `heads`."""
    return PlanHead(row.generation, tuple(row.zones), row.story)


def whole(generation: Generation | None) -> Select[Any]:
    """Query all of one plan, a row for each of its zones."""
    plan, part, zone = tables.plan.c, tables.plan_zone.c, tables.zone.c
    return (
        select(tables.plan, part.answers, zone.name, zone.endpoints)
        .join_from(tables.plan, tables.plan_zone, part.generation == plan.generation)
        .join(tables.zone, zone.id == part.zone_id)
        .where(plan.generation.in_(one(generation)))
        .order_by(part.position)
    )


def plan_of(rows: Sequence[Row[Any]]) -> Plan | None:
    """Read the rows of `whole`."""
    if not rows:
        return None
    first = rows[0]
    sets = unpack_sets(first.body)
    zones = tuple(
        ZonePlan(row.name, tuple(row.endpoints), unpack_answers(row.answers))
        for row in rows
    )
    draft = Draft(first.parent, sets.targets, sets.answer_sets, zones)
    return Plan(first.generation, draft, first.published_at_s, first.story)
