"""docs/record.md says where each fact is: what it names exists, nothing is left out."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
HERE = {
    "DNS": "tests/record/test_record.py",
    "The fleet": "tests/record/test_fleet.py",
}
"""Where the tests of a section are whose path is not given."""
SECTIONS = dict(
    zip(
        ("intro", "DNS", "The fleet", "What is inferred", "Not modelled yet"),
        re.split(r"^## .*$", (ROOT / "docs/record.md").read_text(), flags=re.MULTILINE),
        strict=True,
    )
)
PACKAGES = ("planner", "enactor", "dns_store", "dwfm", "staleplan")


def rows(section: str) -> list[list[str]]:
    """The cells of a section's table, without its head."""
    lines = [line for line in SECTIONS[section].splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in line.strip("|").split(" | ")] for line in lines][
        2:
    ]


def quoted(text: str) -> list[str]:
    return re.findall(r"`([^`]+)`", text)


def has_test(path: str, name: str) -> bool:
    code = ROOT / path
    return code.is_file() and f"def {name}(" in code.read_text()


def numbers(section: str) -> list[str]:
    return [row[0] for row in rows(section)]


def test_every_fact_has_one_row() -> None:
    assert numbers("DNS") == [f"R{n}" for n in range(1, 25)]
    assert numbers("The fleet") == [f"R{n}" for n in range(25, 32)]
    assert numbers("Not modelled yet") == [f"R{n}" for n in range(32, 50)]


@pytest.mark.parametrize(
    ("section", "row"),
    [
        pytest.param(section, row, id=row[0])
        for section in HERE
        for row in rows(section)
    ],
)
def test_what_a_row_names_exists(section: str, row: list[str]) -> None:
    fact, known, modules, tests = row
    assert re.search(r"\([SAT](, [SAT])*\)$", known)
    assert bool(quoted(modules)) == bool(quoted(tests)) == (fact != "R24")
    assert [path for path in quoted(modules) if not (ROOT / path).is_file()] == []
    named = [each.rpartition("::") for each in quoted(tests)]
    missing = [
        name for path, _, name in named if not has_test(path or HERE[section], name)
    ]
    assert missing == []


def test_the_tests_of_the_race_exist() -> None:
    text = SECTIONS["DNS"] + SECTIONS["intro"]
    named = set(re.findall(r"`(tests/\S+?\.py)::(\w+)`", text))
    assert len(named) > 10
    assert [each for each in named if not has_test(*each)] == []


@pytest.mark.parametrize("section", HERE)
def test_every_test_of_a_fact_is_in_its_row(section: str) -> None:
    shown = {(row[0].lower(), name) for row in rows(section) for name in quoted(row[3])}
    code = (ROOT / HERE[section]).read_text()
    found = re.findall(r"def (test_(r\d+)_\w+)\(", code)
    assert len(found) >= 7
    assert [name for name, fact in found if (fact, name) not in shown] == []


def test_everything_inferred_is_listed() -> None:
    marked = {
        str(path.relative_to(ROOT))
        for package in PACKAGES
        for path in (ROOT / package).rglob("*.py")
        if re.search(r"\bInferred\b", path.read_text())
    }
    listed = [quoted(row[0])[0] for row in rows("What is inferred")]
    assert sorted(marked) == sorted(listed)


def test_code_cites_facts_that_exist() -> None:
    facts = {*numbers("DNS"), *numbers("The fleet"), *numbers("Not modelled yet")}
    for package in PACKAGES:
        for path in (ROOT / package).rglob("*.py"):
            cited = set(re.findall(r"\bR\d+\b", path.read_text()))
            assert cited <= facts, path
