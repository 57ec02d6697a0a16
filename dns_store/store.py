"""What the DNS store's service asks of its storage; PostgreSQL and the twin give it."""

from collections.abc import AsyncGenerator, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from staleplan.model import (
    AnswerSet,
    Batch,
    Draft,
    EndpointName,
    Generation,
    JournalEntry,
    Outcome,
    Outdated,
    Plan,
    PlanHead,
    Published,
    Target,
    ZoneName,
    ZoneView,
)


@dataclass(frozen=True, slots=True)
class RegionSummary:
    """The region in a few figures."""

    newest: Generation
    paused: bool
    zones: int
    endpoints: int


@dataclass(frozen=True, slots=True)
class AuditEntry:
    """What an operator did. Units: `at_s` is epoch seconds of incident time."""

    sequence: int
    at_s: float
    operator: str
    action: str
    detail: str
    trace_id: str


@dataclass(frozen=True, slots=True)
class ZoneAnswers:
    """What DNS answers for a zone: for each endpoint, in order, its active tree's set.

    Shape: `active[i]` is the generation that `endpoints[i]` points at, and `answers[i]`
    the index of its answer set in that plan; `None`: the alias points at a missing
    tree, or there is none yet, and the answer has no records. Source: R6, R18.
    """

    zone: ZoneName
    version: int
    endpoints: tuple[EndpointName, ...]
    active: Sequence[Generation]
    answers: Sequence[int | None]


@dataclass(frozen=True, slots=True)
class PlanSets:
    """The part of a plan that its trees share: targets and answer sets."""

    targets: tuple[Target, ...]
    answer_sets: tuple[AnswerSet, ...]


KEPT_PLANS = 100
"""Plans kept whether or not a tree needs them: 8 hours of plans every 5 minutes."""


class Store(Protocol):
    """Plans, zones, batches and their journal, kept durably and changed atomically."""

    async def publish(
        self, draft: Draft, *, at_s: float, story: str
    ) -> Published | Outdated:
        """Store a draft as the next plan if its parent is the newest. Source: R5."""

    async def plan(self, generation: Generation | None) -> Plan | None:
        """Read a plan, whole; `None` asks for the newest."""

    async def heads(self, limit: int) -> tuple[PlanHead, ...]:
        """Read the newest plans' numbers and zones, newest first."""

    async def head(self, generation: Generation | None) -> PlanHead | None:
        """Read one plan's number and zones; `None` asks for the newest."""

    def endpoints(self) -> Mapping[ZoneName, tuple[EndpointName, ...]]:
        """Look up the endpoints of the zones known so far; they never change."""

    async def zones(self, names: Sequence[ZoneName] = ()) -> tuple[ZoneView, ...]:
        """Read zones as they are now, in the order of creation; empty means all."""

    async def change(
        self, batches: Sequence[Batch], *, at_s: float, trace_id: str
    ) -> tuple[Outcome, ...]:
        """Judge batches of different zones, each all or nothing, and journal them.

        A batch whose id is in the journal is not judged again: its outcome is read
        from there, so that a sender who lost the reply may send it again.
        """

    async def journal(
        self, after_sequence: int, limit: int, zone: ZoneName | None = None
    ) -> tuple[JournalEntry, ...]:
        """Read batches as they were judged, oldest first."""

    async def set_automation(
        self, *, paused: bool, operator: str, at_s: float, trace_id: str
    ) -> None:
        """Pause or resume the region's automation, and audit it. Source: R23."""

    async def operate(
        self, action: str, batch: Batch, *, at_s: float, trace_id: str
    ) -> Outcome:
        """Judge an operator's batch, and audit it with its outcome. Source: R20."""

    async def audit(self, after_sequence: int) -> tuple[AuditEntry, ...]:
        """Read what operators did, oldest first."""

    async def describe(self) -> RegionSummary:
        """Read the region's figures."""

    async def versions(self) -> dict[ZoneName, int]:
        """Read each zone's version, which rises with each change of its answers."""

    async def answers(self, names: Sequence[ZoneName]) -> tuple[ZoneAnswers, ...]:
        """Read what DNS is to answer for these zones."""

    async def plan_sets(self, generation: Generation) -> PlanSets | None:
        """Read the answer sets of a plan; `None` when the plan is gone."""

    def changed(self) -> AsyncGenerator[frozenset[ZoneName], None]:
        """Follow the zones whose answers may have changed: a hint, read them to know.

        All zones come first, once nothing can be missed any more, and again whenever
        something may have been missed.
        """
