import ast
import inspect
from collections import Counter, defaultdict
from itertools import pairwise

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from planner import core as planner_core
from planner import model as planner_model
from staleplan.runtime.clock import INCIDENT_START_S
from staleplan.world import core
from staleplan.world.model import Fleet, Reading

DAY_S = 86_400.0
SIZES = st.integers(3, 1000).flatmap(
    lambda total: st.tuples(st.just(total), st.integers(1, min(total - 2, 60)))
)
SEEDS = st.integers(0, 2**32)
MOMENTS = st.floats(INCIDENT_START_S - DAY_S, INCIDENT_START_S + DAY_S)
GAPS = st.floats(0.0, core.REST_S)


def read(fleet: Fleet, seed: int, at_s: float) -> dict[str, Reading]:
    return {
        each.name: core.reading_at(fleet, each, seed, at_s)
        for each in fleet.load_balancers
    }


def illnesses(fleet: Fleet, seed: int, begin_s: float, count: int) -> list[str]:
    """Who is ill, once each, sampled more often than the shortest illness lasts."""
    seen: list[str] = []
    was = None
    for step in range(count):
        ill = core.ill_at(fleet.frail, seed, begin_s + step * 60.0)
        if ill and ill != was:
            seen.append(ill)
        was = ill
    return seen


# --- Lay-out -----------------------------------------------------------------------


def test_the_default_fleet_is_as_operators_would_draw_it() -> None:
    fleet = core.lay_out_fleet(24, 6)
    names = [each.name for each in fleet.load_balancers]
    assert names[:4] == ["lb-a-01", "lb-b-01", "lb-c-01", "lb-a-02"]
    assert names[-1] == "lb-c-08"
    regional = [e for e in fleet.load_balancers if "regional" in e.pools]
    assert [e.ipv4 for e in regional] == [f"127.0.1.{n}" for n in range(1, 7)]
    pools: dict[str, list[int]] = defaultdict(list)
    for each in fleet.load_balancers:
        for pool in each.pools:
            pools[pool].append(each.nominal_capacity)
    sizes = {pool: len(members) for pool, members in pools.items()}
    assert sizes == {"regional": 6, "accounts": 18, "fips": 9, "dualstack": 9}
    assert Counter(e.az for e in regional) == {"a": 2, "b": 2, "c": 2}
    assert all(len(set(members)) >= 3 for members in pools.values())


@given(SIZES)
def test_every_fleet_is_complete_and_names_nobody_twice(size: tuple[int, int]) -> None:
    total, regional = size
    fleet = core.lay_out_fleet(total, regional)
    assert len({each.name for each in fleet.load_balancers}) == total
    assert len({each.ipv4 for each in fleet.load_balancers}) == total
    for each in fleet.load_balancers:
        assert each.name.startswith(f"lb-{each.az}-")
        assert (each.ipv6 is not None) == ("dualstack" in each.pools)
        assert not each.ipv6 or each.ipv6.startswith("2001:db8::")
        _, _, block, host = each.ipv4.split(".")
        assert int(block) >= 1
        assert 1 <= int(host) <= 254
    pools = {pool for each in fleet.load_balancers for pool in each.pools}
    assert pools == {"regional", "accounts", "fips", "dualstack"}
    assert sum("regional" in e.pools for e in fleet.load_balancers) == regional


# --- Variation ---------------------------------------------------------------------


@given(SIZES, SEEDS, MOMENTS, GAPS)
@settings(max_examples=60)
def test_between_two_readings_little_changes(
    size: tuple[int, int], seed: int, at_s: float, gap_s: float
) -> None:
    fleet = core.lay_out_fleet(*size)
    before, after = read(fleet, seed, at_s), read(fleet, seed, at_s + gap_s)
    changed = [n for n in before if before[n].healthy != after[n].healthy]
    assert len(changed) <= 1
    for name, reading in before.items():
        moved = abs(after[name].capacity - reading.capacity)
        assert moved <= 0.1 * reading.capacity
    for pool in ("regional", "accounts", "fips", "dualstack"):
        members = [e.name for e in fleet.load_balancers if pool in e.pools]
        assert sum(after[n].healthy for n in members) * 3 >= len(members) * 2


@given(SIZES, SEEDS, MOMENTS, GAPS)
@settings(max_examples=60)
def test_planners_never_hold_normal_variation(
    size: tuple[int, int], seed: int, at_s: float, gap_s: float
) -> None:
    fleet = core.lay_out_fleet(*size)
    region = planner_core.region_of("us-east-1", planner_core.ACCOUNT_SHARDS)
    drafts = [
        planner_core.lay_out(region, _seen(fleet), _readings(fleet, seed, moment), None)
        for moment in (at_s, at_s + gap_s)
    ]
    assert planner_core.find_unsafe(*drafts) is None


def test_planners_would_hold_more_than_normal_variation() -> None:
    fleet = core.lay_out_fleet(24, 6)
    region = planner_core.region_of("us-east-1", planner_core.ACCOUNT_SHARDS)
    seen = _seen(fleet)
    before = _readings(fleet, 0, INCIDENT_START_S)
    after = {**before, "lb-b-02": planner_model.Reading(False, 0)}
    after["lb-c-02"] = planner_model.Reading(False, 0)
    unsafe = planner_core.find_unsafe(
        planner_core.lay_out(region, seen, before, None),
        planner_core.lay_out(region, seen, after, None),
    )
    assert unsafe is not None
    assert unsafe.removed > planner_core.MAX_REMOVED_SHARE


def test_several_load_balancers_of_a_day_fall_ill_one_after_the_other() -> None:
    fleet = core.lay_out_fleet(24, 6)
    ill = illnesses(fleet, 1, INCIDENT_START_S, 24 * 60)
    assert 10 <= len(ill) <= 38
    assert len(set(ill)) >= 4
    assert any(name in ("lb-a-01", "lb-b-01") for name in ill)


@given(SEEDS, st.integers(0, 10**7), st.floats(0.0, core.REST_S))
def test_every_window_begins_with_a_rest(
    seed: int, window: int, into_window_s: float
) -> None:
    at_s = window * core.ILLNESS_WINDOW_S + into_window_s
    assume(into_window_s < core.REST_S)
    assert core.ill_at(("lb-a-01",), seed, at_s) is None


def test_capacity_moves_by_small_steps_up_and_down() -> None:
    fleet = core.lay_out_fleet(24, 6)
    for each in fleet.load_balancers:
        day = [
            core.reading_at(fleet, each, 7, INCIDENT_START_S + 10.0 * step).capacity
            for step in range(8640)
        ]
        steps = {after - before for before, after in pairwise(day)}
        assert steps == {-1, 0, 1}
        low, high = min(day), max(day)
        assert low < each.nominal_capacity < high
        assert each.nominal_capacity - low <= 0.025 * each.nominal_capacity
        assert high - each.nominal_capacity <= 0.025 * each.nominal_capacity


def test_the_same_seed_tells_the_same_story_and_another_one_another() -> None:
    fleet = core.lay_out_fleet(24, 6)
    moments = [INCIDENT_START_S + 60.0 * step for step in range(60)]
    story = [read(fleet, 3, at_s) for at_s in moments]
    assert story == [read(fleet, 3, at_s) for at_s in moments]
    assert story != [read(fleet, 4, at_s) for at_s in moments]


@pytest.mark.parametrize("total", [3, 5])
def test_a_pool_that_can_spare_nobody_has_nobody_ill(total: int) -> None:
    fleet = core.lay_out_fleet(total, 1)
    assert fleet.frail == ()
    assert illnesses(fleet, 1, INCIDENT_START_S, 24 * 60) == []


def test_only_the_smallest_of_their_pools_are_frail() -> None:
    fleet = core.lay_out_fleet(24, 6)
    frail = [e for e in fleet.load_balancers if e.name in fleet.frail]
    assert {e.nominal_capacity for e in frail} == {min(core.CLASSES)}
    assert {pool for e in frail for pool in e.pools} == {
        "regional",
        "accounts",
        "fips",
        "dualstack",
    }


def test_the_core_reads_no_clock_and_draws_no_lots() -> None:
    imported = {
        name.name.split(".")[0]
        for node in ast.walk(ast.parse(inspect.getsource(core)))
        if isinstance(node, ast.Import)
        for name in node.names
    } | {
        (node.module or "").split(".")[0]
        for node in ast.walk(ast.parse(inspect.getsource(core)))
        if isinstance(node, ast.ImportFrom)
    }
    assert imported == {"math", "collections", "functools", "hashlib", "staleplan"}


def _seen(fleet: Fleet) -> tuple[planner_model.LoadBalancer, ...]:
    return tuple(
        planner_model.LoadBalancer(e.name, e.ipv4, e.ipv6, e.pools)
        for e in fleet.load_balancers
    )


def _readings(fleet: Fleet, seed: int, at_s: float) -> dict[str, planner_model.Reading]:
    return {
        name: planner_model.Reading(reading.healthy, reading.capacity)
        for name, reading in read(fleet, seed, at_s).items()
    }
