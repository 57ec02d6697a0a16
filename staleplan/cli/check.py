"""`staleplan check`: the shipped enactors under every interleaving and crash."""

from __future__ import annotations

import json
import sys
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from staleplan.check.sizes import MAX_ENACTORS, MAX_FAULTS, MAX_PLANS, MAX_ZONES
from staleplan.cli.console import JsonOption
from staleplan.cli.errors import CommandError
from staleplan.cli.modes import Modes, read_switches

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from staleplan.check.question import Question
    from staleplan.check.result import Result
    from staleplan.check.search import Found

Budget = Annotated[int, typer.Option(min=0, max=MAX_FAULTS)]


def check(
    mode: Annotated[
        Modes, typer.Option(help="As it failed, hardened, or both.")
    ] = Modes.BOTH,
    safeguard: Annotated[
        list[str], typer.Option(help="FIELD=on|off; may be repeated.")
    ] = [],  # noqa: B006  never changed
    enactors: Annotated[int, typer.Option(min=1, max=MAX_ENACTORS)] = 2,
    zones: Annotated[int, typer.Option(min=1, max=MAX_ZONES)] = 1,
    plans: Annotated[int, typer.Option(min=1, max=MAX_PLANS)] = 4,
    crashes: Budget = 0,
    lost_replies: Budget = 0,
    pauses: Budget = 0,
    workers: Annotated[int, typer.Option(min=1, help="Processes to search with.")] = 1,
    memory_gb: Annotated[
        float, typer.Option(min=0.1, help="End above it: exit code 3.")
    ] = 4.0,
    converging: Annotated[
        bool, typer.Option(help="Look whether each state can still converge, too.")
    ] = True,
    unreduced: Annotated[bool, typer.Option(help="Leave no order out.")] = False,
    save: Annotated[
        Path | None, typer.Option(help="Folder for what tells of each violation.")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Explore every order of the enactors' steps.

    Exit code: 0 as expected, 1 not, 3 the space did not fit.
    """
    from enactor.safeguards import BUGGY, FIXED
    from staleplan.check.question import Question
    from staleplan.check.result import EXIT_CODES

    presets = {Modes.BUGGY: [BUGGY], Modes.FIXED: [FIXED], Modes.BOTH: [BUGGY, FIXED]}
    questions = [
        Question(
            replace(preset, **read_switches(safeguard)),
            enactors=enactors,
            zones=zones,
            plans=plans,
            crashes=crashes,
            lost_replies=lost_replies,
            pauses=pauses,
            reduced=not unreduced,
        )
        for preset in presets[mode]
    ]
    results = [
        _answer(
            question,
            memory_gb,
            workers,
            converging=converging,
            shown=not as_json and sys.stderr.isatty(),
            save_in=save,
        )
        for question in questions
    ]
    if as_json:
        runs = [result.to_json() for result in results]
        typer.echo(json.dumps(runs[0] if len(runs) == 1 else {"runs": runs}, indent=2))
    else:
        _show(results)
    raise typer.Exit(max(EXIT_CODES[result.verdict] for result in results))


def _answer(
    question: Question,
    memory_gb: float,
    workers: int,
    *,
    converging: bool,
    shown: bool,
    save_in: Path | None,
) -> Result:
    from staleplan.check.machine import NotAFunction
    from staleplan.check.result import result_of
    from staleplan.check.search import Search

    try:
        search = Search(question, memory_gb, workers)
        with _progress(memory_gb, shown=shown) as told:
            search.run(told, converging=converging)
    except NotAFunction as error:
        raise CommandError(f"the core cannot be searched: {error}") from error
    result = result_of(search)
    if save_in:
        from staleplan.check.saved import save

        save(search, result.stories, result.name, save_in)
    return result


@contextmanager
def _progress(memory_gb: float, *, shown: bool) -> Iterator[Callable[[Found], None]]:
    """Show how far a search is; how far it has to go, nobody knows."""
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

    from staleplan.check.search import memory_used_gb

    with Progress(
        BarColumn(8),
        TextColumn("{task.description}"),
        TimeElapsedColumn(),
        console=Console(stderr=True),
        auto_refresh=False,  # by a thread, which a fork of workers could not take along
        transient=True,
        disable=not shown,
    ) as progress:
        bar = progress.add_task("searching", total=None)

        def tell(found: Found) -> None:
            where = f"depth {found.depth}, frontier {found.frontier:,}"
            if found.complete:
                where = f"depth {found.depth}: can each still converge?"
            told = (
                f"{found.states:,} states, {found.states / found.wall_s:,.0f}/s, "
                f"{where}, {memory_used_gb():.1f} of {memory_gb:.1f} GB"
            )
            progress.update(bar, description=told, refresh=True)

        yield tell


def _show(results: Sequence[Result]) -> None:
    from rich.console import Console

    from staleplan.check.result import NAMES

    console = Console(highlight=False, markup=False)
    for result in results:
        asked, found = result.question, result.found
        console.print(
            f"{result.mode}: {asked.enactors} enactors, {asked.zones} "
            f"zones, {asked.plans} plans, {asked.crashes} crashes: "
            f"{found.states:,} states, {found.transitions:,} transitions, depth "
            f"{found.depth}, {found.wall_s:.1f} s"
        )
        for each, name in NAMES.items():
            held = "broken" if each in found.paths else "held  "
            if each not in result.judged:
                held = "open  "
            console.print(f"  {each:<4} {held}  {name}")
        for each, story in result.stories.items():
            console.print(f"\n{each} {NAMES[each]}, broken in the fewest events:")
            console.print(story, soft_wrap=True)
        if found.stopped:
            console.print(f"\nNOT COMPLETE: {found.stopped}; nothing is shown by that")
        elif result.vacuous:
            console.print(f"\nSHOWS NOTHING: never happened: {result.vacuous}")
        console.print(f"\nverdict: {result.verdict}\n")
