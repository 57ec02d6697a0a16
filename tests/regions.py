"""Whole regions for tests: running stacks that can be hurt, asked and judged."""

import asyncio
import io
import itertools
import math
from collections import defaultdict
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import (
    AbstractAsyncContextManager,
    AsyncExitStack,
    asynccontextmanager,
)
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import dns.asyncquery
import dns.exception
import dns.message

from protos.enactor.v1 import enactor_pb2
from protos.runtime.v1 import runtime_pb2 as pb
from protos.runtime.v1.runtime_pb2_grpc import FaultServiceStub
from staleplan.drills.live import LiveStage, live_stage
from staleplan.drills.pace import DRILL_PACE
from staleplan.model import Applied, Generation, JournalEntry
from staleplan.runtime import postgres as server
from staleplan.runtime.channel import channel
from staleplan.runtime.logs import BoundLogger, json_log
from staleplan.runtime.settings import Mode
from staleplan.runtime.telemetry import Exporters, Telemetry
from staleplan.spec import DNS_PROPERTIES, Property, judge, replay
from staleplan.stack.settings import AZS, StackSettings

if TYPE_CHECKING:
    from protos.runtime.v1.runtime_pb2_grpc import FaultServiceAsyncStub

PACE = DRILL_PACE
PATIENCE_S = 50.0
"""Wall seconds until a test gives up: a busy machine starts a service in ten."""

ASK_EVERY_S = 0.02
ANSWER_TIMEOUT_S = 2.0
"""Wall seconds between two DNS questions, and for one answer, which takes a ms."""

NAMES = (
    "dynamodb.us-east-1.example",
    "dynamodb-fips.us-east-1.example",
    "000000000000.ddb.us-east-1.example",
    "000000000639.ddb.us-east-1.example",
)
"""Endpoints of four zones, which are asked in turn."""


@dataclass(frozen=True)
class Region:
    """A running stack, the folder of its PostgreSQL, and everybody's faults."""

    stage: LiveStage
    faults: Mapping[str, "FaultServiceAsyncStub"]
    settings: StackSettings

    async def until(self, condition: Callable[[], object]) -> None:
        """Wait for a condition, plain or asynchronous."""

        async def holds() -> bool:
            found = condition()
            return bool(await found if asyncio.iscoroutine(found) else found)

        async with asyncio.timeout(PATIENCE_S):
            await self.stage.wait_for(holds, math.inf)

    async def goes_on(self, plans: int = 1) -> None:
        """Wait until plans that are not made yet are active everywhere, unaided."""
        wanted = Generation(await self.stage.newest() + plans)

        async def active() -> bool:
            views = await self.stage.views()
            return bool(views) and all(
                view.oldest_active >= wanted and view.newest_active in view.trees
                for view in views.values()
            )

        await self.until(active)

    async def inject(self, service: str, fault: pb.Fault) -> int:
        reply = await self.faults[service].Inject(pb.InjectRequest(fault=fault))
        return reply.id

    async def fired(self, service: str, fault: int) -> int:
        listed = await self.faults[service].List(pb.ListRequest())
        return next(each.times_fired for each in listed.faults if each.id == fault)

    async def passes(self) -> dict[str, int]:
        """The passes that each enactor has finished since it started."""
        request = enactor_pb2.DescribeRequest()
        return {
            az: (await self.stage.enactors[az].Describe(request)).passes for az in AZS
        }

    def starts_of(self, service: str) -> int:
        return self._log_of(service).count('"serving"')

    def failed_starts_of(self, service: str) -> int:
        return self._log_of(service).count('"restart failed"')

    def _log_of(self, service: str) -> str:
        return (self.settings.folder / f"{service}.log").read_text()

    async def kill_postgres(self) -> None:
        await asyncio.to_thread(server.kill_server, self.settings.state_folder)

    async def start_postgres(self) -> None:
        start = server.start
        await asyncio.to_thread(start, self.settings.state_folder, keep=True)

    async def addresses_of(self, name: str) -> int:
        """How many addresses DNS answers; -1 is silence."""
        host, _, port = self.stage.addresses["dns"].rpartition(":")
        question = dns.message.make_query(name, "A")
        try:
            answer = await dns.asyncquery.udp(
                question, host, timeout=ANSWER_TIMEOUT_S, port=int(port)
            )
        except dns.exception.Timeout:
            return -1
        return sum(map(len, answer.answer))

    async def answers_everywhere(self) -> bool:
        return all([await self.addresses_of(name) > 0 for name in NAMES])

    @asynccontextmanager
    async def asked(self) -> AsyncIterator[list[tuple[str, int]]]:
        """Ask DNS again and again until this is left; yields what was answered."""
        answers: list[tuple[str, int]] = []

        async def ask() -> None:
            for name in itertools.cycle(NAMES):
                answers.append((name, await self.addresses_of(name)))
                await self.stage.sleep_s(ASK_EVERY_S * PACE.speed)

        asking = asyncio.create_task(ask())
        try:
            yield answers
            assert not asking.done(), asking
        finally:
            asking.cancel()
            await asyncio.gather(asking, return_exceptions=True)


def settings_of(state: Path, mode: Mode, name: str) -> StackSettings:
    return StackSettings(
        name=name,
        mode=mode,
        state_folder=state,
        database_url=server.start(state, keep=True),
        account_endpoints=640,
        drill=True,
        clock=PACE.clock(),
        planner=PACE.planner(),
        world=PACE.world(),
        enactor=PACE.enactor(),
    )


@asynccontextmanager
async def region_of(
    settings: StackSettings,
    start: Callable[[BoundLogger], AbstractAsyncContextManager[Mapping[str, str]]],
) -> AsyncIterator[Region]:
    """Run a stack until this is left; yields once it has a plan everywhere."""
    settings.folder.mkdir(parents=True)
    clock = settings.clock.clock()
    log = json_log(clock, "info", io.StringIO())
    async with AsyncExitStack() as stack:
        exporters = await stack.enter_async_context(Exporters())
        telemetry = Telemetry("test", stack=settings.name, exporters=exporters, log=log)
        addresses = await stack.enter_async_context(start(log))
        faults = {}
        for service in settings.services:
            to_service = channel(addresses[service], telemetry)
            await stack.enter_async_context(to_service)
            faults[service] = FaultServiceStub(to_service)
        stage = await stack.enter_async_context(
            live_stage(
                addresses,
                clock,
                telemetry,
                planner_period_s=PACE.planner_period_s,
                keep_generations=PACE.keep_generations,
            )
        )
        region = Region(stage, faults, settings)
        await region.goes_on()
        await region.until(region.answers_everywhere)
        yield region


async def judged(
    region: Region, properties: Sequence[Property] = DNS_PROPERTIES
) -> list[JournalEntry]:
    """Judge everything that the region ever did; returns its journal."""
    entries = await region.stage.journal()
    steps = list(replay(await region.stage.beginning(), entries))
    violations = judge(properties, steps)
    assert violations == dict.fromkeys(violations), "a property is broken"
    assert any(step.is_flip and isinstance(step.outcome, Applied) for step in steps)
    halves = [step for step in steps if len(step.after.active) != 1]
    assert halves == [], "a zone had two active generations"
    ids = [entry.batch.id for entry in entries]
    assert len(set(ids)) == len(ids), "a batch was judged twice"
    return entries


async def journal_with_all(region: Region) -> list[JournalEntry]:
    """The journal, as soon as every enactor is in it."""

    async def all_have_sent() -> bool:
        entries = await region.stage.journal()
        return len({entry.batch.enactor for entry in entries}) == len(AZS)

    await region.until(all_have_sent)
    return await region.stage.journal()


async def no_batch_is_lost(region: Region, before: Sequence[JournalEntry]) -> None:
    """Each batch that an enactor sent in its present life was judged, and once.

    An enactor numbers its batches, so that one which never arrived leaves a gap.
    """
    sent = {entry.batch.enactor: entry.batch.id for entry in before}
    assert len(sent) == len(AZS)

    async def all_have_sent_more() -> bool:
        new = [entry async for entry in region.stage.store.journal(before[-1].sequence)]
        return {entry.batch.enactor for entry in new} == sent.keys()

    await region.until(all_have_sent_more)
    seen = numbers_of(await region.stage.journal())
    await region.goes_on()
    judged_by_now = numbers_of(await judged(region))
    for batch_id in sent.values():
        life, _, _ = batch_id.rpartition("/")
        assert set(range(1, max(seen[life]) + 1)) <= judged_by_now[life]


def numbers_of(entries: Sequence[JournalEntry]) -> dict[str, set[int]]:
    """The numbers of the batches of each life of an enactor."""
    numbers = defaultdict(set)
    for entry in entries:
        life, _, number = entry.batch.id.rpartition("/")
        numbers[life].add(int(number))
    return numbers
