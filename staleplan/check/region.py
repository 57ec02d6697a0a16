"""The explored region: the shipped cores and the store's rules, as numbered states.

A state is one integer: what the store holds, then a number for each enactor. An
enactor's number stands for what its core knows and for the locks that are its own in
the store. The enactors run one core and no core looks at its own name, so states that
differ only in who is who are one: their numbers are kept sorted.

Left out, because no order of it can make a difference:

- Publishing touches nothing but the number of the newest plan, and only a look for the
  newest plan sees it. So plans are published just before a look.
- Backing off is a wait, and every wait may be of any length anyway.
- Reading locks and then taking them is one event. A lock that changed in between is
  not taken; but one may be lost at any attempt, so that outcome is explored too.
  Whether it had lapsed is asked only when somebody tries to take it.

Enforced by: tests/model/test_reduction.py
"""

import itertools
from collections.abc import Iterable, Iterator, Sized
from dataclasses import dataclass, replace

from dns_store.core import Pointer, ZoneState, decide, settle, view
from enactor.core import lock_orders
from enactor.model import (
    BackOff,
    Command,
    Order,
    Purpose,
    ReadNewestPlan,
    ReadZones,
    Reply,
    Submit,
    TakeLocks,
)
from staleplan.check.machine import START, Machine
from staleplan.check.marks import (
    BY_CHANCE,
    LOSES_REPLY,
    PUBLISHES,
    crash_before,
    happening,
    violations,
)
from staleplan.check.question import Question
from staleplan.check.sizes import PLAN_BITS
from staleplan.model import (
    Applied,
    Batch,
    BatchId,
    EnactorName,
    EndpointName,
    Generation,
    Lock,
    Outcome,
    PlanHead,
    Reason,
    Refused,
)
from staleplan.spec import Step

ME = Lock(EnactorName("this"), 1)
ANOTHER = Lock(EnactorName("another"), 1)
"""A lock is one's own or another's. One expiry will do: `lapsed` is a choice."""

PAUSED, ZONE_BITS, ENACTOR_BITS = 1 << PLAN_BITS, 12, 16
FIRST_ZONE_BIT = PLAN_BITS + 1


@dataclass(frozen=True, slots=True)
class Enactor:
    """What distinguishes an enactor: its core's node, its locks, an answer on its way.

    `owns`: bits of the zones whose lock record names it. `unheard`: outcomes that are
    in the journal while their reply was lost; the same batches are sent again.
    """

    node: int = START
    owns: int = 0
    unheard: tuple[Outcome, ...] | None = None


@dataclass(frozen=True, slots=True)
class Edge:
    """One event: the enactor and the store afterwards, and how it came about.

    `taken`: bits of the zones whose lock it took from another. `marks`: violated
    properties, and what the search needs to know of the event.
    """

    enactor: int
    taken: int
    store: int
    marks: int
    command: Command
    reply: Reply
    steps: tuple[Step, ...] = ()


class NumberNeeded(RuntimeError):
    """Something is met for the first time where no numbers may be given."""


class TooManyNumbers(RuntimeError):
    """A space is larger than the bits that its states have for it."""


class Region:
    """Numbers for whatever a search meets, and the edges that leave a state."""

    def __init__(self, question: Question) -> None:
        self.question = question
        self.zones = question.zone_names
        reduced = question.reduced
        mutation = question.mutation
        self.machine = Machine(
            question.begin,
            lambda command: reduced and isinstance(command, BackOff),
            mutation.change if mutation else lambda command: command,
        )
        self._at = {zone: at for at, zone in enumerate(self.zones)}
        self._contents: list[ZoneState] = []
        self._content_ids: dict[ZoneState, int] = {}
        self.enactors: list[Enactor] = []
        self._enactor_ids: dict[Enactor, int] = {}
        self.frozen = False
        self.fresh = self.number(Enactor())
        empty = (ZoneState(z, (EndpointName(z),), (Pointer(),)) for z in self.zones)
        self.beginning = sum(
            self._content(zone) << FIRST_ZONE_BIT + ZONE_BITS * at
            for at, zone in enumerate(empty)
        )
        self.store_bits = FIRST_ZONE_BIT + ZONE_BITS * len(self.zones)

    # --- Numbers -------------------------------------------------------------------

    def number(self, enactor: Enactor) -> int:
        """The number of an enactor's condition."""
        known = self._enactor_ids.get(enactor)
        if known is None:
            known = self._enactor_ids[enactor] = self._next(self.enactors, ENACTOR_BITS)
            self.enactors.append(enactor)
        return known

    def owned_by(self, numbers: Iterable[int]) -> int:
        """Bits of the zones whose lock records name any of these enactors."""
        owned = 0
        for number in numbers:
            owned |= self.enactors[number].owns
        return owned

    def without(self, number: int, taken: int) -> int:
        """The number of an enactor after others took some of its locks."""
        enactor = self.enactors[number]
        return self.number(replace(enactor, owns=enactor.owns & ~taken))

    def crash(self, number: int) -> tuple[int, int]:
        """The number of an enactor that has lost all but its locks, and the marks."""
        enactor = self.enactors[number]
        marks = crash_before(self.machine.nodes[enactor.node].command)
        return self.number(Enactor(owns=enactor.owns)), marks

    def _content(self, zone: ZoneState) -> int:
        bare = replace(zone, lock=None)
        known = self._content_ids.get(bare)
        if known is None:
            known = self._content_ids[bare] = self._next(self._contents, ZONE_BITS)
            self._contents.append(bare)
        return known

    def _next(self, numbered: Sized, bits: int) -> int:
        if self.frozen:
            raise NumberNeeded
        if len(numbered) >> bits:
            raise TooManyNumbers(f"{len(numbered):,} numbers of {bits} bits are used")
        return len(numbered)

    def zone(self, store: int, at: int, owns: int = 0, others: int = 0) -> ZoneState:
        """A zone as the store has it; its lock as the one who `owns` sees it."""
        shift = FIRST_ZONE_BIT + ZONE_BITS * at
        content = self._contents[store >> shift & (1 << ZONE_BITS) - 1]
        lock = ME if owns >> at & 1 else ANOTHER if others >> at & 1 else None
        return replace(content, lock=lock)

    def _with_zone(self, store: int, at: int, zone: ZoneState) -> int:
        shift = FIRST_ZONE_BIT + ZONE_BITS * at
        rest = store & ~(((1 << ZONE_BITS) - 1) << shift)
        return rest | self._content(zone) << shift

    @staticmethod
    def newest(store: int) -> Generation:
        """The newest plan that is published."""
        return Generation(store & (1 << PLAN_BITS) - 1)

    def has_converged(self, store: int) -> bool:
        """Whether every zone answers from the newest plan."""
        newest = self.newest(store)
        zones = (self.zone(store, at) for at in range(len(self.zones)))
        return all(
            zone.pointers[0].active == newest and (not newest or newest in zone.trees)
            for zone in zones
        )

    # --- Events --------------------------------------------------------------------

    def edges(self, number: int, others: int, store: int) -> Iterator[Edge]:
        """Every event that an enactor can bring about.

        `others`: bits of the zones whose locks other enactors own.
        """
        enactor = self.enactors[number]
        command = self.machine.nodes[enactor.node].command
        if enactor.unheard is not None:
            yield self._to(enactor, command, enactor.unheard, store)
            return
        match command:
            case ReadNewestPlan():
                yield from self._reads_newest(enactor, command, store)
            case ReadZones(zones):
                found = tuple(
                    view(self.zone(store, self._at[zone], enactor.owns, others))
                    for zone in zones
                )
                yield self._to(enactor, command, found, store)
            case TakeLocks():
                yield from self._takes(enactor, command, others, store)
            case Submit():
                yield from self._submits(enactor, command, others, store)
            case BackOff():
                yield self._to(enactor, command, None, store)

    def _to(
        self,
        enactor: Enactor,
        command: Command,
        reply: Reply,
        store: int,
        *,
        taken: int = 0,
        marks: int = 0,
        steps: tuple[Step, ...] = (),
    ) -> Edge:
        node = self.machine.move(enactor.node, reply).node
        number = self.number(Enactor(node, enactor.owns))
        return Edge(number, taken, store, marks, command, reply, steps)

    def _reads_newest(
        self, enactor: Enactor, command: Command, store: int
    ) -> Iterator[Edge]:
        newest = self.newest(store)
        latest = self.question.plans if self.question.reduced else newest
        for plan in range(newest, latest + 1):
            head = PlanHead(Generation(plan), self.zones) if plan else None
            marks = PUBLISHES if plan > newest else 0
            yield self._to(enactor, command, head, store + plan - newest, marks=marks)

    def _takes(
        self, enactor: Enactor, command: TakeLocks, others: int, store: int
    ) -> Iterator[Edge]:
        """Each lock is taken or not; one that is free is lost by chance only."""
        free = [
            self._is_taken(enactor, command, self._at[zone], others, store)
            for zone in command.zones
        ]
        for choice in itertools.product(
            *((False, True) if f else (False,) for f in free)
        ):
            mask = 0
            marks = 0
            for zone, takes, can in zip(command.zones, choice, free, strict=True):
                bit = 1 << self._at[zone]
                mask |= bit * takes
                if can and not takes and not bit & others:
                    marks |= BY_CHANCE
            if not all(choice):
                marks |= happening("a lock was lost")
            if mask & others:
                marks |= happening("a lock lapsed and was taken")
            reply = tuple(ME if takes else None for takes in choice)
            owner = replace(enactor, owns=enactor.owns | mask)
            taken = mask & others
            yield self._to(owner, command, reply, store, taken=taken, marks=marks)

    def _is_taken(
        self, enactor: Enactor, command: TakeLocks, at: int, others: int, store: int
    ) -> bool:
        """Whether an attempt succeeds, if another's lock has lapsed by then."""
        zone = self.zone(store, at, enactor.owns, others)
        lapsed_s = ANOTHER.expires_at_s
        orders = lock_orders([view(zone)], ME, lapsed_s, command.guards)
        batches = [_batch(order, command.generation) for order in orders]
        outcomes = [self._judge(zone, batch, store) for batch in batches]
        return any(isinstance(outcome, Applied) for outcome in outcomes)

    def _judge(self, zone: ZoneState, batch: Batch, store: int) -> Outcome:
        plans = [*map(Generation, range(1, self.newest(store) + 1))]
        return decide(view(zone), batch, plans=plans, runs=not store & PAUSED)

    def _submits(
        self, enactor: Enactor, command: Submit, others: int, store: int
    ) -> Iterator[Edge]:
        after, owns, taken, marks = store, enactor.owns, 0, 0
        steps = []
        for order in command.orders:
            at = self._at[order.zone]
            batch = _batch(order, command.generation)
            zone = self.zone(store, at, enactor.owns, others)
            outcome = self._judge(zone, batch, store)
            settled = settle(zone, batch, outcome)
            after = self._with_zone(after, at, settled)
            owns = owns & ~(1 << at) | (settled.lock == ME) << at
            taken |= (zone.lock == ANOTHER != settled.lock) << at
            paused = bool(store & PAUSED)
            steps.append(Step(0.0, view(zone), batch, outcome, view(settled), paused))
            marks |= _happened(command.purpose, outcome)
        marks |= violations(steps)
        outcomes = tuple(step.outcome for step in steps)
        owner = replace(enactor, owns=owns)
        told = tuple(steps)
        yield self._to(
            owner, command, outcomes, after, taken=taken, marks=marks, steps=told
        )
        if self.question.lost_replies:
            unheard = self.number(replace(owner, unheard=outcomes))
            marks |= LOSES_REPLY | happening("a reply was lost")
            yield Edge(unheard, taken, after, marks, command, None, told)


def _happened(purpose: Purpose, outcome: Outcome) -> int:
    match outcome:
        case Applied() if purpose is Purpose.CLEAN_UP:
            return happening("a plan was deleted")
        case Refused(Reason.STALE):
            return happening("a late flip was refused")
        case Refused(Reason.LOCK_CHANGED_HANDS) if purpose is Purpose.FLIP:
            return happening("a flip came after its lock had lapsed")
        case Refused(Reason.PAUSED):
            return happening("a pause refused a batch")
    return 0


def _batch(order: Order, generation: Generation) -> Batch:
    return Batch(
        BatchId(""),
        ME.holder,
        order.zone,
        generation,
        order.preconditions,
        order.changes,
    )
