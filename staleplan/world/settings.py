"""What the world is told at its start."""

from typing import Self

from pydantic import BaseModel, ConfigDict, Field, SecretStr, model_validator

from staleplan.runtime.settings import ServiceSettings

REGIONAL_LOAD_BALANCERS = 6
"""Load balancers of the regional pool, unless told otherwise: two in each AZ."""

OTHER_POOLS = 2
"""Load balancers outside the regional pool that it takes to leave no pool empty."""


class CustomerSettings(BaseModel):
    """How the customer calls."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    endpoint: str = Field(
        default="dynamodb.us-east-1.example",
        max_length=253,
        pattern=r"^[-a-z0-9]{1,63}(\.[-a-z0-9]{1,63})*$",
    )
    """Name that is called: the regional endpoint."""

    call_interval_s: float = Field(default=10.0, gt=0, allow_inf_nan=False)
    """Time from one call to the next, incident seconds; never below 20 wall ms."""

    call_timeout_s: float = Field(default=2.0, gt=0, allow_inf_nan=False)
    """Deadline of one call, wall seconds: a healthy one takes 3 ms."""

    keep_channel: bool = False
    """Whether all calls share one channel, which an outage of DNS cannot reach."""


class WorldSettings(ServiceSettings):
    """What the world is told; its own part of the environment."""

    load_balancers: int = Field(default=24, ge=3, le=1000)
    """Load balancers of the region. Source: R3 (hundreds)."""

    regional_load_balancers: int = Field(
        default_factory=lambda known: min(
            REGIONAL_LOAD_BALANCERS, known["load_balancers"] - OTHER_POOLS
        ),
        ge=1,
    )
    """How many of them serve the regional endpoint, each with a listener."""

    load_balancer_port: int = Field(default=0, ge=0, le=65_535)
    """Port that all listeners share; 0 takes one that is free on all addresses."""

    database_url: SecretStr | None = None
    """PostgreSQL that DynamoDB's tables are kept in; unset: the embedded one, in the
    state folder."""

    droplets_per_az: int = Field(default=16, ge=1, le=1000)
    """Physical servers in each AZ. Source: R25."""

    slots_per_droplet: int = Field(default=8, ge=1, le=1000)
    """Most instances that run on one of them at once. Inferred."""

    dns_target: str = Field(default="127.0.0.1:5300", pattern=r"^\S+:\d{1,5}$")
    """Where customers resolve names: host:port of a DNS server."""

    customer: CustomerSettings = Field(default_factory=CustomerSettings)
    """How the customer calls."""

    @model_validator(mode="after")
    def _no_pool_is_empty(self) -> Self:
        most = self.load_balancers - OTHER_POOLS
        if self.regional_load_balancers > most:
            raise ValueError(
                f"regional_load_balancers must be at most {most}, so that the FIPS and "
                f"the dual-stack pool have one of the {self.load_balancers} each, "
                f"got {self.regional_load_balancers}"
            )
        return self
