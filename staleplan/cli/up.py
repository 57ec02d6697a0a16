"""`staleplan up` and `staleplan down`: a stack's beginning and end."""

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from staleplan.cli.console import STATE, JsonOption, StateOption, show
from staleplan.cli.errors import CommandError

if TYPE_CHECKING:
    from rich.console import Console

    from staleplan.stack.book import StackBook
    from staleplan.stack.settings import StackSettings


class Mode(StrEnum):
    """A preset of safeguards."""

    BUGGY = "buggy"
    FIXED = "fixed"


def up(
    stack: Annotated[str, typer.Option(help="Its name.")] = "default",
    mode: Annotated[
        Mode | None,
        typer.Option(help="As it failed, or hardened.", show_default="fixed"),
    ] = None,
    drill: Annotated[
        bool, typer.Option("--drill", help="Allow faults and switching of safeguards.")
    ] = False,
    speed: Annotated[
        float, typer.Option(help="Incident seconds per second on the wall.")
    ] = 1.0,
    endpoints: Annotated[int, typer.Option(help="Account-specific endpoints.")] = 2_000,
    load_balancers: Annotated[int, typer.Option(help="Load balancers.")] = 24,
    fleet: Annotated[
        bool,
        typer.Option(help="Droplets, DWFM and customers that launch, or DNS only."),
    ] = True,
    database_url: Annotated[
        str | None,
        typer.Option(
            envvar="STALEPLAN_DATABASE_URL", help="PostgreSQL; else the embedded one."
        ),
    ] = None,
    state: StateOption = STATE,
    dns_port: Annotated[
        int, typer.Option(help="Where DNS is answered; 0 takes a free port.")
    ] = 0,
    one_process: Annotated[
        bool, typer.Option("--one-process", help="All services in one process.")
    ] = False,
    seed: Annotated[int, typer.Option(help="What chance is drawn from.")] = 0,
    as_json: JsonOption = False,
) -> None:
    """Start a stack in the background, and wait until every service is ready."""
    from staleplan.cli import stacks
    from staleplan.stack.settings import DNS_SERVICES, SERVICES

    settings = _settings(
        name=stack,
        mode=mode or "fixed",
        services=SERVICES if fleet else DNS_SERVICES,
        state_folder=state.resolve(),
        database_url=database_url or None,
        account_endpoints=endpoints,
        load_balancers=load_balancers,
        seed=seed,
        drill=drill,
        clock={"speed": speed},
        dns_port=dns_port,
    )
    book = stacks.books_in(state).get(stack)
    started = not book or not stacks.is_supervised(book, settings.folder)
    if book and not started:
        _require_same(book, mode, drill=drill)
    else:
        if book:
            stacks.end(book, settings.folder)
        _check_folder(settings.folder)
        _check_dns_port(dns_port)
        book = stacks.launch(settings, one_process=one_process)
    folder = settings.folder
    document = book.model_dump() | {"started": started, "folder": str(folder)}
    show(document, lambda to: _render(to, book, folder, started), as_json=as_json)


def _settings(**given: object) -> "StackSettings":
    from pydantic import ValidationError

    from staleplan.stack.settings import StackSettings

    try:
        return StackSettings.model_validate(given)
    except ValidationError as error:
        problems = (
            f"{'.'.join(map(str, each['loc']))}: {each['msg']}"
            for each in error.errors()
        )
        raise CommandError("; ".join(problems)) from error


def _require_same(book: "StackBook", mode: Mode | None, *, drill: bool) -> None:
    down = f"end it with `staleplan down --stack {book.name}` or choose another --stack"
    if mode and mode != book.mode:
        raise CommandError(f"stack {book.name!r} runs {book.mode}, not {mode}: {down}")
    if drill and not book.drill:
        raise CommandError(f"stack {book.name!r} runs without --drill: {down}")


def _check_folder(folder: Path) -> None:
    """Make the folder, and try whether it can be written to."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        probe = folder / "writable"
        probe.touch()
        probe.unlink()
    except OSError as error:
        raise CommandError(
            f"the state folder {folder} cannot be used: {error.strerror}; "
            "choose one with --state"
        ) from error


def _check_dns_port(port: int) -> None:
    """Refuse a port that is taken, before anything starts."""
    import socket

    kinds = {"UDP": socket.SOCK_DGRAM, "TCP": socket.SOCK_STREAM}
    for name, kind in kinds.items() if port else ():
        with socket.socket(socket.AF_INET, kind) as probe:
            if kind is socket.SOCK_STREAM:
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError as error:
                raise CommandError(
                    f"{name} port {port} cannot be used: {error.strerror}; "
                    "choose another with --dns-port"
                ) from error


def _render(to: "Console", book: "StackBook", folder: Path, started: bool) -> None:
    from rich.table import Table

    drill = ", drill" if book.drill else ""
    state = "is up" if started else "is already up"
    to.print(
        f"stack {book.name} {state}: {book.mode}{drill}, {book.speed:g} incident "
        "seconds a second"
    )
    table = Table("service", "answers at", "process", box=None)
    for service, address in sorted(book.addresses.items()):
        at = f"127.0.1.N{address}" if address.startswith(":") else address
        table.add_row(service, at, str(book.processes.get(service, "")))
    to.print(table)
    to.print(f"logs and traces: {folder}", soft_wrap=True)
    host, _, port = book.addresses["dns"].rpartition(":")
    for example in (
        f"staleplan status --stack {book.name}",
        f"staleplan resolve dynamodb.us-east-1.example --stack {book.name}",
        f"dig @{host} -p {port} dynamodb.us-east-1.example",
        f"staleplan down --stack {book.name}",
    ):
        to.print(f"  {example}", soft_wrap=True)


def down(
    stack: Annotated[str | None, typer.Option(help="Its name.")] = None,
    everything: Annotated[bool, typer.Option("--all", help="Every stack.")] = False,
    state: StateOption = STATE,
    as_json: JsonOption = False,
) -> None:
    """Stop a stack and leave nothing running; what is stored stays."""
    from staleplan.cli import stacks

    if everything and stack:
        raise CommandError("--stack and --all exclude each other")
    if everything:
        books = list(stacks.books_in(state).values())
    else:
        books = [stacks.find_book(state, stack)]
    ended = {
        book.name: stacks.end(book, stacks.folder_of(state, book.name))
        for book in books
    }

    def render(to: "Console") -> None:
        for name, orphans in ended.items():
            left = f"; left by a dead supervisor: {', '.join(orphans)}"
            to.print(f"stack {name} is down{left if orphans else ''}", soft_wrap=True)
        if not ended:
            to.print(f"no stack runs in {state}")

    document = [{"name": name, "orphans": left} for name, left in ended.items()]
    show({"ended": document}, render, as_json=as_json)
