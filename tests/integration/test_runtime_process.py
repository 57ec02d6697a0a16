"""A service in a process of its own: ready, drained by a signal, crashed."""

import asyncio
import json
import os
import signal
import socket
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator, Callable, Coroutine
from pathlib import Path
from typing import Any

import grpc
import pytest

from protos.runtime.v1 import runtime_pb2 as pb
from protos.runtime.v1 import runtime_pb2_grpc
from staleplan.runtime.faults import CRASH_EXIT_CODE

ROOT = Path(__file__).parents[2]

PROGRAM = """
import random
from contextlib import asynccontextmanager

from staleplan.runtime.clock import SkewedClock
from staleplan.runtime.faults import Faults
from staleplan.runtime.logs import json_log
from staleplan.runtime.server import ServiceServer, serve
from staleplan.runtime.settings import ServiceSettings
from staleplan.runtime.telemetry import Exporters, Telemetry


class Reaching(Faults):
    def listed(self):
        asyncio.get_running_loop().create_task(self.reach("planner.after_publish"))
        return super().listed()


@asynccontextmanager
async def assemble():
    settings = ServiceSettings()
    settings.print_effective()
    clock = SkewedClock(settings.clock.clock())
    exporters = Exporters(
        settings.trace_file, settings.otlp_endpoint, settings.otlp_metrics_endpoint
    )
    async with exporters:
        log = json_log(clock)
        telemetry = Telemetry("planner", stack="one", exporters=exporters, log=log)
        faults = Reaching(clock, random.Random(1))
        server = ServiceServer(telemetry, settings, faults=faults)
        server.ready_details["dns_port"] = 53
        yield server
    log.info("closed")


import asyncio

serve(assemble)
"""

Start = Callable[..., Coroutine[Any, Any, tuple[Process, dict[str, Any]]]]


@pytest.fixture
async def start() -> AsyncIterator[Start]:
    """Starts the program with some environment; returns it with its ready line."""
    processes: list[Process] = []

    async def start_one(**environment: str) -> tuple[Process, dict[str, Any]]:
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-c",
            PROGRAM,
            cwd=ROOT,
            env={"PATH": os.environ["PATH"], **environment},
            stdout=PIPE,
            stderr=PIPE,
        )
        processes.append(process)
        assert process.stdout is not None
        return process, json.loads(await process.stdout.readline() or "{}")

    yield start_one
    for process in processes:
        if process.returncode is None:
            process.kill()
            await process.wait()


def closed_port() -> int:
    """Returns a port of this machine at which nobody listens."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    return port


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_a_signal_drains_a_service_that_said_it_was_ready(
    start: Start, number: signal.Signals, tmp_path: Path
) -> None:
    trace_file = tmp_path / "trace.jsonl"
    process, ready = await start(
        STALEPLAN_DRILL="true", STALEPLAN_TRACE_FILE=str(trace_file)
    )
    port = ready.pop("port")
    assert ready == {"ready": True, "service": "planner", "dns_port": 53}
    async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as direct:
        stub: Any = runtime_pb2_grpc.FaultServiceStub(direct)
        await stub.List(pb.ListRequest(), timeout=10)
    process.send_signal(number)
    _, errors = await process.communicate()
    assert process.returncode == 0
    settings, *events = [json.loads(line) for line in errors.splitlines()]
    assert settings["settings"]["drill"] is True
    assert [line["event"] for line in events] == ["serving", "stopped", "closed"]
    assert "staleplan.runtime.v1.FaultService/List" in trace_file.read_text()


async def test_a_crash_fault_ends_the_process_hard(start: Start) -> None:
    process, ready = await start(STALEPLAN_DRILL="true")
    async with grpc.aio.insecure_channel(f"127.0.0.1:{ready['port']}") as direct:
        stub: Any = runtime_pb2_grpc.FaultServiceStub(direct)
        crash = pb.Fault(point="planner.after_publish", crash=pb.Crash())
        await stub.Inject(pb.InjectRequest(fault=crash), timeout=10)
        stub.List(pb.ListRequest(), timeout=10)
        _, errors = await process.communicate()
    assert process.returncode == CRASH_EXIT_CODE
    assert b"stopped" not in errors


async def test_bad_settings_end_it_before_it_serves(start: Start) -> None:
    process, ready = await start(STALEPLAN_HOST="0.0.0.0")
    _, errors = await process.communicate()
    assert ready == {}
    assert process.returncode == 1
    assert b"refused address '0.0.0.0'" in errors


async def test_a_dead_collector_does_not_hold_up_the_end(start: Start) -> None:
    collector = f"http://127.0.0.1:{closed_port()}"
    process, ready = await start(
        STALEPLAN_DRILL="true",
        OTEL_EXPORTER_OTLP_ENDPOINT=collector,
        OTEL_EXPORTER_OTLP_METRICS_ENDPOINT=collector,
    )
    async with grpc.aio.insecure_channel(f"127.0.0.1:{ready['port']}") as direct:
        stub: Any = runtime_pb2_grpc.FaultServiceStub(direct)
        await stub.List(pb.ListRequest(), timeout=10)
    process.send_signal(signal.SIGTERM)
    # The SDK alone would take 7 s for each of spans and metrics.
    await asyncio.wait_for(process.communicate(), 6)
    assert process.returncode == 0
