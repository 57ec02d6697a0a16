"""A world with its DNS server, for tests: customers and clients as they want them."""

import random
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from io import StringIO

from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from dns_store.answers import NO_TREE, Address, AnswerTable, compile_set
from dns_store.responder import Responder
from staleplan.runtime.clock import ScaledClock, SkewedClock
from staleplan.runtime.faults import Faults
from staleplan.runtime.footing import Footing
from staleplan.runtime.logs import json_log
from staleplan.runtime.telemetry import Exporters, Telemetry
from staleplan.table_client import TableClient
from staleplan.tables import Tables
from staleplan.world.customers import Customer
from staleplan.world.service import World
from staleplan.world.settings import CustomerSettings, WorldSettings
from staleplan.world.tables import MemoryTables

NAME = "dynamodb.us-east-1.example"
NO_DATA = "DNS server returned answer with no data"
REGIONAL = tuple(f"127.0.1.{n}" for n in range(1, 7))
PATIENCE_S = 30.0


class Dns:
    """The regional endpoint at a real DNS server, with addresses or without."""

    def __init__(self) -> None:
        self._table = AnswerTable("us-east-1.example", ttl_s=5, negative_ttl_s=60)
        self._table.add_names("regional", [NAME])
        self.responder = Responder(self._table)

    @property
    def target(self) -> str:
        return f"127.0.0.1:{self.responder.port}"

    @property
    def asked(self) -> int:
        return sum(self.responder.answers.values())

    def fill(self, addresses: Sequence[str] = REGIONAL) -> None:
        members = [Address(1, address, None) for address in addresses]
        self._table.point("regional", [compile_set(members, 5)])

    def empty(self) -> None:
        self._table.point("regional", [NO_TREE])


class Stage:
    """A world with its DNS server, and customers as a test wants them."""

    def __init__(
        self, dns: Dns, exporters: Exporters, exported: InMemorySpanExporter
    ) -> None:
        self.dns = dns
        self._exporters = exporters
        self._exported = exported
        self.log = StringIO()
        self.telemetry = Telemetry(
            "world",
            stack="test",
            exporters=exporters,
            log=json_log(ScaledClock(), stream=self.log),
        )
        # Slowed down, so that no load balancer falls ill while a test runs.
        self.clock = SkewedClock(ScaledClock(speed=1e-3))
        self.tables: Tables = MemoryTables()
        """What the load balancers will serve."""
        self.base = Footing(
            self.clock,
            self.telemetry,
            Faults(self.clock, random.Random(0)),
            random.Random(0),
        )

    def world(self, **settings: object) -> World:
        told = {"drill": True, "seed": 1, "dns_target": self.dns.target, **settings}
        return World(WorldSettings.model_validate(told), self.base, self.tables)

    def table_client(
        self, port: int, *, timeout_s: float = PATIENCE_S, keep_channel: bool = False
    ) -> TableClient:
        return TableClient(
            self.dns.target,
            NAME,
            port,
            self.telemetry,
            timeout_s=timeout_s,
            keep_channel=keep_channel,
        )

    def customer(self, port: int, *, keep_channel: bool = False) -> Customer:
        settings = CustomerSettings(
            call_interval_s=1e-9, call_timeout_s=PATIENCE_S, keep_channel=keep_channel
        )
        return Customer(settings, self.dns.target, port, self.telemetry, self.clock)

    def traces(self) -> list[list[ReadableSpan]]:
        """Every trace, in order, each from its root down."""
        self._exporters.span_processors[0].force_flush()
        traces: dict[int, list[ReadableSpan]] = {}
        for span in self._exported.get_finished_spans():
            assert span.context
            traces.setdefault(span.context.trace_id, []).append(span)
        return [_from_root_down(spans) for spans in traces.values()]


@asynccontextmanager
async def staged() -> AsyncIterator[Stage]:
    dns, exported = Dns(), InMemorySpanExporter()
    dns.fill()
    await dns.responder.start("127.0.0.1", 0)
    async with Exporters(span_exporters=[exported]) as exporters:
        yield Stage(dns, exporters, exported)
    await dns.responder.close()


@asynccontextmanager
async def listening(stage: Stage) -> AsyncIterator[World]:
    """A world whose load balancers listen, without its own customer."""
    world = stage.world()
    await world.load_balancers.start()
    yield world
    await world.stop()


def _from_root_down(spans: list[ReadableSpan]) -> list[ReadableSpan]:
    by_parent = {span.parent.span_id if span.parent else 0: span for span in spans}
    path = [by_parent.pop(0)]
    while by_parent:
        assert path[-1].context
        path.append(by_parent.pop(path[-1].context.span_id))
    return path
