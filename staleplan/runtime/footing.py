"""What a service stands on, and how it runs alone or beside others in a process."""

from __future__ import annotations

import random
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from typing import Any, TypeVar

from staleplan.runtime.clock import SkewedClock
from staleplan.runtime.fault_spec import Fault, Pause, Selector
from staleplan.runtime.faults import Faults
from staleplan.runtime.logs import json_log
from staleplan.runtime.safeguards import SafeguardSwitchboard
from staleplan.runtime.server import ServiceServer, serve
from staleplan.runtime.settings import ServiceSettings
from staleplan.runtime.telemetry import Exporters, Telemetry

S = TypeVar("S", bound=ServiceSettings)


@dataclass(frozen=True, slots=True)
class Footing:
    """One service's own clock, telemetry, faults and chance; nothing is global."""

    clock: SkewedClock
    telemetry: Telemetry
    faults: Faults
    chance: random.Random

    def server(
        self,
        settings: ServiceSettings,
        safeguards: SafeguardSwitchboard[Any] | None = None,
    ) -> ServiceServer:
        """Returns a server for the service's own RPCs, with those that all have."""
        return ServiceServer(
            self.telemetry, settings, faults=self.faults, safeguards=safeguards
        )


Mount = Callable[[S, Footing], AbstractAsyncContextManager[ServiceServer]]
"""Puts one service together on its footing; leaving it takes the service apart."""


@asynccontextmanager
async def exporters_of(settings: ServiceSettings) -> AsyncIterator[Exporters]:
    """Opens what the services of one process share: where their spans go."""
    async with Exporters(
        settings.trace_file, settings.otlp_endpoint, settings.otlp_metrics_endpoint
    ) as exporters:
        yield exporters


def footing(
    service: str,
    settings: ServiceSettings,
    exporters: Exporters,
    *,
    az: str = "",
    crash: Callable[[], None] | None = None,
) -> Footing:
    """Returns what a service stands on; `crash` ends just this service."""
    stream = exporters.open_log(settings.log_file) if settings.log_file else None
    clock = SkewedClock(settings.clock.clock())
    telemetry = Telemetry(
        service,
        stack=settings.stack,
        exporters=exporters,
        log=json_log(clock, settings.log_level, stream),
    )
    chance = random.Random(f"{settings.seed}/{service}")
    labels = {"service": service, "az": az} if az else {"service": service}
    faults = Faults(clock, chance, labels=labels, crash=crash)
    for point in settings.held_at:
        faults.inject(Fault(Selector(point), Pause()))
    return Footing(clock, telemetry, faults, chance)


def serve_alone(service: str, settings: S, mount: Mount[S], *, az: str = "") -> None:
    """Runs one service as a process of its own, until a signal stops it."""

    @asynccontextmanager
    async def assemble() -> AsyncIterator[ServiceServer]:
        settings.print_effective()
        async with exporters_of(settings) as exporters:
            base = footing(service, settings, exporters, az=az)
            async with mount(settings, base) as server:
                yield server

    serve(assemble)
