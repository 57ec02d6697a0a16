"""What the documents name is there, and each service has its essay."""

import ast
import re
import shlex
from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner

from staleplan.cli.app import app
from tests.tidy.sources import (
    PYTHON,
    ROOT,
    SOURCES,
    Finding,
    Source,
    demand,
    is_product,
    lines_found,
    read,
)
from tests.tidy.test_claims import names_in

ESSAY_LINES = 10

DOCUMENTS = [s for s in SOURCES if re.fullmatch(r"README\.md|docs/.*\.md", s.path)]
TARGETS = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
TESTS = {
    name
    for source in PYTHON
    if source.path.startswith("tests/")
    for name in names_in(source.path)
}


def services() -> list[str]:
    """The folders that speak a protocol of their own."""
    names = {path.parts[-3] for path in ROOT.glob("protos/*/v1/*.proto")} - {"runtime"}
    return [
        folder
        for name in sorted(names)
        for folder in (name, f"staleplan/{name}")
        if (ROOT / folder).is_dir()
    ]


def short_essays(source: Source) -> Iterator[Finding]:
    essay = ast.get_docstring(source.tree) or ""
    if len(essay.splitlines()) < ESSAY_LINES:
        wrong = f"a service's theory of operation takes {ESSAY_LINES} lines or more"
        yield Finding(source.path, 1, wrong)


def no_packages(folders: Iterable[str]) -> list[str]:
    """Find what import contracts do not see; Alembic reads its versions by path."""
    return sorted(
        folder
        for folder in folders
        if not (ROOT / folder / "__init__.py").is_file()
        and not folder.endswith("migrations/versions")
    )


def unknown_tests(source: Source) -> Iterator[Finding]:
    for number, line in source.lines:
        for name in re.findall(r"(?:`|::)(test_\w+)(?=`)", line):
            if name not in TESTS and not name.endswith("_"):
                yield Finding(source.path, number, f"there is no test {name}")


def dead_links(source: Source) -> Iterator[Finding]:
    for number, line in source.lines:
        for target in re.findall(r"\]\(([^)#\s]+)", line):
            inside = "://" not in target and not target.startswith("mailto:")
            if inside and not (ROOT / source.path).parent.joinpath(target).exists():
                yield Finding(source.path, number, f"{target} is not there")


def commands(source: Source) -> Iterator[tuple[int, list[str]]]:
    """The commands in the shell blocks of a document, each with its line."""
    shell, kept = False, ""
    for number, line in source.lines:
        if line.startswith("```"):
            shell = not shell and line[3:].strip() in {"bash", "sh", "shell", "console"}
        elif shell:
            kept += line.removeprefix("$ ")
            if kept.endswith("\\"):
                kept = kept[:-1]
                continue
            for one in re.split(r"&&|\|\||[|;]", kept):
                try:
                    yield number, shlex.split(one, comments=True)
                except ValueError:
                    yield number, ["unreadable"]
            kept = ""


def unknown_commands(source: Source) -> Iterator[Finding]:
    for number, words in commands(source):
        match words:
            case ["make", *targets]:
                known = all(t in TARGETS or "=" in t for t in targets)
            case [program, *rest] if Path(program).name == "staleplan":
                known = CliRunner().invoke(app, [*rest, "--help"]).exit_code == 0
            case [program, "-m", module, *_] if Path(program).name.startswith("python"):
                path = ROOT / module.replace(".", "/")
                known = path.is_dir() or path.with_suffix(".py").is_file()
            case ["unreadable"]:
                known = False
            case [program, *_] if "/" in program and not program.startswith(".venv"):
                known = (ROOT / program).exists()
            case _:
                known = True
        if not known:
            wrong = f"{' '.join(words)!r} is no command of this project"
            yield Finding(source.path, number, wrong)


def test_each_service_has_its_essay() -> None:
    assert services() == ["dns_store", "dwfm", "enactor", "planner", "staleplan/world"]
    demand(short_essays, [read(f"{folder}/__init__.py") for folder in services()])


def test_a_short_essay_is_found() -> None:
    assert lines_found(short_essays, '"""One.\n' + "\n" * 8 + 'Ten.\n"""') == []
    assert lines_found(short_essays, '"""One.\n' + "\n" * 7 + 'Nine.\n"""') == [1]
    assert lines_found(short_essays, "") == [1]


def test_each_product_folder_is_a_package() -> None:
    folders = {str(Path(s.path).parent) for s in PYTHON if is_product(s)}
    assert no_packages(folders) == []


def test_a_folder_that_is_no_package_is_found() -> None:
    assert no_packages({"planner", "tests/tidy"}) == ["tests/tidy"]


def test_documents_name_tests_that_exist() -> None:
    demand(unknown_tests, DOCUMENTS)


def test_an_unknown_test_is_found() -> None:
    here = "`test_an_unknown_test_is_found`"
    assert lines_found(unknown_tests, f"{here}\n`test_no_such_thing`\n") == [2]
    assert lines_found(unknown_tests, f"{here}\n`tests/x.py::test_no_such`\n") == [2]


def test_links_lead_somewhere() -> None:
    demand(dead_links, DOCUMENTS)


def test_a_dead_link_is_found() -> None:
    fine = "[code](../planner/core.py#L1) [out](https://example.org/x) [up](#here)\n"
    assert lines_found(dead_links, f"{fine}[a](core.py)\n", "docs/sample.md") == [2]


def test_documented_commands_exist() -> None:
    demand(unknown_commands, DOCUMENTS)


@pytest.mark.parametrize(
    "command",
    [
        "make no-such-target",
        "staleplan no-such-command",
        "make setup && .venv/bin/staleplan replay --no-such-option 1",
        "$ staleplan drill no-such-drill-command  # nothing",
        "python -m staleplan.no_such_module",
        ".ci/no-such-script",
        'staleplan "unreadable',
    ],
)
def test_an_unknown_command_is_found(command: str) -> None:
    fine = "```bash\nmake PYTHON=python3.12 setup demo\nstaleplan drill run dns-race\n"
    assert lines_found(unknown_commands, f"{fine}{command}\n```\n") == [4]
    assert lines_found(unknown_commands, f"{fine}```\n{command}\n") == []
