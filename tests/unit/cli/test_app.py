"""The command line as a whole: quick help, one-line errors, exit codes."""

import subprocess
import sys
from importlib import metadata
from pathlib import Path

import pytest
from typer.testing import CliRunner

from staleplan.cli.app import app
from staleplan.runtime.fault_spec import POINTS
from tests.commands import Commands

COMMANDS = (
    ("up",),
    ("down",),
    ("status",),
    ("resolve",),
    ("replay",),
    ("drill", "list"),
    ("drill", "run"),
    *(("fault", each) for each in ("inject", "list", "clear", "points")),
    *(("safeguard", each) for each in ("list", "set")),
    *(
        ("ops", each)
        for each in ("show", "pause", "resume", "restore", "unlock", "restart", "force")
    ),
)


def test_help_imports_nothing_heavy() -> None:
    program = (
        "import sys, staleplan.cli; heavy = {'grpc', 'pydantic', 'dns', 'sqlalchemy',"
        "'opentelemetry', 'google', 'rich'}; print(sorted(heavy & set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert done.stdout == "[]\n"


@pytest.mark.parametrize("words", COMMANDS, ids=" ".join)
def test_every_command_has_help_and_json(words: tuple[str, ...]) -> None:
    result = CliRunner().invoke(app, [*words, "--help"])
    assert result.exit_code == 0
    assert "--json" in result.stdout


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (("stauts",), "No such command 'stauts'. Did you mean 'status'?"),
        (("ops", "unlok"), "No such command 'unlok'. Did you mean 'unlock'?"),
        (("up", "--mode", "bugy"), "'bugy' is not one of 'buggy', 'fixed'"),
        (("up", "--speed", "fast"), "Invalid value for '--speed'"),
        (("resolve",), "Missing argument 'name'"),
        (("status", "--colour"), "No such option: --colour"),
    ],
)
def test_what_is_not_understood_is_one_line_and_exit_code_2(
    tmp_path: Path, words: tuple[str, ...], line: str
) -> None:
    assert line in Commands(tmp_path).refused(*words, code=2)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (("up", "--stack", "Bad"), "name: String should match pattern"),
        (("up", "--speed", "-1"), "clock.speed: Input should be greater than 0"),
        (("up", "--load-balancers", "1"), "load_balancers: Input should be greater"),
        (("down", "--all", "--stack", "x"), "--stack and --all exclude each other"),
        (("status",), "no stack runs in"),
        (("ops", "pause"), "start one with `staleplan up`"),
    ],
)
def test_what_cannot_be_done_is_one_line_and_exit_code_1(
    tmp_path: Path, words: tuple[str, ...], line: str
) -> None:
    assert line in Commands(tmp_path).refused(*words)
    assert list(tmp_path.iterdir()) == []


def test_ending_every_stack_where_there_is_none_is_done(tmp_path: Path) -> None:
    assert Commands(tmp_path).ask("down", "--all") == {"ended": []}


def test_the_points_are_listed_without_a_stack(tmp_path: Path) -> None:
    assert Commands(tmp_path).ask("fault", "points") == dict(POINTS)


def test_version(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(metadata, "version", {"staleplan": "1.2.3"}.__getitem__)
    result = CliRunner().invoke(app, ["--version"])
    assert (result.exit_code, result.stdout) == (0, "1.2.3\n")
