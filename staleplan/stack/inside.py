"""A whole stack in one process: real services, real gRPC, one event loop."""

import asyncio
import json
import os
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import dns_store.__main__
import dwfm.__main__
import enactor.__main__
import planner.__main__
import staleplan.world.__main__
import staleplan.world.launches.__main__
from dns_store.settings import DnsStoreSettings
from dwfm.settings import DwfmSettings
from enactor.settings import EnactorSettings
from planner.settings import PlannerSettings
from staleplan.runtime.footing import Footing, footing
from staleplan.runtime.server import ServiceServer
from staleplan.runtime.settings import ServiceSettings
from staleplan.runtime.telemetry import Exporters
from staleplan.stack.settings import (
    RESTART_AFTER_S,
    StackSettings,
    az_of,
    known_ports,
)
from staleplan.world.launches.settings import CustomersSettings
from staleplan.world.settings import WorldSettings

TRACE_FILE = "trace.jsonl"
"""The spans of all services of the stack, OTLP JSON lines, in the stack's folder."""


@dataclass
class Inside:
    """The services of one stack while they run in this process."""

    settings: StackSettings
    exporters: Exporters
    addresses: dict[str, str] = field(default_factory=dict)

    @asynccontextmanager
    async def running(self) -> AsyncIterator[dict[str, str]]:
        """Run every service until this is left; yields where they answer."""
        async with AsyncExitStack() as stack:
            for service in self.settings.services:
                await stack.enter_async_context(self._supervised(service))
            yield self.addresses

    @asynccontextmanager
    async def _supervised(self, service: str) -> AsyncIterator[None]:
        ready: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        work = asyncio.create_task(self._keep_running(service, ready))
        await asyncio.wait({ready, work}, return_when=asyncio.FIRST_COMPLETED)
        if work.done():
            work.result()
        try:
            yield
        finally:
            work.cancel()
            await asyncio.gather(work, return_exceptions=True)

    async def _keep_running(self, service: str, ready: asyncio.Future[None]) -> None:
        """Run a service; when it crashes, start it again at the same address."""
        while True:
            crashed = asyncio.Event()
            base, mounted = self._mounted(service, crashed)
            try:
                async with mounted as server:
                    port = await server.start()
                    try:
                        self._enter(service, port, server.ready_details)
                        if not ready.done():
                            ready.set_result(None)
                        await crashed.wait()
                    finally:
                        await server.stop(0)
                base.telemetry.log.error("crashed")
            except Exception:
                # What it needs may be away for now; but the first start must succeed.
                if not ready.done():
                    raise
                base.telemetry.log.exception("restart failed")
            await asyncio.sleep(RESTART_AFTER_S)

    def _enter(self, service: str, port: int, details: dict[str, Any]) -> None:
        self.addresses[service] = f"127.0.0.1:{port}"
        if "dns_port" in details:
            self.addresses["dns"] = f"127.0.0.1:{details['dns_port']}"
        if "load_balancer_port" in details:
            self.addresses["load-balancers"] = f":{details['load_balancer_port']}"

    def _mounted(
        self, service: str, crashed: asyncio.Event
    ) -> tuple[Footing, AbstractAsyncContextManager[ServiceServer]]:
        told = self.settings.of(service, self.addresses)
        told["trace_file"] = None  # the exporters of the whole process have it
        told |= known_ports(service, self.addresses)

        def base(settings: ServiceSettings) -> Footing:
            az = az_of(service)
            return footing(service, settings, self.exporters, az=az, crash=crashed.set)

        match service.partition("-")[0]:
            case "dns":
                of_store = DnsStoreSettings(**told)
                on = base(of_store)
                return on, dns_store.__main__.mount(of_store, on)
            case "world":
                of_world = WorldSettings(**told)
                on = base(of_world)
                return on, staleplan.world.__main__.mount(of_world, on)
            case "planner":
                of_planner = PlannerSettings(**told)
                on = base(of_planner)
                return on, planner.__main__.mount(of_planner, on)
            case "enactor":
                of_enactor = EnactorSettings(**told)
                on = base(of_enactor)
                return on, enactor.__main__.mount(of_enactor, on)
            case "dwfm":
                of_dwfm = DwfmSettings(**told)
                on = base(of_dwfm)
                return on, dwfm.__main__.mount(of_dwfm, on)
            case _:
                of_customers = CustomersSettings(**told)
                on = base(of_customers)
                return on, staleplan.world.launches.__main__.mount(of_customers, on)


async def _main(settings: StackSettings) -> None:
    """Run a stack until standard input ends or a signal comes.

    Whoever started it holds the other end of standard input: if that process dies,
    however it dies, the stack ends too.
    """
    stopping = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopping.set)
    loop.add_reader(sys.stdin.fileno(), _at_end_of_input, stopping)
    settings.folder.mkdir(parents=True, exist_ok=True)
    async with (
        Exporters(settings.folder / TRACE_FILE) as exporters,
        Inside(settings, exporters).running() as addresses,
    ):
        sys.stdout.write(json.dumps({"ready": True, "addresses": addresses}) + "\n")
        sys.stdout.flush()
        await stopping.wait()


def _at_end_of_input(stopping: asyncio.Event) -> None:
    if not os.read(sys.stdin.fileno(), 1024):
        asyncio.get_running_loop().remove_reader(sys.stdin.fileno())
        stopping.set()


if __name__ == "__main__":
    asyncio.run(_main(StackSettings.model_validate_json(sys.argv[1])))
