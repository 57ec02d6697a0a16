"""Performs a planner's commands on the living system."""

import asyncio
import random
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import grpc

from planner.core import Occasion, make_plan
from planner.model import (
    Command,
    LoadBalancer,
    Publish,
    Reading,
    ReadNewestPlan,
    ReadReport,
    Region,
    Reply,
    Report,
    Result,
    Round,
    UnsafePlan,
)
from planner.safeguards import Safeguards
from planner.settings import PlannerSettings
from protos.world.v1 import world_pb2 as pb
from staleplan.model import NOTHING, Draft, Generation, Outdated, Plan, Published
from staleplan.runtime import attributes
from staleplan.runtime.clock import Clock
from staleplan.runtime.errors import ServiceError, error_from_rpc
from staleplan.runtime.faults import Faults, InjectedError
from staleplan.runtime.safeguards import SafeguardSwitchboard
from staleplan.runtime.telemetry import Telemetry
from staleplan.store_client import CALL_TIMEOUT_S, StoreClient

if TYPE_CHECKING:
    from protos.world.v1.world_pb2_grpc import WorldServiceAsyncStub


@dataclass
class Driver:
    """The planner's hands and memory."""

    settings: PlannerSettings
    region: Region
    store: StoreClient
    world: "WorldServiceAsyncStub"
    clock: Clock
    faults: Faults
    telemetry: Telemetry
    chance: random.Random
    safeguards: SafeguardSwitchboard[Safeguards]
    published: Generation = NOTHING
    published_at_s: float = float("-inf")
    rounds: int = 0
    held: UnsafePlan | None = None
    known: dict[str, Reading] = field(default_factory=dict)
    newest: Plan | None = None

    def __post_init__(self) -> None:
        self._one_at_a_time = asyncio.Lock()

    async def keep_planning(self) -> None:
        """Look at the load balancers again and again; plan when there is cause."""
        while True:
            due = self.clock.now_s() - self.published_at_s >= self.settings.period_s
            try:
                await self.plan(Occasion(period_is_over=due))
            except (ServiceError, InjectedError):
                self.telemetry.log.exception("round failed")
            wait_s = self._wait_s()
            await self.clock.sleep_s(wait_s * self.chance.uniform(0.9, 1.1))

    def _wait_s(self) -> float:
        """Until the period is over, or the load balancers are looked at again."""
        over_s = self.published_at_s + self.settings.period_s - self.clock.now_s()
        look_s = self.settings.look_interval_s
        return min(look_s, over_s) if over_s > 0 else look_s

    async def plan(self, occasion: Occasion) -> Result:
        """Make one round, one at a time: a plan in between would be in the way."""
        async with self._one_at_a_time:
            return await self._plan(occasion)

    async def _plan(self, occasion: Occasion) -> Result:
        with self.telemetry.tracer.start_as_current_span("plan") as span:
            steps = make_plan(
                self.region, self.known, occasion, self.safeguards.current
            )
            result = await self._perform(steps)
            span.set_attribute(attributes.ROUND_RESULT, type(result).__name__)
            match result:
                case Published(generation):
                    span.set_attribute(attributes.PLAN_GENERATION, generation)
                    self.published = generation
                    self.published_at_s = self.clock.now_s()
                case UnsafePlan(digest, endpoint, removed):
                    self.telemetry.log.warning(
                        "unsafe plan held",
                        digest=digest,
                        endpoint=endpoint,
                        removed=round(removed, 3),
                    )
            self.held = result if isinstance(result, UnsafePlan) else None
            self.rounds += 1
            return result

    async def _perform(self, steps: Round) -> Result:
        reply: Reply = None
        while True:
            try:
                command = steps.send(reply)
            except StopIteration as end:
                result: Result = end.value
                return result
            reply = await self._do(command)

    async def _do(self, command: Command) -> Reply:
        match command:
            case ReadNewestPlan():
                return await self._read_newest_plan()
            case ReadReport():
                return await self._read_report()
            case Publish(draft):
                return await self._publish(draft)

    async def _read_newest_plan(self) -> Plan | None:
        """Read the newest plan; its content only when it is not the one we know."""
        head = await self.store.head()
        if head is None:
            return None
        if self.newest is None or self.newest.generation != head.generation:
            self.newest = await self.store.plan(head.generation)
        return self.newest

    async def _read_report(self) -> Report:
        request = pb.ReportLoadBalancersRequest()
        try:
            reply = await self.world.ReportLoadBalancers(
                request, timeout=CALL_TIMEOUT_S
            )
        except grpc.aio.AioRpcError as error:
            raise error_from_rpc(error) from error
        report = report_from_message(reply)
        self.known.update(report.readings)
        return report

    async def _publish(self, draft: Draft) -> Published | Outdated:
        await self.faults.reach("planner.before_publish")
        published = await self.store.publish(draft)
        if isinstance(published, Published):
            self.newest = Plan(published.generation, draft, self.clock.now_s(), "")
        await self.faults.reach("planner.after_publish")
        return published


def report_from_message(message: pb.ReportLoadBalancersResponse) -> Report:
    """Convert a report; a load balancer without a reading has none in the report."""
    return Report(
        tuple(
            LoadBalancer(b.name, b.ipv4, b.ipv6 or None, frozenset(b.pools))
            for b in message.load_balancers
        ),
        {
            b.name: Reading(b.reading.healthy, b.reading.capacity)
            for b in message.load_balancers
            if b.HasField("reading")
        },
    )
