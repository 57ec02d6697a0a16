"""What arrives wrong over the wire: refused with its field and both sides, not stored.

The messages are raw: no client of ours stands between them and the service.
"""

import itertools
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import grpc
import pytest
from google.protobuf.message import Message

from dns_store.__main__ import mount
from dns_store.settings import DnsStoreSettings
from protos.dns_store.v1 import dns_store_pb2 as pb
from protos.dns_store.v1.dns_store_pb2_grpc import DnsStoreServiceStub
from staleplan import wire
from staleplan.model import MAX_GENERATION
from staleplan.runtime.channel import MAX_MESSAGE_BYTES
from staleplan.runtime.errors import RemoteError, error_from_rpc
from staleplan.runtime.footing import footing
from staleplan.runtime.telemetry import Exporters
from tests.samples import APEX, FIPS, REGIONAL, draft, endpoints_of

if TYPE_CHECKING:
    from protos.dns_store.v1.dns_store_pb2_grpc import DnsStoreServiceAsyncStub

INVALID = grpc.StatusCode.INVALID_ARGUMENT
PRECONDITION = grpc.StatusCode.FAILED_PRECONDITION
ENDPOINTS = 320
"""In each of two zones, so that four changes of one exceed a batch."""
WATCH_TIMEOUT_S = 30.0
"""Wall seconds until a watch that says nothing fails its test."""


@dataclass(frozen=True)
class Store:
    """A DNS store that serves, and what it says of itself."""

    stub: "DnsStoreServiceAsyncStub"
    numbers: "itertools.count[int]"

    async def everything(self) -> list[Message]:
        """All that is stored, as the service tells it."""
        return [
            await self.stub.Describe(pb.DescribeRequest()),
            await self.stub.ListPlans(pb.ListPlansRequest()),
            await self.stub.GetPlan(pb.GetPlanRequest()),
            await self.stub.ReadZones(pb.ReadZonesRequest()),
            await self.stub.ReadJournal(pb.ReadJournalRequest()),
            await self.stub.ReadAudit(pb.ReadAuditRequest()),
        ]

    async def refused(self, method: str, request: Message) -> RemoteError:
        """The error of a call, which must have stored nothing."""
        before = await self.everything()
        is_stream = method == "PublishPlan"
        with pytest.raises(grpc.aio.AioRpcError) as raised:
            await getattr(self.stub, method)(iter([request]) if is_stream else request)
        assert await self.everything() == before
        return error_from_rpc(raised.value)

    async def plan(self, **fields: Any) -> pb.PublishPlanRequest:
        """The next plan, but for some fields."""
        newest = (await self.stub.Describe(pb.DescribeRequest())).newest_generation
        plan = wire.draft_to_message(draft(newest, endpoints=ENDPOINTS))
        for name, value in fields.items():
            plan.ClearField(name)  # type: ignore[arg-type]
            plan.MergeFrom(pb.Plan(**{name: value}))
        return pb.PublishPlanRequest(plan=plan)

    def batch(self, **fields: Any) -> pb.Batch:
        """A right batch that builds plan 1's tree, but for some fields."""
        right: dict[str, Any] = {
            "id": f"edge/{next(self.numbers)}",
            "enactor": "enactor-a",
            "zone": REGIONAL,
            "generation": 1,
            "changes": [pb.Change(build_tree=1)],
        }
        return pb.Batch(**(right | fields))

    async def change(self, *batches: pb.Batch) -> list[pb.Outcome]:
        reply = await self.stub.ChangeZones(pb.ChangeZonesRequest(batches=batches))
        return list(reply.outcomes)

    async def zone(self, name: str = REGIONAL) -> pb.ZoneView:
        reply = await self.stub.ReadZones(pb.ReadZonesRequest(zones=[name]))
        return reply.zones[0]


@pytest.fixture(scope="module")
async def store(
    database_url: str,
    new_schema: Callable[[], str],
    tmp_path_factory: pytest.TempPathFactory,
) -> AsyncIterator[Store]:
    settings = DnsStoreSettings(
        stack=new_schema(),
        database_url=database_url,  # type: ignore[arg-type]
        state_folder=tmp_path_factory.mktemp("edges"),
    )
    async with (
        Exporters() as exporters,
        mount(settings, footing("dns-store", settings, exporters)) as server,
    ):
        target = f"127.0.0.1:{await server.start()}"
        no_limit = [("grpc.max_send_message_length", -1)]
        async with grpc.aio.insecure_channel(target, no_limit) as to_store:
            store = Store(DnsStoreServiceStub(to_store), itertools.count(1))
            await store.stub.PublishPlan(iter([await store.plan()]))
            await store.change(store.batch(), store.batch(zone=FIPS))
            yield store
        await server.stop(0)


def zone(*names: str, at: str = REGIONAL, answer: int = 0) -> pb.ZonePlan:
    return pb.ZonePlan(zone=at, endpoints=names, answers=[answer] * len(names))


def answer_set(*weights: int, targets: tuple[int, ...] = ()) -> pb.AnswerSet:
    return pb.AnswerSet(targets=targets or range(len(weights)), weights=weights)


def target(ipv4: str = "", ipv6: str = "", name: str = "nlb-0") -> pb.Target:
    return pb.Target(name=name, ipv4=ipv4, ipv6=ipv6)


ONE = f"one.{APEX}"
TWICE = f"duplicate endpoint {ONE!r}, also in zones[0].endpoints[0]"
LIMIT = "endpoints, a zone has 1 to 320"
SECOND = target(ipv6="2001:db8::1", name="nlb-1")

PLANS: list[tuple[dict[str, Any], str, str]] = [
    *(
        ({"generation": own}, "generation", f"assigned by the store, got {own}")
        for own in (-1, 1, 2, MAX_GENERATION)
    ),
    ({"parent": -1}, "parent", f"-1 is not 0 to {MAX_GENERATION - 1}"),
    ({"parent": MAX_GENERATION}, "parent", f"is not 0 to {MAX_GENERATION - 1}"),
    ({"zones": []}, "zones", "no zone: a plan covers at least one"),
    *(
        ({"zones": [zone(*names)]}, "zones[0].endpoints", f"{len(names)} {LIMIT}")
        for names in ((), endpoints_of(REGIONAL, 321))
    ),
    ({"zones": [zone(ONE, ONE)]}, "zones[0].endpoints[1]", TWICE),
    ({"zones": [zone(ONE), zone(ONE, at=FIPS)]}, "zones[1].endpoints[0]", TWICE),
    ({"zones": [zone(ONE), zone(ONE)]}, "zones[1].zone", "duplicate zone 'regional'"),
    ({"zones": [zone(ONE, at="A b")]}, "zones[0].zone", "'A b' is not 1 to 63 of"),
    *(
        ({"zones": [zone(name)]}, "zones[0].endpoints[0]", f"{name!r} is not a DNS")
        for name in ("", "A." + APEX, f"a_b.{APEX}", f"a\0.{APEX}", f"é.{APEX}")
    ),
    (
        {"zones": [zone("one.other.example")]},
        "zones[0].endpoints[0]",
        f"'one.other.example' is not below {APEX!r}",
    ),
    (
        {"zones": [zone(ONE, answer=2)]},
        "zones[0].answers[0]",
        "2 is not the index of one of 2 answer sets",
    ),
    *(
        ({"answer_sets": [members]}, f"answer_sets[0]{field}", text)
        for members, field, text in (
            (answer_set(256), ".weights[0]", "256 is not 0 to 255"),
            (answer_set(1, 2**32 - 1), ".weights[1]", "4294967295 is not 0 to 255"),
            (answer_set(0, 0), ".weights", "all weights are 0: nothing would be"),
            (answer_set(), "", "no target: an answer set is never empty"),
            (answer_set(1, targets=(2,)), ".targets[0]", "2 is not the index of one"),
            (answer_set(1, targets=(0, 1)), ".weights", "1 weights for 2 targets"),
        )
    ),
    *(
        ({"targets": [first, SECOND]}, path, text)
        for first, path, text in (
            (target("10.0.0.256"), "targets[0].ipv4", "'10.0.0.256' is not an IPv4"),
            (target(ipv6="10.0.0.1"), "targets[0].ipv6", "'10.0.0.1' is not an IPv6"),
            (target(), "targets[0]", "target 'nlb-0' has no address"),
            (SECOND, "targets[1].name", "duplicate name 'nlb-1', also in targets[0]"),
        )
    ),
]


@pytest.mark.parametrize(("fields", "path", "text"), PLANS)
async def test_a_wrong_plan_is_refused_by_its_field(
    store: Store, fields: dict[str, Any], path: str, text: str
) -> None:
    error = await store.refused("PublishPlan", await store.plan(**fields))
    assert error.code is INVALID
    assert error.definite
    assert text in error.fields[f"plan.{path}"]


async def test_what_is_stored_forbids_a_plan(store: Store) -> None:
    fips = zone(*endpoints_of(FIPS, ENDPOINTS), at=FIPS)
    altered = zone(ONE, *endpoints_of(REGIONAL, ENDPOINTS)[1:])
    both = f"endpoint 0 is {ONE!r}, the zone has 'regional-0.{APEX}'"
    for zones, path, text in (
        ([fips], "zones", "1 zones are left out, first 'regional'"),
        ([altered, fips], "zones[0].endpoints", both),
    ):
        error = await store.refused("PublishPlan", await store.plan(zones=zones))
        assert (error.code, error.reason) == (PRECONDITION, "ENDPOINTS_CHANGED")
        assert error.definite
        assert text in error.fields[f"plan.{path}"]


@pytest.mark.parametrize("parent", [0, 2, MAX_GENERATION - 1])
async def test_an_outdated_plan_is_told_both_sides(store: Store, parent: int) -> None:
    before = await store.everything()
    reply = await store.stub.PublishPlan(iter([await store.plan(parent=parent)]))
    outdated = pb.Outdated(newest=1, attempted_parent=parent)
    assert reply == pb.PublishPlanResponse(outdated=outdated)
    assert await store.everything() == before


def set_lock(lock: pb.Lock | None) -> pb.Change:
    return pb.Change(set_lock=pb.SetLock(lock=lock))


def lock_is(lock: pb.Lock | None) -> pb.Precondition:
    return pb.Precondition(lock_is=pb.LockIs(lock=lock))


NOBODYS = pb.Lock(holder="", expires_at_s=1)
OWN, FOREIGN = f"regional-0.{APEX}", f"fips-0.{APEX}"
POINT = [pb.Change(point_active=1)]
DELETES = [pb.Change(delete_tree=number) for number in (1, 2, 3, 4)]

BATCHES: list[tuple[dict[str, Any], str, str]] = [
    ({"id": ""}, "id", "'' is not 1 to 120"),
    ({"id": "a\0b"}, "id", r"'a\x00b' is not 1 to 120"),
    ({"enactor": ""}, "enactor", "'' is not 1 to 63"),
    ({"generation": -1}, "generation", "-1 is not a generation, 0 to"),
    *(
        ({"changes": changes}, path, text)
        for changes, path, text in (
            ([], "changes", "no change: a batch makes at least one"),
            ([pb.Change()], "changes[0]", "names no change"),
            ([pb.Change(build_tree=0)], "changes[0]", "0 is not a generation, 1 to"),
            ([set_lock(NOBODYS)], "changes[0].lock.holder", "'' is not 1 to 63"),
            (DELETES, "changes", "1280 record changes, at most 1000 are allowed"),
        )
    ),
    *(
        ({"preconditions": [pb.Precondition(**kind)]}, "preconditions[0]", text)
        for kind, text in (
            ({}, "names no precondition"),
            ({"automation_runs": False}, "names no precondition"),
            ({"active_below": -1}, "-1 is not a generation, 1 to"),
        )
    ),
    ({"zone": "regionals"}, "zone", "'regionals'; did you mean 'regional'?"),
    ({"endpoints": [OWN]}, "endpoints", "BuildTree is of the whole zone"),
    ({"endpoints": [FOREIGN], "changes": POINT}, "endpoints[0]", f"{FOREIGN!r}; did"),
]


@pytest.mark.parametrize(("fields", "path", "text"), BATCHES)
async def test_a_wrong_batch_spoils_its_whole_call(
    store: Store, fields: dict[str, Any], path: str, text: str
) -> None:
    right, wrong = store.batch(zone=FIPS), store.batch(**fields)
    request = pb.ChangeZonesRequest(batches=[right, wrong])
    error = await store.refused("ChangeZones", request)
    assert error.code is INVALID
    assert error.definite
    assert text in error.fields[f"batches[1].{path}"]


async def test_a_call_has_1_to_64_batches_of_different_zones(store: Store) -> None:
    for count, path, text in (
        (0, "batches", "0 batches, a call has 1 to 64"),
        (65, "batches", "65 batches, a call has 1 to 64"),
        (2, "batches[1].zone", "duplicate zone 'regional', also in batches[0]"),
    ):
        call = pb.ChangeZonesRequest(batches=[store.batch() for _ in range(count)])
        error = await store.refused("ChangeZones", call)
        assert text in error.fields[path]


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (pb.Change(build_tree=MAX_GENERATION), pb.REASON_PLAN_MISSING),
        (pb.Change(point_active=MAX_GENERATION), pb.REASON_TREE_MISSING),
    ],
)
async def test_a_plan_that_is_not_there_is_an_outcome(
    store: Store, change: pb.Change, reason: pb.Reason.ValueType
) -> None:
    before = await store.zone()
    batch = store.batch(generation=MAX_GENERATION, changes=[change])
    (outcome,) = await store.change(batch)
    refused = pb.Refused(reason=reason, change=change, found=before)
    assert outcome == pb.Outcome(refused=refused)
    assert await store.zone() == before


async def test_a_foreign_lock_is_an_outcome_with_both_sides(store: Store) -> None:
    found = pb.Lock(holder="enactor-b", expires_at_s=MAX_GENERATION)
    (taken,) = await store.change(store.batch(changes=[set_lock(found)]))
    believed = lock_is(pb.Lock(holder="enactor-a", expires_at_s=1))
    build = pb.Change(build_tree=1)
    late = store.batch(preconditions=[believed], changes=[build, set_lock(None)])
    (outcome,) = await store.change(late)
    assert outcome.refused == pb.Refused(
        reason=pb.REASON_LOCK_CHANGED_HANDS,
        precondition=believed,
        found=taken.applied,
    )
    assert outcome.refused.found.lock == found
    assert await store.zone() == taken.applied
    (freed,) = await store.change(
        store.batch(preconditions=[lock_is(found)], changes=[set_lock(None)])
    )
    assert not freed.applied.HasField("lock")


def pause_by(operator: str) -> pb.SetAutomationRequest:
    return pb.SetAutomationRequest(paused=True, operator=operator)


@pytest.mark.parametrize(
    ("method", "request_", "path", "text"),
    [
        *(
            ("SetAutomation", pause, "operator", f"{pause.operator!r} is not 1 to 63")
            for pause in map(pause_by, ("", "a\0b", "a\nb", "a" * 64))
        ),
        ("ListPlans", pb.ListPlansRequest(limit=1_001), "limit", "1001 is not 0 to"),
        ("ReadJournal", pb.ReadJournalRequest(limit=10_001), "limit", "10001 is not"),
        ("GetPlan", pb.GetPlanRequest(generation=-1), "generation", "-1 is not 0 to"),
        ("ReadZones", pb.ReadZonesRequest(zones=["fip"]), "zones[0]", "mean 'fips'?"),
        ("ReadZones", pb.ReadZonesRequest(zones=["\0"]), "zones[0]", r"'\x00'"),
        ("ReadJournal", pb.ReadJournalRequest(zone="\0"), "zone", r"'\x00'"),
    ],
)
async def test_a_wrong_question_is_refused_by_its_field(
    store: Store, method: str, request_: Message, path: str, text: str
) -> None:
    error = await store.refused(method, request_)
    assert error.code is INVALID
    assert list(error.fields) == [path]
    assert text in error.fields[path]


def operation(batch: pb.Batch, action: str = "restore") -> pb.OperateRequest:
    return pb.OperateRequest(action=action, batch=batch)


async def test_operators_are_told_what_they_can_do(store: Store) -> None:
    request = operation(store.batch(enactor="operator.ann"), "restor")
    error = await store.refused("Operate", request)
    assert error.fields == {"action": "unknown name 'restor'; did you mean 'restore'?"}


async def test_a_path_begins_at_the_request(store: Store) -> None:
    plan = await store.plan(parent=-1)
    for method, request, path in (
        ("PublishPlan", plan, "plan.parent"),
        ("Operate", operation(store.batch(enactor="")), "batch.enactor"),
        ("Operate", operation(store.batch(changes=[])), "batch.changes"),
        ("Operate", operation(store.batch(zone="regionals")), "batch.zone"),
    ):
        error = await store.refused(method, request)
        assert list(error.fields) == [path]


async def test_a_message_over_the_limit_is_refused(store: Store) -> None:
    name = "a" * MAX_MESSAGE_BYTES
    request = pb.PublishPlanRequest(plan=pb.Plan(targets=[pb.Target(name=name)]))
    error = await store.refused("PublishPlan", request)
    assert error.code is grpc.StatusCode.RESOURCE_EXHAUSTED
    assert f"vs. {MAX_MESSAGE_BYTES}" in str(error)


async def test_a_watch_begins_with_what_is_and_follows(store: Store) -> None:
    (now,) = (await store.stub.ReadZones(pb.ReadZonesRequest(zones=[FIPS]))).zones
    watch = store.stub.WatchZones(pb.WatchZonesRequest(), timeout=WATCH_TIMEOUT_S)
    first = [(await anext(aiter(watch))).zone for _ in range(2)]
    assert [view.zone for view in first] == [REGIONAL, FIPS]
    assert first[1] == now
    point = [pb.Change(point_rollback=pb.PointRollback()), pb.Change(point_active=1)]
    (outcome,) = await store.change(store.batch(zone=FIPS, changes=point))
    async for said in watch:
        if said.zone == outcome.applied:
            break
    watch.cancel()
    unknown = store.stub.WatchZones(pb.WatchZonesRequest(zones=["fip"]))
    with pytest.raises(grpc.aio.AioRpcError) as raised:
        await anext(aiter(unknown))
    error = error_from_rpc(raised.value)
    assert (error.code, error.reason) == (INVALID, "UNKNOWN_ZONE")
    assert "did you mean 'fips'?" in error.fields["zones[0]"]
