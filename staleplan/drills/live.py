"""A running stack as a stage: RPCs, DNS questions and calls, over loopback."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

import dns.asyncquery
import dns.exception
import dns.message
import dns.rcode
import grpc

from dns_store.core import Pointer, ZoneState
from protos.enactor.v1 import enactor_pb2
from protos.enactor.v1.enactor_pb2_grpc import EnactorServiceStub
from protos.planner.v1 import planner_pb2
from protos.planner.v1.planner_pb2_grpc import PlannerServiceStub
from protos.runtime.v1 import runtime_pb2 as pb
from protos.runtime.v1.runtime_pb2_grpc import FaultServiceStub
from protos.world.v1 import world_pb2
from protos.world.v1.world_pb2_grpc import EndpointServiceStub
from staleplan.drills.stage import Asked, Place
from staleplan.model import NOTHING, Generation, JournalEntry, ZoneName, ZoneView
from staleplan.operators import Operator
from staleplan.runtime.channel import channel
from staleplan.runtime.clock import Clock
from staleplan.runtime.telemetry import Telemetry
from staleplan.stack.settings import AZS, SERVICES
from staleplan.store_client import StoreClient

if TYPE_CHECKING:
    from protos.enactor.v1.enactor_pb2_grpc import EnactorServiceAsyncStub
    from protos.planner.v1.planner_pb2_grpc import PlannerServiceAsyncStub
    from protos.runtime.v1.runtime_pb2_grpc import FaultServiceAsyncStub

LOOK_EVERY_S = 0.01
"""Wall seconds between two looks at a condition: far below a planner period."""

DNS_TIMEOUT_S = 2.0
CALL_TIMEOUT_S = 2.0
"""Wall seconds; an answer takes a millisecond, a call five."""

ENDPOINT = "dynamodb.us-east-1.example"
"""The regional endpoint, which everybody uses."""


@dataclass(frozen=True, slots=True)
class LiveHold:
    """A fault that was injected into an enactor."""

    service: "FaultServiceAsyncStub"
    id: int

    async def has_caught(self) -> bool:
        fault = await self._find()
        return bool(fault and fault.times_fired)

    async def has_ended(self) -> bool:
        fault = await self._find()
        return fault is None or fault.state == pb.FAULT_STATE_OVER

    async def release(self) -> None:
        if await self._find():
            await self.service.Clear(pb.ClearRequest(id=self.id))

    async def _find(self) -> pb.InjectedFault | None:
        listed = await self.service.List(pb.ListRequest())
        return next((f for f in listed.faults if f.id == self.id), None)


@dataclass(frozen=True)
class LiveStage:
    """A running stack, as `Stage` describes it."""

    addresses: Mapping[str, str]
    planner_period_s: float
    keep_generations: int
    clock: Clock
    telemetry: Telemetry
    store: StoreClient
    faults: Mapping[str, "FaultServiceAsyncStub"]
    enactors: Mapping[str, "EnactorServiceAsyncStub"]
    planner: "PlannerServiceAsyncStub"

    def now_s(self) -> float:
        return self.clock.now_s()

    async def sleep_s(self, seconds: float) -> None:
        await self.clock.sleep_s(seconds)

    async def wait_for(
        self, condition: Callable[[], Awaitable[bool]], at_most_s: float
    ) -> bool:
        end_s = self.clock.now_s() + at_most_s
        while not await condition():
            if self.clock.now_s() > end_s:
                return False
            await asyncio.sleep(LOOK_EVERY_S)
        return True

    async def newest(self) -> Generation:
        head = await self.store.head()
        return head.generation if head else NOTHING

    async def plan_now(self) -> None:
        await self.planner.PlanNow(planner_pb2.PlanNowRequest(operator="drill"))

    async def views(self) -> Mapping[ZoneName, ZoneView]:
        return {view.zone: view for view in await self.store.zones()}

    async def in_hand(self, az: str) -> Generation:
        doing = await self.enactors[az].Describe(enactor_pb2.DescribeRequest())
        return Generation(doing.generation_in_hand)

    async def retrying(self, az: str) -> Collection[ZoneName]:
        doing = await self.enactors[az].Describe(enactor_pb2.DescribeRequest())
        return [ZoneName(zone) for zone in doing.stuck_zones]

    async def hold(self, at: Place, until: Place | None = None) -> LiveHold:
        pause = pb.Pause()
        if until:
            same = until.az == at.az
            pause.until.address = "" if same else self.addresses[f"enactor-{until.az}"]
            pause.until.point = until.point
            pause.until.labels.update(_labels(until))
        fault = pb.Fault(point=at.point, labels=_labels(at), count=1, pause=pause)
        return await self._inject(at.az, fault)

    async def lose_locks(self, az: str, zone: ZoneName, count: int) -> LiveHold:
        at = Place(az, "enactor.take_lock", zone)
        fault = pb.Fault(
            point=at.point,
            labels=_labels(at),
            count=count,
            error=pb.Error(status="ABORTED"),
        )
        return await self._inject(az, fault)

    async def _inject(self, az: str, fault: pb.Fault) -> LiveHold:
        service = self.faults[az]
        injected = await service.Inject(pb.InjectRequest(fault=fault))
        return LiveHold(service, injected.id)

    async def ask(self) -> Asked:
        status, answers = await self._resolve()
        call, detail = await self._call()
        return Asked(status, answers, call, detail)

    async def _resolve(self) -> tuple[str, int]:
        host, _, port = self.addresses["dns"].rpartition(":")
        question = dns.message.make_query(ENDPOINT, "A")
        try:
            answer = await dns.asyncquery.udp(
                question, host, timeout=DNS_TIMEOUT_S, port=int(port)
            )
        except dns.exception.Timeout:
            return "TIMEOUT", 0
        return dns.rcode.to_text(answer.rcode()), sum(map(len, answer.answer))

    async def _call(self) -> tuple[str, str]:
        """Call once, over a fresh channel: an older one would not see the outage."""
        port = self.addresses["load-balancers"]
        target = f"dns://{self.addresses['dns']}/{ENDPOINT}{port}"
        async with channel(target, self.telemetry) as fresh:
            try:
                await EndpointServiceStub(fresh).Call(
                    world_pb2.CallRequest(), timeout=CALL_TIMEOUT_S
                )
            except grpc.aio.AioRpcError as error:
                return error.code().name, error.details() or ""
        return grpc.StatusCode.OK.name, ""

    async def restart_enactors(self) -> None:
        request = enactor_pb2.RestartRequest(operator="drill")
        await asyncio.gather(*(e.Restart(request) for e in self.enactors.values()))

    async def restore(self, zone: ZoneName, generation: Generation) -> None:
        await Operator(self.store, "drill").restore(zone, generation)

    async def beginning(self) -> Mapping[ZoneName, ZoneState]:
        plan = await self.store.plan()
        zones = plan.draft.zones if plan else ()
        return {
            z.zone: ZoneState(z.zone, z.endpoints, (Pointer(),) * len(z.endpoints))
            for z in zones
        }

    async def journal(self) -> list[JournalEntry]:
        return [entry async for entry in self.store.journal()]


def _labels(place: Place) -> dict[str, str]:
    labels = {"az": place.az}
    return labels | {"zone": place.zone} if place.zone else labels


@asynccontextmanager
async def live_stage(
    addresses: Mapping[str, str],
    clock: Clock,
    telemetry: Telemetry,
    *,
    planner_period_s: float,
    keep_generations: int,
) -> AsyncIterator[LiveStage]:
    """Open channels to a running stack; they are closed when this is left."""
    async with AsyncExitStack() as stack:
        open_to = {
            service: await stack.enter_async_context(channel(address, telemetry))
            for service, address in addresses.items()
            if service in SERVICES
        }
        to_enactors = {az: open_to[f"enactor-{az}"] for az in AZS}
        yield LiveStage(
            addresses,
            planner_period_s,
            keep_generations,
            clock,
            telemetry,
            StoreClient(open_to["dns-store"]),
            {az: FaultServiceStub(each) for az, each in to_enactors.items()},
            {az: EnactorServiceStub(each) for az, each in to_enactors.items()},
            PlannerServiceStub(open_to["planner"]),
        )
