"""Puts an enactor together: `python -m enactor`."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from enactor.driver import Driver
from enactor.safeguards import BUGGY, FIXED
from enactor.service import EnactorService
from enactor.settings import EnactorSettings
from protos.enactor.v1.enactor_pb2_grpc import add_EnactorServiceServicer_to_server
from staleplan.runtime.channel import channel
from staleplan.runtime.footing import Footing, serve_alone
from staleplan.runtime.safeguards import SafeguardSwitchboard
from staleplan.runtime.server import ServiceServer
from staleplan.store_client import StoreClient


@asynccontextmanager
async def mount(
    settings: EnactorSettings, base: Footing
) -> AsyncIterator[ServiceServer]:
    """Put one enactor together; it makes passes until this is left."""
    switchboard = SafeguardSwitchboard(settings.mode, {"buggy": BUGGY, "fixed": FIXED})
    async with channel(settings.dns_store, base.telemetry) as to_store:
        driver = Driver(
            settings,
            StoreClient(to_store),
            base.clock,
            base.faults,
            base.telemetry,
            base.chance,
        )
        service = EnactorService(driver, switchboard)
        server = base.server(settings, switchboard)
        server.add(add_EnactorServiceServicer_to_server, service)
        await service.start()
        try:
            yield server
        finally:
            await service.stop()


if __name__ == "__main__":
    chosen = EnactorSettings()
    serve_alone(f"enactor-{chosen.az}", chosen, mount, az=chosen.az)
