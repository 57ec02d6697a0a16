"""A DWFM that does what a test says, and the customers that launch there."""

import asyncio
import random
from collections import defaultdict
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import grpc
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from protos.dwfm.v1 import dwfm_pb2
from protos.dwfm.v1.dwfm_pb2_grpc import (
    DwfmServiceServicer,
    add_DwfmServiceServicer_to_server,
)
from protos.world.v1 import world_pb2 as pb
from protos.world.v1.world_pb2_grpc import CustomersServiceStub
from staleplan.runtime.clock import ScaledClock, SkewedClock
from staleplan.runtime.errors import ServiceError
from staleplan.runtime.faults import Faults
from staleplan.runtime.footing import Footing
from staleplan.runtime.logs import json_log
from staleplan.runtime.server import ServiceServer
from staleplan.runtime.settings import ServiceSettings
from staleplan.runtime.telemetry import Exporters, Telemetry
from staleplan.world.launches import __main__ as launches
from staleplan.world.launches.settings import CustomersSettings
from tests.integration.world_stage import PATIENCE_S

# gRPC decides what a method is called and what it takes.
# ruff: noqa: ARG002, N802

SPEED = 1000.0
"""Incident seconds per wall second: a pause takes milliseconds."""

Script = Callable[[int], ServiceError | None]
"""What becomes of the n-th call: an error, or success."""

SILENCE = ServiceError("no answer ever comes")


def answer(code: str, reason: str, retry_after_s: float | None = None) -> ServiceError:
    error = ServiceError(f"no: {reason}", retry_after_s=retry_after_s)
    error.code, error.reason = grpc.StatusCode[code], reason
    return error


NO_CAPACITY = answer("RESOURCE_EXHAUSTED", "INSUFFICIENT_CAPACITY")
AWAY = answer("UNAVAILABLE", "TABLE_AWAY")


class Dwfm(DwfmServiceServicer):
    """Does what a test says, and notes what it was asked."""

    def __init__(self) -> None:
        self.launch: Script = lambda _: None
        self.terminate: Script = lambda _: None
        self.launches: list[tuple[float, str]] = []
        self.terminations: list[str] = []
        self.allowed_s: list[float] = []

    async def LaunchInstance(
        self, request: dwfm_pb2.LaunchInstanceRequest, context: Any
    ) -> dwfm_pb2.LaunchInstanceResponse:
        now = asyncio.get_running_loop().time()
        self.launches.append((now, request.client_token))
        self.allowed_s.append(context.time_remaining())
        await self._follow(self.launch(len(self.launches)))
        return dwfm_pb2.LaunchInstanceResponse(
            instance=f"i-{request.client_token}", droplet="droplet-a-0001"
        )

    async def TerminateInstance(
        self, request: dwfm_pb2.TerminateInstanceRequest, context: Any
    ) -> dwfm_pb2.TerminateInstanceResponse:
        self.terminations.append(request.instance)
        await self._follow(self.terminate(len(self.terminations)))
        return dwfm_pb2.TerminateInstanceResponse()

    async def _follow(self, error: ServiceError | None) -> None:
        if error is SILENCE:
            await asyncio.Event().wait()
        if error:
            raise error

    def attempts(self) -> dict[str, list[float]]:
        """When each token was sent."""
        found: dict[str, list[float]] = defaultdict(list)
        for at, token in self.launches:
            found[token].append(at)
        return found


class Scene:
    """A DWFM in AZ a, and the customers of AZs a and b; nobody answers in b."""

    def __init__(self, exporters: Exporters, spans: InMemorySpanExporter) -> None:
        self.dwfm = Dwfm()  # type: ignore[abstract]
        self.exporters = exporters
        self.spans = spans
        self.stub: Any = None
        self.port = 0
        log = json_log(ScaledClock(), "error")
        self.telemetry = Telemetry("test", stack="test", exporters=exporters, log=log)

    @asynccontextmanager
    async def playing(self, azs: str = "ab", **settings: Any) -> AsyncIterator["Scene"]:
        """Customers arrive until this is left; 100 a wall second, if not said."""
        server = ServiceServer(self.telemetry, ServiceSettings())
        server.add(add_DwfmServiceServicer_to_server, self.dwfm)
        self.port = await server.start()
        addresses = {"a": f"127.0.0.1:{self.port}", "b": "127.0.0.1:1"}
        told = {
            "dwfm": {az: addresses[az] for az in azs},
            "drill": True,
            "arrivals_per_s": 0.0,
            "lifetime_s": 1e9,
            "launch_timeout_s": 1e4,
            **settings,
        }
        chosen = CustomersSettings.model_validate(told)
        clock = SkewedClock(ScaledClock(SPEED))
        chance = random.Random(0)
        base = Footing(clock, self.telemetry, Faults(clock, chance), chance)
        async with launches.mount(chosen, base) as customers_server:
            port = await customers_server.start()
            async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as to_customers:
                self.stub = CustomersServiceStub(to_customers)
                yield self
            await customers_server.stop(0)
        await server.stop(0)

    async def arrive(self, per_s: float = 0.1, az: str = "a") -> None:
        await self.stub.SetArrivals(pb.SetArrivalsRequest(az=az, per_s=per_s))

    async def read(self, after: int = 0) -> pb.ReadLaunchesResponse:
        request = pb.ReadLaunchesRequest(after_sequence=after)
        reply: pb.ReadLaunchesResponse = await self.stub.ReadLaunches(request)
        return reply

    async def ended(self, count: int, *, stop: bool = True) -> list[pb.Launch]:
        """Read until so many launches have ended; then, mostly, no more arrive."""
        await self.until(lambda totals: totals.ended >= count)
        if stop:
            await self.arrive(0.0)
            await self.until(lambda totals: totals.under_way == 0)
        return list((await self.read()).launches)

    async def until(self, true: Callable[[pb.Totals], bool]) -> pb.Totals:
        async with asyncio.timeout(PATIENCE_S):
            while True:
                totals = (await self.read()).totals
                assert totals.arrived == totals.under_way + totals.ended
                assert totals.launched == totals.terminated + totals.kept
                if true(totals):
                    return totals
