"""What `staleplan status` reads of one stack: everything at once, each part bounded."""

import asyncio
from collections.abc import Awaitable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from itertools import groupby
from pathlib import Path
from typing import Any, TypeVar

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

from dwfm import safeguards as of_dwfm
from enactor import safeguards as of_enactor
from planner import safeguards as of_planner
from protos.dwfm.v1 import dwfm_pb2
from protos.dwfm.v1.dwfm_pb2_grpc import DwfmServiceStub
from protos.enactor.v1 import enactor_pb2
from protos.enactor.v1.enactor_pb2_grpc import EnactorServiceStub
from protos.planner.v1 import planner_pb2
from protos.planner.v1.planner_pb2_grpc import PlannerServiceStub
from protos.runtime.v1 import runtime_pb2
from staleplan.cli.calls import Lines, services_of
from staleplan.cli.errors import CommandError
from staleplan.cli.fault import faults_at
from staleplan.cli.ops import group_of
from staleplan.cli.ops_show import lock_words, missing_trees
from staleplan.cli.resolve import Answer, ask
from staleplan.cli.safeguard import guarded, safeguards_of
from staleplan.cli.stacks import is_supervised
from staleplan.model import Plan, ZoneView
from staleplan.runtime.errors import RemoteError
from staleplan.runtime.settings import Mode
from staleplan.stack.settings import AZS

T = TypeVar("T")

PART_TIMEOUT_S = 3.0
"""Wall seconds for each part: a part that is dead must not hide the others."""

PRESETS: Mapping[str, Mapping[Mode, Mapping[str, bool]]] = {
    "planner": {
        "buggy": asdict(of_planner.BUGGY),
        "fixed": asdict(of_planner.FIXED),
    },
    "enactor": {
        "buggy": asdict(of_enactor.BUGGY),
        "fixed": asdict(of_enactor.FIXED),
    },
    "dwfm": {
        "buggy": asdict(of_dwfm.BUGGY),
        "fixed": asdict(of_dwfm.FIXED),
    },
}


@dataclass(frozen=True, slots=True)
class ServiceStatus:
    """One service, as its health check has it; `NO ANSWER`: there is none."""

    service: str
    address: str
    process: int | None
    health: str


@dataclass(frozen=True, slots=True)
class GroupStatus:
    """Zones of one kind, such as all of the accounts.

    `behind`: the zones where the newest plan is not active, or not everywhere.
    `empty`: for each zone whose active tree is gone, the generations that are missing.
    `answer` is that of an empty zone, if there is one.
    """

    group: str
    zones: int
    oldest_active: int
    newest_active: int
    trees: tuple[int, ...]
    locks: Mapping[str, str]
    behind: tuple[str, ...]
    empty: Mapping[str, tuple[int, ...]]
    answer: Answer | None


@dataclass(frozen=True, slots=True)
class EnactorStatus:
    """What one enactor is doing."""

    generation_in_hand: int
    passes: int
    last_result: str
    retries_in_a_row: int
    refused: str
    stuck_zones: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class DwfmStatus:
    """One DWFM host. Units: `oldest_wait_s` incident seconds."""

    droplets: int
    leases: int
    instances: int
    queued: int
    workers: int
    busy: int
    oldest_wait_s: float
    store_is_away: bool
    throttle_per_s: float
    """New work per incident second; 0: no limit."""
    draining: bool
    leases_expired: int
    late: int
    """Work that was done when nobody waited for it any more."""


@dataclass(frozen=True, slots=True)
class HeldPlan:
    """A plan that waits for an operator to force it. Units: `removed` is a share."""

    digest: str
    endpoint: str
    removed: float


@dataclass(frozen=True, slots=True)
class StackStatus:
    """One stack; `None` and an absent name stand for what did not answer."""

    name: str
    mode: Mode
    drill: bool
    speed: float
    supervised: bool
    services: tuple[ServiceStatus, ...]
    newest_plan: int | None = None
    paused: bool = False
    groups: tuple[GroupStatus, ...] = ()
    enactors: Mapping[str, EnactorStatus] = field(default_factory=dict)
    fleet: Mapping[str, DwfmStatus] = field(default_factory=dict)
    held: HeldPlan | None = None
    faults: tuple[Mapping[str, Any], ...] = ()
    switched: Mapping[str, bool] = field(default_factory=dict)
    """Safeguards that differ from the preset, in effect, by service.field."""
    errors: tuple[str, ...] = ()
    """What services answered instead of an answer."""


async def read_stack(lines: Lines, folder: Path) -> StackStatus:
    """Read everything; what does not answer in time is left out."""
    errors: list[str] = []
    async with asyncio.TaskGroup() as parts:
        services = parts.create_task(_services(lines))
        about = parts.create_task(_or(lines.store.describe(), None, errors))
        groups = parts.create_task(_or(_groups(lines), (), errors))
        enactors = parts.create_task(_enactors(lines))
        fleet = parts.create_task(_fleet(lines))
        held = parts.create_task(_or(_held(lines), None))
        faults = parts.create_task(_faults(lines))
        switched = parts.create_task(_switched(lines))
    book, region = lines.book, about.result()
    return StackStatus(
        book.name,
        book.mode,
        book.drill,
        book.speed,
        is_supervised(book, folder),
        services.result(),
        region.newest_generation if region else None,
        bool(region and region.paused),
        groups.result(),
        enactors.result(),
        fleet.result(),
        held.result(),
        faults.result(),
        switched.result(),
        tuple(dict.fromkeys(errors)),
    )


async def _or(part: Awaitable[T], otherwise: T, errors: list[str] | None = None) -> T:
    """Wait for a part in bounded time, and note what its service has against it."""
    try:
        async with asyncio.timeout(PART_TIMEOUT_S):
            return await part
    except RemoteError as error:
        if errors is not None:
            errors.append(f"dns-store: {error}")
    except (TimeoutError, CommandError, grpc.aio.AioRpcError):
        pass
    return otherwise


async def _services(lines: Lines) -> tuple[ServiceStatus, ...]:
    services = services_of(lines.book)
    return tuple(await asyncio.gather(*(_service(lines, each) for each in services)))


async def _service(lines: Lines, service: str) -> ServiceStatus:
    stub: Any = health_pb2_grpc.HealthStub(lines.to(service))
    reply = await _or(stub.Check(health_pb2.HealthCheckRequest()), None)
    names = health_pb2.HealthCheckResponse.ServingStatus
    health = names.Name(reply.status) if reply else "NO ANSWER"
    book = lines.book
    process = book.processes.get(service, book.processes.get("stack"))
    return ServiceStatus(service, book.addresses[service], process, health)


async def _groups(lines: Lines) -> tuple[GroupStatus, ...]:
    views = await lines.store.zones()
    plan = await lines.store.plan()
    ordered = sorted(views, key=lambda view: group_of(view.zone))
    kinds = groupby(ordered, key=lambda view: group_of(view.zone))
    calls = [_group(lines, group, tuple(members), plan) for group, members in kinds]
    return tuple(await asyncio.gather(*calls))


async def _group(
    lines: Lines, group: str, views: Sequence[ZoneView], plan: Plan | None
) -> GroupStatus:
    empty = {str(v.zone): missing_trees(v) for v in views if missing_trees(v)}
    sample = next(iter(empty), views[0].zone)
    name = _endpoint_of(plan, sample)
    return GroupStatus(
        group,
        len(views),
        min(view.oldest_active for view in views),
        max(view.newest_active for view in views),
        tuple(sorted({tree for view in views for tree in view.trees})),
        {view.zone: lock_words(view) for view in views if view.lock},
        tuple(v.zone for v in views if plan and v.oldest_active < plan.generation),
        empty,
        await ask(lines.book.addresses["dns"], name) if name else None,
    )


def _endpoint_of(plan: Plan | None, zone: str) -> str:
    """Return the first endpoint of a zone; empty: the newest plan has no such zone."""
    zones = plan.draft.zones if plan else ()
    return next((each.endpoints[0] for each in zones if each.zone == zone), "")


async def _enactors(lines: Lines) -> dict[str, EnactorStatus]:
    parts = await asyncio.gather(*(_or(_enactor(lines, az), None) for az in AZS))
    return {az: part for az, part in zip(AZS, parts, strict=True) if part}


async def _enactor(lines: Lines, az: str) -> EnactorStatus | None:
    stub = EnactorServiceStub(lines.to(f"enactor-{az}"))
    reply = await stub.Describe(enactor_pb2.DescribeRequest())
    return EnactorStatus(
        reply.generation_in_hand,
        reply.passes,
        reply.last_result,
        reply.retries_in_a_row,
        reply.refused,
        tuple(reply.stuck_zones),
    )


async def _fleet(lines: Lines) -> dict[str, DwfmStatus]:
    azs = [az for az in AZS if f"dwfm-{az}" in lines.book.addresses]
    parts = await asyncio.gather(*(_or(_dwfm(lines, az), None) for az in azs))
    return {az: part for az, part in zip(azs, parts, strict=True) if part}


async def _dwfm(lines: Lines, az: str) -> DwfmStatus | None:
    stub = DwfmServiceStub(lines.to(f"dwfm-{az}"))
    reply = await stub.Describe(dwfm_pb2.DescribeRequest())
    return DwfmStatus(
        reply.droplets,
        reply.leases,
        reply.instances,
        reply.queued,
        reply.workers,
        reply.running,
        round(reply.oldest_wait_s, 1),
        reply.store_is_away,
        reply.throttle_per_s,
        reply.draining,
        reply.counts.leases_expired,
        reply.counts.late,
    )


async def _held(lines: Lines) -> HeldPlan | None:
    stub = PlannerServiceStub(lines.to("planner"))
    reply = await stub.Describe(planner_pb2.DescribeRequest())
    if not reply.HasField("held"):
        return None
    return HeldPlan(reply.held.digest, reply.held.endpoint, reply.held.removed)


async def _faults(lines: Lines) -> tuple[Mapping[str, Any], ...]:
    if not lines.book.drill:
        return ()
    calls = (_or(faults_at(lines, each), []) for each in services_of(lines.book))
    found = [fault for part in await asyncio.gather(*calls) for fault in part]
    return tuple(fault for fault in found if fault["in_force"])


async def _switched(lines: Lines) -> dict[str, bool]:
    if not lines.book.drill:
        return {}
    calls = (_or(_differing(lines, each), {}) for each in guarded(lines.book))
    parts = await asyncio.gather(*calls)
    return {name: value for part in parts for name, value in part.items()}


async def _differing(lines: Lines, service: str) -> dict[str, bool]:
    reply = await safeguards_of(lines, service).Get(runtime_pb2.GetRequest())
    preset = PRESETS[service.partition("-")[0]][lines.book.mode]
    return {
        f"{service}.{name}": value
        for name, value in reply.effective.items()
        if value != preset[name]
    }
