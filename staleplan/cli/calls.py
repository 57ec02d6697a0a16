"""Calls from the command line to the services of one stack."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AsyncExitStack
from types import TracebackType
from typing import Self, TypeVar

import grpc

from staleplan.cli.errors import CommandError, nearest
from staleplan.runtime.errors import RemoteError, error_from_rpc
from staleplan.stack.book import StackBook
from staleplan.stack.settings import SERVICES
from staleplan.store_client import StoreClient

T = TypeVar("T")

CALL_TIMEOUT_S = 5.0
"""Wall seconds for one call: far above its milliseconds, below a person's patience."""

PATIENCE_S = 20.0
"""Wall seconds for a whole command: a service that crashed is back after three."""

MAX_MESSAGE_BYTES = 64 * 1024 * 1024
"""Largest reply, bytes, as the services have it: a plan of 200,000 records is 16 MiB.
Not imported from there, which would load the telemetry and take half a second."""


def services_of(book: StackBook) -> list[str]:
    """Return the services of a stack, in the order of starting."""
    return [each for each in SERVICES if each in book.addresses]


class Lines:
    """A line to each service of a stack, opened when it is first used."""

    def __init__(self, book: StackBook) -> None:
        """Opens nothing yet."""
        self.book = book
        self._open: dict[str, grpc.aio.Channel] = {}
        self._stack = AsyncExitStack()

    async def __aenter__(self) -> Self:
        """Enters the life of the lines."""
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Closes every line."""
        await self._stack.aclose()

    def to(self, service: str) -> grpc.aio.Channel:
        """Returns the line to a service."""
        if service not in self._open:
            options = [("grpc.max_receive_message_length", MAX_MESSAGE_BYTES)]
            line = grpc.aio.insecure_channel(self.book.addresses[service], options)
            self._stack.push_async_callback(line.close)
            self._open[service] = line
        return self._open[service]

    @property
    def store(self) -> StoreClient:
        """The DNS store, which alone is needed to repair anything. Source: R20."""
        return StoreClient(self.to("dns-store"))

    async def answer(self, service: str, call: Awaitable[T]) -> T:
        """Wait for a call to a service.

        Raises: CommandError, which names the service.
        """
        try:
            return await call
        except grpc.aio.AioRpcError as error:
            if error.code() is grpc.StatusCode.PERMISSION_DENIED:
                why = "start the stack with `staleplan up --drill` for that"
            elif error.code() is grpc.StatusCode.UNAVAILABLE:
                why = f"no answer at {self.book.addresses[service]}"
            else:
                why = str(error_from_rpc(error))
            raise CommandError(f"{service}: {why}") from error


def perform(book: StackBook, work: Callable[[Lines], Awaitable[T]]) -> T:
    """Run what a command does to a stack.

    Raises: CommandError, for whatever a service or the way to it has against it.
    """

    async def whole() -> T:
        async with Lines(book) as lines, asyncio.timeout(PATIENCE_S):
            return await work(lines)

    try:
        return asyncio.run(whole())
    except RemoteError as error:
        raise CommandError(str(error)) from error
    except TimeoutError as error:
        at = book.addresses["dns-store"]
        raise CommandError(
            f"no answer from the stack within {PATIENCE_S:g} s; its DNS store is at "
            f"{at}: see `staleplan status --stack {book.name}`"
        ) from error


def choose(kind: str, name: str, known: Sequence[str]) -> str:
    """Return a name that is known.

    Raises: CommandError, with the nearest.
    """
    if name not in known:
        raise CommandError(f"no {kind} {name!r}; {nearest(name, known)}")
    return name
