"""Puts the planner together: `python -m planner`."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from planner.core import region_of
from planner.driver import Driver
from planner.safeguards import BUGGY, FIXED
from planner.service import PlannerService
from planner.settings import PlannerSettings
from protos.planner.v1.planner_pb2_grpc import add_PlannerServiceServicer_to_server
from protos.world.v1.world_pb2_grpc import WorldServiceStub
from staleplan.runtime.channel import channel
from staleplan.runtime.footing import Footing, serve_alone
from staleplan.runtime.safeguards import SafeguardSwitchboard
from staleplan.runtime.server import ServiceServer
from staleplan.store_client import StoreClient


@asynccontextmanager
async def mount(
    settings: PlannerSettings, base: Footing
) -> AsyncIterator[ServiceServer]:
    """Put the planner together; it plans until this is left."""
    switchboard = SafeguardSwitchboard(settings.mode, {"buggy": BUGGY, "fixed": FIXED})
    async with (
        channel(settings.dns_store, base.telemetry) as to_store,
        channel(settings.world, base.telemetry) as to_world,
    ):
        driver = Driver(
            settings,
            region_of(settings.region, settings.account_endpoints),
            StoreClient(to_store),
            WorldServiceStub(to_world),
            base.clock,
            base.faults,
            base.telemetry,
            base.chance,
            switchboard,
        )
        service = PlannerService(driver)
        server = base.server(settings, switchboard)
        server.add(add_PlannerServiceServicer_to_server, service)
        await service.start()
        try:
            yield server
        finally:
            await service.stop()


if __name__ == "__main__":
    serve_alone("planner", PlannerSettings(), mount)
