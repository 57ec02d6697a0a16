"""`staleplan check` tells what was found, in words, in numbers and by exit code."""

from pathlib import Path
from typing import Any

import pytest

from enactor.safeguards import FIXED
from staleplan.check.result import BREAKS, NAMES
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
