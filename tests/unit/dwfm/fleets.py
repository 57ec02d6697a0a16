"""A host and its fleet under virtual time: DynamoDB is a dictionary, so are droplets.

Work takes exactly as long as it takes on average, and nothing is random: what a test
sees follows from the queue alone.
"""

import heapq
import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

from dwfm.core import step
from dwfm.host import Host
from dwfm.model import (
    Abandon,
    Answer,
    Check,
    Checked,
    Droplet,
    DropletName,
    Event,
    HostName,
    InstanceId,
    Kind,
    LaunchAsked,
    Limits,
    Outcome,
    Ran,
    Reached,
    Row,
    Run,
    Stale,
    Store,
    Term,
    TerminateAsked,
    Tick,
    Work,
)
from dwfm.safeguards import BUGGY, FIXED, Safeguards

START_S = 1_000_000.0
TICK_S = 1.0
AWAY_S = 0.1
"""How long it takes to notice that DynamoDB is away."""

A = HostName("dwfm-a")
LIMITS = Limits(workers=5)
"""Two thirds of a check a second: within a timeout 20 of them, in an interval 200."""

FLEET = 100
"""Droplets: half of the capacity, and five times what is served within a timeout."""


def only(name: str) -> Safeguards:
    """DWFM as it failed, but for one safeguard."""
    return replace(BUGGY, **{name: True})


def without(name: str) -> Safeguards:
    """The hardened DWFM, but for one safeguard."""
    return replace(FIXED, **{name: False})


def name_of(number: int) -> DropletName:
    return DropletName(f"droplet-a-{number:04d}")


def droplets_of(
    count: int,
    *,
    slots: int = 8,
    shortest_s: float = 600.0,
    longest_s: float = 9_360.0,
    interval_s: float = 300.0,
) -> list[Droplet]:
    spread_s = (longest_s - shortest_s) / max(1, count - 1)
    return [
        Droplet(
            name_of(n),
            slots,
            shortest_s + n * spread_s,
            phase_s=START_S % interval_s + n * interval_s / count,
        )
        for n in range(count)
    ]


@dataclass
class World:
    """What hosts act upon. A droplet obeys the highest term that it has seen."""

    rows: dict[DropletName, Row] = field(default_factory=dict)
    places: dict[InstanceId, DropletName] = field(default_factory=dict)
    terms: dict[DropletName, Term] = field(default_factory=dict)
    running: dict[DropletName, set[InstanceId]] = field(default_factory=dict)
    silent: set[DropletName] = field(default_factory=set)
    is_away: bool = False

    def write_lease(self, command: Check, holder: HostName) -> Store | Row:
        if self.is_away:
            return Store.AWAY
        name, work = command.droplet.name, command.work
        found = self.rows.get(name, Row(HostName(""), Term(0), 0.0, 0))
        if found.version != work.version:
            return found
        self.rows[name] = Row(holder, work.term, command.until_s, work.version + 1)
        return Store.WRITTEN

    def note_instance(
        self, instance: InstanceId, name: DropletName
    ) -> Store | DropletName:
        if self.is_away:
            return Store.AWAY
        found = self.places.setdefault(instance, name)
        return Store.WRITTEN if found == name else found

    def forget_instance(self, instance: InstanceId) -> Store:
        if self.is_away:
            return Store.AWAY
        self.places.pop(instance, None)
        return Store.WRITTEN

    def show(self, name: DropletName, term: Term) -> Reached | Stale:
        """What a droplet says to a term, before it does anything."""
        if name in self.silent:
            return Reached.SILENT
        seen = self.terms.get(name, Term(0))
        if term < seen:
            return Stale(seen)
        self.terms[name] = term
        return Reached.OBEYED

    def on(self, name: DropletName) -> set[InstanceId]:
        return self.running.setdefault(name, set())

    def runs_on(self, instance: InstanceId) -> list[DropletName]:
        return [name for name, here in self.running.items() if instance in here]


@dataclass
class Fleet:
    """One host in its world, and the time."""

    safeguards: Safeguards = FIXED
    droplets: Sequence[Droplet] = field(default_factory=lambda: droplets_of(FLEET))
    limits: Limits = LIMITS
    world: World = field(default_factory=World)
    name: HostName = A
    now_s: float = START_S
    service_s: float | None = None
    """How long work takes; as long as it should, unless told otherwise."""
    commands: list[tuple[float, Check | Run]] = field(default_factory=list)
    answers: list[tuple[float, Answer]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.host = Host(
            self.name, self.limits, self.safeguards, self.droplets, self.now_s
        )
        self._later: list[tuple[float, int, Callable[[], None]]] = []
        self._order = itertools.count()
        self._life = 0

    def at(self, at_s: float, do: Callable[[], None]) -> None:
        heapq.heappush(self._later, (at_s, next(self._order), do))

    def run(self, seconds: float) -> None:
        """Let time pass: what is due happens, and the host looks at the clock."""
        end_s = self.now_s + seconds
        while self.now_s < end_s:
            tick_s = min(self.now_s + TICK_S, end_s)
            while self._later and self._later[0][0] <= tick_s:
                self.now_s, _, do = heapq.heappop(self._later)
                do()
            self.now_s = tick_s
            self.tell(Tick())

    def run_until(self, holds: Callable[[], bool], at_most_s: float = 1_000.0) -> None:
        """Let time pass until a condition holds."""
        end_s = self.now_s + at_most_s
        while not holds():
            assert self.now_s < end_s, "it never came"
            self.run(TICK_S)

    def run_until_leased(self, count: int, at_most_s: float) -> float:
        """Let time pass until so many leases are held; returns how long it took."""
        began_s = self.now_s
        while self.host.leases < count and self.now_s < began_s + at_most_s:
            self.run(TICK_S)
        return self.now_s - began_s

    def steady(self) -> None:
        """Begin, until every lease is held."""
        self.run_until_leased(len(self.droplets), 2 * self.limits.check_interval_s)
        assert self.host.leases == len(self.droplets)

    def launch(self, token: str, patience_s: float = 60.0) -> Answer | None:
        """Ask for an instance; returns the answer, if there is one at once."""
        return self._ask(LaunchAsked(InstanceId(token), self.now_s + patience_s))

    def terminate(self, token: str, patience_s: float = 60.0) -> Answer | None:
        return self._ask(TerminateAsked(InstanceId(token), self.now_s + patience_s))

    def _ask(self, event: LaunchAsked | TerminateAsked) -> Answer | None:
        told = len(self.answers)
        self.tell(event)
        mine = [a for _, a in self.answers[told:] if a.instance == event.instance]
        return mine[0] if mine else None

    def outcome_of(self, token: str, kind: Kind = Kind.LAUNCH) -> Outcome | None:
        """The last thing that was answered about an instance."""
        about = [a for _, a in self.answers if (a.instance, a.kind) == (token, kind)]
        return about[-1].outcome if about else None

    def tell(self, event: Event) -> None:
        for command in step(self.host, event, self.now_s):
            match command:
                case Check() | Run():
                    self.commands.append((self.now_s, command))
                    self._perform(command)
                case Abandon():
                    self._life += 1
                case Answer():
                    self.answers.append((self.now_s, command))

    def _perform(self, command: Check | Run) -> None:
        event = (
            self._check(command) if isinstance(command, Check) else self._run(command)
        )
        usual_s = self.service_s or self.limits.service_s
        took_s = usual_s if event.store is Store.WRITTEN else AWAY_S
        life = self._life

        def done() -> None:
            if life == self._life:
                self.tell(event)

        self.at(self.now_s + took_s, done)

    def _check(self, command: Check) -> Checked:
        work, name = command.work, command.droplet.name
        store = self.world.write_lease(command, self.name)
        if isinstance(store, Row) or not (store is Store.WRITTEN or command.renews):
            return Checked(work, store, Reached.SILENT)
        answer = self.world.show(name, work.term)
        here = frozenset(self.world.on(name)) if answer is Reached.OBEYED else None
        return Checked(work, store, answer, here)

    def _run(self, command: Run) -> Ran:
        work, name, instance = command.work, command.droplet.name, command.work.instance
        assert instance
        if work.kind is Kind.TERMINATE:
            answer = self.world.show(name, work.term)
            if answer is not Reached.OBEYED:
                return Ran(work, Store.WRITTEN, answer)
            self.world.on(name).discard(instance)
            return Ran(work, self.world.forget_instance(instance), answer)
        noted = self.world.note_instance(instance, name)
        if not isinstance(noted, Store):
            return Ran(work, Store.WRITTEN, Reached.SILENT, found=noted)
        if noted is not Store.WRITTEN:
            return Ran(work, noted, Reached.SILENT)
        answer = self.world.show(name, work.term)
        if answer is Reached.OBEYED:
            self.world.on(name).add(instance)
        return Ran(work, noted, answer)

    def checks_of(self, droplet: Droplet) -> list[Work]:
        """Every check of a droplet that a worker began."""
        return [
            command.work
            for _, command in self.commands
            if isinstance(command, Check) and command.droplet is droplet
        ]


FEW = Limits(workers=2)
"""Enough for a few droplets; two are held by two of them."""


def leased(droplets: int = 2, slots: int = 2) -> Fleet:
    fleet = Fleet(FIXED, droplets_of(droplets, slots=slots), FEW)
    fleet.steady()
    fleet.run(60.0)
    return fleet


def account(fleet: Fleet) -> None:
    """Every launch that was asked for is in one place."""
    counts, host = fleet.host.counts, fleet.host
    refused = counts.refused_capacity + counts.refused_limit
    over = counts.launched + refused + counts.failed
    assert counts.launches_asked == over + len(host.launching)
    assert len(host.instances) == counts.launched - counts.terminated
