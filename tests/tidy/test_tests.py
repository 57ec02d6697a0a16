"""Tests wait for things, not for time, and never leave quietly."""

import ast
from collections.abc import Iterator

import pytest

from tests.tidy.sources import PYTHON, Finding, Source, demand, lines_found

TESTS = tuple(
    source
    for source in PYTHON
    if source.path.startswith("tests/") and not source.path.startswith("tests/bench/")
)


def sleeps(source: Source) -> Iterator[Finding]:
    for node in ast.walk(source.tree):
        match node:
            case ast.Call(
                func=ast.Attribute(attr="sleep"), args=[ast.Constant(value=0)]
            ):
                pass
            case ast.Call(func=ast.Attribute(attr="sleep")):
                wrong = f"{ast.unparse(node)}: wait for the thing, not for time"
                yield Finding(source.path, node.lineno, wrong)
            case ast.ImportFrom(module="time" | "asyncio", names=names):
                if any(alias.name == "sleep" for alias in names):
                    wrong = "sleep is called by its module's name, to be seen"
                    yield Finding(source.path, node.lineno, wrong)


def has_reason(call: ast.Call) -> bool:
    return any(keyword.arg == "reason" for keyword in call.keywords)


def unexplained_skips(source: Source) -> Iterator[Finding]:
    explained = set()
    for node in ast.walk(source.tree):
        match node:
            case ast.Call(func=ast.Attribute(attr="skip") as skip):
                if node.args or has_reason(node):
                    explained.add(skip)
            case ast.Call(func=ast.Attribute(attr="skipif" | "xfail") as skip):
                if has_reason(node):
                    explained.add(skip)
    for node in ast.walk(source.tree):
        match node:
            case ast.Attribute(
                value=ast.Name(id="pytest") | ast.Attribute(attr="mark"),
                attr="skip" | "skipif" | "xfail",
            ) if node not in explained:
                wrong = f"{ast.unparse(node)} without a reason"
                yield Finding(source.path, node.lineno, wrong)


def test_no_test_sleeps() -> None:
    demand(sleeps, TESTS)


@pytest.mark.parametrize(
    "line",
    ["time.sleep(1)", "await asyncio.sleep(delay_s)", "from asyncio import sleep"],
)
def test_a_sleep_is_found(line: str) -> None:
    fine = "async def f():\n    await asyncio.sleep(0)\n"
    assert lines_found(sleeps, f"{fine}    {line}\n") == [3]


def test_skips_say_why() -> None:
    demand(unexplained_skips, TESTS)


@pytest.mark.parametrize(
    "line",
    [
        "@pytest.mark.skip",
        "@pytest.mark.skip()",
        "@pytest.mark.skipif(True)",
        "@pytest.mark.xfail",
    ],
)
def test_a_skip_without_a_reason_is_found(line: str) -> None:
    fine = (
        "@pytest.mark.skip('why')\n"
        "@pytest.mark.skipif(True, reason='why')\n"
        "def f(): pytest.skip('why')\n"
    )
    assert lines_found(unexplained_skips, f"{fine}{line}\ndef g(): ...\n") == [4]
    inside = f"{fine}def g(): pytest.skip()\n"
    assert lines_found(unexplained_skips, inside) == [4]
