"""What an enactor is told at its start."""

from typing import Literal, Self

from pydantic import Field, model_validator

from staleplan.runtime.settings import ServiceSettings


class EnactorSettings(ServiceSettings):
    """Settings of one enactor. Units: seconds are incident seconds."""

    az: Literal["a", "b", "c"] = "a"
    dns_store: str = "127.0.0.1:0"
    """Where the DNS store answers gRPC."""

    poll_interval_s: float = Field(default=2.0, gt=0)
    """Between two looks for a newer plan. Inferred."""

    lock_ttl_s: int = Field(default=30, ge=2, le=3600)
    """How long a lock lasts unless it is given back: what the others wait for when
    its holder dies. Inferred: the record tells of an expiry, not its length (R9)."""

    first_backoff_s: float = Field(default=0.5, gt=0)
    """Before the first retry for a lost lock; doubled with each loss. Inferred."""

    max_backoff_s: float = Field(default=8.0, gt=0)
    """Before a retry after many lost locks. Inferred."""

    keep_generations: int = Field(default=5, ge=1)
    """Trees this much older than the plan applied are deleted. Inferred (R12)."""

    zones_in_flight: int = Field(default=320, ge=1, le=640)
    """Zones that are locked and flipped together, in several messages at once: half
    of a region of 200,000 endpoints. More would keep the other enactors waiting."""

    @model_validator(mode="after")
    def relations(self) -> Self:
        """Refuse settings that contradict each other."""
        if self.first_backoff_s > self.max_backoff_s:
            raise ValueError("first_backoff_s must not exceed max_backoff_s")
        if self.lock_ttl_s <= self.poll_interval_s:
            raise ValueError("lock_ttl_s must exceed poll_interval_s")
        return self
