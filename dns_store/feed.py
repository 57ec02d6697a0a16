"""Feeds the DNS answers from storage: at once on a notification, and now and then.

Answering never waits for PostgreSQL. While it is away the last known answers stand, as
Route 53's did: it worked normally throughout the event.
"""

import asyncio
import gc
from collections.abc import Iterable, Iterator
from contextlib import aclosing, contextmanager

from dns_store.answer_set import Address, CompiledSet, compile_set
from dns_store.answers import NO_TREE, AnswerTable
from dns_store.settings import DnsStoreSettings
from dns_store.store import PlanSets, Store, ZoneAnswers
from staleplan.model import NOTHING, Generation, ZoneName, in_groups
from staleplan.runtime.clock import Clock
from staleplan.runtime.database import StoreUnavailable
from staleplan.runtime.telemetry import Telemetry

ZONES_READ_AT_ONCE = 64
"""Zones read with one query: a few milliseconds of work; then RPCs get a turn."""


class Feed:
    """Keeps a table of answers in step with what is stored."""

    def __init__(
        self,
        store: Store,
        clock: Clock,
        telemetry: Telemetry,
        settings: DnsStoreSettings,
    ) -> None:
        self.table = AnswerTable(
            settings.apex,
            ttl_s=settings.ttl_s,
            negative_ttl_s=settings.negative_ttl_s,
            extra=self.describe_zone,
        )
        """What is answered now."""
        self._store = store
        self._clock = clock
        self._telemetry = telemetry
        self._ttl_s = settings.ttl_s
        self._refresh_interval_s = settings.refresh_interval_s
        self._versions: dict[ZoneName, int] = {}
        self._generations: dict[ZoneName, frozenset[Generation]] = {}
        self._sets: dict[Generation, tuple[CompiledSet, ...]] = {}
        self._watchers: set[asyncio.Queue[frozenset[ZoneName]]] = set()

    async def run(self) -> None:
        """Feed until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._follow())
            tasks.create_task(self._refresh_now_and_then())

    async def _follow(self) -> None:
        async with aclosing(self._store.changed()) as changes:
            async for zones in changes:
                await self._try_refresh(zones)

    async def _refresh_now_and_then(self) -> None:
        while True:
            await self._try_refresh(None)
            await self._clock.sleep_s(self._refresh_interval_s)

    async def _try_refresh(self, zones: Iterable[ZoneName] | None) -> None:
        try:
            await self.refresh(zones)
        except StoreUnavailable as error:
            self._telemetry.log.warning("answers not refreshed", error=str(error))

    async def refresh(self, zones: Iterable[ZoneName] | None = None) -> None:
        """Bring these zones' answers up to date; `None`: those that changed.

        Raises: StoreUnavailable; what was answered before is still answered.
        """
        known = len(self._versions)
        if zones is None:
            versions = await self._store.versions()
            zones = [z for z, v in versions.items() if self._versions.get(z, -1) < v]
        for group in in_groups(tuple(zones), ZONES_READ_AT_ONCE):
            for answers in await self._store.answers(group):
                if self._versions.get(answers.zone, -1) <= answers.version:
                    await self._point(answers)
            for watcher in self._watchers:
                watcher.put_nowait(frozenset(group))
        self._forget_unused()
        if len(self._versions) > known:
            # A full collection would walk all names, and stop answering for 80 ms.
            gc.freeze()

    async def _point(self, answers: ZoneAnswers) -> None:
        generations = frozenset(answers.active)
        for generation in sorted(generations - self._sets.keys() - {NOTHING}):
            sets = await self._store.plan_sets(generation)
            self._sets[generation] = await self._compile(sets) if sets else ()
        if answers.zone not in self._versions:
            self.table.add_names(answers.zone, answers.endpoints)
        self.table.point(answers.zone, self._chosen(answers, generations))
        self._versions[answers.zone] = answers.version
        self._generations[answers.zone] = generations

    def _chosen(
        self, answers: ZoneAnswers, generations: frozenset[Generation]
    ) -> list[CompiledSet]:
        if len(generations) == 1:
            # The same as below, in half the time: nearly all zones are of one mind.
            sets = self._sets.get(answers.active[0], ())
            return [
                NO_TREE if index is None else sets[index] for index in answers.answers
            ]
        return [
            NO_TREE if index is None else self._sets[generation][index]
            for generation, index in zip(answers.active, answers.answers, strict=True)
        ]

    async def _compile(self, sets: PlanSets) -> tuple[CompiledSet, ...]:
        compiled = []
        for answer_set in sets.answer_sets:
            members = [(sets.targets[m.target], m.weight) for m in answer_set]
            addresses = [Address(weight, t.ipv4, t.ipv6) for t, weight in members]
            compiled.append(compile_set(addresses, self._ttl_s))
            await asyncio.sleep(0)  # 1 to 5 ms each: let RPCs through
        return tuple(compiled)

    def _forget_unused(self) -> None:
        used = frozenset().union(*self._generations.values())
        for generation in self._sets.keys() - used:
            del self._sets[generation]

    def describe_zone(self, name: str, kind: str) -> list[str] | None:
        """Answer a TXT question for `_plan.ZONE.APEX` with the zone's plan. R13."""
        label, _, rest = name.partition(".")
        zone = ZoneName(rest.partition(".")[0])
        if label != "_plan" or zone not in self._generations:
            return None
        plans = " ".join(map(str, sorted(self._generations[zone])))
        return [f'"plan={plans}"'] if kind == "TXT" else []

    @contextmanager
    def watching(self) -> Iterator[asyncio.Queue[frozenset[ZoneName]]]:
        """Queue the zones whose answers are brought up to date, from now on."""
        queue: asyncio.Queue[frozenset[ZoneName]] = asyncio.Queue()
        self._watchers.add(queue)
        try:
            yield queue
        finally:
            self._watchers.discard(queue)
