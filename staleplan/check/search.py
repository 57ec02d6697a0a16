"""Breadth first through every state, so that a way that is found is a shortest."""

import resource
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from staleplan.check.marks import FAULTS, PROPERTIES, names_of
from staleplan.check.question import Question
from staleplan.check.region import TooManyNumbers
from staleplan.check.share import Share, begin_workers, expand, expand_apart
from staleplan.check.space import Space
from staleplan.model import in_groups

CONVERGES = "P12"
"""The newest plan becomes active everywhere, once faults have ended."""

SHARE = 20_000
"""States expanded together: a fraction of a second, and then a look at the memory."""

_IDS = {each.id for each in PROPERTIES}

Way = tuple[int, ...]
Level = tuple[int, ...]
"""The states that are equally many events away from the beginning."""


@dataclass(slots=True)
class Found:
    """What a search found. `paths`: a shortest way to each violation.

    `happened`: the same to what must happen sometimes.
    `frontier`: states that are found and not yet expanded, of the next level.
    `complete`: every state was seen; `converging`: each was also asked whether it can
    still converge. `stopped` says why a search ended early. `depth`: events of the
    longest of all shortest ways.
    """

    states: int = 0
    transitions: int = 0
    depth: int = 0
    frontier: int = 0
    wall_s: float = 0.0
    complete: bool = False
    converging: bool = False
    stopped: str = ""
    paths: dict[str, Way] = field(default_factory=dict)
    happened: dict[str, Way] = field(default_factory=dict)


class Search:
    """One search of one region."""

    def __init__(
        self, question: Question, memory_gb: float = 4.0, workers: int = 1
    ) -> None:
        self.question = question
        self.space = Space(question)
        self.region = self.space.region
        self.found = Found()
        self._memory_gb = memory_gb
        self._workers = workers
        self._started_s = time.perf_counter()
        self._levels: list[Level] = []

    def run(
        self, told: Callable[[Found], None] = lambda _: None, *, converging: bool = True
    ) -> Found:
        """See every state, and then, if asked, whether each can still converge.

        Raises: NotAFunction.
        """
        found = self.found
        try:
            found.complete = self._walk(told)
            if found.complete and converging:
                told(found)
                self._see_convergence()
                found.converging = True
        except TooManyNumbers as full:
            found.stopped = str(full)
        finally:
            found.wall_s = time.perf_counter() - self._started_s
        return found

    def _walk(self, told: Callable[[Found], None]) -> bool:
        found = self.found
        level: Level = (self.space.beginning,)
        seen = set(level)
        while level:
            self._levels.append(level)
            following: dict[int, None] = {}
            for share in self._expand(level, seen):
                found.transitions += share.transitions
                for first in share.first:
                    self._note(*first)
                following |= share.fresh
                found.states = len(seen) + len(following)
                found.frontier = len(following)
                found.wall_s = time.perf_counter() - self._started_s
                told(found)
                if self._is_full():
                    return False
            found.depth = len(self._levels) - 1
            seen |= following.keys()
            level = tuple(following)
        return True

    def _expand(self, level: Level, seen: set[int]) -> Iterator[Share]:
        """Expand a level share by share, with workers where that is worth while."""
        shares = [*in_groups(level, SHARE)]
        if self._workers == 1 or len(shares) < self._workers:
            for states in shares:
                yield expand(self.space, states, seen)
            return
        with begin_workers(self.space, seen, self._workers) as pool:
            for share in pool.map(expand_apart, shares):
                self.space.edges |= share.edges
                yield share
                if share.left:
                    yield expand(self.space, share.left, seen)

    def _is_full(self) -> bool:
        used_gb = memory_used_gb()
        if used_gb < self._memory_gb:
            return False
        self.found.stopped = f"{used_gb:.1f} GB of memory are used"
        return True

    def _note(self, state: int, after: int, marks: int) -> None:
        for name in names_of(marks):
            paths = self.found.paths if name in _IDS else self.found.happened
            if name not in paths:
                way = self._way_to(state, len(self._levels) - 1)
                paths[name] = (*way, after)

    def _way_to(self, state: int, level: int) -> Way:
        """A shortest way, found backwards: among the states that lead to it."""
        way = [state]
        for earlier in reversed(self._levels[:level]):
            way.append(
                next(
                    before
                    for before in earlier
                    if any(
                        after == way[-1] for after, _ in self.space.next_states(before)
                    )
                )
            )
        return tuple(reversed(way))

    def _see_convergence(self) -> None:
        """Whether from every state the newest plan can become active everywhere.

        All waits of the enactors are drawn by chance, and the space is finite: what
        can be reached from everywhere is reached in the end, with certainty.
        """
        stores: dict[int, bool] = {}
        well: set[int] = set()
        left: list[int] = []
        for level in self._levels:
            for state in level:
                store = self.space.store_of(state)
                if store not in stores:
                    stores[store] = self.region.has_converged(store)
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
        for after, marks in self.space.next_states(state):
            if after in well and not marks & FAULTS:
                well.add(state)
                return True
        return False


def memory_used_gb() -> float:
    """What this process has in memory now, where the system tells; else its most."""
    try:
        pages = int(Path("/proc/self/statm").read_text().split()[1])
    except OSError:
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    return pages * resource.getpagesize() / 2**30
