"""Whether a recorded run is one that the model allows: the journal, batch by batch.

Each outcome must be what the store's rules give in the state that the batches before
lead to. And each enactor must be able to send the batches that it sent: its core is
led along by replies that the journal implies. What a journal does not tell is left
open: passes that send nothing, locks lost by chance, and when a read happened, which
is some moment after the enactor's last batch. So an enactor may be at several nodes of
its core at once; a batch that none of them sends is the mismatch.

An id tells a restart, and a batch that is missing: `enactor-a/3fa2c1/17` is the 17th
of one of the enactor's lives.

Taken for granted: batches are journalled as they are numbered, which is so for up to 64
zones; and reads see them in the journal's order, though of two that are written at once
the store may show the later one first, for some milliseconds.

Not guaranteed: when people pause the automation is not in a journal, so that with
`pauses` any batch that asks for a running automation may have been refused for it.
"""

import heapq
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from dns_store.core import ZoneState, decide, settle, view
from enactor.core import Extent, enact, lock_orders
from enactor.model import (
    BackOff,
    Command,
    Order,
    ReadNewestPlan,
    ReadZones,
    Reply,
    Submit,
    TakeLocks,
)
from enactor.safeguards import Safeguards
from staleplan.check.machine import START, Machine
from staleplan.model import (
    NOTHING,
    Applied,
    Batch,
    EnactorName,
    Generation,
    JournalEntry,
    Lock,
    Outcome,
    PlanHead,
    Reason,
    SetLock,
    ZoneName,
    ZoneView,
    is_refused,
)
from staleplan.spec.property import OPERATOR

Spot = tuple[int, tuple[int, ...]]
"""Where an enactor may be: a node of its core, and the places, in the journal, of what
it has sent there so far; the other batches of the same command are still to come."""


class Nonconforming(ValueError):
    """An entry of a journal is none that the model allows there."""

    def __init__(self, entry: JournalEntry, recorded: object, allowed: object) -> None:
        super().__init__(
            f"entry {entry.sequence} ({entry.batch.id}): recorded {recorded}; "
            f"the model allows {allowed}"
        )
        self.entry = entry
        self.recorded = recorded
        self.allowed = allowed


@dataclass(slots=True)
class History:
    """A journal, and what could be read at each moment.

    Shape: `views[n]` and `newest[n]` are before entry n: the zones, and the newest plan
    that is known to be published then, because a batch was sent on its behalf.
    """

    entries: Sequence[JournalEntry]
    views: list[Mapping[ZoneName, ZoneView]] = field(default_factory=list)
    newest: list[Generation] = field(default_factory=list)

    def read(
        self, zones: Sequence[ZoneName], since: int, until: int
    ) -> Iterator[tuple[tuple[ZoneView, ...], int]]:
        """Every answer that reading zones may have had, each with its first moment."""
        last: tuple[ZoneView, ...] = ()
        for moment in range(since, until + 1):
            found = tuple(self.views[moment][zone] for zone in zones)
            if found != last:
                yield found, moment
                last = found


def conform(
    zones: Mapping[ZoneName, ZoneState],
    entries: Sequence[JournalEntry],
    safeguards: Safeguards,
    extent: Extent,
    *,
    pauses: bool = False,
) -> None:
    """Check a journal from the zones' beginning; `safeguards` are those of all of it.

    `pauses`: people may have paused the automation meanwhile.

    Raises: Nonconforming, for the first entry that is not allowed.
    """
    machine = Machine(
        lambda: enact(safeguards, extent), lambda command: isinstance(command, BackOff)
    )
    history = History(entries)
    states = dict(zones)
    seen = {zone: view(state) for zone, state in zones.items()}
    newest = NOTHING
    lives: dict[str, Life] = {}
    sent: Counter[str] = Counter()
    last_of: dict[EnactorName, int] = {}
    for at, entry in enumerate(entries):
        batch = entry.batch
        history.views.append(dict(seen))
        history.newest.append(newest)
        life = batch.id.rpartition("/")[0]
        sent[life] += 1
        if batch.id != f"{life}/{sent[life]}":
            raise Nonconforming(entry, f"id {batch.id}", f"{life}/{sent[life]}")
        _judge(entry, states[batch.zone], newest, pauses=pauses)
        if not batch.enactor.startswith(OPERATOR):
            born = last_of.get(batch.enactor, 0)
            lives.setdefault(life, Life(machine, history, born)).send(at)
            last_of[batch.enactor] = at + 1
        if _proves_plan(entry):
            newest = max(newest, batch.generation)
        states[batch.zone] = settle(states[batch.zone], batch, entry.outcome)
        seen[batch.zone] = view(states[batch.zone])


def _judge(
    entry: JournalEntry, state: ZoneState, newest: Generation, *, pauses: bool
) -> None:
    batch = entry.batch
    plans = [*range(1, newest + 1)]
    if not is_refused(entry.outcome, Reason.PLAN_MISSING):
        plans.append(batch.generation)
    found = view(state, batch.endpoints)
    allowed: list[Outcome] = []
    for runs in (True, False) if pauses else (True,):
        outcome = decide(found, batch, plans=plans, runs=runs)
        if outcome not in allowed:
            allowed.append(outcome)
    if entry.outcome not in allowed:
        raise Nonconforming(entry, entry.outcome, " or ".join(map(str, allowed)))


def _proves_plan(entry: JournalEntry) -> bool:
    """Whether the plan of a batch is published: an enactor invents none."""
    if entry.batch.enactor.startswith(OPERATOR):
        return isinstance(entry.outcome, Applied)
    return True


class Life:
    """An enactor from one start to its end: everywhere that its core may be."""

    def __init__(self, machine: Machine, history: History, born: int) -> None:
        self._machine = machine
        self._history = history
        self._spots: dict[Spot, int] = {(START, ()): born}

    def send(self, at: int) -> None:
        """Go on with the batch at a place of the journal.

        Raises: Nonconforming.
        """
        reached = self._reach(at)
        spots: dict[Spot, int] = {}
        for (node, sent), since in reached.items():
            for spot, then in self._after(node, sent, since, at):
                # Whoever came earlier may have read all that a later one has.
                spots[spot] = min(then, spots.get(spot, then))
        if not spots:
            entry = self._history.entries[at]
            raise Nonconforming(entry, entry.batch, self._tell(reached))
        self._spots = spots

    def _reach(self, at: int) -> dict[Spot, int]:
        """Everywhere that it comes to without a batch, each with the first moment."""
        found: dict[Spot, int] = {}
        queue = [(since, *spot) for spot, since in self._spots.items()]
        heapq.heapify(queue)
        while queue:
            since, node, sent = heapq.heappop(queue)
            if (node, sent) in found:
                continue
            found[node, sent] = since
            if not sent:
                command = self._machine.nodes[node].command
                for reply, moment in self._silent_replies(command, since, at):
                    move = self._machine.move(node, reply)
                    heapq.heappush(queue, (moment, move.node, ()))
        return found

    def _silent_replies(
        self, command: Command, since: int, at: int
    ) -> Iterator[tuple[Reply, int]]:
        history = self._history
        match command:
            case ReadNewestPlan():
                # It matters only which plan the next batch is sent for: other passes
                # have sent nothing, and are as if they never were.
                plan = history.entries[at].batch.generation
                if history.newest[since] <= plan:
                    yield PlanHead(plan, tuple(history.views[0])), since
            case ReadZones(zones):
                yield from history.read(zones, since, at)
            case TakeLocks(zones):
                yield (None,) * len(zones), since

    def _after(
        self, node: int, sent: tuple[int, ...], since: int, at: int
    ) -> Iterator[tuple[Spot, int]]:
        """Where the batch leads to from a spot; nowhere, if it is not sent there."""
        entries = self._history.entries
        batch = entries[at].batch
        if batch.zone in {entries[each].batch.zone for each in sent}:
            return
        by_now = (*sent, at)
        match self._machine.nodes[node].command:
            case Submit(_, generation, orders):
                if batch.generation != generation or _order(batch) not in orders:
                    return
                outcomes = {entries[n].batch.zone: entries[n].outcome for n in by_now}
                if len(by_now) < len(orders):
                    yield (node, by_now), since
                else:
                    reply: Reply = tuple(outcomes[order.zone] for order in orders)
                    yield (self._machine.move(node, reply).node, ()), at + 1
            case TakeLocks(zones) as command:
                mine = self._lock_asked_for(command, sent, since, at)
                if mine is None:
                    return
                held = {
                    entries[n].batch.zone
                    for n in by_now
                    if isinstance(entries[n].outcome, Applied)
                }
                reply = tuple(mine if zone in held else None for zone in zones)
                yield (self._machine.move(node, reply).node, ()), at + 1
                if len(by_now) < len(zones):
                    yield (node, by_now), since

    def _lock_asked_for(
        self, command: TakeLocks, sent: tuple[int, ...], since: int, at: int
    ) -> Lock | None:
        """The lock that a batch asks for, if its enactor may ask for it. Source: R9."""
        entry = self._history.entries[at]
        batch = entry.batch
        match batch.changes:
            case (SetLock(Lock() as mine),) if mine.holder == batch.enactor:
                pass
            case _:
                return None
        first = self._history.entries[sent[0]].batch if sent else batch
        same = first.changes == batch.changes
        if not same or batch.generation != command.generation:
            return None
        if batch.zone not in command.zones:
            return None
        until = sent[0] if sent else at
        for views, _ in self._history.read((batch.zone,), since, until):
            if _order(batch) in lock_orders(views, mine, entry.at_s, command.guards):
                return mine
        return None

    def _tell(self, reached: Mapping[Spot, int]) -> str:
        """What could be sent, everywhere that the enactor may be."""
        told = []
        for node, sent in reached:
            zones = {self._history.entries[each].batch.zone for each in sent}
            match self._machine.nodes[node].command:
                case Submit(purpose, generation, orders):
                    left = [order for order in orders if order.zone not in zones]
                    told.append(f"{purpose} for plan {generation}: {left}")
                case TakeLocks(wanted, generation):
                    free = [zone for zone in wanted if zone not in zones]
                    told.append(f"take lock for plan {generation}: {', '.join(free)}")
        return "; or ".join(dict.fromkeys(told)) or "nothing to be sent"


def _order(batch: Batch) -> Order:
    return Order(batch.zone, batch.preconditions, batch.changes)
