"""`staleplan check` tells what was found, in words, in numbers and by exit code."""

import itertools
import os
import pty
import re
import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from enactor.model import Pass, Purpose, ReadNewestPlan, ReadZones, Result
from enactor.safeguards import FIXED
from staleplan.check.result import BREAKS, NAMES
from staleplan.check.share import begin_workers
from staleplan.check.space import Space
from staleplan.model import ZoneName
from tests.commands import Commands

SHAPE = {
    "mode",
    "safeguards",
    "enactors",
    "zones",
    "plans",
    "crashes",
    "states",
    "transitions",
    "depth",
    "wall_s",
    "complete",
    "properties",
}
"""What others script against; more may stand beside it."""


@pytest.fixture
def commands(tmp_path: Path) -> Commands:
    return Commands(tmp_path)


def broken(run: Any) -> set[str]:
    return {each for each, told in run["properties"].items() if not told["held"]}


def test_a_run_has_its_shape(commands: Commands) -> None:
    run = commands.ask("check", "--mode", "fixed", "--plans", "3", "--crashes", "1")
    assert run.keys() >= SHAPE
    assert (run["mode"], run["complete"], run["verdict"]) == (
        "fixed",
        True,
        "as expected",
    )
    assert (run["enactors"], run["zones"], run["plans"], run["crashes"]) == (2, 1, 3, 1)
    assert run["safeguards"] == dict.fromkeys(FIXED.__dataclass_fields__, True)
    assert run["states"] > 1_000
    assert run["transitions"] > run["states"]
    assert run["depth"] > 20
    assert run["wall_s"] > 0
    held = {"held": True, "trace": []}
    assert run["properties"] == dict.fromkeys(NAMES, held)


@pytest.mark.parametrize(
    ("option", "happened"),
    [
        ("--crashes", "a crash before the locks"),
        ("--lost-replies", "a reply was lost"),
        ("--pauses", "a pause refused a batch"),
    ],
)
def test_a_fault_that_is_asked_for_happens(
    commands: Commands, option: str, happened: str
) -> None:
    run = commands.ask("check", "--mode", "fixed", "--plans", "3", option, "1")
    assert run[option[2:].replace("-", "_")] == 1
    assert happened in run["happened"]


def test_what_is_left_out_may_be_asked_for(commands: Commands) -> None:
    check = ("check", "--mode", "buggy", "--plans", "3")
    reduced = commands.ask(*check)
    whole = commands.ask(*check, "--unreduced")
    assert whole["states"] > 2 * reduced["states"]
    assert broken(whole) == broken(reduced)


def test_convergence_may_be_left_open(commands: Commands) -> None:
    check = ("check", "--mode", "buggy", "--plans", "3", "--no-converging")
    properties = commands.ask(*check)["properties"]
    assert properties["P12"] == {"held": None, "trace": []}
    assert properties["P5"]["held"]


def test_as_many_search_as_are_asked_for(
    commands: Commands, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun = []

    def begin(space: Space, seen: set[int], workers: int) -> Any:
        begun.append(workers)
        return begin_workers(space, seen, workers)

    monkeypatch.setattr("staleplan.check.search.SHARE", 50)
    monkeypatch.setattr("staleplan.check.search.begin_workers", begin)
    check = ("check", "--mode", "buggy", "--plans", "3")
    alone, together = commands.ask(*check), commands.ask(*check, "--workers", "2")
    assert set(begun) == {2}
    assert together["states"] == alone["states"]


def test_a_core_that_is_no_function_is_one_line(
    commands: Commands, monkeypatch: pytest.MonkeyPatch
) -> None:
    drawn = itertools.count(1)

    def draws(*_: object) -> Pass:
        yield ReadNewestPlan()
        yield ReadZones((ZoneName("regional"),) * next(drawn), Purpose.CHECK)
        return Result.FINISHED

    monkeypatch.setattr("staleplan.check.question.enact", draws)
    line = commands.refused("check", "--mode", "fixed")
    assert line.startswith("staleplan: the core cannot be searched: after 1 replies, ")
    assert line.endswith("draws chance, or keeps what nobody sent to it")


def test_both_modes_are_two_runs(commands: Commands) -> None:
    buggy, fixed = commands.ask("check", "--plans", "3")["runs"]
    assert (buggy["mode"], fixed["mode"]) == ("buggy", "fixed")
    assert broken(buggy) == BREAKS
    assert not broken(fixed)
    for each in BREAKS:
        assert buggy["properties"][each]["trace"][0].startswith("  1. the planner")


def test_a_safeguard_that_is_off_is_missed(commands: Commands) -> None:
    off = ("--safeguard", "recheck_generation_in_batch=off")
    run = commands.ask("check", "--mode", "fixed", "--plans", "3", *off, code=1)
    assert (run["mode"], run["verdict"]) == ("mixed", "not as expected")
    assert run["safeguards"]["recheck_generation_in_batch"] is False
    assert broken(run) == {"P2"}


def test_what_shows_nothing_is_not_as_expected(commands: Commands) -> None:
    """Alone, an enactor never finds anything changed by another."""
    run = commands.ask("check", "--mode", "fixed", "--enactors", "1", code=1)
    assert broken(run) == set()
    assert "a late flip was refused" in run["vacuous"]


def test_a_space_that_does_not_fit_has_its_own_exit_code(commands: Commands) -> None:
    size = ("--enactors", "3", "--zones", "2", "--plans", "3", "--memory-gb", "0.1")
    run = commands.ask("check", "--mode", "fixed", *size, code=3)
    assert (run["complete"], run["verdict"]) == (False, "incomplete")
    said = commands.run("check", "--mode", "fixed", *size)
    assert said.exit_code == 3
    assert "NOT COMPLETE" in said.stdout
    assert "held" not in said.stdout


@pytest.mark.parametrize(
    ("option", "size", "wrong"),
    [
        ("--enactors", "5", "less than or equal to 4"),
        ("--enactors", "0", "greater than or equal to 1"),
        ("--zones", "4", "less than or equal to 3"),
        ("--zones", "0", "greater than or equal to 1"),
        ("--plans", "16", "less than or equal to 15"),
        ("--plans", "0", "greater than or equal to 1"),
        ("--crashes", "4", "less than or equal to 3"),
        ("--lost-replies", "4", "less than or equal to 3"),
        ("--pauses", "-1", "greater than or equal to 0"),
        ("--workers", "0", "greater than or equal to 1"),
        ("--memory-gb", "0", "greater than or equal to 0.1"),
    ],
)
def test_a_size_that_no_search_has_is_bad_usage(
    commands: Commands, option: str, size: str, wrong: str
) -> None:
    line = commands.refused("check", option, size, code=2)
    assert line == (f"staleplan: Invalid value for '{option}': Input should be {wrong}")


def shown(state: Path, *words: str) -> str:
    """What stands on a terminal where somebody looks on."""
    terminal, end = pty.openpty()
    told = subprocess.Popen(
        (sys.executable, "-m", "staleplan.cli", "check", *words),
        env={**os.environ, "STALEPLAN_STATE_FOLDER": str(state), "TERM": "xterm"},
        stdout=subprocess.DEVNULL,
        stderr=end,
    )
    os.close(end)
    read = b""
    # Linux says with an error that the last writer has gone.
    with suppress(OSError):
        while more := os.read(terminal, 65_536):
            read += more
    os.close(terminal)
    assert told.wait() == 0
    return read.decode()


def test_a_terminal_shows_how_far_a_search_is(tmp_path: Path) -> None:
    seen = shown(tmp_path, "--mode", "fixed", "--plans", "3", "--memory-gb", "2")
    assert re.search(
        r"\d+ states, [\d,]+/s, depth \d+, frontier \d+, \d\.\d of 2\.0 GB", seen
    )
    assert "can each still converge?" in seen


def test_scripts_are_shown_nothing(
    commands: Commands, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert shown(tmp_path, "--mode", "fixed", "--plans", "3", "--json") == ""
    monkeypatch.setenv("FORCE_COLOR", "1")  # a pipe that is called a terminal
    said = commands.run("check", "--mode", "fixed", "--plans", "3")
    assert (said.exit_code, said.stderr) == (0, "")


def test_words_tell_the_story_where_it_breaks(commands: Commands) -> None:
    said = commands.run("check", "--mode", "buggy", "--plans", "3")
    assert said.exit_code == 0
    assert "P1 never an empty answer, broken in the fewest events:" in said.stdout
    assert "! P1 never an empty answer: regional answers from plan" in said.stdout
    assert said.stdout.endswith("verdict: as expected\n\n")


@pytest.mark.parametrize(
    ("given", "line"),
    [
        (
            "rechek_generation_in_batch=off",
            "mean 'recheck_generation_in_batch'?",
        ),
        ("pause_switch=maybe", "a safeguard is on or off"),
    ],
)
def test_an_unknown_safeguard_is_one_line(
    commands: Commands, given: str, line: str
) -> None:
    assert line in commands.refused("check", "--safeguard", given)


def test_each_violation_is_saved(commands: Commands, tmp_path: Path) -> None:
    folder = tmp_path / "new" / "found"
    run = commands.ask(
        "check", "--mode", "buggy", "--plans", "3", "--save", str(folder)
    )
    for each in BREAKS:
        story = (folder / f"buggy_{each}.txt").read_text()
        assert story.splitlines() == run["properties"][each]["trace"]
    assert {path.name.partition(".")[0] for path in folder.iterdir()} == {
        f"buggy_{each}" for each in BREAKS
    }


def test_what_holds_is_not_saved(commands: Commands, tmp_path: Path) -> None:
    folder = tmp_path / "found"
    fixed = ("check", "--mode", "fixed", "--plans", "3")
    assert commands.run(*fixed, "--save", str(folder)).exit_code == 0
    assert list(folder.iterdir()) == []
