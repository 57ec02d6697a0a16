"""Settings that every service has: read once, checked together, shown at start.

Environment variables set them, with the prefix `STALEPLAN_` and `__` between levels:
`STALEPLAN_CLOCK__SPEED=600`. A service adds its own in a subclass.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import Literal, Self, TextIO

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from staleplan.runtime.clock import INCIDENT_START_S, ScaledClock
from staleplan.runtime.loopback import require_loopback

Mode = Literal["buggy", "fixed"]
"""Name of the preset of safeguards that a service starts with."""

LogLevel = Literal["debug", "info", "warning", "error"]
"""Least severity that is logged."""


class ClockSettings(BaseModel):
    """The three figures that make every process of a stack agree on the time."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    wall_origin_s: float = Field(default_factory=time.time, gt=0)
    """When the stack started, epoch seconds of the clock on the wall."""

    incident_origin_s: float = Field(default=INCIDENT_START_S, ge=0)
    """The incident time that it was then, epoch seconds."""

    speed: float = Field(default=1.0, gt=0, allow_inf_nan=False)
    """Incident seconds per wall second; 600 is ten incident minutes a second."""

    def clock(self) -> ScaledClock:
        """Returns the clock that these figures describe."""
        return ScaledClock(self.speed, self.incident_origin_s, self.wall_origin_s)


class ServiceSettings(BaseSettings):
    """What every service of a stack is told; immutable once read."""

    model_config = SettingsConfigDict(
        env_prefix="STALEPLAN_",
        env_nested_delimiter="__",
        populate_by_name=True,
        frozen=True,
        extra="forbid",
    )

    stack: str = Field(default="default", pattern=r"^[a-z][a-z0-9_]{0,30}$")
    """Name of the stack; also the name of its database schema."""

    mode: Mode = "fixed"
    """Preset of safeguards to start with."""

    drill: bool = False
    """Whether faults may be injected and safeguards switched: `--drill`."""

    held_at: tuple[str, ...] = ()
    """Fault points at which a drill's service is paused from its start: each visit,
    until it is released. Nobody can inject a fault before the first pass."""

    state_folder: Path = Path(".staleplan")
    """Folder for everything that the stack leaves on disk."""

    host: str = "127.0.0.1"
    """Address to listen at; loopback only, because there is no TLS yet."""

    port: int = Field(default=0, ge=0, le=65_535)
    """Port to listen at; 0 takes a free one."""

    drain_grace_s: float = Field(default=5.0, ge=0, le=60)
    """How long RPCs in flight may go on after a signal, wall seconds."""

    clock: ClockSettings = Field(default_factory=ClockSettings)
    """Figures that all processes of the stack share."""

    seed: int = 0
    """What chance is drawn from: back-off, jitter, the weather of load balancers."""

    trace_file: Path | None = None
    """File for spans, OTLP JSON lines; one per process."""

    log_file: Path | None = None
    """File for the log, JSON lines; unset is standard error."""

    log_level: LogLevel = "info"
    """Least severity that is logged."""

    otlp_endpoint: str | None = Field(
        default=None, validation_alias="OTEL_EXPORTER_OTLP_ENDPOINT"
    )
    """Collector for spans, OTLP over gRPC; unset sends none."""

    otlp_metrics_endpoint: str | None = Field(
        default=None, validation_alias="OTEL_EXPORTER_OTLP_METRICS_ENDPOINT"
    )
    """Collector for metrics, OTLP over gRPC; unset sends none. Jaeger takes none."""

    @field_validator("host")
    @classmethod
    def _host_is_loopback(cls, host: str) -> str:
        return require_loopback(host)

    @model_validator(mode="after")
    def _files_differ(self) -> Self:
        if self.trace_file is not None and self.trace_file == self.log_file:
            raise ValueError(
                f"trace_file and log_file must differ, both are {self.log_file}"
            )
        return self

    @model_validator(mode="after")
    def _held_by_drills_only(self) -> Self:
        if self.held_at and not self.drill:
            raise ValueError("held_at holds a service that drills may not release")
        return self

    def print_effective(self, stream: TextIO | None = None) -> None:
        """Writes the settings in force as one JSON line, secrets masked.

        It goes to standard error by default: standard output belongs to the line
        that says the service is ready.
        """
        print(
            f'{{"settings": {self.model_dump_json()}}}',
            file=stream or sys.stderr,
            flush=True,
        )
