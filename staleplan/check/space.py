"""A region as a graph of integers: the states that one event leads to.

For each event the region is asked once, and the answer remembered under what the event
depends on: the enactor, the store, and the locks of the others. The millions of
transitions that are left are look-ups and shifts of integers.
"""

from collections.abc import Iterator, Sequence

from staleplan.check.marks import LOSES_REPLY, PAUSES, PUBLISHES, RESUMES
from staleplan.check.question import Question
from staleplan.check.region import ENACTOR_BITS, PAUSED, Region
from staleplan.check.sizes import FAULT_BITS

ENACTOR_MASK = (1 << ENACTOR_BITS) - 1
FAULT_MASK = (1 << FAULT_BITS) - 1

Edges = tuple[tuple[int, int, int, int], ...]
"""Of each event: the enactor's new number, the locks taken, the store, the marks."""


class Space:
    """The states of one region, and the transitions between them."""

    def __init__(self, question: Question) -> None:
        self.question = question
        self.region = Region(question)
        self.edges: dict[int, Edges] = {}
        self._store_bits = self.region.store_bits
        self._store_mask = (1 << self._store_bits) - 1
        self._budget_shift = self._store_bits + ENACTOR_BITS * question.enactors
        self._budgets_mask = -1 << self._budget_shift
        self._one_reply = 1 << self._budget_shift + FAULT_BITS
        self._reply_mask = FAULT_MASK * self._one_reply
        self._arranged: dict[int, int] = {}
        self._owned: dict[int, int] = {}
        self._places = range(question.enactors)
        shifts = [ENACTOR_BITS * at for at in self._places]
        self._slots = [(at, s, (1 << s) - 1) for at, s in enumerate(shifts)]

    def store_of(self, state: int) -> int:
        """What the store holds in a state."""
        return state & self._store_mask

    @property
    def beginning(self) -> int:
        """The state in which nothing has happened yet."""
        asked = self.question
        budgets = (asked.crashes, asked.lost_replies, asked.pauses)
        left = sum(b << FAULT_BITS * at for at, b in enumerate(budgets))
        return self.pack(
            self.region.beginning, [self.region.fresh] * asked.enactors, left
        )

    def pack(self, store: int, numbers: Sequence[int], left: int) -> int:
        """A state as one integer; `left` are the budgets of faults."""
        enactors = _packed(numbers) << self.region.store_bits
        return store | enactors | left << self._budget_shift

    def unpack(self, state: int) -> tuple[int, list[int], int]:
        """The store, the enactors' numbers and the budgets of a state."""
        enactors = state >> self.region.store_bits
        numbers = [enactors >> ENACTOR_BITS * at & ENACTOR_MASK for at in self._places]
        return state & self._store_mask, numbers, state >> self._budget_shift

    def next_states(self, state: int) -> list[tuple[int, int]]:
        """Every state that one event leads to, with the marks of the event."""
        # Nine tenths of a search are spent here: what is looked up often is local.
        edges_of, owned_by = self.edges.get, self._owned.get
        arranged_as = self._arranged.get
        store_bits, reduced = self._store_bits, self.question.reduced
        store = state & self._store_mask
        budgets = state & self._budgets_mask
        enactors = (state ^ budgets) >> store_bits
        following = []
        before = -1
        for at, shift, below in self._slots:
            number = enactors >> shift & ENACTOR_MASK
            if number == before and reduced:
                continue  # the same as the one before, under another name
            before = number
            rest = enactors & below | enactors >> shift + ENACTOR_BITS << shift
            others = owned_by(rest)
            if others is None:
                others = self._owned[rest] = self.region.owned_by(self._numbers(rest))
            key = (others << ENACTOR_BITS | number) << store_bits | store
            edges = edges_of(key)
            if edges is None:
                edges = self.edges[key] = self._edges_of(number, others, store)
            for enactor, taken, after, marks in edges:
                among = self._without(rest, taken) if taken else rest
                arranged = arranged_as(among << ENACTOR_BITS | enactor)
                if arranged is None:
                    arranged = self._arrange(among, enactor, at)
                then = after | arranged | budgets
                if marks & LOSES_REPLY:
                    if not budgets & self._reply_mask:
                        continue
                    then -= self._one_reply
                following.append((then, marks))
        if budgets or store & PAUSED or not reduced:
            following += self._by_others(*self.unpack(state))
        return following

    def _without(self, enactors: int, taken: int) -> int:
        """Some enactors after another took some of their locks."""
        numbers = self._numbers(enactors)
        return _packed([self.region.without(number, taken) for number in numbers])

    def _arrange(self, rest: int, number: int, at: int) -> int:
        """An enactor among others: in order, for who is who is all one."""
        numbers = self._numbers(rest)
        numbers.insert(at, number)
        if not self.question.reduced:
            return _packed(numbers) << self._store_bits
        arranged = _packed(sorted(numbers)) << self._store_bits
        self._arranged[rest << ENACTOR_BITS | number] = arranged
        return arranged

    def _numbers(self, rest: int) -> list[int]:
        return [rest >> ENACTOR_BITS * at & ENACTOR_MASK for at in self._places[:-1]]

    def _by_others(
        self, store: int, numbers: list[int], left: int
    ) -> Iterator[tuple[int, int]]:
        """What no enactor does: crashes, operators and, unreduced, the planner."""
        if left & FAULT_MASK:
            for at, number in enumerate(numbers):
                if number != self.region.fresh:
                    again = [*numbers]
                    again[at], marks = self.region.crash(number)
                    if self.question.reduced:
                        again.sort()
                    yield self.pack(store, again, left - 1), marks
        if store & PAUSED:
            yield self.pack(store ^ PAUSED, numbers, left), RESUMES
        elif left >> 2 * FAULT_BITS:
            then = left - (1 << 2 * FAULT_BITS)
            yield self.pack(store ^ PAUSED, numbers, then), PAUSES
        newest = self.region.newest(store)
        if not self.question.reduced and newest < self.question.plans:
            yield self.pack(store + 1, numbers, left), PUBLISHES

    def _edges_of(self, number: int, others: int, store: int) -> Edges:
        edges = self.region.edges(number, others, store)
        return tuple((e.enactor, e.taken, e.store, e.marks) for e in edges)


def _packed(numbers: Sequence[int]) -> int:
    packed = 0
    for number in reversed(numbers):
        packed = packed << ENACTOR_BITS | number
    return packed
