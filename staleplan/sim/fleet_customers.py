"""Customers of one AZ under virtual time: they launch, keep, and end instances.

When they come, how long they stay and how often they try is what the live customers
do too (`staleplan.world.launches.core`); here are only their state and their turns.
"""

import random
from collections import Counter, deque
from collections.abc import Callable

from dwfm.model import (
    Answer,
    DropletName,
    Event,
    InstanceId,
    LaunchAsked,
    TerminateAsked,
)
from dwfm.model import Outcome as Told
from staleplan.world.launches.core import (
    Outcome,
    gap_s,
    is_worth_retrying,
    lifetime_s,
    pause_s,
)

LIFETIME_S = 2400.0
"""How long an instance is kept on average, incident seconds: as the live customers."""

CALL_TIMEOUT_S = 60.0
"""Deadline of each attempt, incident seconds: as the live customers."""

MEANING = {
    Told.RUNNING: Outcome.LAUNCHED,
    Told.TERMINATED: Outcome.FAILED,
    Told.INSUFFICIENT_CAPACITY: Outcome.INSUFFICIENT_CAPACITY,
    Told.REQUEST_LIMIT_EXCEEDED: Outcome.REQUEST_LIMIT_EXCEEDED,
    Told.DRAINING: Outcome.UNAVAILABLE,
    Told.STORE_AWAY: Outcome.UNAVAILABLE,
    Told.DROPLET_FAILED: Outcome.UNAVAILABLE,
    Told.NO_LEASE: Outcome.UNAVAILABLE,
    Told.EXPIRED: Outcome.DEADLINE_EXCEEDED,
    Told.RESTARTED: Outcome.UNAVAILABLE,
    Told.UNKNOWN: Outcome.UNAVAILABLE,
}
"""What a launch's customer makes of an answer; the last cannot be one to a launch."""


class Instance:
    """An instance that a customer wants, has, or ends.

    `placed`: its row in DynamoDB; `runs`: on how many droplets; `kept`: its customer
    knows that it runs; `waits_until_s`: deadline of the attempt under way, or 0.
    """

    __slots__ = ("attempts", "ending", "id", "kept", "placed", "runs", "waits_until_s")

    def __init__(self, name: InstanceId) -> None:
        self.id = name
        self.attempts = 0
        self.ending = False
        self.kept = False
        self.placed: DropletName | None = None
        self.runs = 0
        self.waits_until_s = 0.0


class Customers:
    """All customers of one AZ.

    `tell`: tells DWFM what they ask for. `later`: brings an instance, or `None` for
    the next arrival, back to `turn` at a time.
    """

    def __init__(
        self,
        chance: random.Random,
        tell: Callable[[Event, float], None],
        later: Callable[[float, Instance | None], None],
    ) -> None:
        self.outcomes: Counter[Outcome] = Counter()
        """Launches that ended, well or not."""
        self.arrived = 0
        self.ends_asked = 0
        """Instances that their customers wanted to end, each once."""
        self.terminated = 0
        self._draw = chance.random
        self._tell = tell
        self._later = later
        self._per_s = 0.0
        self._next_s = 0.0
        self.instances: dict[InstanceId, Instance] = {}
        self._waiting: deque[tuple[float, Instance]] = deque()

    def begin(self, name: InstanceId, now_s: float) -> Instance:
        """Make an instance that has run for long when the run begins."""
        instance = self.instances[name] = Instance(name)
        instance.kept = True
        self._later(now_s + lifetime_s(LIFETIME_S, self._draw()), instance)
        return instance

    def set_arrivals(self, per_s: float, now_s: float) -> None:
        """Let launches arrive at a rate from now on: chance has no memory."""
        self._per_s = per_s
        self._next_s = now_s + gap_s(per_s, self._draw())
        if per_s:
            self._later(self._next_s, None)

    def find(self, name: InstanceId) -> Instance:
        """Find an instance; that of a customer who has gone is known no more."""
        found = self.instances.get(name)
        if found is None:
            found = self.instances[name] = Instance(name)
        return found

    def turn(self, instance: Instance | None, now_s: float) -> None:
        """Do what was put off until now."""
        if instance is None:
            self._arrive(now_s)
            return
        if instance.kept and not instance.ending:
            instance.ending = True
            self.ends_asked += 1
        self._ask(instance, now_s)

    def hear(self, answer: Answer, now_s: float) -> None:
        """Take an answer; of no use to who waits no more."""
        instance = self.instances.get(answer.instance)
        if instance is None or not instance.waits_until_s:
            return
        instance.waits_until_s = 0.0
        if instance.ending:
            if answer.outcome is Told.TERMINATED:
                self.terminated += 1
                del self.instances[instance.id]
                return
        elif answer.outcome is Told.RUNNING:
            self.outcomes[Outcome.LAUNCHED] += 1
            instance.kept = True
            instance.attempts = 0
            self._later(now_s + lifetime_s(LIFETIME_S, self._draw()), instance)
            return
        self._fail(instance, MEANING[answer.outcome], now_s, answer.retry_after_s)

    def lose_patience(self, now_s: float) -> None:
        """Let those go whose attempt has had no answer for too long."""
        waiting = self._waiting
        while waiting and waiting[0][0] <= now_s:
            deadline_s, instance = waiting.popleft()
            if instance.waits_until_s == deadline_s:
                instance.waits_until_s = 0.0
                self._fail(instance, Outcome.DEADLINE_EXCEEDED, now_s, None)

    def forget(self, instance: Instance) -> None:
        """Forget an instance that has ended and that nobody wants."""
        if not (instance.kept or instance.attempts):
            self.instances.pop(instance.id, None)

    @property
    def trying(self) -> int:
        """Launches that have arrived and not ended."""
        return self.arrived - self.outcomes.total()

    def _arrive(self, now_s: float) -> None:
        if now_s != self._next_s:
            return
        self._next_s = now_s + gap_s(self._per_s, self._draw())
        self._later(self._next_s, None)
        self.arrived += 1
        name = InstanceId(f"i-{self.arrived:x}")
        instance = self.instances[name] = Instance(name)
        self._ask(instance, now_s)

    def _ask(self, instance: Instance, now_s: float) -> None:
        instance.attempts += 1
        deadline_s = now_s + CALL_TIMEOUT_S
        instance.waits_until_s = deadline_s
        if instance.ending:
            self._tell(TerminateAsked(instance.id, deadline_s), now_s)
        else:
            self._tell(LaunchAsked(instance.id, deadline_s), now_s)
        if instance.waits_until_s:
            self._waiting.append((deadline_s, instance))

    def _fail(
        self,
        instance: Instance,
        outcome: Outcome,
        now_s: float,
        retry_after_s: float | None,
    ) -> None:
        """Try again after a pause, or give up; an end is wanted again much later."""
        if is_worth_retrying(outcome, instance.attempts):
            pause = pause_s(instance.attempts, self._draw(), retry_after_s or 0.0)
            self._later(now_s + pause, instance)
            return
        instance.attempts = 0
        if instance.ending:
            self._later(now_s + lifetime_s(LIFETIME_S, self._draw()), instance)
            return
        self.outcomes[outcome] += 1
        if instance.placed is None and not instance.runs:
            del self.instances[instance.id]
