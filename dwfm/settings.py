"""What one DWFM host is told at its start."""

from typing import Literal, Self

from pydantic import Field, model_validator

from dwfm.model import Limits
from staleplan.runtime.settings import ServiceSettings

MAX_RENEWAL_LOAD = 0.75
"""Most of the capacity that renewals alone may need: the rest is for launches, and for
catching up."""


class DwfmSettings(ServiceSettings):
    """Settings of one host. Units: seconds are incident seconds."""

    az: Literal["a", "b", "c"] = "a"
    dns_target: str = Field(default="127.0.0.1:5300", pattern=r"^\S+:\d{1,5}$")
    """Where names are resolved: host:port of a DNS server."""

    endpoint: str = Field(
        default="dynamodb.us-east-1.example",
        max_length=253,
        pattern=r"^[-a-z0-9]{1,63}(\.[-a-z0-9]{1,63})*$",
    )
    """Name of DynamoDB's endpoint. Source: R26."""

    load_balancer_port: int = Field(default=8000, ge=1, le=65_535)
    """Port of the load balancers that the name leads to."""

    world: str = "127.0.0.1:0"
    """Where the droplets answer gRPC."""

    workers: int = Field(default=2, ge=1, le=10_000)
    """Work that is done at once: enough for four times the renewals of 16 droplets,
    and too little to lease all of them anew within a timeout. Inferred (R28)."""

    service_s: float = Field(default=7.5, gt=0, allow_inf_nan=False)
    """How long one piece of work takes a worker, on average. Inferred."""

    timeout_s: float = Field(default=30.0, gt=0, allow_inf_nan=False)
    """From wanting a check to giving it up, waiting included. Inferred (R28)."""

    check_interval_s: float = Field(default=300.0, gt=0, allow_inf_nan=False)
    """From one check of a droplet to the next: a few minutes. Source: R25."""

    margin_s: float = Field(default=5.0, ge=0, allow_inf_nan=False)
    """How much earlier than DynamoDB's row says a lease is no longer trusted."""

    probe_interval_s: float = Field(default=5.0, gt=0, allow_inf_nan=False)
    """Between two tries whether DynamoDB is back. Inferred."""

    shortest_lease_ttl_s: float = Field(default=600.0, gt=0, allow_inf_nan=False)
    """How long the first droplet's lease lasts: the first launches fail ten minutes
    after DynamoDB. Inferred."""

    longest_lease_ttl_s: float = Field(default=9_360.0, gt=0, allow_inf_nan=False)
    """How long the last droplet's lease lasts, those between evenly between: leases
    time out slowly, from 23:48 to 02:24. Source: R26."""

    @property
    def limits(self) -> Limits:
        """What the core is told of it."""
        return Limits(
            self.workers,
            self.service_s,
            self.timeout_s,
            self.check_interval_s,
            self.margin_s,
            self.probe_interval_s,
        )

    @model_validator(mode="after")
    def relations(self) -> Self:
        """Refuse settings that contradict each other."""
        if self.shortest_lease_ttl_s > self.longest_lease_ttl_s:
            raise ValueError("shortest_lease_ttl_s must not exceed longest_lease_ttl_s")
        if self.shortest_lease_ttl_s < 2 * self.check_interval_s:
            raise ValueError(
                "shortest_lease_ttl_s must be at least twice check_interval_s, so that "
                "one failed check loses no lease"
            )
        if self.margin_s >= self.check_interval_s:
            raise ValueError("margin_s must be below check_interval_s")
        if self.timeout_s <= 2 * self.service_s:
            raise ValueError(
                "timeout_s must exceed twice service_s: waiting is a part of it"
            )
        return self

    def check_fleet(self, droplets: int) -> None:
        """Refuse a fleet whose renewals leave too little time for anything else.

        Raises: ValueError.
        """
        needed_per_s = droplets / self.check_interval_s
        allowed_per_s = MAX_RENEWAL_LOAD * self.limits.capacity_per_s
        if needed_per_s > allowed_per_s:
            raise ValueError(
                f"{droplets} droplets every {self.check_interval_s:g} s are "
                f"{needed_per_s:.3g} checks a second, and {self.workers} workers that "
                f"take {self.service_s:g} s for each may do {allowed_per_s:.3g}: "
                "raise workers or check_interval_s"
            )

    def lease_ttl_s(self, index: int, droplets: int) -> float:
        """Say how long the lease of a droplet lasts, by its place in the fleet."""
        spread_s = self.longest_lease_ttl_s - self.shortest_lease_ttl_s
        return self.shortest_lease_ttl_s + spread_s * index / max(1, droplets - 1)
