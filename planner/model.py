"""What a planner plans with, and what it asks of the world."""

from collections.abc import Generator, Mapping
from dataclasses import dataclass

from staleplan.model import Draft, Generation, Outdated, Plan, Published, ZonePlan


@dataclass(frozen=True, slots=True)
class LoadBalancer:
    """A load balancer that plans may name.

    `pools` are the groups of endpoints that it can serve, such as `regional`.
    Units: `capacity` is a weight, 1 to 255. Source: R3.
    """

    name: str
    ipv4: str
    ipv6: str | None
    pools: frozenset[str]


@dataclass(frozen=True, slots=True)
class Reading:
    """What was last seen of a load balancer. Units: `capacity` is a weight, 0-255."""

    healthy: bool
    capacity: int


@dataclass(frozen=True, slots=True)
class Report:
    """The load balancers, and the readings that arrived: some may be missing."""

    load_balancers: tuple[LoadBalancer, ...]
    readings: Mapping[str, Reading]


@dataclass(frozen=True, slots=True)
class Shard:
    """The load balancers behind one answer set.

    `width`: how many of the pool's load balancers; 0 means all of them. Endpoints of
    one pool share capacity in overlapping shards. `index` tells shards apart.
    """

    pool: str
    width: int
    index: int


@dataclass(frozen=True, slots=True)
class Region:
    """Which endpoints there are. Shape: `zones[..].answers` index into `shards`."""

    shards: tuple[Shard, ...]
    zones: tuple[ZonePlan, ...]


@dataclass(frozen=True, slots=True)
class ReadNewestPlan:
    """Read the newest plan. Reply: `Plan | None`."""


@dataclass(frozen=True, slots=True)
class ReadReport:
    """Read the health and the capacity of the load balancers. Reply: `Report`."""


@dataclass(frozen=True, slots=True)
class Publish:
    """Publish a draft as the next plan. Reply: `Published | Outdated`."""

    draft: Draft


@dataclass(frozen=True, slots=True)
class UnsafePlan:
    """A draft that was not published, since it takes too much away.

    Units: `removed` is the largest share, 0 to 1, of an endpoint's weight.
    """

    digest: str
    endpoint: str
    removed: float


@dataclass(frozen=True, slots=True)
class Unchanged:
    """The newest plan already says all there is to say."""

    generation: Generation


Command = ReadNewestPlan | ReadReport | Publish
Reply = Plan | Report | Published | Outdated | None
Result = Published | Outdated | UnsafePlan | Unchanged
Round = Generator[Command, Reply, Result]
"""One round of a planner: each command is one effect."""
