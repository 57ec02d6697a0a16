"""A customer that calls the regional endpoint by its name, over and over.

Nobody tells it that an outage is on. Each attempt opens a channel of its own, as a
program that has just started does: its resolver asks our DNS, so that it suffers an
empty answer within one attempt, and is well again with the first attempt after it.
With `keep_channel` it is a program that has been running all along: it has resolved
once, keeps those addresses and notices nothing. docs/clients.md has the figures.
"""

import asyncio
import time
from typing import Never

import grpc
from opentelemetry import trace

from protos.world.v1 import world_pb2, world_pb2_grpc
from staleplan.runtime.attributes import ENDPOINT
from staleplan.runtime.by_name import ByName
from staleplan.runtime.clock import Clock
from staleplan.runtime.recent import Recent
from staleplan.runtime.telemetry import Telemetry
from staleplan.world.model import Experience
from staleplan.world.settings import CustomerSettings

MIN_INTERVAL_S = 0.02
"""Shortest time between two calls, wall seconds: 50 a second, each 3 ms of work for
customer, load balancer and DNS together, so that they take a sixth of one core."""

MAX_IN_FLIGHT = 16
"""Calls in flight at once. At the shortest interval calls may take 320 ms before one
delays the next."""

MAX_EXPERIENCES = 100_000
"""Calls that are remembered: 33 minutes at the shortest interval, some 25 MB."""


class Customer:
    """Calls one endpoint through DNS and remembers what it got."""

    def __init__(
        self,
        settings: CustomerSettings,
        dns_target: str,
        port: int,
        telemetry: Telemetry,
        clock: Clock,
    ) -> None:
        """Will resolve at `dns_target` and connect to `port` of what it is told."""
        self._settings = settings
        self._way = ByName(
            dns_target,
            settings.endpoint,
            port,
            telemetry,
            keep_channel=settings.keep_channel,
        )
        self._telemetry = telemetry
        self._clock = clock
        self._experiences: Recent[Experience] = Recent(MAX_EXPERIENCES)

    def experiences(self, after: int, limit: int) -> list[Experience]:
        """Returns up to `limit` calls with a later sequence number, oldest first."""
        return self._experiences.after(after, limit)

    async def run(self) -> Never:
        """Calls at the interval until cancelled.

        A slow call delays the next only when `MAX_IN_FLIGHT` are on their way; calls
        that could not begin then are not made up for.
        """
        in_flight = asyncio.Semaphore(MAX_IN_FLIGHT)
        least_s = MIN_INTERVAL_S / self._clock.wall_s(1.0)
        interval_s = max(self._settings.call_interval_s, least_s)
        try:
            async with asyncio.TaskGroup() as calls:
                while True:
                    await in_flight.acquire()
                    call = calls.create_task(self.call())
                    call.add_done_callback(lambda _: in_flight.release())
                    await self._clock.sleep_s(interval_s)
        finally:
            await self._way.close()

    async def call(self) -> Experience:
        """Makes one call, remembers and returns what came of it."""
        at_s, started_s = self._clock.now_s(), time.perf_counter()
        with self._telemetry.tracer.start_as_current_span(
            "customer.call", attributes={ENDPOINT: self._settings.endpoint}
        ) as span:
            status, load_balancer, detail = await self._attempt()
            if detail:
                span.set_status(trace.StatusCode.ERROR, detail)
        took_s = time.perf_counter() - started_s
        return self._remember(at_s, status.name, load_balancer, detail, took_s)

    def _remember(
        self, at_s: float, status: str, load_balancer: str, detail: str, took_s: float
    ) -> Experience:
        return self._experiences.add(
            Experience(
                self._experiences.next_sequence,
                at_s,
                status,
                load_balancer,
                detail,
                took_s,
            )
        )

    async def _attempt(self) -> tuple[grpc.StatusCode, str, str]:
        """Returns the status, the load balancer that answered, and what failed."""
        try:
            async with self._way.channel() as channel:
                reply = await world_pb2_grpc.EndpointServiceStub(channel).Call(
                    world_pb2.CallRequest(), timeout=self._settings.call_timeout_s
                )
        except grpc.aio.AioRpcError as error:
            return error.code(), "", error.details() or error.code().name
        return grpc.StatusCode.OK, reply.load_balancer, ""
