"""`staleplan safeguard`: the safeguards of a running stack."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated

import typer

from staleplan.cli.console import STATE, JsonOption, StackOption, StateOption, show
from staleplan.cli.errors import CommandError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rich.console import Console

    from protos.runtime.v1 import runtime_pb2 as pb
    from protos.runtime.v1.runtime_pb2_grpc import SafeguardServiceAsyncStub
    from staleplan.cli.calls import Lines
    from staleplan.stack.book import StackBook

app = typer.Typer(
    no_args_is_help=True, help="Show and switch safeguards; needs `up --drill`."
)

UNGUARDED = ("dns-store", "world", "customers")
"""Services that have no safeguards."""

VALUES = {"on": True, "off": False}


@app.command("list")
def list_safeguards(
    stack: StackOption = None, state: StateOption = STATE, as_json: JsonOption = False
) -> None:
    """List each safeguard as requested and as in effect."""
    from staleplan.cli.calls import perform
    from staleplan.cli.stacks import find_book

    book = find_book(state, stack)
    found = perform(book, lambda lines: _read(lines, guarded(book)))
    _show(found, as_json=as_json)


@app.command("set")
def set_safeguards(
    values: Annotated[
        list[str],
        typer.Argument(
            metavar="SERVICE.FIELD=on|off ...",
            help="As enactor.pause_switch=off: for every enactor, or for enactor-a.",
        ),
    ],
    stack: StackOption = None,
    state: StateOption = STATE,
    as_json: JsonOption = False,
) -> None:
    """Switch safeguards: from an enactor's next pass on, those of DWFM at once."""
    from staleplan.cli.calls import perform
    from staleplan.cli.stacks import find_book

    book = find_book(state, stack)

    async def work(lines: "Lines") -> "Mapping[str, pb.GetResponse]":
        before = await _read(lines, guarded(book))
        wanted = _wanted(values, {name: has.effective for name, has in before.items()})
        for service, fields in wanted.items():
            await _set(lines, service, fields)
        return await _read(lines, list(wanted))

    _show(perform(book, work), as_json=as_json)


def _wanted(
    values: "Sequence[str]", known: Mapping[str, Mapping[str, bool]]
) -> dict[str, dict[str, bool]]:
    """Read SERVICE.FIELD=on|off, all of them before anything is switched."""
    from staleplan.cli.calls import choose

    wanted: dict[str, dict[str, bool]] = {}
    for each in values:
        name, _, value = each.partition("=")
        service, _, field = name.partition(".")
        if value not in VALUES:
            raise CommandError(f"{each!r}: a safeguard is on or off, as in {name}=on")
        groups = [each.partition("-")[0] for each in known]
        choose("service", service, list(dict.fromkeys([*groups, *known])))
        for one in [k for k in known if service in (k, k.partition("-")[0])]:
            choose(f"safeguard of {service}", field, list(known[one]))
            wanted.setdefault(one, {})[field] = VALUES[value]
    return wanted


def guarded(book: "StackBook") -> list[str]:
    """Return the services of a stack that have safeguards."""
    from staleplan.cli.calls import services_of

    return [each for each in services_of(book) if each not in UNGUARDED]


def safeguards_of(lines: "Lines", service: str) -> "SafeguardServiceAsyncStub":
    """Return the safeguards of a service."""
    from protos.runtime.v1.runtime_pb2_grpc import SafeguardServiceStub

    return SafeguardServiceStub(lines.to(service))


async def _set(lines: "Lines", service: str, fields: Mapping[str, bool]) -> None:
    from protos.runtime.v1 import runtime_pb2 as pb

    request = pb.SetRequest(safeguards=fields)
    await lines.answer(service, safeguards_of(lines, service).Set(request))


async def _read(
    lines: "Lines", services: "Sequence[str]"
) -> "Mapping[str, pb.GetResponse]":
    from protos.runtime.v1 import runtime_pb2 as pb

    return {
        each: await lines.answer(each, safeguards_of(lines, each).Get(pb.GetRequest()))
        for each in services
    }


def _show(found: "Mapping[str, pb.GetResponse]", *, as_json: bool) -> None:
    document = {
        service: {
            "mode": has.mode,
            "requested": dict(has.requested),
            "effective": dict(has.effective),
        }
        for service, has in found.items()
    }

    def render(to: "Console") -> None:
        rows: dict[tuple[str, str, str], list[str]] = {}
        for service, has in found.items():
            for field, what in sorted(has.descriptions.items()):
                now = _words(has.effective[field], has.requested[field])
                rows.setdefault((field, now, what), []).append(service)
        for (field, now, what), services in rows.items():
            azs = ",".join(filter(None, (s.partition("-")[2] for s in services)))
            name = services[0].partition("-")[0]
            to.print(f"{name}{'-' * bool(azs)}{azs}.{field}: {now}", style="bold")
            to.print(f"    {what}", soft_wrap=True)

    show(document, render, as_json=as_json)


def _words(effective: bool, requested: bool) -> str:
    now, soon = ("on" if each else "off" for each in (effective, requested))
    return now if now == soon else f"{now}; {soon} from the next pass on"
