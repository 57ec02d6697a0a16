"""The DNS store as planners, enactors, operators and drills call it.

Reads and change batches may be sent twice without harm: a batch has an id, and the
store answers a known id from its journal. So while the store cannot be reached these
calls are repeated until they are answered, and a reply that was lost after a commit is
resolved rather than guessed.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from itertools import chain
from typing import TypeVar

import grpc

from protos.dns_store.v1 import dns_store_pb2 as pb
from protos.dns_store.v1.dns_store_pb2_grpc import DnsStoreServiceStub
from staleplan import wire
from staleplan.model import (
    Batch,
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
    in_groups,
)
from staleplan.runtime.errors import error_from_rpc

T = TypeVar("T")

CALL_TIMEOUT_S = 10.0
"""Wall seconds for one call: far above a batch's milliseconds, below patience."""

PUBLISH_TIMEOUT_S = 60.0
"""Wall seconds for one plan: the first of 200,000 endpoints takes a few."""

FIRST_REPEAT_S = 0.05
"""Wall seconds before a call is repeated the first time; doubled up to the last."""

LAST_REPEAT_S = 1.0
"""Wall seconds between repeats in the long run: soon back after a restart."""

TRANSIENT = frozenset({grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED})
"""What says nothing about the request: asking again may well succeed."""

BATCHES_IN_MESSAGE = 64
"""Batches sent together: as many as the store takes in one call."""

MESSAGES_IN_FLIGHT = 2
"""Messages of one call that the store has at once: it judges one and writes another.

More would not be faster, and DNS answers would wait longer for a processor.
"""

ZONES_IN_MESSAGE = 16
"""Zones of a plan sent together: reading the message delays the store for 1 ms."""

JOURNAL_PAGE = 5_000
"""Journal entries read at a time: a few MiB."""


async def insist(call: Callable[[], Awaitable[T]]) -> T:
    """Repeat a call that may be sent twice until it is answered.

    Raises: RemoteError, for an answer that repeating would not change.
    """
    pause_s = FIRST_REPEAT_S
    while True:
        try:
            return await call()
        except grpc.aio.AioRpcError as error:
            if error.code() not in TRANSIENT:
                raise error_from_rpc(error) from error
        await asyncio.sleep(pause_s)
        pause_s = min(pause_s * 2, LAST_REPEAT_S)


class StoreClient:
    """A typed client of the DNS store, over a channel that its owner closes."""

    def __init__(self, channel: grpc.aio.Channel) -> None:
        self.stub = DnsStoreServiceStub(channel)

    async def head(self, generation: Generation | None = None) -> PlanHead | None:
        """Read a plan's number and zones; `None` asks for the newest."""
        request = pb.GetPlanRequest(generation=generation or 0, head_only=True)
        reply = await insist(lambda: self.stub.GetPlan(request, timeout=CALL_TIMEOUT_S))
        return wire.head_from_message(reply.plan) if reply.HasField("plan") else None

    async def plan(self, generation: Generation | None = None) -> Plan | None:
        """Read a plan, whole; `None` asks for the newest."""
        request = pb.GetPlanRequest(generation=generation or 0)
        reply = await insist(
            lambda: self.stub.GetPlan(request, timeout=PUBLISH_TIMEOUT_S)
        )
        return wire.plan_from_message(reply.plan) if reply.HasField("plan") else None

    async def heads(self, limit: int) -> tuple[PlanHead, ...]:
        """Read the newest plans' numbers and zones, newest first."""
        request = pb.ListPlansRequest(limit=limit)
        reply = await insist(
            lambda: self.stub.ListPlans(request, timeout=CALL_TIMEOUT_S)
        )
        return tuple(map(wire.head_from_message, reply.plans))

    async def publish(self, draft: Draft) -> Published | Outdated:
        """Publish a draft. It is sent once: after a lost reply, read and compare.

        Raises: RemoteError, with the draft's bad fields, or when nobody answered.
        """
        parts = wire.draft_to_parts(draft, ZONES_IN_MESSAGE)
        requests = (pb.PublishPlanRequest(plan=part) for part in parts)
        try:
            reply = await self.stub.PublishPlan(requests, timeout=PUBLISH_TIMEOUT_S)
        except grpc.aio.AioRpcError as error:
            raise error_from_rpc(error) from error
        if reply.HasField("outdated"):
            return Outdated(
                Generation(reply.outdated.newest),
                Generation(reply.outdated.attempted_parent),
            )
        return Published(Generation(reply.published))

    async def zones(self, names: Sequence[ZoneName] = ()) -> tuple[ZoneView, ...]:
        """Read zones as they are now; empty means all, in the plan's order."""
        request = pb.ReadZonesRequest(zones=names)
        reply = await insist(
            lambda: self.stub.ReadZones(request, timeout=CALL_TIMEOUT_S)
        )
        return tuple(map(wire.view_from_message, reply.zones))

    async def change(self, batches: Sequence[Batch]) -> tuple[Outcome, ...]:
        """Send batches of different zones; each is all or nothing by itself.

        Many are sent in several messages at once, so that the store writes some of
        them while it reads or judges others.
        """
        in_flight = asyncio.Semaphore(MESSAGES_IN_FLIGHT)

        async def change(group: Sequence[Batch]) -> tuple[Outcome, ...]:
            async with in_flight:
                return await self._change(group)

        calls = map(change, in_groups(tuple(batches), BATCHES_IN_MESSAGE))
        return tuple(chain.from_iterable(await asyncio.gather(*calls)))

    async def _change(self, batches: Sequence[Batch]) -> tuple[Outcome, ...]:
        request = pb.ChangeZonesRequest(
            batches=[wire.batch_to_message(batch) for batch in batches]
        )
        reply = await insist(
            lambda: self.stub.ChangeZones(request, timeout=CALL_TIMEOUT_S)
        )
        return tuple(map(wire.outcome_from_message, reply.outcomes))

    async def operate(self, action: str, batch: Batch) -> Outcome:
        """Send an operator's batch, which is audited under the action's name."""
        request = pb.OperateRequest(action=action, batch=wire.batch_to_message(batch))
        reply = await insist(lambda: self.stub.Operate(request, timeout=CALL_TIMEOUT_S))
        return wire.outcome_from_message(reply.outcome)

    async def set_automation(self, *, paused: bool, operator: str) -> None:
        """Pause or resume the region's automation."""
        request = pb.SetAutomationRequest(paused=paused, operator=operator)
        await insist(lambda: self.stub.SetAutomation(request, timeout=CALL_TIMEOUT_S))

    async def describe(self) -> pb.DescribeResponse:
        """Read where DNS is answered, and the region's figures."""
        return await insist(
            lambda: self.stub.Describe(pb.DescribeRequest(), timeout=CALL_TIMEOUT_S)
        )

    async def audit(self, after_sequence: int = 0) -> Sequence[pb.AuditEntry]:
        """Read what operators did, oldest first."""
        request = pb.ReadAuditRequest(after_sequence=after_sequence)
        reply = await insist(
            lambda: self.stub.ReadAudit(request, timeout=CALL_TIMEOUT_S)
        )
        return reply.entries

    async def journal(
        self, after_sequence: int = 0, zone: ZoneName | None = None
    ) -> AsyncIterator[JournalEntry]:
        """Read batches as they were judged, oldest first, to the journal's end."""
        while True:
            request = pb.ReadJournalRequest(
                after_sequence=after_sequence, limit=JOURNAL_PAGE, zone=zone or ""
            )
            page = await self._journal_page(request)
            for message in page:
                yield wire.entry_from_message(message)
            if len(page) < JOURNAL_PAGE:
                return
            after_sequence = page[-1].sequence

    async def _journal_page(
        self, request: pb.ReadJournalRequest
    ) -> Sequence[pb.JournalEntry]:
        reply = await insist(
            lambda: self.stub.ReadJournal(request, timeout=CALL_TIMEOUT_S)
        )
        return reply.entries


def endpoint_zone(plan: Plan, endpoint: EndpointName) -> ZoneName | None:
    """Find the zone that an endpoint is in; `None`: the plan does not name it."""
    for zone in plan.draft.zones:
        if endpoint in zone.endpoints:
            return zone.zone
    return None
