"""Puts the world together: `python -m staleplan.world`."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from protos.world.v1.world_pb2_grpc import add_WorldServiceServicer_to_server
from staleplan.runtime.footing import Footing, serve_alone
from staleplan.runtime.server import ServiceServer
from staleplan.world.service import World
from staleplan.world.settings import WorldSettings


@asynccontextmanager
async def mount(settings: WorldSettings, base: Footing) -> AsyncIterator[ServiceServer]:
    """Put the world together; load balancers listen and customers call until left."""
    async with World(
        settings, base.telemetry, base.clock, base.faults, settings.dns_target
    ) as world:
        server = base.server(settings)
        server.add(add_WorldServiceServicer_to_server, world.service)
        server.ready_details["load_balancer_port"] = world.load_balancers.port
        yield server


if __name__ == "__main__":
    serve_alone("world", WorldSettings(), mount)
