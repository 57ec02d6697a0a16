"""The store's in-memory twin: the same protocol and rules, without durability.

Enforced by: tests/contract/test_twin.py, which demands that it equals PostgreSQL.
"""

import asyncio
from collections.abc import AsyncGenerator, Sequence

from dns_store.core import (
    Pointer,
    ZoneState,
    changes_answers,
    decide,
    settle,
    told,
    view,
)
from dns_store.edge import check_call, new_zones
from dns_store.errors import UnknownZone
from dns_store.store import (
    KEPT_PLANS,
    AuditEntry,
    PlanSets,
    RegionSummary,
    ZoneAnswers,
)
from staleplan.model import (
    NOTHING,
    Batch,
    BatchId,
    Draft,
    EndpointName,
    Generation,
    JournalEntry,
    Outcome,
    Outdated,
    Plan,
    PlanHead,
    Published,
    ZoneName,
    ZoneView,
)


class MemoryStore:
    """`Store` in dictionaries. A method never awaits halfway, so each is atomic."""

    def __init__(self) -> None:
        self._newest = NOTHING
        self._paused = False
        self._plans: dict[Generation, Plan] = {}
        self._zones: dict[ZoneName, ZoneState] = {}
        self._versions: dict[ZoneName, int] = {}
        self._journal: list[JournalEntry] = []
        self._recorded: dict[BatchId, Outcome] = {}
        self._audit: list[AuditEntry] = []
        self._followers: set[asyncio.Queue[frozenset[ZoneName]]] = set()

    async def publish(
        self, draft: Draft, *, at_s: float, story: str
    ) -> Published | Outdated:
        """Store a draft as the next plan if its parent is the newest."""
        if draft.parent != self._newest:
            return Outdated(self._newest, draft.parent)
        added = new_zones(draft, self.endpoints())
        for plan in added:
            pointers = (Pointer(),) * len(plan.endpoints)
            self._zones[plan.zone] = ZoneState(plan.zone, plan.endpoints, pointers)
            self._versions[plan.zone] = 0
        self._newest = Generation(draft.parent + 1)
        self._plans[self._newest] = Plan(self._newest, draft, at_s, story)
        built = {tree for zone in self._zones.values() for tree in zone.trees}
        for generation in list(self._plans):
            if generation <= self._newest - KEPT_PLANS and generation not in built:
                del self._plans[generation]
        self._tell([plan.zone for plan in added])
        return Published(self._newest)

    async def plan(self, generation: Generation | None) -> Plan | None:
        """Read a plan, whole; `None` asks for the newest."""
        return self._plans.get(self._newest if generation is None else generation)

    async def heads(self, limit: int) -> tuple[PlanHead, ...]:
        """Read the newest plans' numbers and zones, newest first."""
        return tuple(
            _head(plan) for plan in list(self._plans.values())[: -limit - 1 : -1]
        )

    async def head(self, generation: Generation | None) -> PlanHead | None:
        """Read one plan's number and zones; `None` asks for the newest."""
        plan = await self.plan(generation)
        return _head(plan) if plan else None

    async def plan_sets(self, generation: Generation) -> PlanSets | None:
        """Read the answer sets of a plan; `None` when the plan is gone."""
        plan = self._plans.get(generation)
        return PlanSets(plan.draft.targets, plan.draft.answer_sets) if plan else None

    def endpoints(self) -> dict[ZoneName, tuple[EndpointName, ...]]:
        """Look up the endpoints of the zones known so far; they never change."""
        return {name: state.endpoints for name, state in self._zones.items()}

    async def zones(self, names: Sequence[ZoneName] = ()) -> tuple[ZoneView, ...]:
        """Read zones as they are now, in the order of their creation."""
        return tuple(view(state) for state in self._chosen(names))

    async def change(
        self, batches: Sequence[Batch], *, at_s: float, trace_id: str
    ) -> tuple[Outcome, ...]:
        """Judge batches of different zones, each all or nothing, and journal them."""
        check_call(batches, self.endpoints())
        new = [batch for batch in batches if batch.id not in self._recorded]
        for batch in new:
            self._judge(batch, at_s, trace_id)
        return tuple(self._recorded[batch.id] for batch in batches)

    def _judge(self, batch: Batch, at_s: float, trace_id: str) -> None:
        state = self._zones[batch.zone]
        plans = [
            plan.generation
            for plan in self._plans.values()
            if any(part.zone == batch.zone for part in plan.draft.zones)
        ]
        found = view(state, batch.endpoints)
        outcome = decide(found, batch, plans=plans, runs=not self._paused)
        self._zones[batch.zone] = settle(state, batch, outcome)
        if changes_answers(found, batch, outcome):
            self._versions[batch.zone] += 1
            self._tell([batch.zone])
        self._recorded[batch.id] = outcome
        sequence = len(self._journal) + 1
        self._journal.append(JournalEntry(sequence, at_s, batch, outcome, trace_id))

    async def operate(
        self, action: str, batch: Batch, *, at_s: float, trace_id: str
    ) -> Outcome:
        """Judge an operator's batch, and audit it with its outcome."""
        is_new = batch.id not in self._recorded
        (outcome,) = await self.change([batch], at_s=at_s, trace_id=trace_id)
        if is_new:
            detail = told(batch, outcome)
            self._note(at_s, batch.enactor, action, detail, trace_id)
        return outcome

    async def journal(
        self, after_sequence: int, limit: int, zone: ZoneName | None = None
    ) -> tuple[JournalEntry, ...]:
        """Read batches as they were judged, oldest first."""
        later = self._journal[after_sequence:]
        chosen = [entry for entry in later if zone in {None, entry.batch.zone}]
        return tuple(chosen[:limit])

    async def set_automation(
        self, *, paused: bool, operator: str, at_s: float, trace_id: str
    ) -> None:
        """Pause or resume the region's automation, and audit it."""
        self._paused = paused
        action = "pause" if paused else "resume"
        self._note(at_s, operator, action, f"automation {action}d", trace_id)

    async def audit(self, after_sequence: int) -> tuple[AuditEntry, ...]:
        """Read what operators did, oldest first."""
        return tuple(self._audit[after_sequence:])

    async def describe(self) -> RegionSummary:
        """Read the region's figures."""
        endpoints = sum(len(state.endpoints) for state in self._zones.values())
        return RegionSummary(self._newest, self._paused, len(self._zones), endpoints)

    async def versions(self) -> dict[ZoneName, int]:
        """Read each zone's version, which rises with each change of its answers."""
        return dict(self._versions)

    async def answers(self, names: Sequence[ZoneName]) -> tuple[ZoneAnswers, ...]:
        """Read what DNS is to answer for these zones, in the order of creation."""
        return tuple(map(self._answers, self._chosen(names))) if names else ()

    def _answers(self, state: ZoneState) -> ZoneAnswers:
        parts = {
            tree: part.answers
            for tree in state.trees
            for part in self._plans[tree].draft.zones
            if part.zone == state.zone
        }
        active = tuple(pointer.active for pointer in state.pointers)
        answers = tuple(
            parts[to][place] if to in parts else None for place, to in enumerate(active)
        )
        version = self._versions[state.zone]
        return ZoneAnswers(state.zone, version, state.endpoints, active, answers)

    async def changed(self) -> AsyncGenerator[frozenset[ZoneName], None]:
        """Follow the zones that change; first, all."""
        queue: asyncio.Queue[frozenset[ZoneName]] = asyncio.Queue()
        queue.put_nowait(frozenset(self._zones))
        self._followers.add(queue)
        try:
            while True:
                yield await queue.get()
        finally:
            self._followers.remove(queue)

    def _tell(self, zones: Sequence[ZoneName]) -> None:
        if zones:
            for queue in self._followers:
                queue.put_nowait(frozenset(zones))

    def _note(self, at_s: float, *said: str) -> None:
        self._audit.append(AuditEntry(len(self._audit) + 1, at_s, *said))

    def _chosen(self, names: Sequence[ZoneName]) -> list[ZoneState]:
        for number, name in enumerate(names):
            if name not in self._zones:
                raise UnknownZone(f"zones[{number}]", name, self._zones)
        chosen = set(names or self._zones)
        return [state for name, state in self._zones.items() if name in chosen]


def _head(plan: Plan) -> PlanHead:
    zones = tuple(part.zone for part in plan.draft.zones)
    return PlanHead(plan.generation, zones, plan.story)
