"""What decides, does not act: cores import nothing that does, and await nothing."""

import ast
import re
from collections.abc import Iterator

import pytest

from tests.tidy.sources import PYTHON, Finding, Source, demand, is_product, lines_found

PURE_FILE = re.compile(
    r"(\w+|staleplan/world|staleplan/world/launches)/(core|model)\.py"
    r"|staleplan/world/droplets\.py"
    r"|dwfm/(host|launches|operations|work_queue)\.py"
    r"|(?!staleplan/runtime/)[\w/]+/safeguards\.py"
    r"|staleplan/(model\.py|spec/\w+\.py)"
)
PURE_IMPORT = re.compile(
    r"__future__|abc|bisect|collections|dataclasses|enum|functools|hashlib|heapq"
    r"|ipaddress|itertools|math|operator|re|struct|types|typing|string"
    r"|dwfm(?!\.)|dwfm\.(host|launches|operations|work_queue)"
    r"|staleplan\.(model|spec)|(\w+|staleplan\.world(\.launches)?)\.(core|model|safeguards)"
)


def is_pure(source: Source) -> bool:
    return is_product(source) and PURE_FILE.fullmatch(source.path) is not None


def imported(node: ast.AST) -> list[str]:
    if isinstance(node, ast.Import):
        return [alias.name for alias in node.names]
    if isinstance(node, ast.ImportFrom):
        return ["." * node.level + (node.module or "")]
    return []


def imports_that_act(source: Source) -> Iterator[Finding]:
    for node in ast.walk(source.tree):
        for name in imported(node):
            if not re.match(rf"({PURE_IMPORT.pattern})(\.|$)", name):
                wrong = f"imports {name}, which is not known to be pure"
                yield Finding(source.path, getattr(node, "lineno", 0), wrong)


def waits_or_acts(source: Source) -> Iterator[Finding]:
    for node in ast.walk(source.tree):
        match node:
            case (
                ast.AsyncFunctionDef()
                | ast.AsyncFor()
                | ast.AsyncWith()
                | ast.Await()
                | ast.Call(func=ast.Name(id=("open" | "print" | "input" | "exec")))
                | ast.Call(func=ast.Name(id=("eval" | "breakpoint" | "__import__")))
            ):
                wrong = f"{ast.unparse(node).splitlines()[0]!r} in a file that decides"
                yield Finding(source.path, node.lineno, wrong)


PURE = tuple(source for source in PYTHON if is_pure(source))


def test_the_files_that_decide_are_known() -> None:
    assert {source.path for source in PURE} >= {
        "dns_store/core.py",
        "dwfm/core.py",
        "dwfm/host.py",
        "dwfm/launches.py",
        "dwfm/operations.py",
        "dwfm/work_queue.py",
        "enactor/core.py",
        "enactor/model.py",
        "enactor/safeguards.py",
        "planner/core.py",
        "planner/model.py",
        "planner/safeguards.py",
        "staleplan/model.py",
        "staleplan/spec/property.py",
        "staleplan/world/core.py",
    }


def test_cores_import_nothing_that_acts() -> None:
    demand(imports_that_act, PURE)


@pytest.mark.parametrize(
    "line",
    [
        "import time",
        "import math, os.path",
        "from random import Random",
        "from grpc import aio",
        "from staleplan.runtime.clock import Clock",
        "from staleplan.modelling import x",
        "from protos.world.v1 import world_pb2",
        "from dns_store.store import Store",
        "from dwfm.driver import Driver",
        "from . import driver",
    ],
)
def test_an_import_that_acts_is_found(line: str) -> None:
    fine = "import math\nfrom collections.abc import Mapping\n"
    assert lines_found(imports_that_act, f"{fine}{line}\n") == [3]
    assert lines_found(imports_that_act, f"def f():\n    {line}\n") == [2]


def test_cores_wait_for_nothing() -> None:
    demand(waits_or_acts, PURE)


@pytest.mark.parametrize(
    "line",
    ["async def g(): ...", "print(1)", "x = open('f')", "[await x for x in y]"],
)
def test_waiting_and_acting_are_found(line: str) -> None:
    assert lines_found(waits_or_acts, f"def f(): ...\n{line}\n") == [2]
