"""The nouns that every service speaks of: plans, zones, locks, batches, outcomes.

Everything here is frozen and compares by value, so that a state of the world can be
a dictionary key. Nothing here knows how it is stored, sent or shown.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from typing import NewType, TypeVar

Item = TypeVar("Item")

Generation = NewType("Generation", int)
"""The number of a plan: 1, 2, 3, ... in the order of publishing. Source: R5, R6."""

ZoneName = NewType("ZoneName", str)
"""The name of a unit of locking and of transaction, such as `regional`. Source: R9."""

EndpointName = NewType("EndpointName", str)
"""A stable DNS name that customers ask for. Source: R2."""

EnactorName = NewType("EnactorName", str)
"""Who holds a lock or sent a batch, such as `enactor-a`. Source: R4, R9."""

BatchId = NewType("BatchId", str)
"""The sender's own name for one batch; sending it twice applies it once."""

NOTHING = Generation(0)
"""What an alias points at before its first plan: no tree, and none expected."""

MAX_GENERATION = Generation(2**63 - 1)
"""PostgreSQL's largest bigint; a generation beyond it cannot be stored."""

MAX_CHANGES = 1_000
"""Record changes in one batch: Route 53's own limit. Source: R8."""

MAX_ZONE_ENDPOINTS = 320
"""Endpoints in one zone: 2 lock records + 3 records for each endpoint (its tree, its
rollback, its alias) must fit in one batch of `MAX_CHANGES`; 320 leaves room for 38."""

MAX_WEIGHT = 255
"""The largest weight of one load balancer in an answer set: Route 53's own limit."""


# --- Plans -------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Target:
    """A load balancer as plans name it. Source: R2, R3."""

    name: str
    ipv4: str | None
    ipv6: str | None


@dataclass(frozen=True, slots=True)
class Weighted:
    """One member of an answer set: a target and its share of the answers.

    Units: `weight` is 0 to `MAX_WEIGHT`; 0 is never answered.
    """

    target: int
    weight: int


AnswerSet = tuple[Weighted, ...]
"""The load balancers of an endpoint, with weights. Endpoints share them. Source: R2."""


@dataclass(frozen=True, slots=True)
class ZonePlan:
    """What one zone should look like.

    Shape: `answers[i]` is the index, in the plan's `answer_sets`, of `endpoints[i]`.
    """

    zone: ZoneName
    endpoints: tuple[EndpointName, ...]
    answers: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Draft:
    """A plan that has not been published: it has a parent, but no generation yet."""

    parent: Generation
    targets: tuple[Target, ...]
    answer_sets: tuple[AnswerSet, ...]
    zones: tuple[ZonePlan, ...]


@dataclass(frozen=True, slots=True)
class Plan:
    """What the whole region should look like: published, numbered, never changed.

    `story` is the trace context of the publisher, so that whatever happens to the
    plan later can be linked to its beginning. Source: R2, R5.
    """

    generation: Generation
    draft: Draft
    published_at_s: float
    story: str


@dataclass(frozen=True, slots=True)
class PlanHead:
    """A published plan by its number, the zones that it covers, in order, its story."""

    generation: Generation
    zones: tuple[ZoneName, ...]
    story: str = ""


@dataclass(frozen=True, slots=True)
class Published:
    """The draft became a plan, with this number."""

    generation: Generation


@dataclass(frozen=True, slots=True)
class Outdated:
    """The draft was not made from the newest plan, and was not stored. Source: R5."""

    newest: Generation
    attempted_parent: Generation


# --- Zones -------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Lock:
    """A zone's lock record: its holder, and when it lapses.

    Units: `expires_at_s` is epoch seconds of incident time. Source: R9.
    """

    holder: EnactorName
    expires_at_s: int


@dataclass(frozen=True, slots=True)
class ZoneView:
    """A zone as found: its lock, its pointers and its trees.

    Shape: `active` and `rollback` are the distinct generations that the endpoints'
    alias and rollback records point at, ascending; most often it is one.
    """

    zone: ZoneName
    lock: Lock | None
    active: tuple[Generation, ...]
    rollback: tuple[Generation, ...]
    trees: tuple[Generation, ...]

    @property
    def newest_active(self) -> Generation:
        """The newest generation that any endpoint of the zone answers from."""
        return self.active[-1]

    @property
    def oldest_active(self) -> Generation:
        """The oldest generation that any endpoint of the zone answers from."""
        return self.active[0]

    @property
    def referenced(self) -> frozenset[Generation]:
        """Every generation that an alias or a rollback record points at."""
        return frozenset((*self.active, *self.rollback)) - {NOTHING}


# --- Change batches ----------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class LockIs:
    """The lock record is exactly this one; `None`: there is none. Source: R8, R9."""

    lock: Lock | None


@dataclass(frozen=True, slots=True)
class ActiveIs:
    """Every alias points at this generation."""

    generation: Generation


@dataclass(frozen=True, slots=True)
class ActiveBelow:
    """Every alias points at an older generation than this one."""

    generation: Generation


@dataclass(frozen=True, slots=True)
class TreeExists:
    """The tree of this generation is there."""

    generation: Generation


@dataclass(frozen=True, slots=True)
class TreeUnreferenced:
    """No alias and no rollback record of the zone points at this generation."""

    generation: Generation


@dataclass(frozen=True, slots=True)
class AutomationRuns:
    """No operator has paused the region's automation. Source: R23."""


Precondition = (
    LockIs | ActiveIs | ActiveBelow | TreeExists | TreeUnreferenced | AutomationRuns
)


@dataclass(frozen=True, slots=True)
class SetLock:
    """Replace the lock record; `None` removes it. Counts two: DELETE and CREATE."""

    lock: Lock | None


@dataclass(frozen=True, slots=True)
class BuildTree:
    """Create the tree of a plan, for every endpoint of the zone. Source: R6."""

    generation: Generation


@dataclass(frozen=True, slots=True)
class DeleteTree:
    """Delete the tree of a generation, for every endpoint of the zone. Source: R12."""

    generation: Generation


@dataclass(frozen=True, slots=True)
class PointRollback:
    """Point each rollback record at what its alias points at now. Source: R7.

    `or_newest_tree`: where the alias' tree is gone, point at the newest tree there is;
    without it such a change is refused. Source: R19.
    """

    or_newest_tree: bool


@dataclass(frozen=True, slots=True)
class PointActive:
    """Point each alias at the tree of a generation: the flip. Source: R6."""

    generation: Generation


Change = SetLock | BuildTree | DeleteTree | PointRollback | PointActive


@dataclass(frozen=True, slots=True)
class Batch:
    """Preconditions and changes of one zone: all of it or none. Source: R8.

    `endpoints` narrows the pointer changes and the `Active...` preconditions to some
    endpoints of the zone; empty means all of them. `generation` is the plan on whose
    behalf the batch is sent.
    """

    id: BatchId
    enactor: EnactorName
    zone: ZoneName
    generation: Generation
    preconditions: tuple[Precondition, ...]
    changes: tuple[Change, ...]
    endpoints: tuple[EndpointName, ...] = ()


class Reason(StrEnum):
    """Why a batch was refused; each names the precondition or rule that failed."""

    LOCK_CHANGED_HANDS = "lock changed hands"
    STALE = "the active plan is as new or newer"
    ACTIVE_DIFFERS = "another plan is active"
    TREE_MISSING = "the tree does not exist"
    ACTIVE_TREE_MISSING = "the active tree is gone: nothing to roll back to"
    TREE_REFERENCED = "the tree is pointed at"
    PAUSED = "automation is paused"
    PLAN_MISSING = "the plan does not exist"


@dataclass(frozen=True, slots=True)
class Applied:
    """The batch took effect; `after` is the zone that it left behind."""

    after: ZoneView


@dataclass(frozen=True, slots=True)
class Refused:
    """The batch had no effect: what was attempted, and what was found instead."""

    reason: Reason
    attempted: Precondition | Change
    found: ZoneView


Outcome = Applied | Refused


@dataclass(frozen=True, slots=True)
class JournalEntry:
    """One batch as the store judged it, in the order of judging.

    Units: `at_s` is epoch seconds of incident time.
    """

    sequence: int
    at_s: float
    batch: Batch
    outcome: Outcome
    trace_id: str


def is_refused(outcome: Outcome, *reasons: Reason) -> bool:
    """Whether a batch was refused for one of these reasons."""
    return isinstance(outcome, Refused) and outcome.reason in reasons


def in_groups(items: tuple[Item, ...], size: int) -> Iterator[tuple[Item, ...]]:
    """Cut what is many into groups that are handled together, keeping its order."""
    for start in range(0, len(items), size):
        yield items[start : start + size]
