"""`staleplan fault`: faults at named points of a running stack."""

from typing import TYPE_CHECKING, Annotated, Any

import typer

from staleplan.cli.console import STATE, JsonOption, StackOption, StateOption, show
from staleplan.cli.errors import CommandError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Sequence

    from rich.console import Console

    from protos.runtime.v1 import runtime_pb2 as pb
    from protos.runtime.v1.runtime_pb2_grpc import FaultServiceAsyncStub
    from staleplan.cli.calls import Lines
    from staleplan.stack.book import StackBook

app = typer.Typer(
    no_args_is_help=True, help="Inject, list and clear faults; needs `up --drill`."
)

SERVICE_OF = {"planner": "planner", "dns_store": "dns-store"}
"""The service that has a point, by the point's prefix; enactors and DWFM hosts have
theirs in every availability zone, and every other point is the world's."""

IN_EVERY_AZ = ("enactor", "dwfm")
"""Prefixes of the points that a service of each availability zone has."""


@app.command("points")
def points(as_json: JsonOption = False) -> None:
    """List the points where a fault may be injected, and when each is reached."""
    from staleplan.runtime.fault_spec import POINTS

    def render(to: "Console") -> None:
        for point, when in POINTS.items():
            to.print(f"{point:24} {when}", soft_wrap=True)

    show(dict(POINTS), render, as_json=as_json)


@app.command("inject")
def inject(
    point: Annotated[str, typer.Argument(help="See `fault points`.")],
    service: Annotated[
        str | None, typer.Option(help="Where; else the point's own service.")
    ] = None,
    az: Annotated[
        str | None, typer.Option(help="a, b or c; else in every one.")
    ] = None,
    zone: Annotated[str | None, typer.Option(help="Only for this zone.")] = None,
    droplet: Annotated[str | None, typer.Option(help="Only for this droplet.")] = None,
    delay: Annotated[float | None, typer.Option(help="Wait, incident seconds.")] = None,
    pause: Annotated[
        bool, typer.Option("--pause", help="Wait until cleared, or --until.")
    ] = False,
    until: Annotated[
        str | None,
        typer.Option(
            metavar="POINT@SERVICE[,LABEL=VALUE]", help="The point that ends a pause."
        ),
    ] = None,
    error: Annotated[
        str | None, typer.Option(help="Fail with a gRPC status, as UNAVAILABLE.")
    ] = None,
    drop: Annotated[bool, typer.Option("--drop", help="Lose the reply.")] = False,
    crash: Annotated[bool, typer.Option("--crash", help="End the service.")] = False,
    skew: Annotated[
        float | None, typer.Option(help="Move its clock, incident seconds.")
    ] = None,
    count: Annotated[int, typer.Option(help="Times; 0 is without limit.")] = 0,
    probability: Annotated[float, typer.Option(help="Above 0, at most 1.")] = 1.0,
    for_s: Annotated[
        float, typer.Option("--for", help="Incident seconds; 0 is until cleared.")
    ] = 0.0,
    stack: StackOption = None,
    state: StateOption = STATE,
    as_json: JsonOption = False,
) -> None:
    """Inject one fault: one of --delay, --pause, --error, --drop, --crash, --skew."""
    from protos.runtime.v1 import runtime_pb2 as pb
    from staleplan.cli.calls import choose, perform
    from staleplan.cli.stacks import find_book
    from staleplan.runtime.fault_spec import POINTS

    choose("fault point", point, list(POINTS))
    effect = {
        "delay": None if delay is None else pb.Delay(seconds=delay),
        "pause": pb.Pause() if pause else None,
        "error": None if error is None else pb.Error(status=error),
        "drop": pb.Drop() if drop else None,
        "crash": pb.Crash() if crash else None,
        "skew": None if skew is None else pb.Skew(seconds=skew),
    }
    chosen: dict[str, Any] = {k: v for k, v in effect.items() if v is not None}
    if len(chosen) != 1:
        options = ", ".join(f"--{name}" for name in effect)
        raise CommandError(f"name one effect: {options}; got {len(chosen)}")
    if until and not pause:
        raise CommandError("--until ends a --pause, and there is none")
    book = find_book(state, stack)
    fault = pb.Fault(
        point=point,
        labels={k: v for k, v in (("zone", zone), ("droplet", droplet)) if v},
        count=count,
        probability=probability,
        for_s=for_s,
        **chosen,
    )
    where = _services(book, point, service, az)
    ids = perform(book, lambda lines: _inject(lines, where, fault, until))
    show({"injected": ids}, lambda to: to.print("\n".join(ids)), as_json=as_json)


def _services(
    book: "StackBook", point: str, service: str | None, az: str | None
) -> list[str]:
    """Find who has a point: one service, or that of every AZ."""
    from staleplan.cli.calls import choose, services_of
    from staleplan.stack.settings import AZS

    running = services_of(book)
    if service:
        return [choose("service", service, running)]
    prefix = point.partition(".")[0]
    if prefix in IN_EVERY_AZ:
        azs = [choose("availability zone", az, AZS)] if az else AZS
        return [choose("service", f"{prefix}-{each}", running) for each in azs]
    if az:
        raise CommandError(f"--az is for enactors and DWFM, {point} is not theirs")
    return [SERVICE_OF.get(prefix, "world")]


async def _inject(
    lines: "Lines", services: "Sequence[str]", fault: "pb.Fault", until: str | None
) -> list[str]:
    from protos.runtime.v1 import runtime_pb2 as pb

    ids = []
    for service in services:
        if until:
            fault.pause.until.CopyFrom(_until(lines.book, service, until))
        call = faults_of(lines, service).Inject(pb.InjectRequest(fault=fault))
        injected = await lines.answer(service, call)
        ids.append(f"{service}/{injected.id}")
    return ids


def _until(book: "StackBook", paused: str, text: str) -> "pb.Until":
    """Read POINT@SERVICE[,LABEL=VALUE]."""
    from protos.runtime.v1 import runtime_pb2 as pb
    from staleplan.cli.calls import choose, services_of
    from staleplan.runtime.fault_spec import POINTS

    place, *pairs = text.split(",")
    point, _, service = place.partition("@")
    choose("fault point", point, list(POINTS))
    choose("service", service, services_of(book))
    labels = dict(pair.partition("=")[::2] for pair in pairs)
    address = "" if service == paused else book.addresses[service]
    return pb.Until(address=address, point=point, labels=labels)


def faults_of(lines: "Lines", service: str) -> "FaultServiceAsyncStub":
    """Return the faults of a service."""
    from protos.runtime.v1.runtime_pb2_grpc import FaultServiceStub

    return FaultServiceStub(lines.to(service))


@app.command("list")
def list_faults(
    stack: StackOption = None, state: StateOption = STATE, as_json: JsonOption = False
) -> None:
    """List every fault that was injected and not cleared."""
    from staleplan.cli.calls import perform
    from staleplan.cli.stacks import find_book

    faults = perform(find_book(state, stack), listed)

    def render(to: "Console") -> None:
        for fault in faults:
            to.print(describe(fault), soft_wrap=True)
        if not faults:
            to.print("no fault is listed")

    show({"faults": faults}, render, as_json=as_json)


async def listed(lines: "Lines") -> list[dict[str, Any]]:
    """Read the faults of all services."""
    from staleplan.cli.calls import services_of

    services = services_of(lines.book)
    return [fault for each in services for fault in await faults_at(lines, each)]


async def faults_at(lines: "Lines", service: str) -> list[dict[str, Any]]:
    """Read the faults of one service."""
    from google.protobuf.json_format import MessageToDict

    from protos.runtime.v1 import runtime_pb2 as pb
    from staleplan.cli.calls import CALL_TIMEOUT_S

    call = faults_of(lines, service).List(pb.ListRequest(), timeout=CALL_TIMEOUT_S)
    reply = await lines.answer(service, call)
    return [
        {
            "id": f"{service}/{each.id}",
            "in_force": each.state == pb.FAULT_STATE_IN_FORCE,
            "times_fired": each.times_fired,
            "holds": [dict(waiter.labels) for waiter in each.waiters],
            "fault": MessageToDict(each.fault, preserving_proto_field_name=True),
        }
        for each in reply.faults
    ]


def describe(fault: dict[str, Any]) -> str:
    """Say in one line what a fault does, and did."""
    said = fault["fault"]
    kind = next(
        k for k in ("delay", "pause", "error", "drop", "crash", "skew") if k in said
    )
    effect = said[kind]
    figures = [str(v) for name, v in effect.items() if name != "until"]
    if "until" in effect:
        until = effect["until"]
        figures = ["until", until["point"], *_pairs(until), until.get("address", "")]
    state = "in force" if fault["in_force"] else "over"
    words = (fault["id"], said["point"], *_pairs(said), kind, *figures)
    fired = f"fired {fault['times_fired']}x, {state}"
    return " ".join([*filter(None, words), fired])


def _pairs(said: dict[str, Any]) -> list[str]:
    return [f"{name}={value}" for name, value in said.get("labels", {}).items()]


@app.command("clear")
def clear(
    fault_id: Annotated[
        str | None, typer.Argument(metavar="[ID]", help="As listed; else every fault.")
    ] = None,
    stack: StackOption = None,
    state: StateOption = STATE,
    as_json: JsonOption = False,
) -> None:
    """End a fault, or all: what it holds goes on."""
    from staleplan.cli.calls import choose, perform
    from staleplan.cli.stacks import find_book

    async def work(lines: "Lines") -> list[str]:
        ids = [fault["id"] for fault in await listed(lines)]
        chosen = [choose("fault", fault_id, ids)] if fault_id else ids
        for each in chosen:
            service, _, number = each.partition("/")
            await lines.answer(service, _clear(lines, service, int(number)))
        return chosen

    cleared = perform(find_book(state, stack), work)
    text = f"cleared: {', '.join(cleared)}" if cleared else "no fault is listed"
    show({"cleared": cleared}, lambda to: to.print(text), as_json=as_json)


def _clear(lines: "Lines", service: str, number: int) -> "Awaitable[pb.ClearResponse]":
    from protos.runtime.v1 import runtime_pb2 as pb

    return faults_of(lines, service).Clear(pb.ClearRequest(id=number))
