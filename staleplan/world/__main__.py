"""Puts the world together: `python -m staleplan.world`."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from protos.droplet.v1.droplet_pb2_grpc import add_DropletServiceServicer_to_server
from protos.world.v1.world_pb2_grpc import add_WorldServiceServicer_to_server
from staleplan.runtime.footing import Footing, serve_alone
from staleplan.runtime.postgres import postgres
from staleplan.runtime.server import ServiceServer
from staleplan.world.postgres_tables import PostgresTables, schema_of
from staleplan.world.service import World
from staleplan.world.settings import WorldSettings


@asynccontextmanager
async def mount(settings: WorldSettings, base: Footing) -> AsyncIterator[ServiceServer]:
    """Put the world together; load balancers listen and customers call until left."""
    given = settings.database_url.get_secret_value() if settings.database_url else None
    with postgres(given, settings.state_folder) as url:
        tables = PostgresTables(url, schema_of(settings.stack))
        try:
            await tables.create()
            async with World(settings, base, tables) as world:
                server = base.server(settings)
                server.add(add_WorldServiceServicer_to_server, world.service)
                server.add(add_DropletServiceServicer_to_server, world.droplets)
                port = world.load_balancers.port
                server.ready_details["load_balancer_port"] = port
                yield server
        finally:
            await tables.close()


if __name__ == "__main__":
    serve_alone("world", WorldSettings(), mount)
