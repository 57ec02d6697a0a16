"""`staleplan launch`: a customer who wants instances, and is told what comes of it."""

import asyncio
import secrets
from typing import TYPE_CHECKING, Annotated, Any

import typer

from staleplan.cli.console import STATE, JsonOption, StackOption, StateOption, show

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rich.console import Console

    from staleplan.cli.calls import Lines

PATIENCE_S = 15.0
"""Wall seconds for one launch: at the speed of the event it takes half of that."""


def launch(
    az: Annotated[str | None, typer.Option(help="a, b or c; else in turn.")] = None,
    count: Annotated[int, typer.Option(min=1, max=1000, help="Instances.")] = 1,
    stack: StackOption = None,
    state: StateOption = STATE,
    as_json: JsonOption = False,
) -> None:
    """Launch instances, each once. Exit code: 1 if any launch failed."""
    from staleplan.cli.calls import perform
    from staleplan.cli.ops_fleet import hosts_of
    from staleplan.cli.stacks import find_book

    book = find_book(state, stack)
    hosts = hosts_of(book, az)
    chosen = [hosts[number % len(hosts)] for number in range(count)]
    launches = perform(book, lambda lines: _launch_all(lines, chosen))

    def render(to: "Console") -> None:
        for each in launches:
            to.print(
                f"{each['host']}: {each['instance']} runs on {each['droplet']}"
                if each["outcome"] == "RUNNING"
                else f"{each['host']}: {each['outcome']}: {each['detail']}",
                style=None if each["outcome"] == "RUNNING" else "yellow",
                soft_wrap=True,
            )

    show({"launches": launches}, render, as_json=as_json)
    failed = any(each["outcome"] != "RUNNING" for each in launches)
    raise typer.Exit(1 if failed else 0)


async def _launch_all(lines: "Lines", hosts: "Sequence[str]") -> list[dict[str, Any]]:
    return await asyncio.gather(*(_launch(lines, host) for host in hosts))


async def _launch(lines: "Lines", host: str) -> dict[str, Any]:
    import grpc

    from protos.dwfm.v1 import dwfm_pb2 as pb
    from protos.dwfm.v1.dwfm_pb2_grpc import DwfmServiceStub
    from staleplan.runtime.errors import error_from_rpc

    request = pb.LaunchInstanceRequest(client_token=f"cli-{secrets.token_hex(8)}")
    stub = DwfmServiceStub(lines.to(host))
    document = {"host": host, "outcome": "RUNNING", "detail": ""}
    try:
        reply = await stub.LaunchInstance(request, timeout=PATIENCE_S)
    except grpc.aio.AioRpcError as error:
        why = error_from_rpc(error)
        again = why.retry_after_s
        hint = f"; ask again in {again:.0f} s" if again else ""
        return document | {"outcome": why.reason, "detail": f"{why}{hint}"}
    return document | {"instance": reply.instance, "droplet": reply.droplet}
