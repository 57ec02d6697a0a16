"""What operators do to DWFM hosts. Source: R29, R30."""

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from rich.console import Console

from protos.dwfm.v1 import dwfm_pb2 as pb
from protos.dwfm.v1.dwfm_pb2_grpc import DwfmServiceStub
from staleplan.cli.calls import Lines, choose, perform
from staleplan.cli.console import show
from staleplan.cli.errors import CommandError
from staleplan.cli.stacks import find_book
from staleplan.stack.book import StackBook
from staleplan.stack.settings import AZS

if TYPE_CHECKING:
    from protos.dwfm.v1.dwfm_pb2_grpc import DwfmServiceAsyncStub

T = TypeVar("T")


def hosts_of(book: StackBook, az: str | None) -> list[str]:
    """Return the DWFM hosts of a stack, or that of one AZ.

    Raises: CommandError, if there is none.
    """
    azs = [choose("availability zone", az, AZS)] if az else AZS
    hosts = [f"dwfm-{each}" for each in azs if f"dwfm-{each}" in book.addresses]
    if not hosts:
        raise CommandError(f"stack {book.name!r} runs no DWFM there")
    return hosts


def _at_each(
    az: str | None,
    stack: str | None,
    state: Path,
    ask: "Callable[[DwfmServiceAsyncStub], Awaitable[T]]",
) -> dict[str, T]:
    """Ask each host the same; returns its reply by its name."""
    book = find_book(state, stack)
    hosts = hosts_of(book, az)

    async def work(lines: Lines) -> list[T]:
        calls = (
            lines.answer(host, ask(DwfmServiceStub(lines.to(host)))) for host in hosts
        )
        return await asyncio.gather(*calls)

    return dict(zip(hosts, perform(book, work), strict=True))


def restart(
    operator: str, az: str | None, stack: str | None, state: Path, *, as_json: bool
) -> None:
    """Clear the queues of hosts; their leases stay."""
    request = pb.RestartHostRequest(operator=operator)
    replies = _at_each(az, stack, state, lambda host: host.RestartHost(request))
    cleared = {host: reply.cleared for host, reply in replies.items()}

    def render(to: Console) -> None:
        for host, count in cleared.items():
            to.print(f"{host} restarted: {count} pieces of work thrown away")

    show({"cleared": cleared}, render, as_json=as_json)


def throttle(
    per_s: float,
    operator: str,
    az: str | None,
    stack: str | None,
    state: Path,
    *,
    as_json: bool,
) -> None:
    """Limit the new work of hosts, or lift the limit."""
    request = pb.ThrottleRequest(per_s=per_s, operator=operator)
    hosts = list(_at_each(az, stack, state, lambda host: host.Throttle(request)))
    limit = f"takes in {per_s:g} new a second" if per_s else "has no limit"

    def render(to: Console) -> None:
        for host in hosts:
            to.print(f"{host} {limit}")

    show({"throttled": hosts, "per_s": per_s}, render, as_json=as_json)


def drain(
    operator: str,
    az: str | None,
    stack: str | None,
    state: Path,
    *,
    end: bool,
    as_json: bool,
) -> None:
    """Have hosts refuse launches, or take them again."""
    request = pb.DrainRequest(draining=not end, operator=operator)
    hosts = list(_at_each(az, stack, state, lambda host: host.Drain(request)))

    def render(to: Console) -> None:
        for host in hosts:
            to.print(f"{host} {'takes launches again' if end else 'refuses launches'}")

    show({"draining": not end, "hosts": hosts}, render, as_json=as_json)
