"""What the customers that launch are told at their start."""

from typing import Literal

from pydantic import Field

from staleplan.runtime.settings import ServiceSettings

Az = Literal["a", "b", "c"]


class CustomersSettings(ServiceSettings):
    """Settings of the customers. Units: seconds are incident seconds."""

    dwfm: dict[Az, str] = Field(
        default_factory=dict, min_length=1, validate_default=True
    )
    """Where the DWFM of each AZ answers: host:port. An AZ without has no customers."""

    arrivals_per_s: float = Field(default=0.02, ge=0, allow_inf_nan=False)
    """Launches that arrive in each AZ, on average: one in 50 s. Inferred."""

    lifetime_s: float = Field(default=2400.0, gt=0, allow_inf_nan=False)
    """How long an instance is kept, on average: 48 run at a time in each AZ, of 128
    that 16 droplets hold. Inferred."""

    launch_timeout_s: float = Field(default=60.0, gt=0, allow_inf_nan=False)
    """Deadline of each attempt: the SDKs' standard. Never below 0.1 wall seconds."""
