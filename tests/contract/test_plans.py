"""What any store promises about plans."""

import asyncio
from dataclasses import replace

import pytest

from dns_store.errors import EndpointsChanged
from dns_store.store import KEPT_PLANS, PlanSets, RegionSummary, Store
from staleplan.model import (
    Applied,
    BuildTree,
    DeleteTree,
    Draft,
    Generation,
    Outdated,
    Plan,
    PlanHead,
    Published,
    ZoneName,
)
from tests.samples import FIPS, REGIONAL, batch, draft

LATER = ZoneName("later")


async def test_an_empty_store_has_nothing(store: Store) -> None:
    assert await store.describe() == RegionSummary(Generation(0), False, 0, 0)
    assert await store.plan(None) is None
    assert await store.head(None) is None
    assert await store.heads(10) == ()
    assert await store.zones() == ()
    assert await store.answers(()) == ()
    assert await store.versions() == {}
    assert await store.plan_sets(Generation(1)) is None


async def test_a_plan_is_read_as_it_was_published(store: Store) -> None:
    one = draft(0, FIPS, REGIONAL, answer=1)
    assert await store.publish(one, at_s=7.5, story="00-a") == Published(Generation(1))
    plan = Plan(Generation(1), one, 7.5, "00-a")
    assert await store.plan(Generation(1)) == plan
    assert await store.plan(None) == plan
    assert await store.plan(Generation(2)) is None
    assert await store.head(None) == PlanHead(Generation(1), (FIPS, REGIONAL), "00-a")
    sets = PlanSets(one.targets, one.answer_sets)
    assert await store.plan_sets(Generation(1)) == sets
    assert await store.describe() == RegionSummary(Generation(1), False, 2, 6)


async def test_a_stale_parent_is_outdated_and_not_stored(store: Store) -> None:
    await store.publish(draft(0), at_s=1.0, story="")
    await store.publish(draft(1), at_s=2.0, story="")
    for parent in (0, 1, 3):
        outcome = await store.publish(draft(parent), at_s=3.0, story="")
        assert outcome == Outdated(Generation(2), Generation(parent))
    assert len(await store.heads(10)) == 2


async def test_one_of_two_publishers_wins(store: Store) -> None:
    both = [store.publish(draft(0), at_s=1.0, story="") for _ in range(2)]
    outcomes = await asyncio.gather(*both)
    expected = {Published(Generation(1)), Outdated(Generation(1), Generation(0))}
    assert set(outcomes) == expected


async def test_a_later_plan_may_add_zones(store: Store) -> None:
    await store.publish(draft(0, REGIONAL), at_s=1.0, story="")
    # In another order: heads follow the plan, zones the order of creation.
    await store.publish(draft(1, LATER, REGIONAL), at_s=2.0, story="")
    heads = await store.heads(10)
    assert [head.zones for head in heads] == [(LATER, REGIONAL), (REGIONAL,)]
    assert [zone.zone for zone in await store.zones()] == [REGIONAL, LATER]
    assert await store.versions() == {REGIONAL: 0, LATER: 0}


async def test_a_plan_without_the_zone_cannot_be_built_there(store: Store) -> None:
    await store.publish(draft(0, REGIONAL), at_s=1.0, story="")
    await store.publish(draft(1, REGIONAL, LATER), at_s=2.0, story="")
    build = batch("one", BuildTree(Generation(1)), zone=LATER)
    (outcome,) = await store.change([build], at_s=3.0, trace_id="")
    assert not isinstance(outcome, Applied)
    assert outcome.reason == "the plan does not exist"


@pytest.mark.parametrize(
    ("second", "path", "text"),
    [
        (draft(1, REGIONAL), "zones", "1 zones are left out, first 'fips'"),
        (
            draft(1, REGIONAL, FIPS, endpoints=2),
            "zones[0].endpoints",
            "endpoint 2 is None, the zone has 'regional-2.us-east-1.example'",
        ),
        (
            replace(
                draft(1),
                zones=tuple(
                    replace(zone, endpoints=zone.endpoints[::-1])
                    for zone in draft(1).zones
                ),
            ),
            "zones[1].endpoints",
            "endpoint 0 is 'fips-2.us-east-1.example'",
        ),
    ],
)
async def test_endpoints_of_a_zone_are_fixed(
    store: Store, second: Draft, path: str, text: str
) -> None:
    await store.publish(draft(0), at_s=1.0, story="")
    before = await store.describe()
    with pytest.raises(EndpointsChanged) as raised:
        await store.publish(second, at_s=2.0, story="")
    assert text in raised.value.fields[path]
    assert raised.value.definite
    assert await store.describe() == before
    assert len(await store.heads(10)) == 1
    # The number is not lost: the next plan gets it.
    assert await store.publish(draft(1), at_s=3.0, story="") == Published(Generation(2))


async def test_old_plans_go_unless_a_tree_needs_them(store: Store) -> None:
    await store.publish(draft(0), at_s=0.0, story="")
    await store.publish(draft(1), at_s=0.0, story="")
    two = Generation(2)
    await store.change([batch("build", BuildTree(two))], at_s=0.0, trace_id="")
    for parent in range(2, KEPT_PLANS + 2):
        await store.publish(draft(parent), at_s=0.0, story="")
    numbers = [head.generation for head in await store.heads(1_000)]
    assert numbers == [*range(KEPT_PLANS + 2, 1, -1)]
    assert await store.plan(Generation(1)) is None
    assert [head.generation for head in await store.heads(2)] == numbers[:2]
    await store.change([batch("delete", DeleteTree(two))], at_s=0.0, trace_id="")
    await store.publish(draft(KEPT_PLANS + 2), at_s=0.0, story="")
    assert await store.plan(two) is None
    assert await store.plan(Generation(4)) is not None
