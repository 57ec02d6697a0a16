"""A share of a level: expanded here, or by a worker that is forked for the level.

Numbers mean the same to all: a worker knows those that were given before it was forked,
and gives none itself. A state that needs a new one is handed back, to be expanded by
the one who gives them.
"""

import multiprocessing
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import islice

from staleplan.check.marks import NOTED
from staleplan.check.region import NumberNeeded
from staleplan.check.space import Edges, Space


@dataclass(slots=True)
class Share:
    """What came of expanding some states.

    `fresh`: states not seen before, in the order in which they were found. `first`:
    (state, next state, marks) where something was noted for the first time. `left`:
    states that a worker could not expand.
    """

    fresh: dict[int, None] = field(default_factory=dict)
    transitions: int = 0
    first: list[tuple[int, int, int]] = field(default_factory=list)
    noted: int = 0
    left: list[int] = field(default_factory=list)
    edges: dict[int, Edges] = field(default_factory=dict)


def expand(space: Space, states: Sequence[int], seen: set[int]) -> Share:
    """Find what follows some states."""
    share = Share()
    for state in states:
        _add(share, state, space.next_states(state), seen)
    return share


def _add(
    share: Share, state: int, following: Sequence[tuple[int, int]], seen: set[int]
) -> None:
    fresh = share.fresh
    share.transitions += len(following)
    for after, marks in following:
        if marks & NOTED & ~share.noted:
            share.noted |= marks & NOTED
            share.first.append((state, after, marks))
        if after not in seen:
            fresh[after] = None


# --- Workers -----------------------------------------------------------------------

_at_hand: list[tuple[Space, set[int]]] = []
"""What a forked worker finds where its parent left it: nothing is copied."""


@contextmanager
def begin_workers(
    space: Space, seen: set[int], workers: int
) -> Iterator[ProcessPoolExecutor]:
    """Fork workers that know the space as it is now."""
    _at_hand.append((space, seen))
    try:
        fork = multiprocessing.get_context("fork")
        with ProcessPoolExecutor(workers, mp_context=fork) as pool:
            yield pool
    finally:
        _at_hand.pop()


def expand_apart(states: Sequence[int]) -> Share:
    """Find what follows some states, in a worker."""
    space, seen = _at_hand[-1]
    space.region.frozen = True
    known = len(space.edges)
    share = Share()
    for state in states:
        try:
            _add(share, state, space.next_states(state), seen)
        except NumberNeeded:
            share.left.append(state)
    share.edges = dict(islice(space.edges.items(), known, None))
    return share
