"""Puts the customers together: `python -m staleplan.world.launches`."""

import asyncio
from collections.abc import AsyncIterator, Iterable
from contextlib import AsyncExitStack, asynccontextmanager

from protos.world.v1.world_pb2_grpc import add_CustomersServiceServicer_to_server
from staleplan.runtime.channel import channel
from staleplan.runtime.footing import Footing, serve_alone
from staleplan.runtime.recent import Recent
from staleplan.runtime.server import ServiceServer
from staleplan.world.launches.customers import AzCustomers
from staleplan.world.launches.model import Ending, Launch, Totals
from staleplan.world.launches.service import CustomersService
from staleplan.world.launches.settings import CustomersSettings

MAX_LAUNCHES = 100_000
"""Launches that are remembered: some 30 MB; a day of three AZs has 5,200."""


@asynccontextmanager
async def mount(
    settings: CustomersSettings, base: Footing
) -> AsyncIterator[ServiceServer]:
    """Put the customers together; they launch until this is left."""
    log: Recent[Launch] = Recent(MAX_LAUNCHES)
    endings: Recent[Ending] = Recent(MAX_LAUNCHES)
    totals = Totals()
    async with AsyncExitStack() as channels:
        customers: dict[str, AzCustomers] = {
            az: AzCustomers(
                az,
                await channels.enter_async_context(channel(address, base.telemetry)),
                settings,
                base,
                log=log,
                endings=endings,
                totals=totals,
            )
            for az, address in settings.dwfm.items()
        }
        service = CustomersService(
            customers, log, endings, totals, base.clock, drill=settings.drill
        )
        server = base.server(settings)
        server.add(add_CustomersServiceServicer_to_server, service)
        launching = asyncio.create_task(_run(customers.values()))
        launching.add_done_callback(lambda ended: _say_why(base, ended))
        try:
            yield server
        finally:
            launching.cancel()
            await asyncio.wait([launching])


async def _run(customers: Iterable[AzCustomers]) -> None:
    async with asyncio.TaskGroup() as running:
        for each in customers:
            running.create_task(each.run())


def _say_why(base: Footing, ended: asyncio.Task[None]) -> None:
    error = None if ended.cancelled() else ended.exception()
    if error:
        base.telemetry.log.error("customers stopped to launch", exc_info=error)


if __name__ == "__main__":
    serve_alone("customers", CustomersSettings(), mount)
