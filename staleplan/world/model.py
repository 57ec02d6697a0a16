"""The nouns of the world: load balancers, what is seen of them, what customers got."""

from dataclasses import dataclass


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
