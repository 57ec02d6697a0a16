"""The tables of docs/lease-storm.md: how they are made, and that they still hold."""

import csv
import shutil
from pathlib import Path

import pytest
from typer.testing import CliRunner

from staleplan.cli.app import app
from staleplan.drills.lease_storm_sweep import (
    LinePoint,
    LoadPoint,
    line_points,
    load_points,
)
from staleplan.drills.lease_storm_tables import line_table, load_table, write_load

DOCS = Path(__file__).parents[2] / "docs"


def rows_of(name: str) -> list[dict[str, str]]:
    with (DOCS / name).open() as file:
        return list(csv.DictReader(file))


def test_the_committed_line_is_that_of_a_fresh_run() -> None:
    fresh = [
        {name: str(value) for name, value in as_row(each).items()}
        for each in line_points((16,), (30.0,), (0.5, 0.8, 1.2, 1.5, 2.0))
    ]
    committed = rows_of("lease-storm-line.csv")
    assert len(fresh) >= 3
    for row in fresh:
        assert row in committed


def as_row(point: LinePoint | LoadPoint) -> dict[str, object]:
    return {name: getattr(point, name) for name in point.__dataclass_fields__}


def test_every_committed_storm_is_on_its_side_of_the_line() -> None:
    """A third above or below it, none is an exception."""
    rows = rows_of("lease-storm-line.csv")
    clear = [
        (float(row["storm_s"]) > float(row["line_s"]), row["collapsed"] == "True")
        for row in rows
        if abs(float(row["storm_s"]) / float(row["line_s"]) - 1) > 1 / 3
    ]
    assert len(clear) > len(rows) / 4
    assert {True, False} == {collapsed for _, collapsed in clear}
    assert all(above == collapsed for above, collapsed in clear)


def test_the_committed_load_shows_what_each_mode_is_worth() -> None:
    rows = rows_of("lease-storm-load.csv")
    good = {
        (row["safeguards"], float(row["load"])): float(row["goodput"]) for row in rows
    }
    assert good["all", 1.4] >= 0.95
    assert min(good["all", 10.0], good["all", 20.0]) >= 0.9
    assert max(good["none", 1.4], good["none", 20.0]) < 0.1
    assert all(float(row["late"]) <= 0.01 for row in rows if row["safeguards"] == "all")


def test_tables_are_put_between_their_markers(tmp_path: Path) -> None:
    for name in ("lease-storm.md",):
        shutil.copy(DOCS / name, tmp_path)
    command = ["drill", "run", "lease-storm", "--sweep", "timeout,workers"]
    told = CliRunner().invoke(
        app, [*command, "--fleet", "48", "--docs", str(tmp_path), "--json"]
    )
    assert told.exit_code == 0, told.output
    text = (tmp_path / "lease-storm.md").read_text()
    assert text.startswith("# The re-lease storm")
    assert "| 48 | 30 | 52.5 |" in text
    assert text.count("<!-- line: begin -->") == text.count("<!-- line: end -->") == 1
    assert (tmp_path / "lease-storm-line.csv").read_text().startswith("fleet,workers")
    picture = (tmp_path / "lease-storm-line.svg").read_text()
    assert picture.startswith("<svg ")
    assert picture.count("<polyline ") == 3


def test_load_is_written_as_table_and_picture(tmp_path: Path) -> None:
    shutil.copy(DOCS / "lease-storm.md", tmp_path)
    points = list(load_points(48, (0.5, 1.4), only=("none", "all")))
    write_load(points, tmp_path)
    table = load_table(points)
    assert table in (tmp_path / "lease-storm.md").read_text()
    assert table.splitlines()[0] == "| safeguards | 0.5x | 1.4x |"
    assert "(never)" in table.splitlines()[2]
    picture = (tmp_path / "lease-storm-load.svg").read_text()
    assert picture.count("<polyline ") == 2


def test_a_fleet_that_never_recovered_has_no_recovery_in_the_table() -> None:
    point = LinePoint(16, 1, 30.0, 120.0, 52.5, 0.0, 0.1, collapsed=True)
    assert point.as_predicted
    assert line_table([point]).splitlines()[2] == "| 16 | 30 | 52.5 | none | 120 |"


@pytest.mark.parametrize("name", ["lease-storm-line.svg", "lease-storm-load.svg"])
def test_the_committed_pictures_are_there(name: str) -> None:
    assert (DOCS / name).read_text().count("<polyline ") >= 3
