"""What properties of the fleet judge: a run, as looks at it from outside.

The simulation and live runs leave the same behind, and nothing in it tells the mode.
"""

from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate

from staleplan.spec.property import Violation

ENOUGH_WORK = 1_000
"""Pieces of work that all workers could do in a long window.

A share of so many is known to within a few per cent: for 10,000 droplets one interval
between checks is more than long enough, for 16 it takes two hours.
"""

WAIT_STEP_S = 0.25
"""Width of a class of waits, seconds."""

WAIT_CLASSES = 200
"""Classes of waits; the last is for everything longer: 50 s and more."""


@dataclass(frozen=True, slots=True)
class Look:
    """What a fleet looks like at a moment. Counts are since the run began.

    Units: `at_s` is epoch seconds of incident time, other seconds incident seconds.
    """

    at_s: float
    away: bool
    """Whether DynamoDB cannot be reached: the trigger is on."""
    leases: int
    queue: int
    """Work that waits."""
    oldest_wait_s: float
    """How long the oldest of it has waited."""
    running: int
    """Instances that run."""
    leases_expired: int
    useful: int
    """Work that was finished in time."""
    late: int
    """Work that was finished when nobody waited for it any more."""
    asked: int
    """Launches and terminations that customers wanted, each once."""
    launched: int
    ended_unasked: int
    """Instances that ended though a customer had them and had not ended them."""
    waits: tuple[int, ...]
    """Renewals by how long they waited for a worker, in classes of `WAIT_STEP_S`."""

    def is_normal(self, size: "Size") -> bool:
        """Whether every lease is held, and nothing has waited for much too long.

        Work of the lowest priority whose time is up is thrown away when its turn comes.
        """
        longest_s = 3 * size.longest_deadline_s
        return self.leases == size.droplets and self.oldest_wait_s <= longest_s


@dataclass(frozen=True, slots=True)
class Size:
    """How large a fleet is. Units: incident seconds."""

    droplets: int
    capacity_per_s: float
    """Work that all workers together do in a second."""
    service_s: float
    """How long one piece of work takes a worker, on average."""
    timeout_s: float
    """After this a check is given up, waiting included."""
    check_interval_s: float
    longest_deadline_s: float
    """Nobody waits longer than this for anything."""

    @property
    def long_window_s(self) -> float:
        """A whole number of check intervals, long enough for `ENOUGH_WORK`."""
        interval_s = self.check_interval_s
        return interval_s * max(
            1, -(-ENOUGH_WORK // int(self.capacity_per_s * interval_s))
        )


@dataclass(frozen=True, slots=True)
class Action:
    """A droplet was shown a term for the first time, or refused one.

    Units: `at_s` as in `Look`.
    """

    at_s: float
    droplet: str
    term: int
    holder: str
    obeyed: bool


@dataclass(frozen=True, slots=True)
class Renewals:
    """Renewals of one host by the second in which they became due."""

    began_s: float
    capacity_per_s: float
    due: Sequence[int]


@dataclass(frozen=True, slots=True)
class FleetRun:
    """A run from when the fleet was steady: looks in order, and what hosts did.

    `trigger_ended_s`: when DynamoDB was back; `None` if it was never away.
    """

    size: Size
    looks: Sequence[Look]
    trigger_ended_s: float | None
    actions: Sequence[Action]
    renewals: Sequence[Renewals]

    def windows(self, seconds: float) -> Iterator["Window"]:
        """Cut the time in which DynamoDB was there into windows of at least so long.

        What is left over before and after an outage is no window.
        """
        first: Look | None = None
        for look in self.looks:
            if look.away:
                first = None
            elif first is None:
                first = look
            elif look.at_s - first.at_s >= seconds:
                yield Window(self.size, first, look)
                first = look


@dataclass(frozen=True, slots=True)
class Window:
    """What a fleet did between two looks."""

    size: Size
    before: Look
    after: Look

    @property
    def seconds(self) -> float:
        """How long the window is."""
        return self.after.at_s - self.before.at_s

    @property
    def possible(self) -> float:
        """Work that all workers could do in it."""
        return self.size.capacity_per_s * self.seconds

    @property
    def goodput(self) -> float:
        """Work finished in time, as a share of what was possible."""
        return (self.after.useful - self.before.useful) / self.possible

    @property
    def offered(self) -> float:
        """Work wanted, as a share of what was possible.

        Renewals whose turn came, leases that were missing, and what customers wanted.
        """
        renewals = sum(self.after.waits) - sum(self.before.waits)
        missing = self.size.droplets - self.before.leases
        return (renewals + missing + self.after.asked - self.before.asked) / (
            self.possible
        )

    @property
    def late_share(self) -> float:
        """Work finished late, as a share of all that was finished."""
        late = self.after.late - self.before.late
        finished = late + self.after.useful - self.before.useful
        return late / finished if finished else 0.0

    def wait_s(self, share: float) -> float:
        """Say within what time such a share of the renewals got a worker."""
        waits = [
            b - a for a, b in zip(self.before.waits, self.after.waits, strict=True)
        ]
        within = bisect_left(list(accumulate(waits)), share * sum(waits))
        return (within + 1) * WAIT_STEP_S


@dataclass(frozen=True, slots=True)
class FleetProperty:
    """Something that must hold throughout a run; tells the first time it did not."""

    id: str
    name: str
    violation: Callable[[FleetRun], Violation | None]


def judge_fleet(
    properties: Iterable[FleetProperty], run: FleetRun
) -> dict[str, Violation | None]:
    """Find, for each property, the first violation of it."""
    return {each.id: each.violation(run) for each in properties}
