"""Performs a host's commands on the living system: work, answers, spans, faults."""

import asyncio
from collections.abc import Coroutine, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass

from opentelemetry import trace
from opentelemetry.context import Context

from dwfm.clients import Droplets, Rows
from dwfm.core import step
from dwfm.host import Host
from dwfm.model import (
    Abandon,
    Answer,
    Check,
    Checked,
    Command,
    Droplet,
    Event,
    HostName,
    InstanceId,
    Kind,
    LaunchAsked,
    Ran,
    Reached,
    Row,
    Run,
    Stale,
    Store,
    TerminateAsked,
    Tick,
    Work,
)
from dwfm.safeguards import Safeguards
from dwfm.settings import DwfmSettings
from dwfm.watch import Watch
from staleplan.runtime import attributes
from staleplan.runtime.faults import InjectedError
from staleplan.runtime.footing import Footing
from staleplan.runtime.recent import Recent
from staleplan.runtime.safeguards import SafeguardSwitchboard

LONGEST_TICK_S = 1.0
"""Most time between two looks at the clock, incident seconds; the checks of a large
fleet are seconds apart."""

TICKS_A_TIMEOUT = 30
"""Looks at the clock in one timeout: nothing is given up much too late."""

JITTER = 0.2
"""Share by which one piece of work takes more or less time than the average."""


MAX_RENEWALS = 50_000
"""Renewals that are remembered: 10 MB, and for 100 droplets more than a day."""


@dataclass(frozen=True, slots=True)
class Renewal:
    """A worker took the check of a held lease. Units: incident time."""

    sequence: int
    wanted_at_s: float
    waited_s: float


@dataclass(slots=True)
class Asked:
    """A request that waits, whoever and however many made it."""

    answer: asyncio.Future[Answer]
    caller: trace.SpanContext
    """The span of the first who asked: work goes on in its trace."""


class Driver:
    """One host's hands: `tell` it what happens, and it does what the core says."""

    def __init__(
        self,
        settings: DwfmSettings,
        fleet: Sequence[Droplet],
        *,
        rows: Rows,
        droplets: Droplets,
        base: Footing,
        safeguards: SafeguardSwitchboard[Safeguards],
    ) -> None:
        """Begins with a fleet of which no lease is held."""
        self.settings = settings
        self._rows = rows
        self._droplets = droplets
        self._base = base
        self._safeguards = safeguards
        self.host = Host(
            HostName(f"dwfm-{settings.az}"),
            settings.limits,
            safeguards.current,
            fleet,
            base.clock.now_s(),
        )
        self.watch = Watch(self.host, base.telemetry, base.clock)
        self.renewals: Recent[Renewal] = Recent(MAX_RENEWALS)
        self._asked: dict[tuple[Kind, InstanceId], Asked] = {}
        self._working: set[asyncio.Task[None]] = set()
        self._tasks: set[asyncio.Task[None]] = set()

    def tell(self, event: Event) -> None:
        """Take one step; what the core wants done is begun."""
        self.host.safeguards = self._safeguards.current
        for command in step(self.host, event, self._base.clock.now_s()):
            self._obey(command)

    async def _keep_time(self) -> None:
        tick_s = min(LONGEST_TICK_S, self.settings.timeout_s / TICKS_A_TIMEOUT)
        while True:
            self.tell(Tick())
            self.watch.look()
            await self._base.clock.sleep_s(tick_s)

    def start(self) -> None:
        """Begin to tell the time."""
        task = asyncio.create_task(self._keep_time())
        task.add_done_callback(self._say_why_time_stopped)
        self._tasks.add(task)

    async def stop(self) -> None:
        """Abandon all work, wherever it is: a crash leaves no less behind."""
        tasks = [*self._tasks, *self._working]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def launch(self, instance: InstanceId, deadline_s: float) -> Answer:
        """Ask for an instance, and wait for the answer."""
        return await self._ask(Kind.LAUNCH, LaunchAsked(instance, deadline_s))

    async def terminate(self, instance: InstanceId, deadline_s: float) -> Answer:
        """Ask for an instance's end, and wait for the answer."""
        return await self._ask(Kind.TERMINATE, TerminateAsked(instance, deadline_s))

    async def _ask(self, kind: Kind, event: LaunchAsked | TerminateAsked) -> Answer:
        key = (kind, event.instance)
        if key not in self._asked:
            answer = asyncio.get_running_loop().create_future()
            caller = trace.get_current_span().get_span_context()
            self._asked[key] = Asked(answer, caller)
        waiting = self._asked[key]
        self.tell(event)
        # Whoever gives up takes the answer away from nobody else.
        return await asyncio.shield(waiting.answer)

    def _obey(self, command: Command) -> None:
        match command:
            case Check(work):
                if command.renews:
                    self._note_renewal(work)
                self._begin(
                    self._check(command), Checked(work, Store.UNKNOWN, Reached.SILENT)
                )
            case Run(work) if work.kind is Kind.LAUNCH:
                self._begin(
                    self._launch(command), Ran(work, Store.UNKNOWN, Reached.SILENT)
                )
            case Run(work):
                self._begin(
                    self._terminate(command), Ran(work, Store.UNKNOWN, Reached.SILENT)
                )
            case Abandon():
                self._abandon()
            case Answer(instance, kind=kind):
                waiting = self._asked.pop((kind, instance), None)
                if waiting:
                    waiting.answer.set_result(command)

    def _begin(
        self, work: Coroutine[None, None, Checked | Ran], otherwise: Checked | Ran
    ) -> None:
        task = asyncio.create_task(self._finish(work, otherwise))
        self._working.add(task)
        task.add_done_callback(self._working.discard)

    async def _finish(
        self, work: Coroutine[None, None, Checked | Ran], otherwise: Checked | Ran
    ) -> None:
        try:
            event = await work
        except Exception:
            # Whatever it is: the worker must be free again, or it is lost for ever.
            self._base.telemetry.log.exception("work failed")
            event = otherwise
        self.tell(event)

    def _note_renewal(self, work: Work) -> None:
        number = self.renewals.next_sequence
        waited_s = work.started_s - work.wanted_s
        self.renewals.add(Renewal(number, work.wanted_s, waited_s))

    def _abandon(self) -> None:
        for task in self._working:
            task.cancel()

    async def _check(self, command: Check) -> Checked:
        work, droplet = command.work, command.droplet
        with self._span("state check", work, droplet) as span:
            store = await self._write_lease(command)
            _note_store(span, store)
            if isinstance(store, Row) or not (store is Store.WRITTEN or command.renews):
                return Checked(work, store, Reached.SILENT)
            answer, instances = await self._droplets.check(droplet.name, work.term)
            _note_droplet(span, answer)
            if store is Store.WRITTEN:
                await self._rest_of(work)
            return Checked(work, store, answer, instances)

    async def _write_lease(self, command: Check) -> Store | Row:
        work, name = command.work, command.droplet.name
        faults = self._base.faults
        try:
            lose_reply = await faults.reach("dwfm.state_check", droplet=name)
        except InjectedError:
            return Store.AWAY
        store = await self._rows.take_lease(
            name, work.term, command.until_s, work.version
        )
        return Store.UNKNOWN if lose_reply and store is Store.WRITTEN else store

    async def _launch(self, command: Run) -> Ran:
        work, droplet, instance = command.work, command.droplet, _instance_of(command)
        with self._span("launch", work, droplet) as span:
            try:
                lose_reply = await self._base.faults.reach(
                    "dwfm.launch", droplet=droplet.name
                )
            except InjectedError:
                return Ran(work, Store.AWAY, Reached.SILENT)
            noted = await self._rows.note_instance(instance, droplet.name)
            if not isinstance(noted, Store):
                return Ran(work, Store.WRITTEN, Reached.SILENT, found=noted)
            _note_store(span, noted)
            if noted is not Store.WRITTEN:
                return Ran(work, noted, Reached.SILENT)
            answer = await self._droplets.launch(droplet.name, work.term, instance)
            _note_droplet(span, answer)
            await self._rest_of(work)
            return Ran(work, noted, Reached.SILENT if lose_reply else answer)

    async def _terminate(self, command: Run) -> Ran:
        """End an instance, then forget it: a row without one harms nobody."""
        work, droplet, instance = command.work, command.droplet, _instance_of(command)
        with self._span("terminate", work, droplet) as span:
            try:
                lose_reply = await self._base.faults.reach(
                    "dwfm.terminate", droplet=droplet.name
                )
            except InjectedError:
                return Ran(work, Store.WRITTEN, Reached.SILENT)
            answer = await self._droplets.terminate(droplet.name, work.term, instance)
            _note_droplet(span, answer)
            answer = Reached.SILENT if lose_reply else answer
            if answer is not Reached.OBEYED:
                return Ran(work, Store.WRITTEN, answer)
            store = await self._rows.forget_instance(instance)
            _note_store(span, store)
            if store is Store.WRITTEN:
                await self._rest_of(work)
            return Ran(work, store, answer)

    async def _rest_of(self, work: Work) -> None:
        """Take as long as work takes: the real one is more than two calls. Inferred."""
        share = self._base.chance.uniform(1 - JITTER, 1 + JITTER)
        whole_s = self.settings.service_s * share
        clock = self._base.clock
        passed_s = max(0.0, clock.now_s() - work.started_s)  # it may be set back
        await clock.sleep_s(max(0.0, whole_s - passed_s))

    def _span(
        self, name: str, work: Work, droplet: Droplet
    ) -> AbstractContextManager[trace.Span]:
        """Open the span of work: in its customer's trace, or one of its own."""
        parent = Context()
        facts: dict[str, str | float] = {
            attributes.AZ: self.settings.az,
            attributes.DROPLET: droplet.name,
            attributes.LEASE_TERM: work.term,
            attributes.WORK_WAIT_S: round(work.started_s - work.wanted_s, 3),
        }
        if work.instance:
            facts[attributes.INSTANCE] = work.instance
            asked = self._asked.get((work.kind, work.instance))
            if asked:
                caller = trace.NonRecordingSpan(asked.caller)
                parent = trace.set_span_in_context(caller, parent)
        return self._base.telemetry.tracer.start_as_current_span(
            name, parent, attributes=facts
        )

    def _say_why_time_stopped(self, task: asyncio.Task[None]) -> None:
        error = None if task.cancelled() else task.exception()
        if error:
            self._base.telemetry.log.error("time stands still", exc_info=error)


def _instance_of(command: Run) -> InstanceId:
    if command.work.instance is None:
        raise AssertionError("what is run is a launch or a termination")
    return command.work.instance


def _note_store(span: trace.Span, store: Store | Row) -> None:
    """Say on the span what DynamoDB said; red, unless it did what was asked."""
    said = f"held by {store.holder}" if isinstance(store, Row) else store.value
    span.set_attribute(attributes.STORE_OUTCOME, said)
    if store is not Store.WRITTEN:
        span.set_status(trace.StatusCode.ERROR, f"DynamoDB: {said}")


def _note_droplet(span: trace.Span, answer: Reached | Stale) -> None:
    if isinstance(answer, Stale):
        why = f"the droplet has seen term {answer.current}"
        span.set_status(trace.StatusCode.ERROR, why)
    elif answer is Reached.SILENT:
        span.set_status(trace.StatusCode.ERROR, "the droplet did not do it")
