"""`staleplan status`: what is wrong first, then everything that is known."""

from dataclasses import asdict
from functools import partial
from typing import TYPE_CHECKING

import typer

from staleplan.cli.console import STATE, JsonOption, StackOption, StateOption, show

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

    from staleplan.cli.causes import Cause
    from staleplan.cli.status_read import StackStatus


def status(
    stack: StackOption = None, state: StateOption = STATE, as_json: JsonOption = False
) -> None:
    """Show stacks: what is wrong, then everything. Exit code: 1 if anything is red."""
    from staleplan.cli.calls import perform
    from staleplan.cli.causes import Severity, find_causes
    from staleplan.cli.stacks import books_in, find_book, folder_of
    from staleplan.cli.status_read import read_stack

    found = books_in(state)
    if stack or not found:
        book = find_book(state, stack)
        found = {book.name: book}
    seen = []
    for name, book in found.items():
        read = perform(book, partial(read_stack, folder=folder_of(state, name)))
        seen.append((read, find_causes(read)))
    document = [
        asdict(each) | {"causes": list(map(asdict, causes))} for each, causes in seen
    ]

    def render(to: "Console") -> None:
        for each, causes in seen:
            _render(to, each, causes)

    show({"stacks": document}, render, as_json=as_json)
    red = any(c.severity is Severity.RED for _, causes in seen for c in causes)
    raise typer.Exit(1 if red else 0)


def _render(to: "Console", status: "StackStatus", causes: "list[Cause]") -> None:
    drill = ", drill" if status.drill else ""
    to.print(
        f"stack {status.name}: {status.mode}{drill}, newest plan {status.newest_plan}",
        style="bold",
    )
    for cause in causes:
        to.print(str(cause), style=f"bold {cause.severity}", soft_wrap=True)
    if not causes:
        to.print("all is well", style="green")
    to.print(_services(status))
    to.print(_groups(status))
    to.print(_enactors(status))
    if status.fleet:
        to.print(_fleet(status))
    _render_drill(to, status)


def _services(status: "StackStatus") -> "Table":
    from rich.table import Table

    table = Table("service", "address", "process", "health", box=None)
    for each in status.services:
        style = None if each.health == "SERVING" else "bold red"
        process = str(each.process or "")
        table.add_row(each.service, each.address, process, each.health, style=style)
    return table


def _groups(status: "StackStatus") -> "Table":
    from rich.table import Table

    table = Table("zones", "", "active", "trees", "DNS", "locked by", box=None)
    for each in status.groups:
        answer = each.answer
        heard = f"{answer.status}, {answer.answers} answers" if answer else ""
        table.add_row(
            each.group,
            str(each.zones),
            _span(each.oldest_active, each.newest_active),
            ", ".join(map(str, each.trees)),
            heard,
            ", ".join(sorted(set(each.locks.values()))),
            style="bold red" if each.empty else None,
        )
    return table


def _span(oldest: int, newest: int) -> str:
    return str(newest) if oldest == newest else f"{oldest}..{newest}"


def _enactors(status: "StackStatus") -> "Table":
    from rich.table import Table

    table = Table("enactor", "in hand", "passes", "last", "retries", "why", box=None)
    for az, each in status.enactors.items():
        table.add_row(
            f"enactor-{az}",
            str(each.generation_in_hand or ""),
            str(each.passes),
            each.last_result,
            str(each.retries_in_a_row or ""),
            each.refused,
            style="yellow" if each.retries_in_a_row else None,
        )
    return table


def _fleet(status: "StackStatus") -> "Table":
    from rich.table import Table

    columns = ("leases", "instances", "queue", "oldest", "workers", "late", "throttle")
    table = Table("DWFM", *columns, box=None)
    for az, each in status.fleet.items():
        table.add_row(
            f"dwfm-{az}",
            f"{each.leases}/{each.droplets}",
            str(each.instances),
            str(each.queued),
            f"{each.oldest_wait_s:g} s" if each.queued else "",
            f"{each.busy}/{each.workers}",
            str(each.late or ""),
            "drained" if each.draining else _per_second(each.throttle_per_s),
            style="yellow" if each.leases < each.droplets else None,
        )
    return table


def _per_second(limit: float) -> str:
    return f"{limit:g}/s" if limit else ""


def _render_drill(to: "Console", status: "StackStatus") -> None:
    """What was done to the stack on purpose."""
    from staleplan.cli.fault import describe

    for fault in status.faults:
        to.print(f"fault {describe(dict(fault))}", style="yellow", soft_wrap=True)
    for name, value in status.switched.items():
        to.print(f"safeguard {name} is {'on' if value else 'off'}", style="yellow")
