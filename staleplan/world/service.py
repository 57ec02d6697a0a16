"""The world's RPCs, what a load balancer serves, and the world as one object."""

import asyncio
from types import TracebackType
from typing import Any, Self

from protos.dynamodb.v1.dynamodb_pb2_grpc import add_TableServiceServicer_to_server
from protos.world.v1 import world_pb2, world_pb2_grpc
from staleplan.runtime.errors import InvalidArgumentError, PermissionDeniedError
from staleplan.runtime.faults import Faults
from staleplan.runtime.footing import Footing
from staleplan.tables import Tables
from staleplan.world.core import AZS, lay_out_fleet
from staleplan.world.customers import Customer
from staleplan.world.droplet_service import DropletService
from staleplan.world.droplets import lay_out_droplets
from staleplan.world.faulted import faulted
from staleplan.world.load_balancers import FleetNow, LoadBalancers
from staleplan.world.model import Experience, LoadBalancer, Missing, Reading
from staleplan.world.settings import WorldSettings
from staleplan.world.table_service import TableService

MAX_WEIGHT = 255
"""Largest capacity: it becomes a weight, and Route 53 takes no larger one."""

EXPERIENCES_A_REPLY = 5_000
"""Most calls in one reply: 2 MB of failures, half of gRPC's limit for a message."""


class World:
    """Load balancers with what they serve, their customer, and droplets.

    Load balancers listen and the customer calls from `start` to `stop`. Mount
    `service` and `droplets` on the server that the world is reached at.
    """

    def __init__(self, settings: WorldSettings, base: Footing, tables: Tables) -> None:
        """Lays out the region; `tables` are what the DynamoDB endpoint serves."""
        self._settings = settings
        self._telemetry = base.telemetry
        self._clock = base.clock
        fleet = lay_out_fleet(settings.load_balancers, settings.regional_load_balancers)
        self._fleet = FleetNow(fleet, settings.seed, base.clock)
        self.load_balancers = LoadBalancers(self._fleet, base.telemetry)
        """The listeners: add what else they serve before `start`."""
        self.load_balancers.add(
            world_pb2_grpc.add_EndpointServiceServicer_to_server, EndpointService
        )
        table_service = TableService(tables, base.faults)
        self.load_balancers.add(
            add_TableServiceServicer_to_server, lambda _: table_service
        )
        self.droplets = DropletService(
            lay_out_droplets(AZS, settings.droplets_per_az, settings.slots_per_droplet),
            base.clock,
            base.faults,
        )
        """The droplets' RPCs."""
        self.service = WorldService(self._fleet, base.faults, drill=settings.drill)
        """The world's own RPCs."""
        self._calling: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Listens, and lets the customer call.

        Raises: NoPortError; then nothing runs.
        """
        port = await self.load_balancers.start(self._settings.load_balancer_port)
        customer = Customer(
            self._settings.customer,
            self._settings.dns_target,
            port,
            self._telemetry,
            self._clock,
        )
        self.service.customer = customer
        self._calling = asyncio.create_task(customer.run())
        self._calling.add_done_callback(self._say_why_calls_ended)

    async def stop(self) -> None:
        """Ends the calls, then the listeners."""
        if self._calling:
            self._calling.cancel()
            await asyncio.wait([self._calling])
        await self.load_balancers.stop()

    async def __aenter__(self) -> Self:
        """Starts."""
        await self.start()
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Stops."""
        await self.stop()

    def _say_why_calls_ended(self, calling: asyncio.Task[None]) -> None:
        error = None if calling.cancelled() else calling.exception()
        if error:
            self._telemetry.log.error("the customer stopped to call", exc_info=error)


class EndpointService(world_pb2_grpc.EndpointServiceServicer):
    """What one load balancer serves."""

    def __init__(self, load_balancer: LoadBalancer) -> None:
        """Serves in the name of a load balancer."""
        self._reply = world_pb2.CallResponse(load_balancer=load_balancer.name)

    async def Call(
        self, request: world_pb2.CallRequest, context: Any
    ) -> world_pb2.CallResponse:
        """Answers with the load balancer's name."""
        return self._reply


class WorldService(world_pb2_grpc.WorldServiceServicer):
    """The world as planners and drills see it."""

    def __init__(self, fleet: FleetNow, faults: Faults, *, drill: bool) -> None:
        """Serves a fleet; `drill` says whether callers may interfere with it."""
        self._fleet = fleet
        self._faults = faults
        self._drill = drill
        self.customer: Customer | None = None
        """Whose calls can be read; before the world starts there is none."""

    async def ReportLoadBalancers(
        self, request: world_pb2.ReportLoadBalancersRequest, context: Any
    ) -> world_pb2.ReportLoadBalancersResponse:
        """Returns every load balancer, and the readings that arrived. Source: R1."""
        async with faulted(self._faults, "world.report"):
            readings = self._fleet.readings()
        return world_pb2.ReportLoadBalancersResponse(
            load_balancers=[
                _load_balancer_to_message(each, readings.get(each.name))
                for each in self._fleet.fleet.load_balancers
            ]
        )

    async def SetLoadBalancer(
        self, request: world_pb2.SetLoadBalancerRequest, context: Any
    ) -> world_pb2.SetLoadBalancerResponse:
        """Fixes what is seen of one load balancer, or lets it vary again."""
        if not self._drill:
            raise PermissionDeniedError(
                "load balancers are set only where the service runs with --drill"
            )
        self._fleet.fix(request.name, _state_from_message(request))
        return world_pb2.SetLoadBalancerResponse()

    async def ReadExperience(
        self, request: world_pb2.ReadExperienceRequest, context: Any
    ) -> world_pb2.ReadExperienceResponse:
        """Returns what customers got, oldest first."""
        if request.after_sequence < 0:
            problem = f"must be at least 0, got {request.after_sequence}"
            raise InvalidArgumentError({"after_sequence": problem})
        if self.customer is None:
            return world_pb2.ReadExperienceResponse()
        calls = self.customer.experiences(request.after_sequence, EXPERIENCES_A_REPLY)
        return world_pb2.ReadExperienceResponse(calls=map(_call_to_message, calls))


def _load_balancer_to_message(
    load_balancer: LoadBalancer, reading: Reading | None
) -> world_pb2.LoadBalancer:
    return world_pb2.LoadBalancer(
        name=load_balancer.name,
        az=load_balancer.az,
        ipv4=load_balancer.ipv4,
        ipv6=load_balancer.ipv6 or "",
        pools=sorted(load_balancer.pools),
        reading=(
            world_pb2.Reading(healthy=reading.healthy, capacity=reading.capacity)
            if reading
            else None
        ),
    )


def _state_from_message(
    request: world_pb2.SetLoadBalancerRequest,
) -> Reading | Missing | None:
    """Returns what to fix; raises `InvalidArgumentError` for what says nothing."""
    match request.WhichOneof("state"):
        case "reading" if request.reading.capacity > MAX_WEIGHT:
            problem = f"must be at most {MAX_WEIGHT}, got {request.reading.capacity}"
            raise InvalidArgumentError({"reading.capacity": problem})
        case "reading":
            return Reading(request.reading.healthy, request.reading.capacity)
        case "missing" if request.missing:
            return Missing()
        case "free" if request.free:
            return None
        case None:
            problem = "one of reading, missing, free is wanted"
            raise InvalidArgumentError({"state": problem})
        case name:
            raise InvalidArgumentError({name: "must be true"})


def _call_to_message(call: Experience) -> world_pb2.Experience:
    return world_pb2.Experience(
        sequence=call.sequence,
        at_s=call.at_s,
        status=call.status,
        load_balancer=call.load_balancer,
        detail=call.detail,
        took_s=call.took_s,
    )
