"""The DNS store over gRPC: messages in, storage asked, messages out."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

import grpc
from opentelemetry import trace

from dns_store.edge import check_batches, check_draft
from dns_store.feed import Feed
from dns_store.store import Store
from protos.dns_store.v1 import dns_store_pb2 as pb
from protos.dns_store.v1.dns_store_pb2_grpc import DnsStoreServiceServicer
from staleplan import wire
from staleplan.model import MAX_GENERATION, Draft, Generation, Published, ZoneName
from staleplan.runtime.channel import MAX_MESSAGE_BYTES
from staleplan.runtime.clock import Clock
from staleplan.runtime.errors import (
    InvalidArgumentError,
    ReplyLostError,
    ServiceError,
    UnknownNameError,
)
from staleplan.runtime.faults import Faults
from staleplan.runtime.telemetry import traceparent_of

T = TypeVar("T")
Context = grpc.aio.ServicerContext[Any, Any]

DEFAULT_PLANS = 100
MAX_PLANS = 1_000
"""Plans in one list: heads are small, but name every zone."""

DEFAULT_ENTRIES = 1_000
MAX_ENTRIES = 10_000
"""Journal entries in one reply: some MiB."""

MAX_NAME = 63
OPERATOR_ACTIONS = ("restore", "unlock")
"""What operators do to a zone without any enactor. Source: R20."""


class DnsStoreService(DnsStoreServiceServicer):
    """Plans, zones and change batches for planners, enactors and operators."""

    def __init__(
        self,
        store: Store,
        feed: Feed,
        clock: Clock,
        faults: Faults,
        *,
        apex: str,
        dns_port: Callable[[], int],
    ) -> None:
        self._store = store
        self._feed = feed
        self._clock = clock
        self._faults = faults
        self._apex = apex
        self._dns_port = dns_port

    async def PublishPlan(
        self, requests: AsyncIterator[pb.PublishPlanRequest], context: Context
    ) -> pb.PublishPlanResponse:
        """Store a draft as the next plan, if its parent is the newest plan."""
        plan = await _merged(requests)
        drop = await self._faults.reach("dns_store.publish_plan")
        with _paths_below("plan."):
            draft = await asyncio.to_thread(self._checked_draft, plan)
            published = await self._store.publish(
                draft,
                at_s=self._clock.now_s(),
                story=traceparent_of(trace.get_current_span()),
            )
        _lose_reply(drop)
        if isinstance(published, Published):
            return pb.PublishPlanResponse(published=published.generation)
        outdated = pb.Outdated(
            newest=published.newest, attempted_parent=published.attempted_parent
        )
        return pb.PublishPlanResponse(outdated=outdated)

    def _checked_draft(self, message: pb.Plan) -> Draft:
        # 200,000 names: in a thread, so that DNS is answered meanwhile.
        known = self._store.endpoints()
        draft = _readable(wire.draft_from_message, message, known)
        check_draft(draft, self._apex, known)
        return draft

    async def GetPlan(
        self, request: pb.GetPlanRequest, context: Context
    ) -> pb.GetPlanResponse:
        """Read one plan, whole, or only its head."""
        await self._faults.reach("dns_store.read")
        generation = _generation("generation", request.generation) or None
        if request.head_only:
            head = await self._store.head(generation)
            return pb.GetPlanResponse(plan=wire.head_to_message(head) if head else None)
        plan = await self._store.plan(generation)
        return pb.GetPlanResponse(plan=wire.plan_to_message(plan) if plan else None)

    async def ListPlans(
        self, request: pb.ListPlansRequest, context: Context
    ) -> pb.ListPlansResponse:
        """Read the newest plans' heads, newest first."""
        await self._faults.reach("dns_store.read")
        limit = _limit(request.limit, DEFAULT_PLANS, MAX_PLANS)
        heads = await self._store.heads(limit)
        return pb.ListPlansResponse(plans=map(wire.head_to_message, heads))

    async def ReadZones(
        self, request: pb.ReadZonesRequest, context: Context
    ) -> pb.ReadZonesResponse:
        """Read zones as they are now: lock, pointers, trees."""
        await self._faults.reach("dns_store.read")
        views = await self._store.zones(_zones(request.zones))
        return pb.ReadZonesResponse(zones=map(wire.view_to_message, views))

    async def ChangeZones(
        self, request: pb.ChangeZonesRequest, context: Context
    ) -> pb.ChangeZonesResponse:
        """Judge several change batches, each all or nothing by itself."""
        drop = await self._faults.reach("dns_store.change_batch")
        batches = tuple(
            _readable(wire.batch_from_message, message, f"batches[{index}]")
            for index, message in enumerate(request.batches)
        )
        check_batches(batches)
        outcomes = await self._store.change(
            batches, at_s=self._clock.now_s(), trace_id=_trace_id()
        )
        _lose_reply(drop)
        return pb.ChangeZonesResponse(outcomes=map(wire.outcome_to_message, outcomes))

    async def ReadJournal(
        self, request: pb.ReadJournalRequest, context: Context
    ) -> pb.ReadJournalResponse:
        """Read every batch as it was judged, applied or refused, oldest first."""
        limit = _limit(request.limit, DEFAULT_ENTRIES, MAX_ENTRIES)
        zone = ZoneName(_printable("zone", request.zone)) if request.zone else None
        entries = await self._store.journal(request.after_sequence, limit, zone)
        return pb.ReadJournalResponse(entries=map(wire.entry_to_message, entries))

    async def WatchZones(
        self, request: pb.WatchZonesRequest, context: Context
    ) -> AsyncIterator[pb.WatchZonesResponse]:
        """Stream zones as they are now, and again whenever their answers change."""
        wanted = _zones(request.zones)
        with self._feed.watching() as changes:
            for view in await self._store.zones(wanted):
                yield pb.WatchZonesResponse(zone=wire.view_to_message(view))
            while True:
                names = [z for z in await changes.get() if not wanted or z in wanted]
                for view in await self._store.zones(names) if names else ():
                    yield pb.WatchZonesResponse(zone=wire.view_to_message(view))

    async def SetAutomation(
        self, request: pb.SetAutomationRequest, context: Context
    ) -> pb.SetAutomationResponse:
        """Pause or resume the region's automation. Source: R23."""
        await self._store.set_automation(
            paused=request.paused,
            operator=_printable("operator", request.operator),
            at_s=self._clock.now_s(),
            trace_id=_trace_id(),
        )
        return pb.SetAutomationResponse(paused=request.paused)

    async def Operate(
        self, request: pb.OperateRequest, context: Context
    ) -> pb.OperateResponse:
        """Judge an operator's batch, and audit it with its outcome. Source: R20."""
        if request.action not in OPERATOR_ACTIONS:
            raise UnknownNameError("action", request.action, OPERATOR_ACTIONS)
        with _paths_below("batch", instead_of="batches[0]"):
            batch = _readable(wire.batch_from_message, request.batch, "batches[0]")
            check_batches((batch,))
            outcome = await self._store.operate(
                request.action, batch, at_s=self._clock.now_s(), trace_id=_trace_id()
            )
        return pb.OperateResponse(outcome=wire.outcome_to_message(outcome))

    async def ReadAudit(
        self, request: pb.ReadAuditRequest, context: Context
    ) -> pb.ReadAuditResponse:
        """Read what operators did, oldest first."""
        return pb.ReadAuditResponse(
            entries=[
                pb.AuditEntry(
                    sequence=entry.sequence,
                    at_s=entry.at_s,
                    operator=entry.operator,
                    action=entry.action,
                    detail=entry.detail,
                    trace_id=entry.trace_id,
                )
                for entry in await self._store.audit(request.after_sequence)
            ]
        )

    async def Describe(
        self, request: pb.DescribeRequest, context: Context
    ) -> pb.DescribeResponse:
        """Tell where DNS is answered, and the region's figures."""
        summary = await self._store.describe()
        return pb.DescribeResponse(
            dns_port=self._dns_port(),
            apex=self._apex,
            newest_generation=summary.newest,
            paused=summary.paused,
            zones=summary.zones,
            endpoints=summary.endpoints,
        )


def _readable(convert: Callable[..., T], *message: object) -> T:
    """Convert a message, naming the field that is of no known kind."""
    try:
        return convert(*message)
    except wire.MalformedMessage as error:
        raise InvalidArgumentError({error.field: error.description}) from error


def _generation(path: str, number: int) -> Generation:
    if not 0 <= number <= MAX_GENERATION:
        raise InvalidArgumentError({path: f"{number} is not 0 to {MAX_GENERATION}"})
    return Generation(number)


def _limit(asked: int, default: int, largest: int) -> int:
    if asked > largest:
        raise InvalidArgumentError({"limit": f"{asked} is not 0 to {largest}"})
    return asked or default


def _zones(names: Iterable[str]) -> tuple[ZoneName, ...]:
    return tuple(map(ZoneName, names))


def _printable(path: str, name: str) -> str:
    if not 1 <= len(name) <= MAX_NAME or not name.isprintable():
        problem = f"{name!r} is not 1 to {MAX_NAME} printable letters"
        raise InvalidArgumentError({path: problem})
    return name


@contextmanager
def _paths_below(root: str, *, instead_of: str = "") -> Iterator[None]:
    """Let the paths of bad fields begin at the request, where its sender looks."""
    try:
        yield
    except ServiceError as error:
        error.fields = {
            f"{root}{path.removeprefix(instead_of)}": problem
            for path, problem in error.fields.items()
        }
        if error.fields:
            told = (f"{path}: {problem}" for path, problem in error.fields.items())
            error.args = ("; ".join(told),)
        raise


def _trace_id() -> str:
    context = trace.get_current_span().get_span_context()
    return trace.format_trace_id(context.trace_id) if context.is_valid else ""


async def _merged(requests: AsyncIterator[pb.PublishPlanRequest]) -> pb.Plan:
    """Read a draft to its end, and never more than one message may hold."""
    plan = pb.Plan()
    left_bytes = MAX_MESSAGE_BYTES
    async for request in requests:
        left_bytes -= request.ByteSize()
        if left_bytes < 0:
            problem = f"is larger than {MAX_MESSAGE_BYTES} bytes"
            raise InvalidArgumentError({"plan": problem})
        plan.MergeFrom(request.plan)
    if plan.generation:
        problem = f"is assigned by the store, got {plan.generation}"
        raise InvalidArgumentError({"plan.generation": problem})
    return plan


def _lose_reply(drop: bool) -> None:
    if drop:
        raise ReplyLostError("the effect is stored, its reply is lost")
