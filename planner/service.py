"""The planner over gRPC: what it is doing, and the operator's round."""

import asyncio
from typing import Any

import grpc

from planner.core import Occasion
from planner.driver import Driver
from planner.model import UnsafePlan
from protos.planner.v1 import planner_pb2 as pb
from protos.planner.v1.planner_pb2_grpc import PlannerServiceServicer
from staleplan.model import NOTHING, Published

Context = grpc.aio.ServicerContext[Any, Any]


class PlannerService(PlannerServiceServicer):
    """Plans round after round while it is started, and answers for it."""

    def __init__(self, driver: Driver) -> None:
        self._driver = driver
        self._work: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Begin to plan."""
        self._work = asyncio.create_task(self._driver.keep_planning())

    async def stop(self) -> None:
        """Abandon the round in hand."""
        if self._work:
            self._work.cancel()
            await asyncio.gather(self._work, return_exceptions=True)

    async def Describe(
        self, request: pb.DescribeRequest, context: Context
    ) -> pb.DescribeResponse:
        """Tell what the planner is doing."""
        return pb.DescribeResponse(
            published_generation=self._driver.published,
            rounds=self._driver.rounds,
            held=_held(self._driver.held),
        )

    async def PlanNow(
        self, request: pb.PlanNowRequest, context: Context
    ) -> pb.PlanNowResponse:
        """Make a round at once, as if the period were over."""
        self._driver.telemetry.log.info(
            "round asked for",
            operator=request.operator,
            force_digest=request.force_digest,
        )
        result = await self._driver.plan(
            Occasion(period_is_over=True, forced_digest=request.force_digest)
        )
        published = result.generation if isinstance(result, Published) else NOTHING
        return pb.PlanNowResponse(
            published_generation=published, result=str(result), held=_held(result)
        )


def _held(result: object) -> pb.HeldPlan | None:
    if not isinstance(result, UnsafePlan):
        return None
    return pb.HeldPlan(
        digest=result.digest, endpoint=result.endpoint, removed=result.removed
    )
