"""The customers over gRPC: what came of launches, and how many arrive."""

from collections.abc import Mapping
from typing import Any

from protos.world.v1 import world_pb2 as pb
from protos.world.v1 import world_pb2_grpc
from staleplan.runtime.clock import Clock
from staleplan.runtime.errors import (
    InvalidArgumentError,
    PermissionDeniedError,
    UnknownNameError,
    check_amount,
)
from staleplan.runtime.recent import Recent
from staleplan.world.launches.customers import AzCustomers
from staleplan.world.launches.model import Ending, Launch, Totals

LAUNCHES_A_REPLY = 5_000
"""Most launches in one reply: 2 MB of failures, half of gRPC's limit for a message."""

MAX_ARRIVALS = 500.0
"""Most launches that may arrive in an AZ per wall second: each is five calls and more,
and a Python service takes 3,000 a second."""


class CustomersService(world_pb2_grpc.CustomersServiceServicer):
    """Customers as drills see them."""

    def __init__(
        self,
        customers: Mapping[str, AzCustomers],
        log: Recent[Launch],
        endings: Recent[Ending],
        totals: Totals,
        clock: Clock,
        *,
        drill: bool,
    ) -> None:
        """Serves the customers of each AZ; `drill`: callers may change how many."""
        self._customers = customers
        self._log = log
        self._endings = endings
        self._totals = totals
        self._clock = clock
        self._drill = drill

    async def ReadLaunches(
        self, request: pb.ReadLaunchesRequest, context: Any
    ) -> pb.ReadLaunchesResponse:
        """Returns what came of launches, in the order of their ends."""
        _check_after(request.after_sequence)
        launches = self._log.after(request.after_sequence, LAUNCHES_A_REPLY)
        return pb.ReadLaunchesResponse(
            launches=map(_launch_to_message, launches),
            totals=_totals_to_message(self._totals),
        )

    async def ReadEndings(
        self, request: pb.ReadEndingsRequest, context: Any
    ) -> pb.ReadEndingsResponse:
        """Returns the instances whose end was asked for, in the order of asking."""
        _check_after(request.after_sequence)
        endings = self._endings.after(request.after_sequence, LAUNCHES_A_REPLY)
        return pb.ReadEndingsResponse(
            endings=[
                pb.Ending(sequence=e.sequence, at_s=e.at_s, instance=e.instance)
                for e in endings
            ]
        )

    async def SetArrivals(
        self, request: pb.SetArrivalsRequest, context: Any
    ) -> pb.SetArrivalsResponse:
        """Says how many launches arrive in an AZ from now on."""
        if not self._drill:
            raise PermissionDeniedError(
                "arrivals are set only where the service runs with --drill"
            )
        if request.az not in self._customers:
            raise UnknownNameError("az", request.az, self._customers)
        check_amount("per_s", request.per_s)
        most = MAX_ARRIVALS * self._clock.wall_s(1.0)
        if request.per_s > most:
            problem = f"must be at most {most:g} at this speed, got {request.per_s:g}"
            raise InvalidArgumentError({"per_s": problem})
        self._customers[request.az].set_arrivals(request.per_s)
        return pb.SetArrivalsResponse()


def _check_after(sequence: int) -> None:
    if sequence < 0:
        raise InvalidArgumentError(
            {"after_sequence": f"must be at least 0, got {sequence}"}
        )


def _launch_to_message(launch: Launch) -> pb.Launch:
    return pb.Launch(
        sequence=launch.sequence,
        az=launch.az,
        client_token=launch.client_token,
        arrived_at_s=launch.arrived_at_s,
        took_s=launch.took_s,
        attempts=launch.attempts,
        outcome=launch.outcome,
        detail=launch.detail,
        instance=launch.instance,
    )


def _totals_to_message(totals: Totals) -> pb.Totals:
    return pb.Totals(
        arrived=totals.arrived,
        under_way=totals.arrived - totals.ended,
        ended=totals.ended,
        launched=totals.launched,
        terminated=totals.terminated,
        kept=totals.launched - totals.terminated,
    )
