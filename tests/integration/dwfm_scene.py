"""DWFM hosts over real gRPC, DNS and PostgreSQL, for tests: started, hurt, asked."""

import asyncio
import random
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from io import StringIO
from typing import TYPE_CHECKING

from opentelemetry.sdk.trace import ReadableSpan

from dwfm import __main__ as dwfm
from dwfm.settings import DwfmSettings
from protos.droplet.v1.droplet_pb2_grpc import (
    DropletServiceStub,
    add_DropletServiceServicer_to_server,
)
from protos.dwfm.v1 import dwfm_pb2 as pb
from protos.dwfm.v1.dwfm_pb2_grpc import DwfmServiceStub
from protos.runtime.v1.runtime_pb2_grpc import SafeguardServiceStub
from staleplan.runtime.channel import channel
from staleplan.runtime.clock import ScaledClock, SkewedClock
from staleplan.runtime.fault_spec import Effect, Fault, Selector
from staleplan.runtime.faults import Faults
from staleplan.runtime.footing import Footing
from staleplan.runtime.logs import json_log
from staleplan.runtime.server import ServiceServer
from staleplan.runtime.settings import Mode, ServiceSettings
from staleplan.runtime.telemetry import Telemetry
from staleplan.world.service import World
from tests.integration.world_stage import PATIENCE_S, Stage

if TYPE_CHECKING:
    from protos.droplet.v1.droplet_pb2_grpc import DropletServiceAsyncStub
    from protos.dwfm.v1.dwfm_pb2_grpc import DwfmServiceAsyncStub
    from protos.runtime.v1.runtime_pb2_grpc import SafeguardServiceAsyncStub

SPEED = 100.0
"""Incident seconds per wall second: an interval takes 0.6 s, a timeout one."""

DROPLETS = 3
SLOTS = 4
ASK_EVERY_S = 0.02
"""Wall seconds between two questions whether it has happened."""


@dataclass
class Host:
    """One DWFM host that runs."""

    stub: "DwfmServiceAsyncStub"
    safeguards: "SafeguardServiceAsyncStub"
    base: Footing
    log: StringIO

    async def look(self) -> pb.DescribeResponse:
        return await self.stub.Describe(pb.DescribeRequest())

    async def leases(self) -> dict[str, pb.Lease]:
        reply = await self.stub.DescribeLeases(pb.DescribeLeasesRequest())
        return {each.droplet: each for each in reply.leases}

    async def launch(self, token: str = "one") -> pb.LaunchInstanceResponse:
        request = pb.LaunchInstanceRequest(client_token=token)
        return await self.stub.LaunchInstance(request, timeout=PATIENCE_S)

    async def terminate(self, instance: str) -> None:
        request = pb.TerminateInstanceRequest(instance=instance)
        await self.stub.TerminateInstance(request, timeout=PATIENCE_S)

    async def until(self, true: Callable[[pb.DescribeResponse], object]) -> None:
        await until(lambda: self._is(true))

    async def _is(self, true: Callable[[pb.DescribeResponse], object]) -> bool:
        return bool(true(await self.look()))

    async def until_leased(self, count: int = DROPLETS) -> None:
        await self.until(lambda seen: seen.leases == count)

    def inject(self, point: str, effect: Effect, count: int = 1) -> int:
        return self.base.faults.inject(Fault(Selector(point), effect, count=count)).id


async def until(true: Callable[[], Awaitable[bool]]) -> None:
    """Ask again and again until it is so."""
    asked = asyncio.Event()
    async with asyncio.timeout(PATIENCE_S):
        while not await true():
            asyncio.get_running_loop().call_later(ASK_EVERY_S, asked.set)
            await asked.wait()
            asked.clear()


class Scene:
    """A world with droplets and DynamoDB, and hosts as a test wants them."""

    def __init__(self, stage: Stage, world: World, address: str) -> None:
        self.stage = stage
        self.world = world
        self.address = address
        self.time = ScaledClock(SPEED)

    @property
    def droplets(self) -> "DropletServiceAsyncStub":
        return self._droplets

    def running(self, az: str = "a") -> dict[str, list[str]]:
        """What runs where, whoever says what."""
        droplets = self.world.droplets._droplets.values()
        return {each.name: list(each.running) for each in droplets if each.az == az}

    def runs_on(self, instance: str) -> list[str]:
        return [name for name, here in self.running().items() if instance in here]

    def spans(self) -> list[ReadableSpan]:
        self.stage._exporters.span_processors[0].force_flush()
        return list(self.stage._exported.get_finished_spans())

    @asynccontextmanager
    async def entered(self) -> AsyncIterator["Scene"]:
        async with channel(self.address, self.stage.telemetry) as to_world:
            self._droplets = DropletServiceStub(to_world)
            yield self

    @asynccontextmanager
    async def host(
        self, mode: Mode = "fixed", az: str = "a", **settings: object
    ) -> AsyncIterator[Host]:
        """Run a host until this is left, which ends it as a crash would."""
        told = {
            "az": az,
            "mode": mode,
            "drill": True,
            "dns_target": self.stage.dns.target,
            "load_balancer_port": self.world.load_balancers.port,
            "world": self.address,
            "service_s": 2.0,
            "timeout_s": 100.0,
            "check_interval_s": 60.0,
            "shortest_lease_ttl_s": 400.0,
            "longest_lease_ttl_s": 500.0,
            "margin_s": 1.0,
        }
        chosen = DwfmSettings.model_validate(told | settings)
        base, log = self._footing(az)
        async with dwfm.mount(chosen, base) as server:
            port = await server.start()
            async with channel(f"127.0.0.1:{port}", self.stage.telemetry) as to_host:
                yield Host(
                    DwfmServiceStub(to_host), SafeguardServiceStub(to_host), base, log
                )
            await server.stop(0)

    def _footing(self, az: str) -> tuple[Footing, StringIO]:
        log = StringIO()
        clock = SkewedClock(self.time)
        service = f"dwfm-{az}"
        telemetry = Telemetry(
            service,
            stack="test",
            exporters=self.stage._exporters,
            log=json_log(clock, stream=log),
        )
        chance = random.Random(0)
        labels = {"service": service, "az": az}
        return Footing(
            clock, telemetry, Faults(clock, chance, labels=labels), chance
        ), log


@asynccontextmanager
async def scene_on(stage: Stage) -> AsyncIterator[Scene]:
    """A world that listens, with its droplets on a server."""
    async with AsyncExitStack() as stack:
        world = stage.world(droplets_per_az=DROPLETS, slots_per_droplet=SLOTS)
        await world.load_balancers.start()
        stack.push_async_callback(world.stop)
        server = ServiceServer(stage.telemetry, ServiceSettings())
        server.add(add_DropletServiceServicer_to_server, world.droplets)
        port = await server.start()
        stack.push_async_callback(server.stop, 0)
        scene = Scene(stage, world, f"127.0.0.1:{port}")
        yield await stack.enter_async_context(scene.entered())
