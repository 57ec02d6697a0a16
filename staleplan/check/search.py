"""Breadth first through every state of a region, so that a trace found is a shortest.

For each event the search asks the region once and remembers the answer under what the
event depends on: the enactor, the store, and the locks of the others. The millions of
transitions that are left are look-ups and shifts of integers.
"""

import resource
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from staleplan.check.question import Question
from staleplan.check.region import (
    BY_CHANCE,
    ENACTOR_BITS,
    LOSES_REPLY,
    PAUSED,
    PROPERTIES,
    PUBLISHES,
    Region,
)

CRASHES = 1 << 11
PAUSES = 1 << 12
RESUMES = 1 << 13
"""Marks of transitions that no enactor makes."""

FAULTS = BY_CHANCE | PUBLISHES | LOSES_REPLY | CRASHES | PAUSES
"""What is over once faults have ended, and the planner waits to be followed."""

BUDGET_BITS = 2
BUDGET_MASK = 3
VIOLATIONS = (1 << len(PROPERTIES)) - 1
CONVERGES = "P12"
"""The newest plan becomes active everywhere, once faults have ended."""

LOOK_EVERY = 50_000
"""States between two looks at the memory and two moves of the progress bar."""

Path = tuple[int, ...]


@dataclass(slots=True)
class Found:
    """What a search found. `paths`: a shortest way to each violation.

    `complete`: every state was seen. `stopped` says why not. `depth`: events of the
    longest of all shortest ways.
    """

    states: int = 0
    transitions: int = 0
    depth: int = 0
    wall_s: float = 0.0
    complete: bool = False
    stopped: str = ""
    paths: dict[str, Path] = field(default_factory=dict)
    happened: frozenset[str] = frozenset()


class Search:
    """One search of one region."""

    def __init__(self, question: Question, memory_gb: float = 4.0) -> None:
        self.question = question
        self.region = Region(question)
        self.found = Found()
        self._memory_kb = memory_gb * 1024 * 1024
        self._store_mask = (1 << self.region.store_bits) - 1
        self._budget_shift = self.region.store_bits + ENACTOR_BITS * question.enactors
        self._edges: dict[int, tuple[tuple[int, int, int, int], ...]] = {}
        self._levels: list[list[int]] = []

    @property
    def beginning(self) -> int:
        """The state in which nothing has happened yet."""
        asked = self.question
        budgets = (asked.crashes, asked.lost_replies, asked.pauses)
        left = sum(b << BUDGET_BITS * at for at, b in enumerate(budgets))
        return self.pack(
            self.region.beginning, [self.region.fresh] * asked.enactors, left
        )

    def pack(self, store: int, numbers: list[int], left: int) -> int:
        """A state as one integer; `left` are the budgets of faults."""
        state, shift = store, self.region.store_bits
        for number in numbers:
            state |= number << shift
            shift += ENACTOR_BITS
        return state | left << shift

    def unpack(self, state: int) -> tuple[int, list[int], int]:
        """The store, the enactors' numbers and the budgets of a state."""
        rest, mask = state >> self.region.store_bits, (1 << ENACTOR_BITS) - 1
        numbers = []
        for _ in range(self.question.enactors):
            numbers.append(rest & mask)
            rest >>= ENACTOR_BITS
        return state & self._store_mask, numbers, rest

    def next_states(self, state: int) -> list[tuple[int, int]]:
        """Every state that one event leads to, with the marks of the event."""
        store, numbers, left = self.unpack(state)
        owned, reduced = self.region.owned, self.question.reduced
        edges_by_key, store_bits = self._edges, self.region.store_bits
        following = []
        for at, number in enumerate(numbers):
            rest = numbers[:at] + numbers[at + 1 :]
            if reduced and number in numbers[:at]:
                continue  # the same as the one before, under another name
            others = 0
            for other in rest:
                others |= owned[other]
            key = (others << ENACTOR_BITS | number) << store_bits | store
            edges = edges_by_key.get(key)
            if edges is None:
                edges = edges_by_key[key] = self._edges_of(number, others, store)
            for enactor, taken, after, marks in edges:
                then = left
                if marks & LOSES_REPLY:
                    if not left >> BUDGET_BITS & BUDGET_MASK:
                        continue
                    then -= 1 << BUDGET_BITS
                among = rest
                if taken:
                    among = [self.region.without(other, taken) for other in rest]
                state = self._with(enactor, among, at, after, then)
                following.append((state, marks))
        if left or store & PAUSED or not reduced:
            following += self._by_others(store, numbers, left)
        return following

    def _with(
        self, number: int, rest: list[int], at: int, store: int, left: int
    ) -> int:
        """The state of an enactor among others: in order, for who is who is all one."""
        numbers = [*rest[:at], number, *rest[at:]]
        if self.question.reduced:
            numbers.sort()
        return self.pack(store, numbers, left)

    def _by_others(
        self, store: int, numbers: list[int], left: int
    ) -> Iterator[tuple[int, int]]:
        """What no enactor does: crashes, operators and, unreduced, the planner."""
        if left & BUDGET_MASK:
            for at, number in enumerate(numbers):
                if number != self.region.fresh:
                    rest = numbers[:at] + numbers[at + 1 :]
                    again = self.region.crashed(number)
                    yield self._with(again, rest, at, store, left - 1), CRASHES
        if store & PAUSED:
            yield self.pack(store ^ PAUSED, numbers, left), RESUMES
        elif left >> 2 * BUDGET_BITS:
            then = left - (1 << 2 * BUDGET_BITS)
            yield self.pack(store ^ PAUSED, numbers, then), PAUSES
        newest = self.region.newest(store)
        if not self.question.reduced and newest < self.question.plans:
            yield self.pack(store + 1, numbers, left), PUBLISHES

    def _edges_of(
        self, number: int, others: int, store: int
    ) -> tuple[tuple[int, int, int, int], ...]:
        edges = self.region.edges(number, others, store)
        return tuple((e.enactor, e.taken, e.store, e.marks) for e in edges)

    # --- The search ----------------------------------------------------------------

    def run(self, told: Callable[[Found], None] = lambda _: None) -> Found:
        """See every state, and then whether each can still converge.

        Raises: NotAFunction, OverflowError.
        """
        started_s = time.perf_counter()
        found = self.found
        try:
            found.complete = self._walk(told, started_s)
            if found.complete:
                self._see_convergence()
        finally:
            found.wall_s = time.perf_counter() - started_s
            found.happened = frozenset(self.region.happened)
        return found

    def _walk(self, told: Callable[[Found], None], started_s: float) -> bool:
        found = self.found
        self._seen = seen = {self.beginning}
        level = [self.beginning]
        until_look = LOOK_EVERY
        while level:
            self._levels.append(level)
            following: list[int] = []
            for state in level:
                for after, marks in self.next_states(state):
                    found.transitions += 1
                    if marks & VIOLATIONS:
                        self._violated(state, after, marks)
                    if after not in seen:
                        seen.add(after)
                        following.append(after)
                until_look -= 1
                if not until_look:
                    until_look = LOOK_EVERY
                    found.states = len(seen)
                    found.wall_s = time.perf_counter() - started_s
                    told(found)
                    if self._is_full():
                        return False
            found.states, found.depth = len(seen), len(self._levels) - 1
            level = following
        return True

    def _is_full(self) -> bool:
        used_kb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        if used_kb < self._memory_kb:
            return False
        self.found.stopped = f"{used_kb / 1024 / 1024:.1f} GB of memory are used"
        return True

    def _violated(self, state: int, after: int, marks: int) -> None:
        for number, each in enumerate(PROPERTIES):
            if marks >> number & 1 and each.id not in self.found.paths:
                way = self._way_to(state, len(self._levels) - 1)
                self.found.paths[each.id] = (*way, after)

    def _way_to(self, state: int, level: int) -> Path:
        """A shortest way, found backwards: among the states that lead to it."""
        way = [state]
        for earlier in reversed(self._levels[:level]):
            way.append(
                next(
                    before
                    for before in earlier
                    if any(after == way[-1] for after, _ in self.next_states(before))
                )
            )
        return tuple(reversed(way))

    def _see_convergence(self) -> None:
        """Whether from every state the newest plan can become active everywhere.

        All waits of the enactors are drawn by chance, and the space is finite: what
        can be reached from everywhere is reached in the end, with certainty.
        """
        region, mask = self.region, self._store_mask
        stores: dict[int, bool] = {}
        well: set[int] = set()
        left: list[int] = []
        for level in self._levels:
            for state in level:
                store = state & mask
                if store not in stores:
                    stores[store] = region.has_converged(store)
                if stores[store]:
                    well.add(state)
                else:
                    left.append(state)
        left.reverse()
        while left:
            still = [state for state in left if not self._leads_to(state, well)]
            if len(still) == len(left):
                break
            left = still
        if left:
            worst = left[-1]
            level_of = next(n for n, each in enumerate(self._levels) if worst in each)
            self.found.paths[CONVERGES] = self._way_to(worst, level_of)

    def _leads_to(self, state: int, well: set[int]) -> bool:
        for after, marks in self.next_states(state):
            if after in well and not marks & FAULTS:
                well.add(state)
                return True
        return False
