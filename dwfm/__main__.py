"""Puts a DWFM host together: `python -m dwfm`."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from dwfm.clients import Droplets, Rows
from dwfm.driver import Driver
from dwfm.model import Droplet, DropletName, HostName
from dwfm.safeguards import BUGGY, FIXED
from dwfm.service import DwfmService
from dwfm.settings import DwfmSettings
from protos.dwfm.v1.dwfm_pb2_grpc import add_DwfmServiceServicer_to_server
from staleplan.runtime.channel import channel
from staleplan.runtime.errors import ServiceError
from staleplan.runtime.footing import Footing, serve_alone
from staleplan.runtime.safeguards import SafeguardSwitchboard
from staleplan.runtime.server import ServiceServer
from staleplan.table_client import TableClient

LEAST_CALL_TIMEOUT_S = 0.25
"""Shortest deadline of a call, wall seconds: fifty times what one takes on a busy
machine, however fast incident time passes."""


@asynccontextmanager
async def mount(settings: DwfmSettings, base: Footing) -> AsyncIterator[ServiceServer]:
    """Put one host together; it keeps its leases until this is left."""
    switchboard = SafeguardSwitchboard(
        settings.mode, {"buggy": BUGGY, "fixed": FIXED}, at_once=True
    )
    call_timeout_s = max(LEAST_CALL_TIMEOUT_S, base.clock.wall_s(settings.timeout_s))
    tables = TableClient(
        settings.dns_target,
        settings.endpoint,
        settings.load_balancer_port,
        base.telemetry,
        timeout_s=call_timeout_s,
    )
    async with channel(settings.world, base.telemetry) as to_world:
        holder = HostName(f"dwfm-{settings.az}")
        rows = Rows(tables, holder)
        droplets = Droplets(to_world, holder, call_timeout_s)
        fleet = fleet_of(settings, await droplets.slots_in(settings.az))
        driver = Driver(
            settings,
            fleet,
            rows=rows,
            droplets=droplets,
            base=base,
            safeguards=switchboard,
        )
        await _read_rows(driver, rows, base)
        server = base.server(settings, switchboard)
        service = DwfmService(driver, base.clock, base.telemetry.log)
        server.add(add_DwfmServiceServicer_to_server, service)
        driver.start()
        try:
            yield server
        finally:
            await driver.stop()
            await tables.close()


def fleet_of(settings: DwfmSettings, slots: dict[DropletName, int]) -> list[Droplet]:
    """Lay out a fleet: each droplet has its lease's length and its slot.

    Raises: ValueError, if its renewals alone would keep the workers busy.
    """
    count = len(slots)
    settings.check_fleet(count)
    return [
        Droplet(
            name,
            each,
            settings.lease_ttl_s(index, count),
            phase_s=settings.check_interval_s * index / count,
        )
        for index, (name, each) in enumerate(slots.items())
    ]


async def _read_rows(driver: Driver, rows: Rows, base: Footing) -> None:
    """Learn versions and terms; without DynamoDB each droplet's conflict teaches it."""
    try:
        found = await rows.leases_of(driver.settings.az)
    except ServiceError as error:
        base.telemetry.log.warning("DynamoDB is away", reason=str(error))
        return
    for name, row in found.items():
        if name in driver.host.droplets:
            driver.host.know(driver.host.droplets[name], row)


if __name__ == "__main__":
    chosen = DwfmSettings()
    serve_alone(f"dwfm-{chosen.az}", chosen, mount, az=chosen.az)
