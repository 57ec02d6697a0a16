"""Writes what the sweeps of `lease-storm` measured: CSV, Markdown and pictures."""

import csv
from collections.abc import Sequence
from dataclasses import asdict
from io import StringIO
from pathlib import Path

from staleplan.drills.lease_storm_sweep import LinePoint, LoadPoint
from staleplan.report.line_chart import Axis, Points, line_chart

LINE_HEADS = (
    "droplets",
    "timeout T, s",
    "theory: 2 T - s, s",
    "longest storm that recovered, s",
    "shortest that collapsed, s",
)

SHARES = (0.0, 0.2, 0.4, 0.6, 0.8, 1.0)


def write_line(points: Sequence[LinePoint], folder: Path) -> None:
    """Write the line of collapse: its table, its CSV and its picture."""
    write_csv(points, folder / "lease-storm-line.csv")
    put_table(folder / "lease-storm.md", "line", line_table(points))
    lines: dict[str, Points] = {
        f"{droplets:,} droplets, T = {timeout_s:g} s": sorted(
            (each.storm_s / each.line_s, min(1.0, each.leases))
            for each in points
            if (each.fleet, each.timeout_s) == (droplets, timeout_s)
        )
        for droplets, timeout_s in sorted({(p.fleet, p.timeout_s) for p in points})
    }
    most = max(each.storm_s / each.line_s for each in points)
    marks = [0.0, 0.5, *range(1, int(most) + 2)]
    title = "Leases held, long after: a storm above the line collapses"
    x = Axis("all leases, in times of what the timeout allows (2 T - s)", marks)
    y = Axis("share of leases", SHARES)
    picture = line_chart(title, x, y, lines)
    (folder / "lease-storm-line.svg").write_text(picture)


def write_load(points: Sequence[LoadPoint], folder: Path) -> None:
    """Write goodput against load: its table, its CSV and its picture."""
    write_csv(points, folder / "lease-storm-load.csv")
    put_table(folder / "lease-storm.md", "load", load_table(points))
    names = list(dict.fromkeys(each.safeguards for each in points))
    order = sorted(names, key=lambda name: (name not in {"none", "all"}, name))
    lines: dict[str, Points] = {
        name: [(p.load, min(1.0, p.goodput)) for p in points if p.safeguards == name]
        for name in sorted(order, key=lambda name: name == "all")
        if not name.startswith("all but")
    }
    loads = sorted({each.load for each in points})
    title = "Goodput against offered load, for half an hour"
    x = Axis("offered load, in times of capacity", loads, is_log=True)
    y = Axis("goodput, of capacity", SHARES)
    (folder / "lease-storm-load.svg").write_text(line_chart(title, x, y, lines))


def write_csv(points: Sequence[LinePoint] | Sequence[LoadPoint], path: Path) -> None:
    """Write one line for each point, and one with the names."""
    told = StringIO()
    writer = csv.DictWriter(told, list(asdict(points[0])), lineterminator="\n")
    writer.writeheader()
    writer.writerows(asdict(each) for each in points)
    path.write_text(told.getvalue())


def line_table(points: Sequence[LinePoint]) -> str:
    """The line of collapse in Markdown: the storms nearest to it, on both sides."""
    rows = [
        f"| {' | '.join(LINE_HEADS)} |",
        "|---" * len(LINE_HEADS) + "|",
    ]
    for droplets, timeout_s in sorted({(p.fleet, p.timeout_s) for p in points}):
        mine = [p for p in points if (p.fleet, p.timeout_s) == (droplets, timeout_s)]
        well = max((p.storm_s for p in mine if not p.collapsed), default=None)
        ill = min((p.storm_s for p in mine if p.collapsed), default=None)
        rows.append(
            f"| {droplets:,} | {timeout_s:g} | {mine[0].line_s:g} | {_cell(well)} "
            f"| {_cell(ill)} |"
        )
    return "\n".join(rows)


def load_table(points: Sequence[LoadPoint]) -> str:
    """Goodput against load in Markdown, and after how long all was normal again."""
    loads = sorted({each.load for each in points})
    names = dict.fromkeys(each.safeguards for each in points)
    found = {(each.safeguards, each.load): each for each in points}
    heads = [f"{load:g}x" for load in loads]
    rows = [f"| safeguards | {' | '.join(heads)} |", "|---" * (len(heads) + 1) + "|"]
    for name in names:
        cells = [_load_cell(found[name, load]) for load in loads]
        rows.append(f"| {name} | {' | '.join(cells)} |")
    return "\n".join(rows)


def put_table(path: Path, name: str, table: str) -> None:
    """Put a table between its markers in a document."""
    begin, end = f"<!-- {name}: begin -->", f"<!-- {name}: end -->"
    before, _, rest = path.read_text().partition(begin)
    _, _, after = rest.partition(end)
    path.write_text(f"{before}{begin}\n{table}\n{end}{after}")


def _load_cell(point: LoadPoint) -> str:
    after_s = point.normal_after_s
    back = "never" if after_s is None else f"{after_s:g} s"
    return f"{point.goodput:.2f} ({back})"


def _cell(value: float | None) -> str:
    return "none" if value is None else f"{value:g}"
