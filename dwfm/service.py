"""A DWFM host over gRPC: what customers and operators ask of it."""

import asyncio
import hashlib
import math
import re
from bisect import bisect_right
from typing import Any

import grpc

from dwfm.driver import Driver
from dwfm.errors import WaitTooLongError, insist
from dwfm.model import Answer, Drained, Droplet, InstanceId, Restarted, Throttled
from dwfm.watch import counts_of
from protos.dwfm.v1 import dwfm_pb2 as pb
from protos.dwfm.v1.dwfm_pb2_grpc import DwfmServiceServicer
from staleplan.runtime.clock import Clock
from staleplan.runtime.errors import InvalidArgumentError, check_amount
from staleplan.runtime.logs import BoundLogger

Context = grpc.aio.ServicerContext[Any, Any]

LONGEST_WAIT_S = 600.0
"""How long a customer waits who names no deadline or a later one, incident seconds:
some more than the slowest of them do."""

LEASES_A_REPLY = 1_000
"""Most leases in one reply: 60 KB, and a table on the screen of an operator."""

RENEWALS_A_REPLY = 5_000
"""Most renewals in one reply: 150 KB."""

ID_DIGITS = 17
"""Digits of an instance's id, as customers know them: 68 bits, which do not collide."""

_TOKEN = re.compile(r"[A-Za-z0-9-]{1,64}")
_INSTANCE = re.compile(rf"i-[0-9a-f]{{{ID_DIGITS}}}")


def instance_of(token: str) -> InstanceId:
    """Return the one instance that a customer's token stands for."""
    return InstanceId(f"i-{hashlib.sha256(token.encode()).hexdigest()[:ID_DIGITS]}")


class DwfmService(DwfmServiceServicer):
    """Checks what is asked, and hands it to the driver."""

    def __init__(self, driver: Driver, clock: Clock, log: BoundLogger) -> None:
        self._driver = driver
        self._host = driver.host
        self._names = sorted(driver.host.droplets)
        self._clock = clock
        self._log = log

    async def LaunchInstance(
        self, request: pb.LaunchInstanceRequest, context: Context
    ) -> pb.LaunchInstanceResponse:
        """Launch the one instance that a token stands for."""
        if not _TOKEN.fullmatch(request.client_token):
            problem = "must be 1 to 64 letters, digits and hyphens"
            raise InvalidArgumentError({"client_token": problem})
        instance = instance_of(request.client_token)
        wait_s = self._wait_s(context)
        asking = self._driver.launch(instance, self._clock.now_s() + wait_s)
        answer = insist(await self._in_time(asking, wait_s))
        return pb.LaunchInstanceResponse(
            instance=instance, droplet=answer.droplet or ""
        )

    async def TerminateInstance(
        self, request: pb.TerminateInstanceRequest, context: Context
    ) -> pb.TerminateInstanceResponse:
        """End an instance; one that has ended stays so."""
        if not _INSTANCE.fullmatch(request.instance):
            problem = f"must be i- and {ID_DIGITS} hexadecimal digits"
            raise InvalidArgumentError({"instance": problem})
        wait_s = self._wait_s(context)
        asking = self._driver.terminate(
            InstanceId(request.instance), self._clock.now_s() + wait_s
        )
        insist(await self._in_time(asking, wait_s))
        return pb.TerminateInstanceResponse()

    def _wait_s(self, context: Context) -> float:
        """Say how long the caller waits, incident seconds."""
        remaining_s: float | None = context.time_remaining()
        if remaining_s is None:
            return LONGEST_WAIT_S
        return min(LONGEST_WAIT_S, max(0.0, remaining_s / self._clock.wall_s(1.0)))

    async def _in_time(self, asking: Any, wait_s: float) -> Answer:
        """Wait for an answer, at most so long: a caller without a deadline leaves."""
        try:
            async with asyncio.timeout(self._clock.wall_s(wait_s)):
                answer: Answer = await asking
                return answer
        except TimeoutError:
            waited = f"no answer within {wait_s:g} s of incident time"
            raise WaitTooLongError(waited) from None

    async def DescribeLeases(
        self, request: pb.DescribeLeasesRequest, context: Context
    ) -> pb.DescribeLeasesResponse:
        """Tell the leases, in the order of their droplets."""
        start = bisect_right(self._names, request.after_droplet)
        names = self._names[start : start + LEASES_A_REPLY]
        return pb.DescribeLeasesResponse(
            leases=[_lease(self._host.droplets[name]) for name in names],
            more=start + LEASES_A_REPLY < len(self._names),
        )

    async def Describe(
        self, request: pb.DescribeRequest, context: Context
    ) -> pb.DescribeResponse:
        """Tell the host in figures."""
        host = self._host
        throttle = host.queue.throttle
        return pb.DescribeResponse(
            az=self._driver.settings.az,
            droplets=len(host.droplets),
            leases=host.leases,
            instances=len(host.instances),
            queued=len(host.queue),
            running=len(host.running),
            workers=host.limits.workers,
            oldest_wait_s=self._driver.watch.oldest_wait_s,
            store_is_away=host.store_is_away,
            throttle_per_s=throttle.per_s if throttle else 0.0,
            draining=host.draining,
            counts=pb.Counts(**counts_of(host)),
        )

    async def ReadRenewals(
        self, request: pb.ReadRenewalsRequest, context: Context
    ) -> pb.ReadRenewalsResponse:
        """Tell when checks of held leases were wanted, and how long they waited."""
        after = request.after_sequence
        check_amount("after_sequence", after)
        renewals = self._driver.renewals.after(after, RENEWALS_A_REPLY)
        return pb.ReadRenewalsResponse(
            renewals=[
                pb.Renewal(
                    sequence=each.sequence,
                    wanted_at_s=each.wanted_at_s,
                    waited_s=each.waited_s,
                )
                for each in renewals
            ]
        )

    async def Throttle(
        self, request: pb.ThrottleRequest, context: Context
    ) -> pb.ThrottleResponse:
        """Limit how fast new work is taken in. Source: R29."""
        check_amount("per_s", request.per_s)
        self._driver.tell(Throttled(request.per_s or None))
        self._log.warning("throttled", operator=request.operator, per_s=request.per_s)
        return pb.ThrottleResponse()

    async def RestartHost(
        self, request: pb.RestartHostRequest, context: Context
    ) -> pb.RestartHostResponse:
        """Throw all work away; leases stay. Source: R29."""
        cleared = len(self._host.queue) + len(self._host.running)
        self._driver.tell(Restarted())
        self._log.warning("restarted", operator=request.operator, cleared=cleared)
        return pb.RestartHostResponse(cleared=cleared)

    async def Drain(
        self, request: pb.DrainRequest, context: Context
    ) -> pb.DrainResponse:
        """Refuse launches, or take them again; leases are kept."""
        self._driver.tell(Drained(request.draining))
        self._log.warning(
            "draining" if request.draining else "taking launches again",
            operator=request.operator,
        )
        return pb.DrainResponse()


def _lease(droplet: Droplet) -> pb.Lease:
    return pb.Lease(
        droplet=droplet.name,
        term=droplet.term,
        active=droplet.leased,
        until_s=droplet.until_s if math.isfinite(droplet.until_s) else 0.0,
        instances=len(droplet.instances),
        slots=droplet.slots,
    )
