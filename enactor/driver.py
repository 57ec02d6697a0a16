"""Performs an enactor's commands on the living system: RPCs, waits, spans, faults."""

import itertools
import random
import secrets
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from opentelemetry import trace

from enactor.core import lock_orders
from enactor.model import (
    BackOff,
    Command,
    Order,
    Pass,
    Purpose,
    ReadNewestPlan,
    ReadZones,
    Reply,
    Result,
    Submit,
    TakeLocks,
)
from enactor.settings import EnactorSettings
from staleplan.model import (
    NOTHING,
    Applied,
    Batch,
    BatchId,
    Change,
    DeleteTree,
    EnactorName,
    Generation,
    Lock,
    Outcome,
    Refused,
    ZoneName,
)
from staleplan.runtime import attributes
from staleplan.runtime.clock import Clock
from staleplan.runtime.errors import ServiceError
from staleplan.runtime.faults import Faults, InjectedError
from staleplan.runtime.telemetry import Telemetry, link_to
from staleplan.store_client import StoreClient

MAX_SPANS = 8
"""Batches of one message that have a span each: a drill's zones, not 200,000 names'."""

BEFORE = {
    Purpose.FLIP: "enactor.before_batch",
    Purpose.RELEASE: "enactor.before_release",
    Purpose.CLEAN_UP: "enactor.before_delete",
}
"""The fault point that precedes each kind of batch."""

STORIES_KEPT = 64
"""Plans whose beginnings are remembered for links: more than are ever kept as trees."""


@dataclass
class Progress:
    """What an enactor is doing, for `Describe`."""

    in_hand: Generation = NOTHING
    last_result: str = ""
    passes: int = 0
    retries_in_a_row: int = 0
    refused: str = ""
    stuck_zones: tuple[ZoneName, ...] = ()


@dataclass
class Driver:
    """One enactor's hands. `performs` runs a pass to its end."""

    settings: EnactorSettings
    store: StoreClient
    clock: Clock
    faults: Faults
    telemetry: Telemetry
    chance: random.Random
    progress: Progress = field(default_factory=Progress)

    def __post_init__(self) -> None:
        self.name = EnactorName(f"enactor-{self.settings.az}")
        self._begin_life()
        self._stories: dict[Generation, str] = {}

    def _begin_life(self) -> None:
        # A restarted enactor must not reuse an id: the journal would answer for it.
        life = f"{self.name}/{secrets.token_hex(3)}"
        self._ids = (BatchId(f"{life}/{n}") for n in itertools.count(1))

    async def perform(self, steps: Pass, safeguards: Sequence[str] = ()) -> Result:
        """Run one pass; every command is one effect.

        `safeguards` are the names of those that it runs with, for its span.
        """
        try:
            return await self._perform(steps, safeguards)
        except BaseException:
            # Who reads the journal must see where a pass was abandoned.
            # Enforced by:
            # tests/unit/enactor/test_driver.py::test_an_abandoned_pass_ends_a_life
            self._begin_life()
            raise

    async def _perform(self, steps: Pass, safeguards: Sequence[str]) -> Result:
        with self.telemetry.tracer.start_as_current_span("pass") as span:
            span.set_attribute(attributes.ENACTOR_AZ, self.settings.az)
            span.set_attribute(attributes.SAFEGUARDS, safeguards)
            await self.faults.reach("enactor.before_pass")
            reply: Reply = None
            while True:
                try:
                    command = steps.send(reply)
                except StopIteration as end:
                    return self._finish(span, end.value)
                reply = await self._do(command, span)

    def _finish(self, span: trace.Span, result: Result) -> Result:
        span.set_attribute(attributes.PASS_RESULT, result)
        self.progress.in_hand = NOTHING
        self.progress.last_result = result
        self.progress.passes += 1
        if result is not Result.GAVE_WAY:
            self._all_is_well()
        return result

    def _all_is_well(self) -> None:
        self.progress.refused = ""
        self.progress.retries_in_a_row = 0
        self.progress.stuck_zones = ()

    async def _do(self, command: Command, span: trace.Span) -> Reply:
        match command:
            case ReadNewestPlan():
                return await self._read_newest_plan(span)
            case ReadZones(zones, purpose):
                if purpose is Purpose.CLEAN_UP:
                    await self._reach("enactor.before_clean_up", zones)
                else:
                    await self.faults.reach("enactor.before_check")
                return await self.store.zones(zones)
            case TakeLocks():
                return await self._take_locks(command)
            case Submit():
                return await self._submit(command)
            case BackOff(zones):
                await self._back_off(zones)
                return None

    async def _read_newest_plan(self, span: trace.Span) -> Reply:
        head = await self.store.head()
        if head:
            self.progress.in_hand = head.generation
            self._remember(head.generation, head.story)
            span.set_attribute(attributes.PLAN_GENERATION, head.generation)
            for link in link_to(head.story):
                span.add_link(link.context)
        return head

    async def _take_locks(self, command: TakeLocks) -> tuple[Lock | None, ...]:
        """Take each lock that nobody holds any more, by compare-and-set. R9."""
        allowed = [z for z in command.zones if await self._may_take(z)]
        if not allowed:
            return self._lost(command.zones)
        now_s = self.clock.now_s()
        mine = Lock(self.name, int(now_s) + self.settings.lock_ttl_s)
        views = await self.store.zones(allowed)
        orders = lock_orders(views, mine, now_s, command.guards)
        if not orders:
            return self._lost(command.zones)
        outcomes = await self._send("take lock", command.generation, orders)
        held = {
            order.zone
            for order, outcome in zip(orders, outcomes, strict=True)
            if isinstance(outcome, Applied)
        }
        return tuple(mine if zone in held else None for zone in command.zones)

    async def _may_take(self, zone: ZoneName) -> bool:
        try:
            await self.faults.reach("enactor.take_lock", zone=zone)
        except InjectedError:
            return False
        return True

    def _lost(self, zones: tuple[ZoneName, ...]) -> tuple[None, ...]:
        return (None,) * len(zones)

    async def _submit(self, command: Submit) -> tuple[Outcome, ...]:
        zones = tuple(order.zone for order in command.orders)
        drop = await self._reach(BEFORE[command.purpose], zones)
        outcomes = await self._send(
            command.purpose, command.generation, command.orders, lose_reply=drop
        )
        match command.purpose:
            case Purpose.FLIP:
                self._note(outcomes)
                await self._reach("enactor.after_batch", zones)
            case Purpose.CLEAN_UP:
                await self._reach("enactor.after_clean_up", zones)
        return outcomes

    async def _reach(self, point: str, zones: Sequence[ZoneName]) -> bool:
        drops = [await self._reach_one(point, zone) for zone in zones]
        return any(drops)

    async def _reach_one(self, point: str, zone: ZoneName) -> bool:
        """Suffer the faults of a point; one that fails the call makes it come again."""
        while True:
            try:
                return await self.faults.reach(point, zone=zone)
            except InjectedError:
                await self.clock.sleep_s(self.settings.first_backoff_s)

    async def _send(
        self,
        verb: str,
        generation: Generation,
        orders: tuple[Order, ...],
        *,
        lose_reply: bool = False,
    ) -> tuple[Outcome, ...]:
        batches = tuple(
            Batch(
                next(self._ids),
                self.name,
                order.zone,
                generation,
                order.preconditions,
                order.changes,
            )
            for order in orders
        )
        started_ns = time.time_ns()
        outcomes = await self.store.change(batches)
        if lose_reply:
            # The first answer is lost; the same batches are sent again, and the
            # journal tells what became of them.
            outcomes = await self.store.change(batches)
        await self._tell(verb, batches, outcomes, started_ns)
        return outcomes

    async def _tell(
        self,
        verb: str,
        batches: Sequence[Batch],
        outcomes: Sequence[Outcome],
        started_ns: int,
    ) -> None:
        """Record each batch as a span; of many, those that were applied as one."""
        pairs = tuple(zip(batches, outcomes, strict=True))
        alone = pairs
        if len(pairs) > MAX_SPANS:
            alone = tuple(pair for pair in pairs if isinstance(pair[1], Refused))
            applied = [batch for batch, to in pairs if isinstance(to, Applied)]
            if applied:
                span = await self._span(verb, applied, started_ns)
                span.end()
        for batch, outcome in alone:
            span = await self._span(verb, [batch], started_ns)
            if isinstance(outcome, Refused):
                span.set_attribute(attributes.BATCH_OUTCOME, outcome.reason)
                span.set_status(trace.StatusCode.ERROR, outcome.reason)
            span.end()

    async def _span(
        self, verb: str, batches: Sequence[Batch], started_ns: int
    ) -> trace.Span:
        """Open the span of batches of one plan, linked to the plans' beginnings."""
        generation = batches[0].generation
        deleted = sorted({g for batch in batches for g in _deleted(batch.changes)})
        stories = [await self._story(plan) for plan in (generation, *deleted)]
        span = self.telemetry.tracer.start_span(
            verb,
            start_time=started_ns,
            links=[link for story in stories for link in link_to(story)],
        )
        span.set_attributes(
            {
                attributes.ENACTOR_AZ: self.settings.az,
                attributes.PLAN_GENERATION: generation,
                attributes.BATCH_OUTCOME: "applied",
            }
        )
        if deleted:
            span.set_attribute(attributes.PLAN_DELETED, deleted)
        if len(batches) == 1:
            span.set_attribute(attributes.ZONE, batches[0].zone)
            span.set_attribute(attributes.BATCH_ID, batches[0].id)
        else:
            span.set_attribute(attributes.ZONES, [batch.zone for batch in batches])
        return span

    async def _story(self, generation: Generation) -> str:
        if generation not in self._stories:
            head = await self.store.head(generation)
            self._remember(generation, head.story if head else "")
        return self._stories[generation]

    def _remember(self, generation: Generation, story: str) -> None:
        self._stories[generation] = story
        while len(self._stories) > STORIES_KEPT:
            del self._stories[min(self._stories)]

    def _note(self, outcomes: tuple[Outcome, ...]) -> None:
        """Name the cause where an operator will look first. Source: R20."""
        refused = [o for o in outcomes if isinstance(o, Refused)]
        reason = refused[0].reason if refused else ""
        if reason and reason != self.progress.refused:
            found = refused[0].found
            self.telemetry.log.warning(
                "batch refused",
                reason=reason,
                zone=found.zone,
                active=found.active,
                trees=found.trees,
                generation=self.progress.in_hand,
            )
        self.progress.refused = reason
        if not refused:
            self._all_is_well()

    async def _back_off(self, zones: tuple[ZoneName, ...]) -> None:
        """Wait longer with each loss in a row, and never in step with the others."""
        await self._reach("enactor.back_off", zones)
        progress = self.progress
        wait_s = min(
            self.settings.first_backoff_s * 2 ** min(progress.retries_in_a_row, 60),
            self.settings.max_backoff_s,
        )
        progress.retries_in_a_row += 1
        progress.stuck_zones = zones
        await self.clock.sleep_s(wait_s * self.chance.uniform(0.5, 1.0))


def _deleted(changes: Sequence[Change]) -> list[Generation]:
    return [change.generation for change in changes if isinstance(change, DeleteTree)]


async def keep_enacting(
    driver: Driver, new_pass: Callable[[], tuple[Pass, Sequence[str]]]
) -> None:
    """Make pass after pass until cancelled; a failed pass is logged, not fatal."""
    while True:
        try:
            await driver.perform(*new_pass())
        except ServiceError:
            driver.telemetry.log.exception("pass failed")
        wait_s = driver.settings.poll_interval_s
        await driver.clock.sleep_s(wait_s * driver.chance.uniform(0.75, 1.25))
