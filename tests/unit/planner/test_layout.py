"""How the planner lays a region out."""

from dataclasses import replace

from hypothesis import given, settings
from hypothesis import strategies as st

from planner.core import (
    ACCOUNT_SHARD_WIDTH,
    ACCOUNT_SHARDS,
    find_unsafe,
    lay_out,
    region_of,
)
from planner.model import LoadBalancer, Reading, Region, Shard
from staleplan.model import MAX_ZONE_ENDPOINTS, Weighted
from tests.unit.planner.fleets import balancers, region, well


def test_a_region_is_walked_from_the_accounts_to_the_regional_endpoint() -> None:
    zones = region_of("us-east-1", 700).zones
    assert [(zone.zone, len(zone.endpoints)) for zone in zones] == [
        ("accounts-000", 320),
        ("accounts-001", 320),
        ("accounts-002", 60),
        ("fips", 1),
        ("dualstack", 1),
        ("regional", 1),
    ]
    assert zones[0].endpoints[1] == "000000000001.ddb.us-east-1.example"
    assert zones[-1].endpoints == ("dynamodb.us-east-1.example",)


def test_a_region_may_have_no_accounts() -> None:
    assert [zone.zone for zone in region_of("us-east-1", 0).zones] == [
        "fips",
        "dualstack",
        "regional",
    ]


def test_two_hundred_thousand_endpoints_fit_their_zones() -> None:
    """At the record's scale no zone outgrows a batch, and no name is twice. R3."""
    wide = region_of("us-east-1", 200_000)
    endpoints = [name for zone in wide.zones for name in zone.endpoints]
    assert len(set(endpoints)) == len(endpoints) == 200_003
    assert max(len(zone.endpoints) for zone in wide.zones) == MAX_ZONE_ENDPOINTS
    assert len(wide.zones) == 625 + 3
    used = {answer for zone in wide.zones for answer in zone.answers}
    assert used == set(range(len(wide.shards)))
    assert wide.shards[wide.zones[-1].answers[0]] == Shard("regional", 0, 0)
    # A plan shares its answer sets: it grows with the load balancers, not the names.
    draft = lay_out(wide, balancers(24), well(24), None)
    assert len(draft.answer_sets) == ACCOUNT_SHARDS + 3
    assert draft.zones is wide.zones
    assert find_unsafe(draft, draft) is None


@settings(max_examples=30)
@given(
    st.sets(st.integers(0, 60), min_size=ACCOUNT_SHARD_WIDTH + 1), st.integers(0, 31)
)
def test_a_load_balancer_that_leaves_moves_only_its_own_shards(
    present: set[int], index: int
) -> None:
    shard = region(Shard("accounts", ACCOUNT_SHARD_WIDTH, index))
    fleet = tuple(balancers(61)[n] for n in sorted(present))
    before = _members(shard, fleet)
    assert len(before) == ACCOUNT_SHARD_WIDTH
    for leaver in fleet:
        after = _members(shard, tuple(b for b in fleet if b != leaver))
        if leaver.name in before:
            assert before - after == {leaver.name}
        else:
            assert after == before


def _members(of: Region, fleet: tuple[LoadBalancer, ...]) -> set[str]:
    draft = lay_out(of, fleet, well(61), None)
    return {draft.targets[each.target].name for each in draft.answer_sets[0]}


def test_accounts_seldom_share_all_load_balancers() -> None:
    fleet = balancers(24)
    shards = region_of("us-east-1", 32).shards[:ACCOUNT_SHARDS]
    sets = [frozenset(_members(region(shard), fleet)) for shard in shards]
    assert len(set(sets)) > ACCOUNT_SHARDS * 0.9
    assert {len(members) for members in sets} == {ACCOUNT_SHARD_WIDTH}


def test_only_the_healthy_of_the_pool_with_capacity_are_answered() -> None:
    fleet = (*balancers(3, frozenset({"regional"})), *balancers(5)[3:])
    others = (replace(each, pools=frozenset({"fips"})) for each in fleet[4:])
    readings = well(5, nlb_01=Reading(False, 9), nlb_02=Reading(True, 0))
    draft = lay_out(region(), (*fleet[:4], *others), readings, None)
    assert draft.answer_sets == ((Weighted(0, 10), Weighted(3, 10)),)
