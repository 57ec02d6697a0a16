"""The DNS half of a region under virtual time: the shipped cores, a store of dicts.

It is a stage for drills. The same seed gives the same run, to the last batch.
"""

import random
from collections import Counter
from collections.abc import (
    Awaitable,
    Callable,
    Collection,
    Generator,
    Mapping,
    Sequence,
)
from dataclasses import dataclass

from dns_store.core import Pointer, ZoneState, decide, settle, view
from enactor.core import Extent, enact, lock_orders
from enactor.model import (
    BackOff,
    Command,
    Order,
    Pass,
    Purpose,
    ReadNewestPlan,
    ReadZones,
    Reply,
    Submit,
    TakeLocks,
)
from enactor.safeguards import Safeguards
from planner.core import region_of
from staleplan.drills.stage import Asked, Place
from staleplan.model import (
    NOTHING,
    Applied,
    Batch,
    BatchId,
    BuildTree,
    EnactorName,
    Generation,
    JournalEntry,
    Lock,
    LockIs,
    Outcome,
    PlanHead,
    PointActive,
    SetLock,
    ZoneName,
    ZoneView,
)
from staleplan.runtime.clock import INCIDENT_START_S
from staleplan.sim.clockwork import Clockwork, Gate, Process, Running

AZS = ("a", "b", "c")
REGIONAL = ZoneName("regional")


@dataclass(frozen=True, slots=True)
class Pace:
    """How fast things go. Units: incident seconds. Inferred, as in the services."""

    planner_period_s: float = 30.0
    poll_interval_s: float = 2.0
    lock_ttl_s: int = 30
    first_backoff_s: float = 0.5
    max_backoff_s: float = 8.0
    call_s: tuple[float, float] = (0.05, 0.8)
    """The shortest and the longest call: what a few milliseconds are at full speed."""
    start_s: float = INCIDENT_START_S
    """Epoch seconds of incident time."""


EXTENT = Extent(keep_generations=5, zones_in_flight=16)
"""As the enactor's settings have it."""


AFTER = {
    Purpose.FLIP: "enactor.after_batch",
    Purpose.CLEAN_UP: "enactor.after_clean_up",
}
"""The fault points that follow an enactor's batches, as its driver has them."""


@dataclass(eq=False)
class SimHold:
    """A fault of the simulation: a gate at a place, or a number of locks to lose."""

    region: "DnsRegion"
    at: Place
    gate: Gate
    until: Place | None = None
    locks_to_lose: int | None = None
    """`None`: a pause. 0: every lock is lost."""

    caught: bool = False

    async def has_caught(self) -> bool:
        """Whether an enactor has reached the place."""
        return self.caught

    async def has_ended(self) -> bool:
        """Whether what was to end the fault has happened."""
        return self.gate.is_open

    async def release(self) -> None:
        """End the fault."""
        self.region.end(self)


Effects = Generator[float | Gate, None, Reply]


class DnsRegion:
    """Planner, three enactors and a store, as a stage. See `Stage` for the methods."""

    def __init__(
        self,
        safeguards: Safeguards,
        seed: int,
        *,
        account_endpoints: int = 8,
        extent: Extent = EXTENT,
        pace: Pace = Pace(),
    ) -> None:
        self.planner_period_s = pace.planner_period_s
        self.keep_generations = extent.keep_generations
        self._safeguards = safeguards
        self._extent = extent
        self._pace = pace
        self._chance = random.Random(seed)
        self._time = Clockwork(pace.start_s)
        self._plans: set[Generation] = set()
        self._zones = {
            plan.zone: ZoneState(
                plan.zone, plan.endpoints, (Pointer(),) * len(plan.endpoints)
            )
            for plan in region_of("us-east-1", account_endpoints).zones
        }
        self._beginning = dict(self._zones)
        self._journal: list[JournalEntry] = []
        self._life = 1
        self._sent: Counter[str] = Counter()
        self._holds: list[SimHold] = []
        self._retrying: dict[str, Collection[ZoneName]] = dict.fromkeys(AZS, ())
        self._in_hand = dict.fromkeys(AZS, NOTHING)
        self._time.start(self._planner())
        self._enactors = self._start_enactors()

    # --- The stage -----------------------------------------------------------------

    def now_s(self) -> float:
        return self._time.now_s

    async def sleep_s(self, seconds: float) -> None:
        end_s = self._time.now_s + seconds
        while self._time.run_until(end_s):
            pass

    async def wait_for(
        self, condition: Callable[[], Awaitable[bool]], at_most_s: float
    ) -> bool:
        end_s = self._time.now_s + at_most_s
        while not await condition():
            if not self._time.run_until(end_s):
                return await condition()
        return True

    async def newest(self) -> Generation:
        return Generation(len(self._plans))

    async def plan_now(self) -> None:
        self._publish()

    async def views(self) -> Mapping[ZoneName, ZoneView]:
        return {zone: view(state) for zone, state in self._zones.items()}

    async def in_hand(self, az: str) -> Generation:
        return self._in_hand[az]

    async def retrying(self, az: str) -> Collection[ZoneName]:
        return self._retrying[az]

    async def hold(self, at: Place, until: Place | None = None) -> SimHold:
        return self._inject(SimHold(self, at, Gate(), until))

    async def lose_locks(self, az: str, zone: ZoneName, count: int) -> SimHold:
        at = Place(az, "enactor.take_lock", zone)
        return self._inject(SimHold(self, at, Gate(), locks_to_lose=count))

    async def ask(self) -> Asked:
        regional = view(self._zones[REGIONAL])
        if set(regional.active) <= {NOTHING, *regional.trees}:
            return Asked("NOERROR", 1, "OK", "")
        return Asked("NOERROR", 0, "UNAVAILABLE", "DNS server returned no data")

    async def restart_enactors(self) -> None:
        for enactor in self._enactors:
            enactor.stop()
        self._life += 1
        self._enactors = self._start_enactors()

    async def restore(self, zone: ZoneName, generation: Generation) -> None:
        order = Order(
            zone,
            (LockIs(self._zones[zone].lock),),
            (BuildTree(generation), PointActive(generation), SetLock(None)),
        )
        self._judge("operator", generation, (order,))

    async def beginning(self) -> Mapping[ZoneName, ZoneState]:
        return self._beginning

    async def journal(self) -> list[JournalEntry]:
        return self._journal

    # --- Faults --------------------------------------------------------------------

    def _inject(self, hold: SimHold) -> SimHold:
        self._holds.append(hold)
        return hold

    def end(self, hold: SimHold) -> None:
        """Take a fault out of force; whoever it holds goes on."""
        if hold in self._holds:
            self._holds.remove(hold)
            self._time.open(hold.gate)

    def _reach(self, at: Place) -> Generator[float | Gate, None, bool]:
        """Come to a place: end what waits for it, suffer what is there.

        Returns whether the lock that was to be taken there is lost.
        """
        for hold in [h for h in self._holds if h.until == at]:
            self.end(hold)
        for hold in [h for h in self._holds if h.at == at]:
            hold.caught = True
            if hold.locks_to_lose is None:
                yield hold.gate
                continue
            if hold.locks_to_lose == 1:
                self.end(hold)
            hold.locks_to_lose -= hold.locks_to_lose > 0
            return True
        return False

    # --- Processes -----------------------------------------------------------------

    def _planner(self) -> Process:
        while True:
            self._publish()
            yield self.planner_period_s * self._chance.uniform(0.9, 1.1)

    def _publish(self) -> None:
        self._plans.add(Generation(len(self._plans) + 1))

    def _start_enactors(self) -> list[Running]:
        return [self._time.start(self._enactor(az)) for az in AZS]

    def _enactor(self, az: str) -> Process:
        while True:
            yield self._pace.poll_interval_s * self._chance.uniform(0.75, 1.25)
            yield from self._reach(Place(az, "enactor.before_pass"))
            yield from self._perform(az, enact(self._safeguards, self._extent))

    def _perform(self, az: str, steps: Pass) -> Process:
        reply: Reply = None
        losses = 0
        while True:
            try:
                command = steps.send(reply)
            except StopIteration:
                return
            if isinstance(command, BackOff):
                self._retrying[az] = command.zones
                wait_s = self._pace.first_backoff_s * 2.0 ** min(losses, 60)
                losses += 1
                reply = None
                yield min(wait_s, self._pace.max_backoff_s) * self._chance.random()
            else:
                reply = yield from self._do(az, command)

    def _do(self, az: str, command: Command) -> Effects:
        yield self._chance.uniform(*self._pace.call_s)
        match command:
            case ReadNewestPlan():
                self._in_hand[az] = newest = Generation(len(self._plans))
                return PlanHead(newest, tuple(self._zones)) if newest else None
            case ReadZones(zones, purpose):
                if purpose is Purpose.CLEAN_UP:
                    yield from self._reach_all(az, "enactor.before_clean_up", zones)
                return tuple(view(self._zones[zone]) for zone in zones)
            case TakeLocks():
                return (yield from self._take_locks(az, command))
            case Submit(purpose, generation, orders):
                outcomes = self._judge(f"enactor-{az}", generation, orders)
                if point := AFTER.get(purpose):
                    zones = tuple(order.zone for order in orders)
                    yield from self._reach_all(az, point, zones)
                return outcomes
            case BackOff():
                return None

    def _reach_all(self, az: str, point: str, zones: Sequence[ZoneName]) -> Process:
        for zone in zones:
            yield from self._reach(Place(az, point, zone))

    def _take_locks(self, az: str, command: TakeLocks) -> Effects:
        views = []
        for zone in command.zones:
            lost = yield from self._reach(Place(az, "enactor.take_lock", zone))
            if not lost:
                views.append(view(self._zones[zone]))
        yield self._chance.uniform(*self._pace.call_s)
        now_s = self._time.now_s
        mine = Lock(EnactorName(f"enactor-{az}"), int(now_s) + self._pace.lock_ttl_s)
        orders = lock_orders(views, mine, now_s, command.guards)
        outcomes = self._judge(f"enactor-{az}", command.generation, orders)
        held = {o.after.zone for o in outcomes if isinstance(o, Applied)}
        return tuple(mine if zone in held else None for zone in command.zones)

    def _judge(
        self, who: str, generation: Generation, orders: Sequence[Order]
    ) -> tuple[Outcome, ...]:
        return tuple(self._judge_one(who, generation, order) for order in orders)

    def _judge_one(self, who: str, generation: Generation, order: Order) -> Outcome:
        life = f"{who}/{self._life}"
        self._sent[life] += 1
        batch = Batch(
            BatchId(f"{life}/{self._sent[life]}"),
            EnactorName(who),
            order.zone,
            generation,
            order.preconditions,
            order.changes,
        )
        state = self._zones[order.zone]
        outcome = decide(view(state), batch, plans=self._plans, runs=True)
        self._zones[order.zone] = settle(state, batch, outcome)
        entry = JournalEntry(
            len(self._journal) + 1, self._time.now_s, batch, outcome, ""
        )
        self._journal.append(entry)
        return outcome
