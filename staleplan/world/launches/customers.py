"""The customers of one AZ, live: they arrive, launch, keep and terminate."""

import asyncio
import random
import secrets
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Generic, Never, TypeVar

import grpc
from opentelemetry import trace

from protos.dwfm.v1 import dwfm_pb2 as pb
from protos.dwfm.v1.dwfm_pb2_grpc import DwfmServiceStub
from staleplan.runtime.attributes import AZ, CLIENT_TOKEN, INSTANCE
from staleplan.runtime.errors import error_from_rpc
from staleplan.runtime.footing import Footing
from staleplan.runtime.recent import Recent
from staleplan.world.launches.core import (
    Outcome,
    gap_s,
    is_worth_retrying,
    lifetime_s,
    outcome_of,
    pause_s,
)
from staleplan.world.launches.model import Ending, Launch, Totals
from staleplan.world.launches.settings import CustomersSettings

LEAST_TIMEOUT_S = 0.1
"""Shortest deadline of an attempt, wall seconds: ten times what a busy machine takes
for the calls of one launch. At a speed above 600 deadlines are longer than they say."""

MAX_UNDER_WAY = 2_000
"""Launches of one AZ on their way at once: some 20 MB. Further ones are not sent, but
counted: they would measure this machine, and not DWFM."""

Reply = TypeVar("Reply")


@dataclass(frozen=True, slots=True)
class _Attempts(Generic[Reply]):
    """A call that has ended, with the last attempt's outcome."""

    count: int
    outcome: Outcome
    reply: Reply | None
    status: grpc.StatusCode
    detail: str


class AzCustomers:
    """Everybody who launches in one AZ. What ends is noted in `log` and `totals`."""

    def __init__(
        self,
        az: str,
        channel: grpc.aio.Channel,
        settings: CustomersSettings,
        base: Footing,
        *,
        log: Recent[Launch],
        endings: Recent[Ending],
        totals: Totals,
    ) -> None:
        """Will call DWFM over a channel that its owner closes."""
        self._az = az
        self._dwfm = DwfmServiceStub(channel)
        self._settings = settings
        self._base = base
        self._log = log
        self._endings = endings
        self._totals = totals
        # Arrivals are the same for a seed, however often customers have to try.
        self._chance = random.Random(f"{settings.seed}/customers/{az}")
        self._born = secrets.token_hex(3)
        self._arrived = 0
        self._under_way = 0
        self._per_s = settings.arrivals_per_s
        self._rate_changed = asyncio.Event()

    def set_arrivals(self, per_s: float) -> None:
        """Lets so many arrive per incident second, on average, from now on."""
        self._per_s = per_s
        self._rate_changed.set()

    async def run(self) -> Never:
        """Lets launches arrive until cancelled."""
        loop = asyncio.get_running_loop()
        due = loop.time()
        async with asyncio.TaskGroup() as launches:
            while True:
                due = await self._next_arrival(due)
                keep_s = lifetime_s(self._settings.lifetime_s, self._chance.random())
                self._arrived += 1
                self._totals.arrived += 1
                token = f"{self._az}-{self._born}-{self._arrived}"
                if self._under_way < MAX_UNDER_WAY:
                    self._under_way += 1
                    launches.create_task(self._launch_and_keep(token, keep_s))
                else:
                    self._note_unsent(token)

    async def _next_arrival(self, after: float) -> float:
        """Waits for the next arrival after one; returns when it was, on the loop.

        A loop that is late does not delay the arrivals that follow.
        """
        loop = asyncio.get_running_loop()
        while True:
            self._rate_changed.clear()
            gap = gap_s(self._per_s, self._chance.random())
            due = after + self._base.clock.wall_s(gap)
            try:
                async with asyncio.timeout_at(due):
                    await self._rate_changed.wait()
            except TimeoutError:
                return due
            # Arrivals have no memory: at a new rate one waits anew.
            after = loop.time()

    async def _launch_and_keep(self, token: str, keep_s: float) -> None:
        instance = await self._launch(token)
        if not instance:
            return
        await self._base.clock.sleep_s(keep_s)
        number, now_s = self._endings.next_sequence, self._base.clock.now_s()
        self._endings.add(Ending(number, now_s, instance))
        while not await self._terminate(instance):
            draw = self._base.chance.random()
            await self._base.clock.sleep_s(lifetime_s(self._settings.lifetime_s, draw))
        self._totals.terminated += 1

    async def _launch(self, token: str) -> str:
        """Launches, remembers what came of it and returns the instance; empty: none."""
        loop = asyncio.get_running_loop()
        arrived_at_s, started = self._base.clock.now_s(), loop.time()
        request = pb.LaunchInstanceRequest(client_token=token)
        with self._base.telemetry.tracer.start_as_current_span(
            "customer.launch", attributes={AZ: self._az, CLIENT_TOKEN: token}
        ) as span:
            done = await self._attempt(
                lambda timeout: self._dwfm.LaunchInstance(request, timeout=timeout)
            )
            if done.reply is None:
                span.set_status(trace.StatusCode.ERROR, done.detail)
        self._under_way -= 1
        instance = done.reply.instance if done.reply else ""
        took_s = (loop.time() - started) / self._base.clock.wall_s(1.0)
        self._note(
            Launch(
                self._log.next_sequence,
                self._az,
                token,
                arrived_at_s,
                took_s,
                done.count,
                done.outcome,
                done.detail,
                instance,
            )
        )
        return instance

    async def _terminate(self, instance: str) -> bool:
        """Terminates; returns whether the instance is surely gone."""
        request = pb.TerminateInstanceRequest(instance=instance)
        with self._base.telemetry.tracer.start_as_current_span(
            "customer.terminate", attributes={AZ: self._az, INSTANCE: instance}
        ) as span:
            done = await self._attempt(
                lambda timeout: self._dwfm.TerminateInstance(request, timeout=timeout)
            )
            # An earlier attempt ended it, and its reply was lost.
            gone = done.status in (grpc.StatusCode.OK, grpc.StatusCode.NOT_FOUND)
            if not gone:
                span.set_status(trace.StatusCode.ERROR, done.detail)
        return gone

    async def _attempt(
        self, call: Callable[[float], Awaitable[Reply]]
    ) -> _Attempts[Reply]:
        """Calls with a deadline, wall seconds, until it helps or is in vain."""
        clock = self._base.clock
        timeout = max(clock.wall_s(self._settings.launch_timeout_s), LEAST_TIMEOUT_S)
        count = 0
        while True:
            count += 1
            try:
                reply = await call(timeout)
            except grpc.aio.AioRpcError as failure:
                error = error_from_rpc(failure)
            else:
                ok = grpc.StatusCode.OK
                return _Attempts(count, Outcome.LAUNCHED, reply, ok, "")
            outcome = outcome_of(error.code.name, error.reason)
            if not is_worth_retrying(outcome, count):
                return _Attempts(count, outcome, None, error.code, str(error))
            draw = self._base.chance.random()
            await clock.sleep_s(pause_s(count, draw, error.retry_after_s or 0.0))

    def _note_unsent(self, token: str) -> None:
        at_s = self._base.clock.now_s()
        detail = f"not sent: {MAX_UNDER_WAY} launches are under way"
        number = self._log.next_sequence
        failed = Outcome.FAILED
        self._note(Launch(number, self._az, token, at_s, 0.0, 0, failed, detail, ""))

    def _note(self, launch: Launch) -> None:
        self._log.add(launch)
        self._totals.ended += 1
        self._totals.launched += launch.outcome is Outcome.LAUNCHED
