"""The listeners by themselves; tests/integration/test_world.py has them in use."""

from io import StringIO
from typing import Any

import grpc
import pytest

from staleplan.runtime.clock import ScaledClock
from staleplan.runtime.logs import json_log
from staleplan.runtime.telemetry import Exporters, Telemetry
from staleplan.world import load_balancers
from staleplan.world.core import lay_out_fleet
from staleplan.world.errors import NoPortError
from staleplan.world.load_balancers import FleetNow, LoadBalancers


@pytest.fixture
def balancers() -> LoadBalancers:
    clock = ScaledClock(speed=1e-6)
    telemetry = Telemetry(
        "world",
        stack="test",
        exporters=Exporters(),
        log=json_log(clock, stream=StringIO()),
    )
    return LoadBalancers(FleetNow(lay_out_fleet(4, 2), 1, clock), telemetry)


def take_ports(monkeypatch: pytest.MonkeyPatch, times: int) -> list[int]:
    """Take the port of the first load balancer away on the second, some times."""
    bind_all = LoadBalancers._bind_all
    taken: list[int] = []

    def bind(self: LoadBalancers, servers: list[grpc.aio.Server], port: int) -> int:
        if len(taken) < times:
            taken.append(servers[0].add_insecure_port("127.0.1.1:0"))
            return 0
        return bind_all(self, servers, port) or 0

    monkeypatch.setattr(LoadBalancers, "_bind_all", bind)
    return taken


async def test_another_port_is_tried_when_one_is_taken_somewhere(
    balancers: LoadBalancers, monkeypatch: pytest.MonkeyPatch
) -> None:
    taken = take_ports(monkeypatch, 2)
    port = await balancers.start()
    assert len(taken) == 2
    assert balancers.port == port > 0
    await balancers.stop()


async def test_tries_for_a_port_are_bounded(
    balancers: LoadBalancers, monkeypatch: pytest.MonkeyPatch
) -> None:
    taken = take_ports(monkeypatch, 99)
    with pytest.raises(NoPortError) as raised:
        await balancers.start()
    assert str(raised.value) == "port any: not free on all of 127.0.1.1, 127.0.1.2"
    assert len(taken) == load_balancers.PORT_ATTEMPTS
    assert balancers.port == 0


async def test_a_method_that_nobody_serves_is_unimplemented(
    balancers: LoadBalancers,
) -> None:
    port = await balancers.start()
    async with grpc.aio.insecure_channel(f"127.0.1.2:{port}") as channel:
        method: Any = channel.unary_unary("/no.Service/Method")
        with pytest.raises(grpc.aio.AioRpcError) as raised:
            await method(b"", timeout=30)
    assert raised.value.code() is grpc.StatusCode.UNIMPLEMENTED
    await balancers.stop()
