"""Everywhere that an enactor may be, as far as a journal tells.

Its core is led along by replies that the journal implies. What a journal does not tell
is left open: passes that send nothing, locks lost by chance, and when a read happened,
which is some moment after the enactor's last batch. So an enactor may be at several
nodes of its core at once; a batch that none of them sends is the mismatch.
"""

import heapq
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from enactor.core import lock_orders
from enactor.model import (
    Command,
    Order,
    ReadNewestPlan,
    ReadZones,
    Reply,
    Result,
    Submit,
    TakeLocks,
)
from staleplan.check.machine import START, Machine
from staleplan.check.spans import Span
from staleplan.model import (
    Applied,
    Batch,
    Generation,
    JournalEntry,
    Lock,
    PlanHead,
    SetLock,
    ZoneName,
    ZoneView,
)

Spot = tuple[int, tuple[int, ...]]
"""Where an enactor may be: a node of its core, and the places, in the journal, of what
it has sent there so far; the other batches of the same command are still to come."""


class Nonconforming(ValueError):
    """An entry of a journal, or a span, is none that the model allows there."""

    def __init__(
        self, step: JournalEntry | Span, recorded: object, allowed: object
    ) -> None:
        which = str(step)
        if isinstance(step, JournalEntry):
            which = f"entry {step.sequence} ({step.batch.id})"
        super().__init__(f"{which}: recorded {recorded}; the model allows {allowed}")
        self.step = step
        self.recorded = recorded
        self.allowed = allowed


@dataclass(slots=True)
class History:
    """A journal, and what could be read at each moment.

    Shape: `views[n]` and `newest[n]` are before entry n: the zones, and the newest plan
    that is known to be published then, because a batch was sent on its behalf. The last
    of `views` is after all entries.
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


class Walk:
    """An enactor from a beginning on, pass after pass: everywhere that it may be."""

    def __init__(self, machine: Machine, history: History, since: int) -> None:
        self._machine = machine
        self._history = history
        self._spots: dict[Spot, int] = {(START, ()): since}
        self._is_one_pass = False
        self._results: set[Result] = set()

    @classmethod
    def of_one_pass(
        cls, machine: Machine, history: History, since: int, head: PlanHead | None
    ) -> "Walk":
        """An enactor that has picked up a plan, until the pass ends."""
        walk = cls(machine, history, since)
        walk._spots = {(walk._move(START, head), ()): since}
        walk._is_one_pass = True
        return walk

    def send(self, at: int) -> None:
        """Go on with the batch at a place of the journal.

        Raises: Nonconforming.
        """
        reached = self._reach(at)
        self._results.clear()
        spots: dict[Spot, int] = {}
        for (node, sent), since in reached.items():
            for spot, then in self._after(node, sent, since, at):
                # Whoever came earlier may have read all that a later one has.
                spots[spot] = min(then, spots.get(spot, then))
        if not spots:
            entry = self._history.entries[at]
            raise Nonconforming(entry, entry.batch, self._tell(reached))
        self._spots = spots

    def end(self, until: int) -> set[Result]:
        """Every end that the pass may have come to, before a place of the journal."""
        self._reach(until)
        return self._results

    def _move(self, node: int, reply: Reply) -> int:
        move = self._machine.move(node, reply)
        if move.result:
            self._results.add(move.result)
        return move.node

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
                    then = self._move(node, reply)
                    heapq.heappush(queue, (moment, then, ()))
        return found

    def _silent_replies(
        self, command: Command, since: int, at: int
    ) -> Iterator[tuple[Reply, int]]:
        history = self._history
        match command:
            case ReadNewestPlan() if not self._is_one_pass:
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
                    yield (self._move(node, reply), ()), at + 1
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
                yield (self._move(node, reply), ()), at + 1
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
