"""Puts the DNS store together: `python -m dns_store`."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

from opentelemetry.instrumentation.sqlalchemy import SQLAlchemyInstrumentor

from dns_store.feed import Feed
from dns_store.migrations import migrate
from dns_store.postgres import PostgresStore
from dns_store.responder import answering
from dns_store.service import DnsStoreService
from dns_store.settings import DnsStoreSettings
from protos.dns_store.v1.dns_store_pb2_grpc import add_DnsStoreServiceServicer_to_server
from staleplan.runtime.footing import Footing, serve_alone
from staleplan.runtime.postgres import postgres
from staleplan.runtime.server import ServiceServer


@asynccontextmanager
async def mount(
    settings: DnsStoreSettings, base: Footing
) -> AsyncIterator[ServiceServer]:
    """Put the store together: its storage, its DNS answers, its RPCs."""
    given = settings.database_url.get_secret_value() if settings.database_url else None
    with postgres(given, settings.state_folder) as url:
        await migrate(url, settings.stack)
        store = PostgresStore(url, settings.stack)
        SQLAlchemyInstrumentor().instrument(
            engine=store.engine.sync_engine,
            tracer_provider=base.telemetry.tracer_provider,
        )
        try:
            async with _serving(settings, base, store) as server:
                yield server
        finally:
            await store.close()


@asynccontextmanager
async def _serving(
    settings: DnsStoreSettings, base: Footing, store: PostgresStore
) -> AsyncIterator[ServiceServer]:
    feed = Feed(store, base.clock, base.telemetry, settings)
    await feed.refresh()
    async with answering(feed.table, settings.host, settings.dns_port) as responder:
        feeding = asyncio.create_task(feed.run())
        service = DnsStoreService(
            store,
            feed,
            base.clock,
            base.faults,
            apex=settings.apex,
            dns_port=lambda: responder.port,
        )
        server = base.server(settings)
        server.add(add_DnsStoreServiceServicer_to_server, service)
        server.ready_details["dns_port"] = responder.port
        try:
            yield server
        finally:
            feeding.cancel()
            with suppress(asyncio.CancelledError):
                await feeding


if __name__ == "__main__":
    serve_alone("dns-store", DnsStoreSettings(), mount)
