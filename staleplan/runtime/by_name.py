"""Channels to what is known by a name alone, which a DNS server of ours resolves."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import grpc

from staleplan.runtime.channel import MIN_RESOLUTION_PERIOD_MS, TracedChannel
from staleplan.runtime.telemetry import Telemetry

_OPTIONS = (
    # A connection that another channel left open would be no attempt of its own.
    ("grpc.use_local_subchannel_pool", 1),
    # A proxy from the environment would resolve the name in our place.
    ("grpc.enable_http_proxy", 0),
    ("grpc.dns_min_time_between_resolutions_ms", MIN_RESOLUTION_PERIOD_MS),
)


class ByName:
    """The way to a name: a fresh channel for each attempt, or one for all.

    A fresh channel asks the DNS server, so that it suffers an empty answer within one
    attempt and is well with the first attempt after it; it takes 1.6 ms more. One
    that is kept has resolved once, keeps those addresses and notices nothing.
    """

    def __init__(
        self,
        dns_target: str,
        name: str,
        port: int,
        telemetry: Telemetry,
        *,
        keep_channel: bool,
    ) -> None:
        """Will resolve at `dns_target` (host:port), and connect to `port`."""
        self._target = f"dns://{dns_target}/{name}:{port}"
        self._telemetry = telemetry
        self._keep_channel = keep_channel
        self._kept: grpc.aio.Channel | None = None

    @asynccontextmanager
    async def channel(self) -> AsyncIterator[grpc.aio.Channel]:
        """Yield the channel for one attempt."""
        if self._keep_channel:
            self._kept = self._kept or self._open()
            yield self._kept
            return
        async with self._open() as channel:
            yield channel

    async def close(self) -> None:
        """Close the channel that was kept."""
        if self._kept:
            await self._kept.close()

    def _open(self) -> grpc.aio.Channel:
        bare = grpc.aio.insecure_channel(self._target, _OPTIONS)
        return TracedChannel(bare, self._telemetry)
