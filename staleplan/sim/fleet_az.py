"""One AZ of the fleet under virtual time: the shipped DWFM, and a world of dicts.

What is due is kept by the second, and put in order when that second comes; at its end
DWFM is told that time has passed. A call has its effect when it ends, so that others
may come between. Nothing here tells DWFM that an outage is on: its calls fail.
"""

import heapq
import itertools
import math
import random
from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import Any

from dwfm.core import step
from dwfm.host import Host
from dwfm.model import (
    AWAY,
    OBEYED,
    SILENT,
    TERMINATE,
    UNKNOWN,
    WRITTEN,
    Answer,
    Check,
    Checked,
    Droplet,
    Event,
    HostName,
    InstanceId,
    Limits,
    Ran,
    Reached,
    Row,
    Run,
    Stale,
    Store,
    Term,
    Tick,
)
from dwfm.safeguards import Safeguards
from staleplan.sim.fleet_customers import Customers, Instance
from staleplan.spec.fleet import WAIT_CLASSES, WAIT_STEP_S, Action

TICK_S = 1.0
"""How often DWFM is told that time has passed, as its driver does. Incident seconds."""

NOBODY_S = 0.5
"""What a call takes that finds nobody by DynamoDB's name, seconds. Inferred."""

SPREAD = 0.2
"""Work takes up to this share less or more than the average. Inferred."""

# What is due at a time: how a call ends, or a customer's turn.
CHECK_ENDS, RUN_ENDS, TURN = 0, 3, 6
FAILS, UNHEARD = 1, 2
"""Added to the first two: nobody was there, or the reply got lost."""

TICK = Tick()

Due = tuple[float, int, int, object]
"""When something is due, its number, what it is, and about what."""


class Body:
    """A droplet and its row in DynamoDB, as they are; DWFM may think otherwise."""

    __slots__ = ("holder", "instances", "seen", "term", "until_s", "version")

    def __init__(self, instances: Iterable[InstanceId]) -> None:
        self.instances = set(instances)
        self.seen = Term(0)
        """The highest term that it was shown."""
        self.holder = HostName("")
        self.term = Term(0)
        self.until_s = 0.0
        self.version = 0


class Az:
    """One DWFM host, its droplets and its customers.

    `late_s` is what DynamoDB takes longer than usual; `loss` how probable it is that
    a reply gets lost. The same chance gives the same `trace`.
    """

    def __init__(
        self,
        name: str,
        droplets: Sequence[Droplet],
        limits: Limits,
        safeguards: Safeguards,
        chance: random.Random,
        *,
        now_s: float,
        running: int,
        loss: float,
    ) -> None:
        self.host = Host(HostName(f"dwfm-{name}"), limits, safeguards, droplets, now_s)
        self.customers = Customers(chance, self.tell, self._give_turn)
        self.away = False
        self.late_s = 0.0
        self.actions: list[Action] = []
        self.ended_unasked = 0
        self.launched_twice = 0
        """Instances that were started on a second droplet."""
        self.began = self.running = running
        """Instances that ran at first, and that run now."""
        self.waits = [0] * WAIT_CLASSES
        self.renewals = [0]
        """Renewals that became due, by second since the run began."""
        self.trace = 0
        self._loss = loss
        self._shortest_s = limits.service_s * (1 - SPREAD)
        self._spread_s = limits.service_s * 2 * SPREAD
        self._draw = chance.random
        self._start_s = now_s
        self._tick_s = now_s
        self._seconds: defaultdict[int, list[Due]] = defaultdict(list)
        self._due: list[Due] = []
        self._order = itertools.count()
        handlers = (
            self._check_ends,
            self._check_fails,
            self._check_unheard,
            self._run_ends,
            self._run_fails,
            self._run_unheard,
            self.customers.turn,
        )
        self._handlers: Sequence[Any] = handlers
        self._bodies = {droplet: Body(()) for droplet in droplets}
        for number in range(running):
            droplet = droplets[number % len(droplets)]
            instance = self.customers.begin(InstanceId(f"i-0-{number:x}"), now_s)
            instance.placed = droplet.name
            instance.runs = 1
            self._bodies[droplet].instances.add(instance.id)

    def run_until(self, end_s: float) -> None:
        """Let virtual time pass: whole seconds, so that it ends with one."""
        due, handlers, pop = self._due, self._handlers, heapq.heappop
        while self._tick_s < end_s:
            self._tick_s = tick_s = self._tick_s + TICK_S
            self.renewals.append(0)
            due += self._seconds.pop(int(tick_s), ())
            heapq.heapify(due)
            while due:
                at_s, _, what, subject = pop(due)
                self.trace = hash((self.trace, at_s, what))
                handlers[what](subject, at_s)
            self.tell(TICK, tick_s)
            self.customers.lose_patience(tick_s)

    def tell(self, event: Event, now_s: float) -> None:
        """Tell DWFM what happened, and set about what it wants done.

        What it wants abandoned is on its way already, and cannot be called back.
        """
        for command in step(self.host, event, now_s):
            if isinstance(command, Check):
                work = command.work
                if command.renews:
                    self._note_renewal(work.wanted_s, now_s)
                self._send(CHECK_ENDS, command, now_s)
            elif isinstance(command, Answer):
                self.customers.hear(command, now_s)
            elif isinstance(command, Run):
                self._send(RUN_ENDS, command, now_s)

    def _note_renewal(self, due_s: float, now_s: float) -> None:
        """Note a renewal that has got a worker, if it takes one: there is DynamoDB."""
        if self.away:
            return
        step_no = int((now_s - due_s) / WAIT_STEP_S)
        self.waits[min(step_no, WAIT_CLASSES - 1)] += 1
        self.renewals[int(due_s - self._start_s)] += 1

    def take_over(self, count: int, holder: HostName) -> None:
        """Let another host take leases that have run out, as DynamoDB sees it."""
        now_s = self._tick_s
        over = [
            (droplet, body)
            for droplet, body in self._bodies.items()
            if body.until_s <= now_s
        ]
        for droplet, body in over[:count]:
            body.version += 1
            body.term = Term(max(body.term, body.seen) + 1)
            body.holder = holder
            body.until_s = now_s + droplet.lease_ttl_s
            self._show(droplet, body, body.term, holder, now_s)

    # --- Calls ---------------------------------------------------------------------

    def _later(self, at_s: float, what: int, subject: object) -> None:
        due = at_s, next(self._order), what, subject
        if at_s > self._tick_s:
            self._seconds[math.ceil(at_s)].append(due)
        else:
            heapq.heappush(self._due, due)

    def _give_turn(self, at_s: float, instance: Instance | None) -> None:
        self._later(at_s, TURN, instance)

    def _send(self, what: int, command: Check | Run, now_s: float) -> None:
        """Set off with a call: how long it takes, and whether it will be heard of."""
        if self.away:
            self._later(now_s + NOBODY_S, what + FAILS, command)
            return
        took_s = self._shortest_s + self._spread_s * self._draw() + self.late_s
        if took_s > self.host.limits.timeout_s:
            took_s = self.host.limits.timeout_s
            what += UNHEARD
        elif self._loss and self._draw() < self._loss:
            what += UNHEARD
        self._later(now_s + took_s, what, command)

    def _check_ends(self, check: Check, now_s: float) -> None:
        work, droplet = check.work, check.droplet
        if self.away:
            self._check_fails(check, now_s)
            return
        body = self._bodies[droplet]
        found = self._write_row(body, check)
        if found:
            self.tell(Checked(work, found, SILENT), now_s)
            return
        reached = self._show(droplet, body, work.term, self.host.name, now_s)
        runs = None if droplet.is_known else frozenset(body.instances)
        self.tell(Checked(work, WRITTEN, reached, runs), now_s)

    def _check_fails(self, check: Check, now_s: float) -> None:
        self._tell_unwritten(check, AWAY, now_s)

    def _check_unheard(self, check: Check, now_s: float) -> None:
        body = self._bodies[check.droplet]
        if not self.away:
            self._write_row(body, check)
        self._tell_unwritten(check, UNKNOWN, now_s)

    def _tell_unwritten(self, check: Check, store: Store, now_s: float) -> None:
        """Without a word from DynamoDB, a droplet is shown only a term it knows."""
        work, droplet = check.work, check.droplet
        reached: Reached | Stale = SILENT
        if check.renews:
            body = self._bodies[droplet]
            reached = self._show(droplet, body, work.term, self.host.name, now_s)
        self.tell(Checked(work, store, reached), now_s)

    def _write_row(self, body: Body, check: Check) -> Row | None:
        if body.version != check.work.version:
            return Row(body.holder, body.term, body.until_s, body.version)
        body.version += 1
        body.holder = self.host.name
        body.term = check.work.term
        body.until_s = check.until_s
        return None

    def _show(
        self, droplet: Droplet, body: Body, term: Term, holder: HostName, now_s: float
    ) -> Reached | Stale:
        """Show a droplet a term: it obeys, unless it has seen a higher one."""
        if term == body.seen:
            return OBEYED
        obeys = term > body.seen
        self.actions.append(Action(now_s, droplet.name, term, holder, obeys))
        if not obeys:
            return Stale(body.seen)
        body.seen = term
        return OBEYED

    # --- Launches and terminations -------------------------------------------------

    def _run_ends(self, run: Run, now_s: float) -> None:
        if self.away:
            self._run_fails(run, now_s)
        else:
            self._run(run, WRITTEN, now_s)

    def _run_fails(self, run: Run, now_s: float) -> None:
        self.tell(Ran(run.work, AWAY, SILENT), now_s)

    def _run_unheard(self, run: Run, now_s: float) -> None:
        if self.away:
            self._run_fails(run, now_s)
        else:
            self._run(run, UNKNOWN, now_s)

    def _run(self, run: Run, store: Store, now_s: float) -> None:
        """Write or delete the instance's row; the droplet does it if that is heard."""
        work, droplet = run.work, run.droplet
        if work.instance is None:
            return
        instance = self.customers.find(work.instance)
        ends = work.kind is TERMINATE
        if not ends and instance.placed not in {None, droplet.name}:
            ran = Ran(work, store, SILENT, instance.placed)
            self.tell(ran, now_s)
            return
        instance.placed = None if ends else droplet.name
        reached: Reached | Stale = SILENT
        if store is WRITTEN:
            body = self._bodies[droplet]
            reached = self._show(droplet, body, work.term, self.host.name, now_s)
            if reached is OBEYED:
                self._start_or_end(body, instance, ends=ends)
        self.tell(Ran(work, store, reached), now_s)

    def _start_or_end(self, body: Body, instance: Instance, *, ends: bool) -> None:
        runs = instance.id in body.instances
        if ends and runs:
            body.instances.remove(instance.id)
            self.running -= 1
            self.ended_unasked += instance.kept and not instance.ending
            self.customers.forget(instance)
            instance.runs -= 1
        elif not ends and not runs:
            body.instances.add(instance.id)
            self.running += 1
            instance.runs += 1
            self.launched_twice += instance.runs > 1
