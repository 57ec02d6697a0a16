"""What a person sees of `lease-storm`: the story, the figures, the ablation table."""

from collections import Counter
from collections.abc import Sequence

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from staleplan.cli.race_report import STYLES
from staleplan.drills.lease_storm_result import STORM_NAMES
from staleplan.drills.result import Result, Verdict
from staleplan.runtime.clock import INCIDENT_START_S, local_time

FIGURES = {
    "goodput_before": "goodput before, of capacity",
    "goodput_after": "goodput after, of capacity",
    "collapsed_intervals": "check intervals (5 min) under 5 %",
    "late_share_after": "work finished too late, after",
    "leases_expired": "leases that ran out",
    "queue_at_most": "work that waited, at most",
    "recovered_after_s": "normal by itself after, s",
    "repaired_after_s": "normal with operators after, s",
}
"""The measures that are shown, of those that `--json` has."""


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
        _show_figures(console, results)
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


def _show_figures(console: Console, results: Sequence[Result]) -> None:
    table = Table("", *(result.mode for result in results), box=None)
    for each, name in FIGURES.items():
        table.add_row(name, *(_figure(result, each) for result in results))
    table.add_row()
    for each, name in STORM_NAMES.items():
        table.add_row(f"{each} {name}", *(_mark(result, each) for result in results))
    console.print(table)


def _show_ablation(
    console: Console, results: Sequence[Result], titles: Sequence[str]
) -> None:
    table = Table("safeguards", *STORM_NAMES, "goodput after", "normal after", "")
    for title, result in zip(titles, results, strict=True):
        table.add_row(
            title,
            *(_mark(result, each) for each in STORM_NAMES),
            _figure(result, "goodput_after"),
            _figure(result, "recovered_after_s"),
            f"[{STYLES[result.verdict]}]{result.verdict}[/]",
        )
    console.print(table)


def _show_counts(console: Console, results: Sequence[Result]) -> None:
    table = Table("mode", "runs", *STORM_NAMES, "void")
    for mode in dict.fromkeys(result.mode for result in results):
        runs = [result for result in results if result.mode == mode]
        broken = Counter(
            each
            for result in runs
            for each, judged in result.properties.items()
            if not judged.held
        )
        void = sum(result.verdict is Verdict.VOID for result in runs)
        marks = (
            f"broken in {broken[each]}" if broken[each] else "held"
            for each in STORM_NAMES
        )
        table.add_row(mode, str(len(runs)), *marks, str(void))
    console.print(table)


def _mark(result: Result, each: str) -> str:
    judged = result.properties.get(each)
    if judged is None:
        return "-"
    return "[green]held[/]" if judged.held else "[red]broken[/]"


def _figure(result: Result, each: str) -> str:
    value = result.measures.get(each)
    return "-" if value is None else f"{value:g}"
