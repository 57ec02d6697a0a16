"""The record, fact by fact, as the code shows it. docs/record.md has the table.

Facts that need DNS, gRPC or PostgreSQL are shown by the integration tests named there.
"""

import ast
import re
from dataclasses import FrozenInstanceError, replace
from pathlib import Path

import pytest

from dns_store.core import count_changes
from dns_store.memory import MemoryStore
from dns_store.settings import DnsStoreSettings
from enactor.core import Extent
from enactor.model import BackOff, Order, Purpose, ReadZones, Submit, TakeLocks
from enactor.safeguards import BUGGY, FIXED
from planner.core import lay_out, region_of
from planner.model import LoadBalancer, Reading
from staleplan.drills.stage import Place
from staleplan.drills.us_east_1 import LATE_FLIP_S, REPAIR_S
from staleplan.model import (
    MAX_CHANGES,
    MAX_ZONE_ENDPOINTS,
    Applied,
    AutomationRuns,
    BuildTree,
    DeleteTree,
    EnactorName,
    Generation,
    Lock,
    Outdated,
    PointActive,
    PointRollback,
    Reason,
    Refused,
    ZoneName,
)
from staleplan.runtime.clock import local_time
from staleplan.sim.dns_region import DnsRegion, Pace
from tests.samples import batch, draft, flip
from tests.unit.drills.runs import broken, run
from tests.unit.enactor.pure_world import REGIONAL, PureWorld, Worker

ROOT = Path(__file__).parents[2]
ONE, TWO = Generation(1), Generation(2)
FLEET = tuple(
    LoadBalancer(
        f"nlb-{n:03}",
        f"10.0.{n // 250}.{n % 250}",
        f"2001:db8::{n:x}",
        frozenset({"accounts", "fips", "dualstack", "regional"}),
    )
    for n in range(300)
)
WELL = {each.name: Reading(healthy=True, capacity=10) for each in FLEET}


def imports_of(code: str) -> set[str]:
    """The top-level packages that a module, or a whole package, imports."""
    found: set[str] = set()
    paths = [ROOT / code] if code.endswith(".py") else (ROOT / code).rglob("*.py")
    for path in paths:
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Import):
                found |= {alias.name.split(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom):
                found.add((node.module or "").split(".")[0])
    return found


# --- DNS management ----------------------------------------------------------------


async def test_r1_without_a_planner_the_world_freezes() -> None:
    """No new plan, no change; and what is answered goes on. Source: R1."""
    region = DnsRegion(BUGGY, 1, pace=Pace(planner_period_s=1e9))
    await region.sleep_s(60.0)
    views, sent = await region.views(), len(await region.journal())
    await region.sleep_s(3600.0)
    assert await region.views() == views
    assert len(await region.journal()) == sent > 0
    assert (await region.ask()).answers == 1


def test_r2_one_plan_covers_every_kind_of_endpoint() -> None:
    """Regional, FIPS, dual-stack and account-specific, with weights. Source: R2."""
    region = region_of("us-east-1", 1_000)
    plan = lay_out(region, FLEET, WELL, None)
    kinds = [zone.zone.split("-")[0] for zone in plan.zones]
    assert kinds == [*4 * ["accounts"], "fips", "dualstack", "regional"]
    members = plan.answer_sets[plan.zones[-1].answers[0]]
    assert [(plan.targets[m.target].name, m.weight) for m in members][:2] == [
        ("nlb-000", 10),
        ("nlb-001", 10),
    ]


def test_r3_a_plan_has_hundreds_of_thousands_of_records() -> None:
    """And hundreds of load balancers, IPv4 and IPv6. Source: R3."""
    plan = lay_out(region_of("us-east-1", 200_000), FLEET, WELL, None)
    assert sum(len(zone.endpoints) for zone in plan.zones) > 200_000
    assert len(plan.targets) == 300
    assert all(target.ipv4 and target.ipv6 for target in plan.targets)


async def test_r4_one_enactor_of_three_is_enough() -> None:
    """They are independent, and do not speak to each other. Source: R4."""
    region = DnsRegion(FIXED, 1)
    for az in "ab":
        await region.hold(Place(az, "enactor.before_pass"))
    await region.sleep_s(300.0)
    senders = {entry.batch.enactor for entry in await region.journal()}
    assert senders == {"enactor-c"}
    assert all(view.newest_active > 5 for view in (await region.views()).values())


def test_r4_an_enactor_depends_on_little() -> None:
    """It imports no planner, no store and no database. Source: R4."""
    assert "grpc" in imports_of("planner")
    found = imports_of("enactor")
    assert "staleplan" in found
    assert not found & {"planner", "dns_store", "sqlalchemy", "psycopg", "alembic"}


async def test_r5_plans_never_change_and_old_ones_are_kept() -> None:
    """Source: R5."""
    store = MemoryStore()
    for parent in range(3):
        await store.publish(draft(parent), at_s=float(parent), story="")
    first = await store.plan(ONE)
    assert first
    assert first.draft == draft(0)
    with pytest.raises(FrozenInstanceError):
        first.generation = TWO  # type: ignore[misc]
    outdated = await store.publish(draft(1), at_s=9.0, story="")
    assert outdated == Outdated(newest=Generation(3), attempted_parent=ONE)
    assert (await store.describe()).newest == 3


def test_r6_a_tree_is_built_and_then_the_alias_is_flipped() -> None:
    """Source: R6."""
    world = PureWorld()
    world.publish()
    worker = Worker(world, "enactor-a", BUGGY)
    worker.submit(Purpose.FLIP)
    changes = [type(each) for each in world.journal[-1].batch.changes]
    assert changes.index(BuildTree) < changes.index(PointActive)


async def test_r6_going_back_is_one_flip() -> None:
    """Source: R6."""
    store = await store_with_plans()
    for name, generation in (("a", 1), ("b", 2)):
        await store.change([flip(name, generation)], at_s=1.0, trace_id="")
    back = batch("back", PointActive(ONE))
    (outcome,) = await store.change([back], at_s=2.0, trace_id="")
    assert isinstance(outcome, Applied)
    assert (await store.answers([REGIONAL]))[0].active == (ONE,) * 3


async def store_with_plans() -> MemoryStore:
    store = MemoryStore()
    await store.publish(draft(0), at_s=1.0, story="")
    await store.publish(draft(1), at_s=2.0, story="")
    return store


def test_r7_the_way_back_is_noted_in_the_same_batch() -> None:
    """And it is whatever was active until then. Source: R7."""
    world = PureWorld()
    worker = Worker(world, "enactor-a", BUGGY)
    for _ in range(2):
        world.publish()
        worker.submit(Purpose.FLIP)
        changes = world.journal[-1].batch.changes
        assert PointRollback(or_newest_tree=False) in changes
        worker.finish()
    assert (world.view().active, world.view().rollback) == ((2,), (1,))


async def test_r8_a_batch_is_all_or_nothing_and_compares_before_it_sets() -> None:
    """Source: R8."""
    store = await store_with_plans()
    before = await store.zones()
    impossible = batch("a", BuildTree(ONE), PointActive(ONE), PointActive(TWO))
    stranger = Lock(EnactorName("enactor-z"), 99)
    other_lock = flip("b", 1, found=stranger)
    for wrong, reason in (
        (impossible, Reason.TREE_MISSING),
        (other_lock, Reason.LOCK_CHANGED_HANDS),
    ):
        (outcome,) = await store.change([wrong], at_s=3.0, trace_id="")
        assert isinstance(outcome, Refused)
        assert outcome.reason is reason
        assert await store.zones() == before
    whole = count_changes(flip("c", 1), MAX_ZONE_ENDPOINTS)
    assert MAX_CHANGES - 40 <= whole <= MAX_CHANGES


def test_r9_when_the_lock_changes_hands_the_whole_batch_fails() -> None:
    """The lock names its holder and its end; it did its work. Source: R9."""
    world = PureWorld()
    world.publish()
    slow, swift = (Worker(world, name, BUGGY) for name in ("enactor-a", "enactor-b"))
    slow.until(Submit)
    assert world.view().lock == Lock(slow.name, 30)
    world.pass_time(31)
    swift.until(Submit)
    before = world.view()
    (outcome,) = slow.submit(Purpose.FLIP)
    assert isinstance(outcome, Refused)
    assert outcome.reason is Reason.LOCK_CHANGED_HANDS
    assert world.view() == before


def test_r10_who_does_not_get_the_lock_backs_off_and_tries_again() -> None:
    """Source: R10."""
    world = PureWorld()
    world.publish()
    holder, other = (Worker(world, name, BUGGY) for name in ("enactor-a", "enactor-b"))
    holder.until(Submit)
    other.until(BackOff)
    other.step()
    assert other.pending == TakeLocks((REGIONAL,), ONE, ())
    assert holder.finish() == other.finish() == "finished"


def test_r11_freshness_is_checked_once_however_long_it_takes() -> None:
    """Source: R11."""
    world = PureWorld()
    world.publish()
    holder, other = (Worker(world, name, BUGGY) for name in ("enactor-a", "enactor-b"))
    holder.until(Submit)
    checks = losses = 0
    while losses < 5:
        pending = other.pending
        checks += isinstance(pending, ReadZones) and pending.purpose is Purpose.CHECK
        losses += isinstance(pending, BackOff)
        other.step()
    assert checks == 1


def test_r12_clean_up_follows_the_last_zone_and_keeps_some_plans() -> None:
    """Source: R12."""
    zones = (ZoneName("fips"), REGIONAL)
    world = PureWorld(zones)
    worker = Worker(world, "enactor-a", BUGGY, Extent(2, zones_in_flight=1))
    for _ in range(4):
        world.publish()
        worker.finish()
    kinds = [
        "delete" if isinstance(change, DeleteTree) else "flip"
        for entry in world.journal[-6:]
        for change in entry.batch.changes
        if isinstance(change, DeleteTree | PointActive)
    ]
    assert kinds == ["flip", "flip", "delete", "delete"]
    assert [world.view(zone).trees for zone in zones] == [(2, 3, 4)] * 2


async def test_r13_names_can_be_read() -> None:
    """No UUID anywhere. Source: R13."""
    region = DnsRegion(BUGGY, 1)
    await region.sleep_s(100.0)
    zones = region_of("us-east-1", 64).zones
    names = {zone.zone for zone in zones} | {e for z in zones for e in z.endpoints}
    ids = {entry.batch.id for entry in await region.journal()}
    assert len(ids) > 10
    uuid = re.compile(r"[0-9a-f]{8}-?([0-9a-f]{4}-?){3}")
    assert uuid.search("6f1e2a34-0b1c-4d5e-8f90-a1b2c3d4e5f6")
    assert not any(uuid.search(name) for name in names | ids)
    assert all(each.startswith("enactor-") for each in ids)


# --- The race ----------------------------------------------------------------------


def test_r14_one_enactor_falls_far_behind() -> None:
    """Source: R14."""
    measures = run("buggy", 1).measures
    kept = DnsRegion(BUGGY, 1).keep_generations
    assert measures["generations_behind_at_worst"] > kept
    assert measures["held_generation"] > 0


def test_r15_another_one_applies_a_newer_plan_everywhere() -> None:
    """Source: R15."""
    (event,) = [e.event for e in run("buggy", 1).timeline if "(R16)" in e.event]
    applied = re.search(r"enactor-b has applied plan (\d+) everywhere", event)
    assert applied
    held = run("buggy", 1).measures["held_generation"]
    assert int(applied.group(1)) > held + 5


def test_r16_the_late_one_overwrites_it() -> None:
    """Source: R16."""
    result = run("buggy", 1)
    held = result.measures["held_generation"]
    evidence = str(result.properties["P2"].evidence)
    back = rf"enactor-a put regional back from plan \d+ to {held}"
    assert re.fullmatch(back, evidence)


def test_r17_clean_up_deletes_what_is_answered_from() -> None:
    """By the other one, at once, with all addresses. Source: R17."""
    result = run("buggy", 1)
    held = result.measures["held_generation"]
    empty, back = result.properties["P1"], result.properties["P2"]
    assert f"regional answers from plan {held}, whose tree is gone" in str(
        empty.evidence
    )
    assert "(enactor-b on behalf of plan" in str(empty.evidence)
    assert (empty.first_violation_t_s or 0) > (back.first_violation_t_s or 0)


def test_r18_the_answer_is_no_error_and_has_no_addresses() -> None:
    """Source: R18."""
    seen = run("buggy", 1).measures["after_race"]
    assert (seen["status"], seen["answers"], seen["call"]) == (
        "NOERROR",
        0,
        "UNAVAILABLE",
    )


def test_r19_nothing_can_be_applied_until_people_repair_it() -> None:
    """Source: R19."""
    result = run("buggy", 1)
    assert "nothing to roll back to" in str(result.properties["P4"].evidence)
    assert result.measures["flips_refused_wedged"] >= 10
    assert result.measures["after_plans"]["answers"] == 0
    assert result.measures["after_repair"]["answers"] == 1
    assert "P4" in broken(run("buggy", 2))


async def test_r20_operators_need_no_enactor() -> None:
    """Every enactor stands still, and the endpoint is repaired. Source: R20."""
    region = DnsRegion(BUGGY, 1)
    await region.sleep_s(100.0)
    for az in "abc":
        await region.hold(Place(az, "enactor.before_pass"))
    await region.sleep_s(30.0)
    newest = (await region.views())[REGIONAL].newest_active
    region._judge("nobody", newest, [Order(REGIONAL, (), (DeleteTree(newest),))])
    assert (await region.ask()).answers == 0
    await region.restore(REGIONAL, newest)
    assert (await region.ask()).answers == 1
    assert not imports_of("staleplan/operators.py") & {"enactor", "planner"}


def test_r21_the_night_has_the_records_times() -> None:
    """Source: R21."""
    assert local_time(LATE_FLIP_S).startswith("23:48")
    assert local_time(REPAIR_S).startswith("02:25")


def test_r22_an_empty_answer_is_cached_longer() -> None:
    """Source: R22."""
    settings = DnsStoreSettings()
    assert settings.negative_ttl_s > 10 * settings.ttl_s > 0


async def test_r23_a_pause_freezes_plans_and_not_answers() -> None:
    """Source: R23."""
    store = await store_with_plans()
    await store.change([flip("a", 1)], at_s=3.0, trace_id="")
    answers = await store.answers([REGIONAL])
    await store.set_automation(paused=True, operator="ann", at_s=4.0, trace_id="")
    (minds,) = await store.change([flip("b", 2)], at_s=5.0, trace_id="")
    assert isinstance(minds, Refused)
    assert minds.attempted == AutomationRuns()
    assert await store.answers([REGIONAL]) == answers
    # The enactor as it failed carries no such precondition.
    heedless = replace(flip("c", 2), preconditions=())
    (outcome,) = await store.change([heedless], at_s=6.0, trace_id="")
    assert isinstance(outcome, Applied)
