"""The gRPC server of one service, and its drain."""

from __future__ import annotations

import asyncio
import json
import signal
import sys
from collections.abc import Callable, Iterable, Mapping
from contextlib import AbstractAsyncContextManager
from typing import Any, TypeVar

import grpc
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection

from protos.runtime.v1 import runtime_pb2_grpc
from staleplan.runtime.channel import MESSAGE_OPTIONS
from staleplan.runtime.control import FaultControl, SafeguardControl
from staleplan.runtime.faults import Faults
from staleplan.runtime.interceptor import TracingInterceptor
from staleplan.runtime.loopback import require_loopback
from staleplan.runtime.safeguards import SafeguardSwitchboard
from staleplan.runtime.settings import ServiceSettings
from staleplan.runtime.telemetry import Telemetry

_Servicer = TypeVar("_Servicer")


class ServiceServer:
    """One service on one port: its own RPCs, and those that every service has."""

    def __init__(
        self,
        telemetry: Telemetry,
        settings: ServiceSettings,
        *,
        faults: Faults | None = None,
        safeguards: SafeguardSwitchboard[Any] | None = None,
    ) -> None:
        """Mounts health, reflection, and the control of faults and safeguards."""
        self.telemetry = telemetry
        self.settings = settings
        self.ready_details: dict[str, object] = {}
        """What else the line that says the service is ready shall tell."""
        self._faults = faults
        self._health = health.aio.HealthServicer()
        self._service_names: list[str] = []
        self._server = grpc.aio.server(
            interceptors=[TracingInterceptor(telemetry)],
            # Two servers that share a port would share the calls without a word.
            options=(*MESSAGE_OPTIONS, ("grpc.so_reuseport", 0)),
        )
        self.add(health_pb2_grpc.add_HealthServicer_to_server, self._health)
        if faults is not None:
            self.add(
                runtime_pb2_grpc.add_FaultServiceServicer_to_server,
                FaultControl(faults, telemetry, drill=settings.drill),
            )
        if safeguards is not None:
            self.add(
                runtime_pb2_grpc.add_SafeguardServiceServicer_to_server,
                SafeguardControl(safeguards, telemetry, drill=settings.drill),
            )

    def add(
        self, add_servicer: Callable[[_Servicer, Any], None], servicer: _Servicer
    ) -> None:
        """Mounts a servicer, with the generated function that does so."""
        add_servicer(servicer, _Registrar(self._server, self._service_names))

    async def start(self) -> int:
        """Starts to serve; returns the port.

        Raises: ValueError, if the address is not loopback; RuntimeError, if the
        port is taken.
        """
        host = require_loopback(self.settings.host)
        reflection.enable_server_reflection(
            (*self._service_names, reflection.SERVICE_NAME), self._server
        )
        port = self._server.add_insecure_port(f"{host}:{self.settings.port}")
        for name in self._service_names:
            await self._health.set(name, health_pb2.HealthCheckResponse.SERVING)
        await self._server.start()
        self.telemetry.log.info("serving", host=host, port=port)
        return port

    async def stop(self, grace_s: float | None = None) -> None:
        """Drains: says NOT_SERVING, then lets RPCs in flight end.

        Units: `grace_s` is wall seconds; what still runs then is cancelled.
        """
        await self._health.enter_graceful_shutdown()
        if self._faults is not None:
            self._faults.close()
        grace = self.settings.drain_grace_s if grace_s is None else grace_s
        await self._server.stop(grace)
        self.telemetry.log.info("stopped")


class _Registrar:
    """Stands in for a server while a servicer is mounted, to learn its name."""

    def __init__(self, server: grpc.aio.Server, names: list[str]) -> None:
        self._server = server
        self._names = names

    def add_generic_rpc_handlers(
        self, handlers: Iterable[grpc.ServiceRpcHandler]
    ) -> None:
        handlers = tuple(handlers)
        self._names.extend(handler.service_name() for handler in handlers)
        self._server.add_generic_rpc_handlers(handlers)

    def add_registered_method_handlers(
        self, name: str, handlers: Mapping[str, grpc.RpcMethodHandler[Any, Any]]
    ) -> None:
        self._server.add_registered_method_handlers(name, handlers)


def serve(assemble: Callable[[], AbstractAsyncContextManager[ServiceServer]]) -> None:
    """Runs the service that a context manager assembles, until a signal stops it.

    Once it serves, one JSON line on standard output says so. SIGTERM and SIGINT
    drain it; then the context manager closes what it opened.
    """
    asyncio.run(_serve(assemble))


async def _serve(
    assemble: Callable[[], AbstractAsyncContextManager[ServiceServer]],
) -> None:
    stopping = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopping.set)
    async with assemble() as server:
        port = await server.start()
        try:
            ready = {
                "ready": True,
                "service": server.telemetry.service,
                "port": port,
                **server.ready_details,
            }
            sys.stdout.write(json.dumps(ready) + "\n")
            sys.stdout.flush()
            await stopping.wait()
        finally:
            await server.stop()
