"""The nouns of DWFM: droplets and their leases, work, what happens and what to do."""

import math
from dataclasses import dataclass, field
from enum import Enum, IntEnum
from typing import NamedTuple, NewType

DropletName = NewType("DropletName", str)
"""Name of a physical server, such as `droplet-a-0001`. Source: R25."""

InstanceId = NewType("InstanceId", str)
"""Name of an instance; the customer's token makes it, so that it is launched once."""

HostName = NewType("HostName", str)
"""Who holds leases, such as `dwfm-a`. Source: R25."""

Term = NewType("Term", int)
"""Number of a lease; a droplet obeys the highest it has seen. 0: none yet."""

NEVER = math.inf
"""When something is due that is not."""


@dataclass(frozen=True, slots=True)
class Limits:
    """What a host is given. Units: incident seconds."""

    workers: int
    """Work that is done at once."""

    service_s: float = 7.5
    """How long one piece of work takes a worker, on average. Inferred."""

    timeout_s: float = 30.0
    """From wanting a check to giving it up, waiting included. Inferred (R28)."""

    check_interval_s: float = 300.0
    """From one check of a droplet to the next: a few minutes. Source: R25."""

    margin_s: float = 5.0
    """How much earlier than the row says the host stops to trust a lease."""

    probe_interval_s: float = 5.0
    """Between two tries whether DynamoDB is back. Inferred."""

    @property
    def capacity_per_s(self) -> float:
        """Work that all workers together do in a second."""
        return self.workers / self.service_s

    @property
    def queue_limit(self) -> int:
        """Longest queue whose last is served within half of the timeout.

        The other half is for renewals that overtake it, and for being served. Below
        three, a worker would idle where work comes by chance.
        """
        return max(3, int(self.capacity_per_s * self.timeout_s / 2))


class Kind(IntEnum):
    """What work is for; a lower number goes first, if renewals go first."""

    RENEW = 0
    ESTABLISH = 1
    TERMINATE = 2
    LAUNCH = 3


RENEW, ESTABLISH, TERMINATE, LAUNCH = Kind


@dataclass(slots=True, eq=False)
class Droplet:
    """One physical server, as its host sees it.

    Units: `until_s` is when the trust in the lease ends, `due_s` when the next check
    begins, incident time; `phase_s` is its slot in the interval.
    """

    name: DropletName
    slots: int
    lease_ttl_s: float
    phase_s: float
    term: Term = Term(0)
    version: int = 0
    """Of its row in DynamoDB, as last seen."""
    leased: bool = False
    until_s: float = -NEVER
    due_s: float = NEVER
    ends_s: float = NEVER
    """When it is next looked whether the lease has run out."""
    attempt: "Work | None" = None
    """The check that waits or runs and is not given up."""
    instances: set[InstanceId] = field(default_factory=set)
    leftovers: set[InstanceId] = field(default_factory=set)
    """Instances of launches that failed nobody knows how far: to be ended."""
    is_known: bool = False
    """Whether this process has heard what runs there."""
    starting: int = 0
    """Slots that launches in progress will take."""
    place: int = -1
    """Where it stands among the candidates for a launch; -1: it is none."""

    @property
    def room(self) -> int:
        """Slots that are free."""
        return self.slots - len(self.instances) - self.starting


class Work:
    """One piece of work: it waits, then a worker does it."""

    __slots__ = (
        "deadline_s",
        "droplet",
        "instance",
        "kind",
        "started_s",
        "term",
        "version",
        "wanted_s",
    )

    def __init__(
        self,
        kind: Kind,
        wanted_s: float,
        deadline_s: float,
        droplet: Droplet | None = None,
        instance: InstanceId | None = None,
    ) -> None:
        self.kind = kind
        self.wanted_s = wanted_s
        self.deadline_s = deadline_s
        self.droplet = droplet
        self.instance = instance
        self.started_s = NEVER
        self.term = Term(0)
        self.version = 0
        """Of the droplet's row, which a check expects."""


@dataclass(frozen=True, slots=True)
class Row:
    """What DynamoDB holds about a droplet. Units: `until_s` is incident time."""

    holder: HostName
    term: Term
    until_s: float
    version: int


# --- What the world answers ---------------------------------------------------------


class Store(Enum):
    """What became of a write to DynamoDB, when it was no conflict."""

    WRITTEN = "written"
    AWAY = "away"
    """Surely nothing was written."""
    UNKNOWN = "unknown"
    """The reply is missing: written or not."""


class Reached(Enum):
    """What became of a call of a droplet, when its term was not stale."""

    OBEYED = "obeyed"
    SILENT = "silent"


WRITTEN, AWAY, UNKNOWN = Store
OBEYED, SILENT = Reached
# By these names: Python 3.11 takes 0.15 us to find a member in its enum, and a
# simulated day asks ten million times.


class Stale(NamedTuple):
    """The droplet has seen a higher term: it did nothing."""

    current: Term


# --- What happens: events -----------------------------------------------------------


class Tick(NamedTuple):
    """Time has passed; at least once a second."""


class Checked(NamedTuple):
    """A check has ended: what DynamoDB said, and what the droplet."""

    work: Work
    store: Store | Row
    """A `Row` is a conflict: what was found instead."""
    droplet: Reached | Stale
    instances: frozenset[InstanceId] | None = None
    """What runs on the droplet, as it says; `None`: it does not say."""


class LaunchAsked(NamedTuple):
    """A customer wants an instance by a time."""

    instance: InstanceId
    deadline_s: float


class TerminateAsked(NamedTuple):
    """A customer wants an instance to end."""

    instance: InstanceId
    deadline_s: float


class Ran(NamedTuple):
    """A launch or a termination has ended, as `Checked` for checks.

    `found`: the droplet where an earlier attempt of the same launch was to run.
    """

    work: Work
    store: Store
    droplet: Reached | Stale
    found: DropletName | None = None


class Throttled(NamedTuple):
    """An operator limits new work per second, or lifts the limit. Source: R29."""

    per_s: float | None


class Restarted(NamedTuple):
    """An operator restarts the host: its queue is cleared. Source: R29."""


class Drained(NamedTuple):
    """An operator has launches refused, or taken again."""

    draining: bool


Event = (
    Tick
    | Checked
    | LaunchAsked
    | TerminateAsked
    | Ran
    | Throttled
    | Restarted
    | Drained
)


# --- What to do: commands -----------------------------------------------------------


class Check(NamedTuple):
    """Write the droplet's row, if it has the work's version, then show it the term.

    If DynamoDB is away, show a droplet only a term that it knows: `renews`.
    """

    work: Work
    droplet: Droplet
    until_s: float
    renews: bool


class Run(NamedTuple):
    """Write or delete the instance's row, and have the droplet start or end it."""

    work: Work
    droplet: Droplet


class Abandon(NamedTuple):
    """Stop whatever workers do: nobody waits for it."""


class Answer(NamedTuple):
    """Tell whoever asked about an instance what came of it."""

    instance: InstanceId
    outcome: "Outcome"
    droplet: DropletName | None = None
    retry_after_s: float | None = None
    kind: Kind = Kind.LAUNCH
    """What was asked for: a launch or a termination."""


class Outcome(Enum):
    """What a customer is told."""

    RUNNING = "running"
    TERMINATED = "terminated"
    INSUFFICIENT_CAPACITY = "insufficient capacity"
    """No droplet with an active lease has room. Source: R27."""
    REQUEST_LIMIT_EXCEEDED = "request limit exceeded"
    """Throttled, or the queue is full. Source: R30."""
    DRAINING = "draining"
    STORE_AWAY = "DynamoDB is away"
    DROPLET_FAILED = "the droplet did not do it"
    NO_LEASE = "no lease on the droplet"
    EXPIRED = "its time was up"
    RESTARTED = "the host was restarted"
    UNKNOWN = "no such instance"


Command = Check | Run | Abandon | Answer
