"""The nouns of the world: load balancers and what is seen of them, terms, customers."""

from dataclasses import dataclass
from typing import NewType

Term = NewType("Term", int)
"""Number of a lease: 1, 2, 3, ... A droplet obeys the highest that it has seen."""

NO_TERM = Term(0)
"""What a droplet has seen before its first lease."""


@dataclass(frozen=True, slots=True)
class LoadBalancer:
    """A load balancer of the region.

    `pools` are the groups of endpoints that it can serve. Units: `nominal_capacity`
    is a weight, 1 to 255. Source: R2, R3.
    """

    name: str
    az: str
    ipv4: str
    ipv6: str | None
    pools: frozenset[str]
    nominal_capacity: int


@dataclass(frozen=True, slots=True)
class Reading:
    """What is seen of a load balancer. Units: `capacity` is a weight, 0 to 255."""

    healthy: bool
    capacity: int


@dataclass(frozen=True, slots=True)
class Missing:
    """Nothing is heard of a load balancer, whatever its state."""


@dataclass(frozen=True, slots=True)
class Fleet:
    """All load balancers, and the names of those that may fall ill by themselves."""

    load_balancers: tuple[LoadBalancer, ...]
    frail: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Experience:
    """One call of a customer, from name to answer.

    `status` is the gRPC status by name; `load_balancer` is empty where none answered,
    and `detail` where nothing failed. Units: `at_s` is epoch seconds of incident time,
    `took_s` is wall seconds.
    """

    sequence: int
    at_s: float
    status: str
    load_balancer: str
    detail: str
    took_s: float


@dataclass(frozen=True, slots=True)
class StaleTerm:
    """A droplet refused an action: it has seen a higher term. Nothing was done."""

    attempted: Term
    current: Term


@dataclass(frozen=True, slots=True)
class Action:
    """One call of a droplet, as the droplet took it.

    `kind` is check, launch, terminate or reboot; `result` is an `Effect` or that the
    term is stale; `current_term` is the highest that the droplet had seen then.
    `instance` is empty for a check, `holder` where the caller did not say who it is.
    Units: `at_s` is epoch seconds of incident time.
    """

    sequence: int
    at_s: float
    droplet: str
    kind: str
    term: Term
    holder: str
    instance: str
    result: str
    current_term: Term
