"""What a person sees of `dns-race`: the story, the properties, the ablation table."""

from collections import Counter
from collections.abc import Sequence

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from staleplan.drills.race_result import PROPERTY_NAMES
from staleplan.drills.result import Result, Verdict
from staleplan.runtime.clock import INCIDENT_START_S, local_time

STYLES = {
    Verdict.AS_EXPECTED: "bold green",
    Verdict.NOT_AS_EXPECTED: "bold red",
    Verdict.VOID: "bold yellow",
}


def show(results: Sequence[Result], titles: Sequence[str], verdict: Verdict) -> None:
    """Print runs: a few in full, many as counts, ablations as a table."""
    console = Console()
    if len(set(titles)) > 1:
        _show_ablation(console, results, titles)
    elif len(results) > 2:
        _show_counts(console, results)
    else:
        for result in results:
            _show_story(console, result)
        _show_properties(console, results)
    console.print(f"verdict: [{STYLES[verdict]}]{verdict}[/]")


def _show_story(console: Console, result: Result) -> None:
    console.rule(f"{result.mode}, on {result.on}, seed {result.seed}", align="left")
    told = [(event.t_s, escape(event.event)) for event in result.timeline]
    for each, judged in result.properties.items():
        if not judged.held:
            broken = f"[red]{each} broken: {escape(judged.evidence or '')}[/]"
            told.append((judged.first_violation_t_s or 0.0, broken))
    for t_s, line in sorted(told, key=lambda each: each[0]):
        at = local_time(INCIDENT_START_S + t_s)
        console.print(f"  [dim]{at}[/] {line}", highlight=False, soft_wrap=True)
    for when in ("after_race", "after_plans", "after_repair"):
        seen = result.measures.get(when)
        if seen:
            _show_seen(console, when.replace("_", " the ", 1), seen)
    if result.trace_file:
        console.print(f"  trace: {result.trace_file}", soft_wrap=True)


def _show_seen(console: Console, when: str, seen: dict[str, object]) -> None:
    style = "green" if seen["answers"] else "red"
    console.print(
        f"  {when}: DNS says {seen['status']}, "
        f"[{style}]{seen['answers']} answers[/]; a client gets {seen['call']}",
        highlight=False,
    )


def _show_properties(console: Console, results: Sequence[Result]) -> None:
    console.print()
    for each, name in PROPERTY_NAMES.items():
        found = "   ".join(f"{r.mode}: {_mark(r, each)}" for r in results)
        console.print(f"{each:<4} {name:<43} {found}", highlight=False)


def _show_ablation(
    console: Console, results: Sequence[Result], titles: Sequence[str]
) -> None:
    table = Table("safeguards", *PROPERTY_NAMES, "verdict")
    for title, result in zip(titles, results, strict=True):
        marks = (_mark(result, each).rstrip() for each in PROPERTY_NAMES)
        table.add_row(title, *marks, f"[{STYLES[result.verdict]}]{result.verdict}[/]")
    console.print(table)


def _mark(result: Result, each: str) -> str:
    judged = result.properties.get(each)
    if judged is None:
        return "-"
    return "[green]held[/]  " if judged.held else "[red]broken[/]"


def _show_counts(console: Console, results: Sequence[Result]) -> None:
    table = Table("mode", "runs", *PROPERTY_NAMES, "void")
    for mode in dict.fromkeys(result.mode for result in results):
        runs = [result for result in results if result.mode == mode]
        broken = Counter(
            each
            for result in runs
            for each, judged in result.properties.items()
            if not judged.held
        )
        void = sum(result.verdict is Verdict.VOID for result in runs)
        table.add_row(
            mode,
            str(len(runs)),
            *(
                f"broken in {broken[each]}" if broken[each] else "held"
                for each in PROPERTY_NAMES
            ),
            str(void),
        )
    console.print(table)
