"""Whatever is lost, late or in another order: trust, places and counts hold.

Work is performed in steps (DynamoDB's row, the droplet, the reply), and the steps of
everything in flight come in any order, with whatever may go wrong in between.
"""

from dataclasses import asdict, dataclass

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from dwfm.core import step
from dwfm.host import Host
from dwfm.model import (
    NEVER,
    Abandon,
    Answer,
    Check,
    Checked,
    Drained,
    DropletName,
    Event,
    HostName,
    InstanceId,
    Kind,
    LaunchAsked,
    Limits,
    Ran,
    Reached,
    Restarted,
    Row,
    Run,
    Stale,
    Store,
    Term,
    TerminateAsked,
    Throttled,
    Tick,
)
from dwfm.safeguards import Safeguards
from tests.unit.dwfm.fleets import START_S, A, World, droplets_of

B = HostName("dwfm-b")
LIMITS = Limits(workers=3)
DROPLETS = 3
SLOTS = 2
TOKENS = [InstanceId(f"i-{n}") for n in range(5)]

Step = tuple[Store | None, bool, bool]
STEPS = st.sampled_from(
    [(None, True, False)] * 12
    + [(None, False, True), (None, True, True)]
    + [(Store.AWAY, False, False)]
    + [(Store.UNKNOWN, True, True), (Store.UNKNOWN, False, True)]
)
"""What DynamoDB fails with, whether the effect happens, whether the droplet is silent:
mostly all goes well, or nothing would ever be leased."""

OPERATIONS = st.sampled_from(
    [Throttled(None), Throttled(0.05), Restarted(), Drained(True), Drained(False)]
)
SWITCHES = st.builds(Safeguards, *(st.booleans() for _ in range(5)))
SECONDS = st.sampled_from([1.0, 3.0, 8.0, 29.0, 31.0, 100.0, 301.0, 700.0])


@dataclass(eq=False)
class Flight:
    """A piece of work that a worker does, and what came of its steps so far."""

    command: Check | Run
    store: Store | Row | None = None
    found: object = None
    droplet: Reached | Stale = Reached.SILENT
    here: frozenset[InstanceId] | None = None
    is_over: bool = False


class AnyOrder(RuleBasedStateMachine):
    """One host whose work goes on in any order."""

    @initialize(safeguards=SWITCHES)
    def begin(self, safeguards: Safeguards) -> None:
        self.world = World()
        self.now_s = START_S
        self.start(safeguards)
        self.now_s += LIMITS.check_interval_s
        self.tell(Tick())
        while self.flights:
            self.go_on(self.flights[0], None, lands=True, silent=False)

    def start(self, safeguards: Safeguards) -> None:
        self.flights: list[Flight] = []
        self.asked = dict.fromkeys([Kind.LAUNCH, Kind.TERMINATE], frozenset[str]())
        self.confirmed_s: dict[str, float] = {}
        fleet = droplets_of(DROPLETS, slots=SLOTS, longest_s=900.0)
        self.host = Host(A, LIMITS, safeguards, fleet, self.now_s)
        self.adopted = 0

    def tell(self, event: Event) -> None:
        known = set(self.host.instances)
        launched = self.host.counts.launched
        for command in step(self.host, event, self.now_s):
            match command:
                case Check() | Run():
                    self.flights.append(Flight(command))
                case Abandon():
                    self.flights.clear()
                case Answer(instance, kind=kind):
                    self.asked[kind] -= {instance}
        if isinstance(event, Checked):
            assert self.host.counts.launched == launched
            self.adopted += len(set(self.host.instances) - known)

    # --- Time, customers, operators ---

    @rule(seconds=SECONDS)
    def time_passes(self, seconds: float) -> None:
        self.now_s += seconds
        self.tell(Tick())

    @rule(tokens=st.lists(st.sampled_from(TOKENS), min_size=1), patience_s=SECONDS)
    def launches_are_asked(self, tokens: list[InstanceId], patience_s: float) -> None:
        for token in tokens:
            self.asked[Kind.LAUNCH] |= {token}
            self.tell(LaunchAsked(token, self.now_s + patience_s))

    @rule(token=st.sampled_from(TOKENS), patience_s=SECONDS)
    def an_end_is_asked(self, token: InstanceId, patience_s: float) -> None:
        self.asked[Kind.TERMINATE] |= {token}
        self.tell(TerminateAsked(token, self.now_s + patience_s))

    @rule(event=OPERATIONS)
    def an_operator_acts(self, event: Event) -> None:
        self.tell(event)

    @rule(safeguards=SWITCHES)
    def safeguards_are_switched(self, safeguards: Safeguards) -> None:
        self.host.safeguards = safeguards

    @rule(data=st.data())
    def something_rare_happens(self, data: st.DataObject) -> None:
        what = data.draw(st.sampled_from(["clock", "kill", "rival"]))
        if what == "clock":
            self.now_s += data.draw(st.sampled_from([-600.0, 600.0]))
            self.tell(Tick())
        elif what == "kill":
            self.start(data.draw(SWITCHES))
            for name, row in self.world.rows.items():
                self.host.know(self.host.droplets[name], row)
        else:
            self.a_rival_takes(data.draw(st.sampled_from(list(self.host.droplets))))

    def a_rival_takes(self, name: DropletName) -> None:
        """Another host has the lease, its term shown to the droplet."""
        row = self.world.rows.get(name, Row(B, Term(0), 0.0, 0))
        term = Term(max(row.term, self.world.terms.get(name, Term(0))) + 1)
        self.world.rows[name] = Row(B, term, self.now_s + 400.0, row.version + 1)
        self.world.terms[name] = term

    # --- What is in flight ---

    @rule(data=st.data(), steps=st.lists(STEPS, min_size=1, max_size=9))
    def work_goes_on(self, data: st.DataObject, steps: list[Step]) -> None:
        """Steps of some work: an effect may happen or not, its reply be lost."""
        for each in steps:
            if not self.flights:
                return
            number = data.draw(st.integers(0, len(self.flights) - 1))
            self.go_on(self.flights[number], *each)

    def go_on(
        self, flight: Flight, failure: Store | None, lands: bool, silent: bool
    ) -> None:
        if flight.is_over:
            self.reply(flight)
        elif isinstance(flight.command, Check):
            self.check(flight, flight.command, failure, lands, silent)
        elif flight.command.work.kind is Kind.LAUNCH:
            self.launch(flight, flight.command, failure, lands, silent)
        else:
            self.terminate(flight, flight.command, failure, lands, silent)

    def check(
        self,
        flight: Flight,
        command: Check,
        failure: Store | None,
        lands: bool,
        silent: bool,
    ) -> None:
        if flight.store is None:
            flight.store = failure
            if failure is None or (failure is Store.UNKNOWN and lands):
                wrote = self.world.write_lease(command, A)
                flight.store = failure or wrote
            goes_on = flight.store is Store.WRITTEN or command.renews
            flight.is_over = isinstance(flight.store, Row) or not goes_on
            return
        name = command.droplet.name
        answer = self.world.show(name, command.work.term)
        if not silent:
            flight.droplet = answer
            if answer is Reached.OBEYED:
                flight.here = frozenset(self.world.on(name))
        flight.is_over = True

    def launch(
        self,
        flight: Flight,
        command: Run,
        failure: Store | None,
        lands: bool,
        silent: bool,
    ) -> None:
        name, instance = command.droplet.name, command.work.instance
        assert instance
        if flight.store is None:
            flight.store = failure or Store.WRITTEN
            if failure is None or (failure is Store.UNKNOWN and lands):
                noted = self.world.note_instance(instance, name)
                if failure is None and not isinstance(noted, Store):
                    flight.found = noted
            flight.is_over = bool(failure or flight.found)
            return
        if lands:
            answer = self.world.show(name, command.work.term)
            if answer is Reached.OBEYED:
                self.world.on(name).add(instance)
            if not silent:
                flight.droplet = answer
        flight.is_over = True

    def terminate(
        self,
        flight: Flight,
        command: Run,
        failure: Store | None,
        lands: bool,
        silent: bool,
    ) -> None:
        name, instance = command.droplet.name, command.work.instance
        assert instance
        if flight.droplet is Reached.SILENT:
            if lands:
                answer = self.world.show(name, command.work.term)
                if answer is Reached.OBEYED:
                    self.world.on(name).discard(instance)
                if not silent:
                    flight.droplet = answer
            flight.store = Store.WRITTEN
            flight.is_over = flight.droplet is not Reached.OBEYED
            return
        if failure is None or (failure is Store.UNKNOWN and lands):
            self.world.forget_instance(instance)
        flight.store = failure or Store.WRITTEN
        flight.is_over = True

    def reply(self, flight: Flight) -> None:
        self.flights.remove(flight)
        work, store = flight.command.work, flight.store
        assert store is not None
        if isinstance(flight.command, Check):
            if flight.droplet is Reached.OBEYED:
                droplet = flight.command.droplet
                until_s = work.started_s + droplet.lease_ttl_s - LIMITS.margin_s
                most_s = max(self.confirmed_s.get(droplet.name, -NEVER), until_s)
                self.confirmed_s[droplet.name] = most_s
            self.tell(Checked(work, store, flight.droplet, flight.here))
        else:
            assert isinstance(store, Store)
            self.tell(Ran(work, store, flight.droplet, flight.found))  # type: ignore[arg-type]

    # --- What always holds ---

    @invariant()
    def no_lease_is_trusted_beyond_what_its_droplet_confirmed(self) -> None:
        for droplet in self.host.droplets.values():
            if droplet.leased:
                assert droplet.until_s <= self.confirmed_s[droplet.name]

    @invariant()
    def an_end_of_trust_is_looked_for(self) -> None:
        for droplet in self.host.droplets.values():
            if droplet.leased:
                assert droplet.ends_s <= droplet.until_s
                assert (droplet.ends_s, droplet) in [
                    (at, each) for at, _, each in self.host.lease_ends
                ]

    @invariant()
    def each_droplet_is_at_one_place(self) -> None:
        host = self.host
        for droplet in host.droplets.values():
            places = [
                droplet.due_s < NEVER,
                droplet.attempt is not None,
                *(each is droplet for each in host.overdue),
                *(each is droplet for each in host.parked),
            ]
            assert places.count(True) == 1, (droplet, places)
            if droplet.attempt:
                assert droplet.attempt in host.attempts
            if droplet.due_s < NEVER:
                due = [at for at, _, each in host.due if each is droplet]
                assert droplet.due_s in due

    @invariant()
    def counts_add_up(self) -> None:
        counts, host = self.host.counts, self.host
        refused = counts.refused_capacity + counts.refused_limit
        over = counts.launched + refused + counts.failed
        assert counts.launches_asked == over + len(host.launching), asdict(counts)
        running = counts.launched - counts.terminated + self.adopted
        assert len(host.instances) == running
        assert host.leases == sum(d.leased for d in host.droplets.values())
        assert len(host.queue) >= 0

    @invariant()
    def candidates_have_a_lease_and_room(self) -> None:
        host = self.host
        for droplet in host.droplets.values():
            is_candidate = droplet.leased and droplet.room > 0
            assert (droplet in host.candidates) == is_candidate
            assert droplet.starting >= 0
            if is_candidate:
                assert host.candidates[droplet.place] is droplet

    @invariant()
    def an_instance_runs_once(self) -> None:
        for token in TOKENS:
            assert len(self.world.runs_on(token)) <= 1, token

    @invariant()
    def whoever_waits_is_waited_for(self) -> None:
        """Nobody waits for an answer that never comes."""
        assert self.asked[Kind.LAUNCH] == frozenset(self.host.launching)
        assert self.asked[Kind.TERMINATE] == frozenset(self.host.ending)

    @invariant()
    def workers_are_neither_idle_nor_too_many(self) -> None:
        host = self.host
        assert len(host.running) <= LIMITS.workers
        assert {f.command.work for f in self.flights} == host.running
        if len(host.queue):
            assert len(host.running) == LIMITS.workers


TestAnyOrder = AnyOrder.TestCase
TestAnyOrder.settings = settings(max_examples=60, stateful_step_count=50, deadline=None)
