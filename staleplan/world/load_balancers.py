"""The load balancers: how they are now, and the listeners of those that have one."""

from collections.abc import Awaitable, Callable, Mapping
from typing import Any, TypeVar

import grpc

from staleplan.runtime.clock import Clock
from staleplan.runtime.errors import UnknownNameError
from staleplan.runtime.interceptor import TracingInterceptor
from staleplan.runtime.telemetry import Telemetry
from staleplan.world.core import ill_at, reading_at
from staleplan.world.errors import LoadBalancerUnhealthyError, NoPortError
from staleplan.world.model import Fleet, LoadBalancer, Missing, Reading

PORT_ATTEMPTS = 20
"""Attempts to find a port that is free on every address. One suffices, unless another
process took that very port on one of a handful of addresses."""

_Servicer = TypeVar("_Servicer")
_Mount = Callable[[LoadBalancer, grpc.aio.Server], None]


class FleetNow:
    """How the load balancers are now: they vary, unless somebody fixed them."""

    def __init__(self, fleet: Fleet, seed: int, clock: Clock) -> None:
        """Lets every load balancer vary."""
        self.fleet = fleet
        self._seed = seed
        self._clock = clock
        self._by_name = {each.name: each for each in fleet.load_balancers}
        self._fixed: dict[str, Reading | Missing] = {}

    def is_healthy(self, load_balancer: LoadBalancer) -> bool:
        """Tells whether a load balancer serves; one that is not heard of may."""
        fixed = self._fixed.get(load_balancer.name)
        if isinstance(fixed, Reading):
            return fixed.healthy
        at_s = self._clock.now_s()
        return load_balancer.name != ill_at(self.fleet.frail, self._seed, at_s)

    def readings(self) -> Mapping[str, Reading]:
        """Returns the readings that arrive, by name: none of what is `Missing`."""
        seen = {
            each.name: self._fixed.get(each.name) or self._vary(each)
            for each in self.fleet.load_balancers
        }
        return {
            n: reading for n, reading in seen.items() if isinstance(reading, Reading)
        }

    def fix(self, name: str, state: Reading | Missing | None) -> None:
        """Fixes what is seen of one load balancer; `None` lets it vary again.

        Raises: UnknownNameError.
        """
        if name not in self._by_name:
            raise UnknownNameError("name", name, self._by_name)
        if state is None:
            self._fixed.pop(name, None)
        else:
            self._fixed[name] = state

    def _vary(self, load_balancer: LoadBalancer) -> Reading:
        return reading_at(self.fleet, load_balancer, self._seed, self._clock.now_s())


class LoadBalancers:
    """The listeners of the regional pool: one server on each address, one port for all.

    A DNS answer names addresses, not ports, so that all must share one.
    """

    def __init__(self, fleet: FleetNow, telemetry: Telemetry) -> None:
        """Serves nothing yet."""
        self.port = 0
        """Port that all listeners share; 0 until they listen."""
        self._fleet = fleet
        self._telemetry = telemetry
        self._mounts: list[_Mount] = []
        self._servers: list[grpc.aio.Server] = []
        self._listening = tuple(
            each for each in fleet.fleet.load_balancers if "regional" in each.pools
        )

    def add(
        self,
        add_servicer: Callable[[_Servicer, Any], None],
        servicer_of: Callable[[LoadBalancer], _Servicer],
    ) -> None:
        """Has every load balancer serve what `servicer_of` makes for it, once started.

        Calls are unary. They are refused while the load balancer is unhealthy.
        """

        def mount(load_balancer: LoadBalancer, server: grpc.aio.Server) -> None:
            add_servicer(servicer_of(load_balancer), server)

        self._mounts.append(mount)

    async def start(self, port: int = 0) -> int:
        """Listens; returns the port. Port 0 takes one that is free on all addresses.

        Raises: NoPortError; then none listens.
        """
        for _ in range(1 if port else PORT_ATTEMPTS):
            servers = [self._server(each) for each in self._listening]
            bound = self._bind_all(servers, port)
            if bound:
                for server in servers:
                    await server.start()
                self._servers, self.port = servers, bound
                return bound
            for server in servers:
                # gRPC lets go of the port of a server only if it was started.
                await server.start()
                await server.stop(None)
        raise NoPortError(
            f"port {port or 'any'}: not free on all of "
            + ", ".join(each.ipv4 for each in self._listening)
        )

    async def stop(self) -> None:
        """Stops to listen at once: what calls then is refused a connection."""
        servers, self._servers = self._servers, []
        for server in servers:
            await server.stop(None)

    def _server(self, load_balancer: LoadBalancer) -> grpc.aio.Server:
        server = grpc.aio.server(
            interceptors=[
                TracingInterceptor(self._telemetry),
                _Gate(load_balancer, self._fleet),
            ],
            options=(("grpc.so_reuseport", 0),),
        )
        for mount in self._mounts:
            mount(load_balancer, server)
        return server

    def _bind_all(self, servers: list[grpc.aio.Server], port: int) -> int | None:
        """Binds every server to its address and one port, which it returns."""
        bound = port
        try:
            for server, each in zip(servers, self._listening, strict=True):
                bound = server.add_insecure_port(f"{each.ipv4}:{bound}")
        except RuntimeError:
            return None
        return bound


class _Gate(grpc.aio.ServerInterceptor):
    """Refuses unary calls while the load balancer is unhealthy.

    It stands behind the tracing, which asks for a handler once and keeps it: so the
    health is looked at in the handler, for every call.
    """

    def __init__(self, load_balancer: LoadBalancer, fleet: FleetNow) -> None:
        self._load_balancer = load_balancer
        self._fleet = fleet

    async def intercept_service(
        self,
        continuation: Callable[..., Awaitable[Any]],
        handler_call_details: Any,
    ) -> Any:
        """Returns the handler of a method with the gate before it."""
        handler = await continuation(handler_call_details)
        if handler is None:
            return None

        async def gated(request: Any, context: Any) -> Any:
            if not self._fleet.is_healthy(self._load_balancer):
                raise LoadBalancerUnhealthyError(self._load_balancer.name)
            return await handler.unary_unary(request, context)

        return grpc.unary_unary_rpc_method_handler(
            gated, handler.request_deserializer, handler.response_serializer
        )
