"""A running stack with its fleet as a stage for `lease-storm`: RPCs over loopback."""

import asyncio
import math
import time
from collections import Counter
from collections.abc import (
    AsyncIterator,
    Awaitable,
    Callable,
    Mapping,
    Sequence,
)
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Generic, Protocol, TypeVar

from dwfm.model import Limits
from protos.droplet.v1 import droplet_pb2
from protos.droplet.v1.droplet_pb2_grpc import DropletServiceStub
from protos.dwfm.v1 import dwfm_pb2
from protos.dwfm.v1.dwfm_pb2_grpc import DwfmServiceStub
from protos.runtime.v1 import runtime_pb2
from protos.runtime.v1.runtime_pb2_grpc import FaultServiceStub
from protos.world.v1 import world_pb2
from protos.world.v1.world_pb2_grpc import CustomersServiceStub
from staleplan.drills.lease_storm_runner import Order, play
from staleplan.drills.live import LiveHold
from staleplan.drills.result import Result
from staleplan.drills.running import RunningStack, join_traces, running_stack
from staleplan.model import (
    Applied,
    Batch,
    BatchId,
    DeleteTree,
    EnactorName,
    LockIs,
    ZoneName,
)
from staleplan.operators import Operator
from staleplan.runtime.channel import channel
from staleplan.runtime.clock import INCIDENT_START_S, Clock
from staleplan.runtime.settings import ClockSettings
from staleplan.sim.fleet import launches_per_s
from staleplan.sim.fleet_customers import CALL_TIMEOUT_S
from staleplan.spec.fleet import (
    WAIT_CLASSES,
    WAIT_STEP_S,
    Action,
    Look,
    Renewals,
    Size,
)
from staleplan.stack.settings import AZS, SERVICES, StackSettings
from staleplan.store_client import StoreClient
from staleplan.world.launches.core import Outcome

if TYPE_CHECKING:
    from protos.droplet.v1.droplet_pb2_grpc import DropletServiceAsyncStub
    from protos.dwfm.v1.dwfm_pb2_grpc import DwfmServiceAsyncStub
    from protos.runtime.v1.runtime_pb2_grpc import FaultServiceAsyncStub
    from protos.world.v1.world_pb2_grpc import CustomersServiceAsyncStub

SPEED = 100.0
"""Incident seconds in a wall second: a check's timeout is 0.3 s then, ten times what
its calls take on a busy machine."""

RUN_UP_S = 2_700.0
"""How long before 23:48 a run begins, as far as its clock is concerned."""

PLANNER_PERIOD_S = 600.0
"""Between two plans: the DNS has little to do in this drill."""

LAST_LEASE_SHARE = 0.95
"""When the last lease runs out, as a share of the outage: at 02:24 of 02:25. R26."""

REGIONAL = ZoneName("regional")
"""The zone of the name that DWFM calls DynamoDB by."""

LOOK_EVERY_S = 0.01
"""Wall seconds between two looks whether the enactors stand still."""


class Numbered(Protocol):
    """An entry of a log."""

    @property
    def sequence(self) -> int:
        """Its number, from 1."""
        ...


Entry = TypeVar("Entry", bound=Numbered)


@dataclass
class Log(Generic[Entry]):
    """What a service remembers, read page by page as it grows."""

    read: Callable[[int], Awaitable[Sequence[Entry]]]
    """Reads the entries after a number."""
    entries: list[Entry] = field(default_factory=list)

    async def catch_up(self) -> Sequence[Entry]:
        """Read what is new; returns all."""
        last = self.entries[-1].sequence if self.entries else 0
        while page := await self.read(last):
            self.entries += page
            last = page[-1].sequence
        return self.entries


@dataclass
class LiveFleet:
    """The fleet of a running stack. See `LeaseStage` for the methods."""

    size: Size
    clock: Clock
    store: StoreClient
    hosts: Mapping[str, "DwfmServiceAsyncStub"]
    droplets: "DropletServiceAsyncStub"
    customers: "CustomersServiceAsyncStub"
    enactors: Sequence["FaultServiceAsyncStub"]
    began_s: float = 0.0
    away: bool = False
    """Whether the name leads nowhere."""
    holds: list[LiveHold] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.began_s = self.clock.now_s()
        self._renewals = {az: Log(self._renewals_of(az)) for az in self.hosts}
        self._actions = Log(self._read_actions)
        self._launches = Log(self._read_launches)
        self._endings = Log(self._read_endings)

    def now_s(self) -> float:
        return self.clock.now_s()

    async def sleep_s(self, seconds: float) -> None:
        await self.clock.sleep_s(seconds)

    async def look(self) -> Look:
        asked = (h.Describe(dwfm_pb2.DescribeRequest()) for h in self.hosts.values())
        hosts = await asyncio.gather(*asked)
        ended_unasked = await self._ended_unasked()
        endings = len(self._endings.entries)
        return Look(
            at_s=self.now_s(),
            away=self.away,
            leases=sum(host.leases for host in hosts),
            queue=sum(host.queued for host in hosts),
            oldest_wait_s=max(host.oldest_wait_s for host in hosts),
            running=sum(host.instances for host in hosts),
            leases_expired=sum(host.counts.leases_expired for host in hosts),
            useful=sum(host.counts.in_time for host in hosts),
            late=sum(host.counts.late for host in hosts),
            asked=await self._arrived() + endings,
            launched=sum(host.counts.launched for host in hosts),
            ended_unasked=ended_unasked,
            waits=await self._waits(),
        )

    async def _ended_unasked(self) -> int:
        """Count instances that droplets ended and no customer wanted to end.

        Customers note a wish before they utter it, so it is read after the deed.
        """
        done = {
            each.instance
            for each in await self._actions.catch_up()
            if each.kind == "terminate" and each.result == "done"
        }
        theirs = {each.instance for each in await self._launches.catch_up()}
        asked = {each.instance for each in await self._endings.catch_up()}
        return len((done & theirs) - asked)

    async def _arrived(self) -> int:
        request = world_pb2.ReadLaunchesRequest(after_sequence=2**62)
        return (await self.customers.ReadLaunches(request)).totals.arrived

    async def _waits(self) -> tuple[int, ...]:
        waits: Counter[int] = Counter()
        for log in self._renewals.values():
            waits.update(
                min(int(each.waited_s / WAIT_STEP_S), WAIT_CLASSES - 1)
                for each in await log.catch_up()
            )
        return tuple(waits[each] for each in range(WAIT_CLASSES))

    async def cut_off(self, away: bool) -> None:
        if away:
            await self._hold_enactors()
            await self._delete_answers()
        else:
            head = await self.store.head()
            if head is None:
                raise AssertionError("a stack that runs has a plan")
            await Operator(self.store, "drill").restore(REGIONAL, head.generation)
            for hold in self.holds:
                await hold.release()
            self.holds.clear()
        self.away = away

    async def _hold_enactors(self) -> None:
        """Stop every enactor before its next pass: none shall repair the name."""
        pause = runtime_pb2.Fault(
            point="enactor.before_pass", pause=runtime_pb2.Pause()
        )
        for service in self.enactors:
            request = runtime_pb2.InjectRequest(fault=pause)
            injected = await service.Inject(request)
            self.holds.append(LiveHold(service, injected.id))
        for hold in self.holds:
            while not await hold.has_caught():  # noqa: ASYNC110  another process
                await asyncio.sleep(LOOK_EVERY_S)

    async def _delete_answers(self) -> None:
        """Leave the alias of the regional endpoint pointing at nothing, as R17 did."""
        (found,) = await self.store.zones((REGIONAL,))
        batch = Batch(
            BatchId(f"drill/cut-off/{found.oldest_active}"),
            EnactorName("drill"),
            REGIONAL,
            found.oldest_active,
            (LockIs(found.lock),),
            (DeleteTree(found.oldest_active),),
        )
        (outcome,) = await self.store.change([batch])
        if not isinstance(outcome, Applied):
            raise TypeError(f"the name could not be cut off: {outcome}")

    async def throttle(self, share: float | None) -> None:
        per_s = (share or 0.0) * self.size.capacity_per_s / len(self.hosts)
        for host in self.hosts.values():
            request = dwfm_pb2.ThrottleRequest(per_s=per_s, operator="drill")
            await host.Throttle(request)

    async def restart_hosts(self) -> None:
        for host in self.hosts.values():
            await host.RestartHost(dwfm_pb2.RestartHostRequest(operator="drill"))

    async def renewals(self) -> Sequence[Renewals]:
        capacity_per_s = self.size.capacity_per_s / len(self.hosts)
        seconds = math.ceil(self.now_s() - self.began_s) + 1
        found = []
        for log in self._renewals.values():
            wanted = [each.wanted_at_s for each in await log.catch_up()]
            due = Counter(int(at_s - self.began_s) for at_s in wanted)
            per_second = [due[each] for each in range(seconds)]
            found.append(Renewals(self.began_s, capacity_per_s, per_second))
        return found

    async def actions(self) -> Sequence[Action]:
        """Every term that a droplet refused, or saw for the first time."""
        newest: dict[str, int] = {}
        found = []
        for each in await self._actions.catch_up():
            obeyed = each.result != "stale term"
            if obeyed and newest.get(each.droplet) == each.term:
                continue
            if obeyed:
                newest[each.droplet] = each.term
            found.append(
                Action(each.at_s, each.droplet, each.term, each.holder, obeyed)
            )
        return found

    async def outcomes(self) -> Mapping[Outcome, int]:
        launches = await self._launches.catch_up()
        return Counter(Outcome(each.outcome) for each in launches)

    def _renewals_of(
        self, az: str
    ) -> Callable[[int], Awaitable[Sequence[dwfm_pb2.Renewal]]]:
        async def read(after: int) -> Sequence[dwfm_pb2.Renewal]:
            request = dwfm_pb2.ReadRenewalsRequest(after_sequence=after)
            return (await self.hosts[az].ReadRenewals(request)).renewals

        return read

    async def _read_actions(self, after: int) -> Sequence[droplet_pb2.Action]:
        request = droplet_pb2.ReadActionsRequest(after_sequence=after)
        return (await self.droplets.ReadActions(request)).actions

    async def _read_launches(self, after: int) -> Sequence[world_pb2.Launch]:
        request = world_pb2.ReadLaunchesRequest(after_sequence=after)
        return (await self.customers.ReadLaunches(request)).launches

    async def _read_endings(self, after: int) -> Sequence[world_pb2.Ending]:
        request = world_pb2.ReadEndingsRequest(after_sequence=after)
        return (await self.customers.ReadEndings(request)).endings


@asynccontextmanager
async def live_fleet(running: RunningStack, size: Size) -> AsyncIterator[LiveFleet]:
    """Open channels to a running stack; they are closed when this is left."""
    async with AsyncExitStack() as stack:
        to = {
            service: await stack.enter_async_context(
                channel(address, running.base.telemetry)
            )
            for service, address in running.addresses.items()
            if service not in {"dns", "load-balancers"}
        }
        yield LiveFleet(
            size,
            running.base.clock,
            StoreClient(to["dns-store"]),
            {az: DwfmServiceStub(to[f"dwfm-{az}"]) for az in AZS},
            DropletServiceStub(to["world"]),
            CustomersServiceStub(to["customers"]),
            [FaultServiceStub(to[f"enactor-{az}"]) for az in AZS],
        )


async def run_live(order: Order, state_folder: Path, database_url: str) -> Result:
    """Run the drill on a stack of its own, which ends with it."""
    started_s = time.perf_counter()
    fleet = order.fleet
    in_each = fleet.droplets // len(AZS)
    limits = fleet.limits_of(in_each)
    stack = _stack_of(order, limits, state_folder, database_url)
    size = Size(
        droplets=in_each * len(AZS),
        capacity_per_s=limits.capacity_per_s * len(AZS),
        service_s=limits.service_s,
        timeout_s=limits.timeout_s,
        check_interval_s=limits.check_interval_s,
        longest_deadline_s=max(limits.timeout_s, CALL_TIMEOUT_S),
    )
    async with running_stack(stack) as running:
        await running.switch("dwfm", order.switched)
        async with live_fleet(running, size) as stage:
            result = await play(stage, order)
    trace_file = await asyncio.to_thread(join_traces, stack)
    return replace(
        result,
        speed=SPEED,
        trace_file=str(trace_file),
        wall_s=round(time.perf_counter() - started_s, 3),
    )


def _stack_of(
    order: Order, limits: Limits, state_folder: Path, database_url: str
) -> StackSettings:
    in_each = order.fleet.droplets // len(AZS)
    # A lease that lasts less than two intervals would be lost with one check.
    longest_s = max(
        2 * limits.check_interval_s, LAST_LEASE_SHARE * order.script.outage_s
    )
    return StackSettings(
        name=order.name,
        mode=order.mode,
        services=SERVICES,
        state_folder=state_folder,
        database_url=database_url,
        account_endpoints=0,
        seed=order.script.seed,
        drill=True,
        clock=ClockSettings(incident_origin_s=INCIDENT_START_S - RUN_UP_S, speed=SPEED),
        planner={"period_s": PLANNER_PERIOD_S, "look_interval_s": PLANNER_PERIOD_S},
        world={
            "customer": {"call_interval_s": PLANNER_PERIOD_S},
            "droplets_per_az": in_each,
        },
        enactor={
            "poll_interval_s": PLANNER_PERIOD_S / 10,
            "lock_ttl_s": int(PLANNER_PERIOD_S),
            "max_backoff_s": PLANNER_PERIOD_S / 10,
        },
        dwfm={
            "workers": limits.workers,
            "timeout_s": limits.timeout_s,
            "longest_lease_ttl_s": longest_s,
        },
        customers={
            "arrivals_per_s": launches_per_s(order.fleet.load, in_each, limits),
            "launch_timeout_s": CALL_TIMEOUT_S,
        },
    )
