"""What the README says comes out does come out: run, and compared line by line."""

import json
import re
import subprocess
import sys
from pathlib import Path

from tests.commands import Commands, until

README = Path(__file__).parents[2] / "README.md"
HAND = "Watch it break, watch it hold"


def expected(name: str) -> list[str]:
    """The lines of the README's block behind `<!-- expected: NAME -->`."""
    text = README.read_text().partition(f"<!-- expected: {name} -->\n")[2]
    block = re.match(r"```\n(.*?)```|((?:\|[^\n]*\n)+)", text, re.DOTALL)
    assert block, f"the README expects nothing under the name {name}"
    return (block[1] or block[2]).splitlines()


def staleplan(*arguments: str) -> str:
    done = subprocess.run(
        [sys.executable, "-m", "staleplan.cli", *arguments],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr or done.stdout
    return done.stdout


def test_the_replay_ends_as_the_readme_says() -> None:
    said = [line.rstrip() for line in staleplan("replay", "--on", "sim").splitlines()]
    wanted = expected("demo")
    assert said[-len(wanted) :] == wanted


def test_the_ablation_table_is_what_comes_out() -> None:
    out = staleplan("drill", "run", "dns-race", "--on", "sim", "--ablate", "--json")
    runs = json.loads(out)["runs"]
    header, _, *rows = expected("ablation")
    ids = [cell.strip() for cell in header.strip("|").split("|")][1:]
    assert len(rows) == len(runs)
    for row, run in zip(rows, runs, strict=True):
        title, *cells = [cell.strip() for cell in row.strip("|").split("|")]
        held = [run["properties"][each]["held"] for each in ids]
        assert cells == ["held" if each else "broken" for each in held], title
        assert title == title_of(run["safeguards"])


def title_of(safeguards: dict[str, bool]) -> str:
    on = [name for name, is_on in safeguards.items() if is_on]
    off = [name for name, is_on in safeguards.items() if not is_on]
    match len(on), len(off):
        case 0, _:
            return "none"
        case _, 0:
            return "all"
        case 1, _:
            return f"only {on[0]}"
        case _:
            return f"all but {off[0]}"


def commands_of(heading: str, block: int) -> list[list[str]]:
    """The `staleplan` commands of a block below a heading, without the program."""
    section = README.read_text().partition(f"## {heading}\n")[2].partition("\n## ")[0]
    text = re.findall(r"```\n(.*?)```", section, re.DOTALL)[block]
    lines = text.splitlines()
    assert all(line.startswith(".venv/bin/staleplan ") for line in lines), lines
    return [line.split()[1:] for line in lines]


def test_the_region_that_is_broken_by_hand_breaks_and_is_repaired(
    tmp_path: Path,
) -> None:
    """The README's own commands, with the waits that a reader makes. R14-R19, R21."""
    commands = Commands(tmp_path)
    up, lose, hold, let_try, stop_c, hold_b, let_go, free_c = commands_of(HAND, 1)
    status, restart, restore, resolve, down = commands_of(HAND, 2)
    up[up.index("--dns-port") + 1] = "0"

    def caught(fault: str) -> bool:
        listed = commands.ask("fault", "list")["faults"]
        return any(each["id"] == fault and each["times_fired"] for each in listed)

    def run(*words: str) -> None:
        result = commands.run(*words)
        assert result.exit_code == 0, result.output

    try:
        run(*up)
        until(lambda: commands.status()["newest_plan"] >= 2)
        run(*lose)
        until(lambda: commands.status()["enactors"]["a"]["stuck_zones"] == ["regional"])
        late = commands.status()["newest_plan"]
        until(lambda: commands.status()["newest_plan"] >= late + 8)
        for words, fault in (
            (hold, None),
            (let_try, "enactor-a/2"),
            (stop_c, "enactor-c/1"),
            (hold_b, "enactor-b/1"),
            (let_go, None),
        ):
            run(*words)
            if fault:
                until(lambda fault=fault: caught(fault))  # type: ignore[misc]
        until(lambda: commands.run(*resolve).exit_code == 1)
        run(*free_c)
        empty = commands.ask(*resolve, code=1)
        assert (empty["status"], empty["answers"]) == ("NOERROR", 0)
        assert "the active tree is gone" in commands.run(*status).stdout
        run(*restart)
        run(*restore)
        until(lambda: commands.run(*resolve).exit_code == 0)
    finally:
        commands.run(*down)
