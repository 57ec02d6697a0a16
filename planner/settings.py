"""What a planner is told at its start."""

from typing import Self

from pydantic import Field, model_validator

from staleplan.runtime.settings import ServiceSettings


class PlannerSettings(ServiceSettings):
    """Settings of the planner. Units: seconds are incident seconds."""

    region: str = Field(default="us-east-1", pattern=r"^[a-z0-9-]{1,40}$")
    account_endpoints: int = Field(default=2_000, ge=0, le=1_000_000)
    """Account-specific endpoints, in zones of up to 320. Source: R2, R3."""

    dns_store: str = "127.0.0.1:0"
    """Where the DNS store answers gRPC."""

    world: str = "127.0.0.1:0"
    """Where the load balancers' health and capacity are read."""

    period_s: float = Field(default=30.0, gt=0)
    """The longest time between two plans. Inferred (R1: it keeps producing plans)."""

    look_interval_s: float = Field(default=10.0, gt=0)
    """Between two looks at the load balancers. Inferred."""

    @model_validator(mode="after")
    def relations(self) -> Self:
        """Refuse settings that contradict each other."""
        if self.look_interval_s > self.period_s:
            raise ValueError("look_interval_s must not exceed period_s")
        return self
