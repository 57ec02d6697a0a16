"""A region in one dictionary: enactors are stepped by hand, one command at a time.

The rules of the zones are the store's own (`dns_store.core`). What happens is told in
plain words, so that an interleaving can be read and compared as a text.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace

from dns_store.core import Pointer, ZoneState, decide, settle, view
from enactor.core import Extent, enact, lock_orders
from enactor.model import (
    BackOff,
    Command,
    Order,
    Purpose,
    ReadNewestPlan,
    ReadZones,
    Reply,
    Result,
    Submit,
    TakeLocks,
)
from enactor.safeguards import BUGGY, FIXED, Safeguards
from staleplan.model import (
    Applied,
    Batch,
    BatchId,
    BuildTree,
    Change,
    DeleteTree,
    EnactorName,
    EndpointName,
    Generation,
    JournalEntry,
    Lock,
    Outcome,
    PlanHead,
    PointActive,
    PointRollback,
    SetLock,
    ZoneName,
    ZoneView,
)
from staleplan.spec import DNS_PROPERTIES, judge, replay

REGIONAL = ZoneName("regional")
LOCK_TTL_S = 30
KEEP = Extent(keep_generations=1, zones_in_flight=16)


def only(name: str) -> Safeguards:
    """The enactor as it failed, but for one safeguard."""
    return replace(BUGGY, **{name: True})


def without(name: str) -> Safeguards:
    """The hardened enactor, but for one safeguard."""
    return replace(FIXED, **{name: False})


def empty_zones(names: Iterable[ZoneName]) -> dict[ZoneName, ZoneState]:
    return {
        name: ZoneState(name, (EndpointName(f"{name}.example"),), (Pointer(),))
        for name in names
    }


@dataclass
class PureWorld:
    """A store, a planner and a clock, none of which moves by itself."""

    names: tuple[ZoneName, ...] = (REGIONAL,)
    newest: int = 0
    now_s: float = 0.0
    runs: bool = True
    story: list[str] = field(default_factory=list)
    journal: list[JournalEntry] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.zones = empty_zones(self.names)

    def publish(self, count: int = 1) -> None:
        first, self.newest = self.newest + 1, self.newest + count
        plans = f"plan {first}" if count == 1 else f"plans {first} to {self.newest}"
        self.tell("planner", f"publishes {plans}")

    def pass_time(self, seconds: float) -> None:
        self.now_s += seconds

    def view(self, zone: ZoneName = REGIONAL) -> ZoneView:
        return view(self.zones[zone])

    def broken(self) -> list[str]:
        """The properties that were violated, in the order of their violation."""
        steps = replay(empty_zones(self.names), self.journal)
        found = judge(DNS_PROPERTIES, steps)
        times = {each: what.at_s for each, what in found.items() if what}
        return sorted(times, key=lambda each: times[each])

    def tell(self, who: str, what: str) -> None:
        self.story.append(f"{who:9} {what}")

    def perform(self, who: EnactorName, command: Command) -> Reply:
        match command:
            case ReadNewestPlan():
                self.tell(who, f"reads the newest plan: {self.newest}")
                head = PlanHead(Generation(self.newest), self.names)
                return head if self.newest else None
            case ReadZones(zones, purpose):
                views = tuple(map(self.view, zones))
                for each in views:
                    self.tell(who, f"{purpose}: reads {_shown(each)}")
                return views
            case TakeLocks(zones, generation, guards):
                mine = Lock(who, int(self.now_s) + LOCK_TTL_S)
                views = tuple(map(self.view, zones))
                orders = lock_orders(views, mine, self.now_s, guards)
                outcomes = self.judge(who, generation, orders)
                return self._locks(who, command, mine, outcomes)
            case Submit(purpose, generation, sent):
                outcomes = self.judge(who, generation, sent)
                for order, outcome in zip(sent, outcomes, strict=True):
                    asked = ", ".join(_asked(each) for each in order.changes)
                    self.tell(who, f"{purpose}: {asked} -- {_came(outcome)}")
                return outcomes
            case BackOff(zones):
                self.tell(who, f"backs off from {', '.join(zones)}")
                return None

    def _locks(
        self,
        who: str,
        command: TakeLocks,
        mine: Lock,
        outcomes: tuple[Outcome, ...],
    ) -> tuple[Lock | None, ...]:
        held = {o.after.zone for o in outcomes if isinstance(o, Applied)}
        for zone in command.zones:
            verb = "takes" if zone in held else "does not get"
            self.tell(who, f"{verb} the lock of {zone} for plan {command.generation}")
        return tuple(mine if zone in held else None for zone in command.zones)

    def judge(
        self, who: EnactorName, generation: Generation, orders: Iterable[Order]
    ) -> tuple[Outcome, ...]:
        return tuple(self._judge_one(who, generation, order) for order in orders)

    def _judge_one(
        self, who: EnactorName, generation: Generation, order: Order
    ) -> Outcome:
        number = len(self.journal) + 1
        needs, changes = order.preconditions, order.changes
        name = BatchId(f"{who}/{number}")
        batch = Batch(name, who, order.zone, generation, needs, changes)
        before = self.zones[order.zone]
        plans = [Generation(number) for number in range(1, self.newest + 1)]
        outcome = decide(view(before), batch, plans=plans, runs=self.runs)
        self.zones[order.zone] = settle(before, batch, outcome)
        # The number stands for the time, so that the order of violations is exact.
        self.journal.append(JournalEntry(number, float(number), batch, outcome, ""))
        return outcome


def _shown(zone: ZoneView) -> str:
    active, rollback, trees = (
        " ".join(map(str, numbers)) or "none"
        for numbers in (zone.active, zone.rollback, zone.trees)
    )
    return f"{zone.zone}: active {active}, rollback {rollback}, trees {trees}"


def _asked(change: Change) -> str:
    match change:
        case SetLock(lock):
            return "lock" if lock else "unlock"
        case BuildTree(generation):
            return f"build {generation}"
        case DeleteTree(generation):
            return f"delete {generation}"
        case PointRollback():
            return "note the way back"
        case PointActive(generation):
            return f"flip to {generation}"


def _came(outcome: Outcome) -> str:
    if isinstance(outcome, Applied):
        return f"applied; {_shown(outcome.after)}"
    return f"refused: {outcome.reason}"


class Worker:
    """One enactor in that world. `pending` is what it does next, and has not done."""

    def __init__(
        self,
        world: PureWorld,
        name: str,
        safeguards: Safeguards,
        extent: Extent = KEEP,
    ) -> None:
        self.world = world
        self.name = EnactorName(name)
        self.results: list[Result] = []
        self._safeguards = safeguards
        self._extent = extent
        self.begin()

    def begin(self) -> None:
        self._pass = enact(self._safeguards, self._extent)
        self.pending: Command = next(self._pass)
        self.is_done = False

    def step(self) -> None:
        """Do what is pending; after the end of a pass, begin another."""
        if self.is_done:
            self.begin()
        reply = self.world.perform(self.name, self.pending)
        try:
            self.pending = self._pass.send(reply)
        except StopIteration as end:
            self.is_done = True
            self.results.append(end.value)
            self.world.tell(self.name, f"ends its pass: {end.value}")

    def until(self, kind: type[Command], purpose: Purpose | None = None) -> None:
        """Go on until a command of this kind is about to be done."""
        if self.is_done:
            self.begin()
        while not (
            isinstance(self.pending, kind)
            and purpose in {None, getattr(self.pending, "purpose", None)}
        ):
            assert not self.is_done, f"the pass ended before any {kind.__name__}"
            self.step()

    def finish(self) -> Result:
        """Go on to the end of the pass."""
        if self.is_done:
            self.begin()
        while not self.is_done:
            self.step()
        return self.results[-1]

    def submit(self, purpose: Purpose) -> tuple[Outcome, ...]:
        """Go on until the batches for this purpose have been judged."""
        self.until(Submit, purpose)
        before = len(self.world.journal)
        self.step()
        return tuple(entry.outcome for entry in self.world.journal[before:])


def workers(
    world: PureWorld, safeguards: Safeguards, extent: Extent = KEEP
) -> Mapping[str, Worker]:
    """Three enactors: `a` is the late one of the record, `b` the swift one."""
    return {az: Worker(world, f"enactor-{az}", safeguards, extent) for az in "abc"}
