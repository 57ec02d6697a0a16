"""The enactor over gRPC: what it is doing, and the operator's restart."""

import asyncio
from typing import Any

import grpc

from enactor.core import Extent, enact
from enactor.driver import Driver, keep_enacting
from enactor.model import Pass
from enactor.safeguards import Safeguards
from protos.enactor.v1 import enactor_pb2 as pb
from protos.enactor.v1.enactor_pb2_grpc import EnactorServiceServicer
from staleplan.model import NOTHING
from staleplan.runtime.safeguards import SafeguardSwitchboard

Context = grpc.aio.ServicerContext[Any, Any]


class EnactorService(EnactorServiceServicer):
    """Makes pass after pass while it is entered, and answers for it."""

    def __init__(
        self, driver: Driver, safeguards: SafeguardSwitchboard[Safeguards]
    ) -> None:
        self._driver = driver
        self._safeguards = safeguards
        self._work: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Begin to make passes."""
        self._work = asyncio.create_task(keep_enacting(self._driver, self._new_pass))

    async def stop(self) -> None:
        """Abandon the pass in hand, wherever it is: a crash leaves no less behind."""
        if self._work:
            self._work.cancel()
            await asyncio.gather(self._work, return_exceptions=True)

    def _new_pass(self) -> tuple[Pass, list[str]]:
        settings = self._driver.settings
        extent = Extent(settings.keep_generations, settings.zones_in_flight)
        steps = enact(self._safeguards.current, extent)
        return steps, [name for name, on in self._safeguards.effective.items() if on]

    async def Describe(
        self, request: pb.DescribeRequest, context: Context
    ) -> pb.DescribeResponse:
        """Tell what the enactor is doing."""
        progress = self._driver.progress
        return pb.DescribeResponse(
            az=self._driver.settings.az,
            generation_in_hand=progress.in_hand,
            last_result=progress.last_result,
            passes=progress.passes,
            retries_in_a_row=progress.retries_in_a_row,
            refused=progress.refused,
            stuck_zones=progress.stuck_zones,
        )

    async def Restart(
        self, request: pb.RestartRequest, context: Context
    ) -> pb.RestartResponse:
        """Abandon the pass in hand; the next one starts from the newest plan."""
        abandoned = self._driver.progress.in_hand
        self._driver.telemetry.log.warning(
            "restarted", operator=request.operator, abandoned=abandoned
        )
        await self.stop()
        self._driver.progress.in_hand = NOTHING
        self._driver.progress.retries_in_a_row = 0
        await self.start()
        return pb.RestartResponse(abandoned_generation=abandoned)
