"""`staleplan check`: the shipped enactors under every interleaving and crash."""

from __future__ import annotations

import json
import sys
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from staleplan.cli.console import JsonOption
from staleplan.cli.errors import CommandError
from staleplan.cli.modes import Modes, read_switches

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from staleplan.check.question import Question
    from staleplan.check.result import Result
    from staleplan.check.search import Found

Budget = Annotated[int, typer.Option(min=0, max=3)]


def check(
    mode: Annotated[
        Modes, typer.Option(help="As it failed, hardened, or both.")
    ] = Modes.BOTH,
    safeguard: Annotated[
        list[str], typer.Option(help="FIELD=on|off; may be repeated.")
    ] = [],  # noqa: B006  never changed
    enactors: Annotated[int, typer.Option(min=1, max=4)] = 2,
    zones: Annotated[int, typer.Option(min=1, max=3)] = 1,
    plans: Annotated[int, typer.Option(min=1, max=15)] = 4,
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
        _answer(question, memory_gb, workers, converging=converging, save_in=save)
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
    save_in: Path | None,
) -> Result:
    from staleplan.check.machine import NotAFunction
    from staleplan.check.result import result_of
    from staleplan.check.search import Search

    try:
        search = Search(question, memory_gb, workers)
        with _progress() as told:
            search.run(told, converging=converging)
    except NotAFunction as error:
        raise CommandError(f"the core cannot be searched: {error}") from error
    result = result_of(search)
    if save_in:
        from staleplan.check.saved import save

        save(search, result.stories, result.name, save_in)
    return result


@contextmanager
def _progress() -> Iterator[Callable[[Found], None]]:
    """Show how far a search is, if somebody looks."""
    from rich.console import Console

    console = Console(stderr=True)
    if not sys.stderr.isatty():
        yield lambda _: None
        return
    with console.status("searching") as status:
        yield lambda found: status.update(
            f"{found.states:,} states, depth {found.depth}, {found.wall_s:.0f} s"
        )


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
