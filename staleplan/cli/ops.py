"""`staleplan ops`: what operators see and do while no enactor works. Source: R20.

All but `restart`, `force`, `throttle` and `drain` need the DNS store and nothing else.
"""

import asyncio
import getpass
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Any

import typer

from staleplan.cli.console import STATE, JsonOption, StackOption, StateOption, show
from staleplan.cli.errors import CommandError

if TYPE_CHECKING:
    from rich.console import Console

    from staleplan.cli.calls import Lines
    from staleplan.model import EndpointName, Generation, Outcome, ZoneName, ZoneView
    from staleplan.store_client import StoreClient

app = typer.Typer(
    no_args_is_help=True, help="Look into a stack and repair it, without an enactor."
)

OperatorOption = Annotated[
    str, typer.Option(default_factory=getpass.getuser, help="Who asks, for the audit.")
]
AzOption = Annotated[str | None, typer.Option(help="a, b or c; else every one.")]
ZoneArgument = Annotated[str, typer.Argument(help="Such as regional, accounts-000.")]


@app.command("show")
def show_zones(
    zone: Annotated[str | None, typer.Option(help="Only this zone.")] = None,
    entries: Annotated[
        int, typer.Option(min=1, max=1000, help="Of the journal and of the audit.")
    ] = 10,
    stack: StackOption = None,
    state: StateOption = STATE,
    as_json: JsonOption = False,
) -> None:
    """Show locks, pointers and trees, the last batches, and what operators did."""
    from staleplan.cli import ops_show
    from staleplan.cli.calls import perform
    from staleplan.cli.stacks import find_book

    book = find_book(state, stack)
    seen = perform(book, lambda lines: ops_show.look(lines.store, zone, entries))
    show(seen, lambda to: ops_show.render(to, seen), as_json=as_json)


@app.command("pause")
def pause(
    operator: OperatorOption,
    stack: StackOption = None,
    state: StateOption = STATE,
    as_json: JsonOption = False,
) -> None:
    """Pause the automation: nothing is applied, answers go on."""
    _set_automation(stack, state, operator, paused=True, as_json=as_json)


@app.command("resume")
def resume(
    operator: OperatorOption,
    stack: StackOption = None,
    state: StateOption = STATE,
    as_json: JsonOption = False,
) -> None:
    """Let the automation go on."""
    _set_automation(stack, state, operator, paused=False, as_json=as_json)


def _set_automation(
    stack: StackOption,
    state: StateOption,
    operator: str,
    *,
    paused: bool,
    as_json: bool,
) -> None:
    from staleplan.cli.calls import perform
    from staleplan.cli.stacks import find_book

    book = find_book(state, stack)
    perform(
        book,
        lambda lines: lines.store.set_automation(paused=paused, operator=operator),
    )
    text = f"automation of {book.name} {'is paused' if paused else 'runs'}"
    show({"paused": paused}, lambda to: to.print(text), as_json=as_json)


@app.command("restore")
def restore(
    what: Annotated[
        str, typer.Argument(metavar="ENDPOINT_OR_ZONE", help="Or a group, as accounts.")
    ],
    operator: OperatorOption,
    generation: Annotated[
        str, typer.Option(metavar="N|newest|previous", help="The plan to go to.")
    ] = "newest",
    stack: StackOption = None,
    state: StateOption = STATE,
    as_json: JsonOption = False,
) -> None:
    """Point an endpoint or a zone at a plan, and free its lock.

    An enactor that works moves it on to the newest plan again: pause the automation
    first to stay with an older one.
    """
    from staleplan.operators import Operator

    async def work(store: "StoreClient") -> "list[Outcome]":
        place = await _find(store, what)
        views = await store.zones(place.zones)
        chosen = [await _choose(store, view, generation) for view in views]
        person = Operator(store, operator)
        return [
            await person.restore(view.zone, each, place.endpoints)
            for view, each in zip(views, chosen, strict=True)
        ]

    _operate("restored", stack, state, work, as_json=as_json)


@app.command("unlock")
def unlock(
    zone: ZoneArgument,
    operator: OperatorOption,
    stack: StackOption = None,
    state: StateOption = STATE,
    as_json: JsonOption = False,
) -> None:
    """Take a zone's lock away from whoever holds it."""
    from staleplan.operators import Operator

    async def work(store: "StoreClient") -> "list[Outcome]":
        zones = (await _find(store, zone)).zones
        person = Operator(store, operator)
        return [await person.unlock(each) for each in zones]

    _operate("unlocked", stack, state, work, as_json=as_json)


def _operate(
    done: str,
    stack: StackOption,
    state: StateOption,
    work: "Callable[[StoreClient], Any]",
    *,
    as_json: bool,
) -> None:
    """Run an operator's batches, and show what became of each."""
    from staleplan.cli.calls import perform
    from staleplan.cli.stacks import find_book
    from staleplan.model import Applied, Refused

    book = find_book(state, stack)
    outcomes = perform(book, lambda lines: work(lines.store))
    zones = [
        {
            "outcome": outcome.reason if isinstance(outcome, Refused) else "applied",
            **asdict(outcome.after if isinstance(outcome, Applied) else outcome.found),
        }
        for outcome in outcomes
    ]

    def render(to: "Console") -> None:
        for zone in zones:
            said = done if zone["outcome"] == "applied" else f"no: {zone['outcome']}"
            to.print(
                f"{zone['zone']}: {said}; active {_list(zone['active'])}, rollback "
                f"{_list(zone['rollback'])}, trees {_list(zone['trees'])}",
                soft_wrap=True,
            )

    show({"zones": zones}, render, as_json=as_json)
    raise typer.Exit(0 if all(zone["outcome"] == "applied" for zone in zones) else 1)


def _list(generations: "Sequence[Generation]") -> str:
    return ", ".join(map(str, generations)) or "none"


@dataclass(frozen=True, slots=True)
class Place:
    """Zones, or some endpoints of one zone."""

    zones: "tuple[ZoneName, ...]"
    endpoints: "tuple[EndpointName, ...]" = ()


async def _find(store: "StoreClient", name: str) -> Place:
    """Find what is meant: a zone, a group of zones, or an endpoint.

    Raises: CommandError, with the nearest name.
    """
    from staleplan.cli.errors import nearest
    from staleplan.model import EndpointName
    from staleplan.store_client import endpoint_zone

    head = await store.head()
    zones = head.zones if head else ()
    meant = tuple(z for z in zones if name in (z, group_of(z)))
    if meant:
        return Place(meant)
    plan = await store.plan()
    endpoint = EndpointName(name.rstrip("."))
    zone = endpoint_zone(plan, endpoint) if plan else None
    if zone is None:
        single = [z.endpoints[0] for z in plan.draft.zones] if plan else []
        raise CommandError(
            f"no zone or endpoint {name!r}; {nearest(name, [*zones, *single])}"
        )
    return Place((zone,), (endpoint,))


def group_of(zone: str) -> str:
    """Return what zones of one kind share: `accounts` of accounts-000."""
    return zone.partition("-")[0]


async def _choose(
    store: "StoreClient", view: "ZoneView", generation: str
) -> "Generation":
    """Read N, newest or previous: what the rollback record points at. Source: R7.

    Where two enactors applied the same plan one after the other, it points at the
    active plan itself; then the newest other tree is meant.
    """
    from staleplan.model import NOTHING, Generation

    if generation == "newest":
        head = await store.head()
        chosen = head.generation if head else NOTHING
    elif generation == "previous":
        others = [g for g in view.rollback if g not in view.active]
        others = others or [g for g in view.trees if g not in view.active]
        chosen = max(others, default=NOTHING)
    elif generation.isdecimal():
        chosen = Generation(int(generation))
    else:
        raise CommandError(f"--generation {generation!r}: N, newest or previous wanted")
    if chosen == NOTHING:
        raise CommandError(f"{view.zone}: there is no {generation} plan to go to")
    return chosen


class Restartable(StrEnum):
    """What operators restart."""

    ENACTOR = "enactor"
    DWFM = "dwfm"


@app.command("restart")
def restart(
    operator: OperatorOption,
    what: Annotated[
        Restartable, typer.Argument(help="enactor, or dwfm: its queue is cleared.")
    ] = Restartable.ENACTOR,
    az: AzOption = None,
    stack: StackOption = None,
    state: StateOption = STATE,
    as_json: JsonOption = False,
) -> None:
    """Make enactors start from the newest plan, or DWFM hosts with an empty queue."""
    from staleplan.cli.calls import choose, perform
    from staleplan.cli.stacks import find_book
    from staleplan.stack.settings import AZS

    if what is Restartable.DWFM:
        from staleplan.cli import ops_fleet

        ops_fleet.restart(operator, az, stack, state, as_json=as_json)
        return
    azs = [choose("availability zone", az, AZS)] if az else AZS
    book = find_book(state, stack)

    async def work(lines: "Lines") -> list[int]:
        calls = (_restart(lines, each, operator) for each in azs)
        return await asyncio.gather(*calls)

    abandoned = dict(zip(azs, perform(book, work), strict=True))

    def render(to: "Console") -> None:
        for each, plan in abandoned.items():
            had = f"plan {plan} abandoned" if plan else "no plan was in hand"
            to.print(f"enactor-{each} restarted: {had}")

    show({"abandoned": abandoned}, render, as_json=as_json)


@app.command("throttle")
def throttle(
    per_s: Annotated[
        float, typer.Argument(min=0, help="New work per incident second; 0: no limit.")
    ],
    operator: OperatorOption,
    az: AzOption = None,
    stack: StackOption = None,
    state: StateOption = STATE,
    as_json: JsonOption = False,
) -> None:
    """Limit how fast DWFM hosts take in new work, or lift the limit."""
    from staleplan.cli import ops_fleet

    ops_fleet.throttle(per_s, operator, az, stack, state, as_json=as_json)


@app.command("drain")
def drain(
    operator: OperatorOption,
    end: Annotated[bool, typer.Option("--end", help="Take launches again.")] = False,
    az: AzOption = None,
    stack: StackOption = None,
    state: StateOption = STATE,
    as_json: JsonOption = False,
) -> None:
    """Have DWFM hosts refuse launches; leases are kept."""
    from staleplan.cli import ops_fleet

    ops_fleet.drain(operator, az, stack, state, end=end, as_json=as_json)


async def _restart(lines: "Lines", az: str, operator: str) -> int:
    from protos.enactor.v1 import enactor_pb2 as pb
    from protos.enactor.v1.enactor_pb2_grpc import EnactorServiceStub

    service = f"enactor-{az}"
    call = EnactorServiceStub(lines.to(service)).Restart(
        pb.RestartRequest(operator=operator)
    )
    return (await lines.answer(service, call)).abandoned_generation


@app.command("force")
def force(
    digest: Annotated[str, typer.Argument(help="Of the held plan: see `status`.")],
    operator: OperatorOption,
    stack: StackOption = None,
    state: StateOption = STATE,
    as_json: JsonOption = False,
) -> None:
    """Have the planner publish the plan that it holds as unsafe."""
    from protos.planner.v1 import planner_pb2 as pb
    from protos.planner.v1.planner_pb2_grpc import PlannerServiceStub
    from staleplan.cli.calls import perform
    from staleplan.cli.stacks import find_book

    book = find_book(state, stack)

    async def work(lines: "Lines") -> "pb.PlanNowResponse":
        planner = PlannerServiceStub(lines.to("planner"))
        held = await lines.answer("planner", planner.Describe(pb.DescribeRequest()))
        if held.held.digest != digest:
            has = f"it holds {held.held.digest}" if held.HasField("held") else "none"
            raise CommandError(f"the planner holds no plan {digest!r}: {has}")
        request = pb.PlanNowRequest(force_digest=digest, operator=operator)
        return await lines.answer("planner", planner.PlanNow(request))

    reply = perform(book, work)
    published = reply.published_generation
    text = f"published as plan {published}" if published else f"no: {reply.result}"
    document = {"published_generation": published, "result": reply.result}
    show(document, lambda to: to.print(text), as_json=as_json)
    raise typer.Exit(0 if published else 1)
