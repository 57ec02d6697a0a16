"""The project's own files, and what a rule about them is."""

import ast
import os
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PRODUCT = ("planner", "enactor", "dns_store", "dwfm", "staleplan")
UNWRITTEN = ("__pycache__", "bench-results", "dist", "requirements.lock", "LICENSE")


@dataclass(frozen=True)
class Source:
    """A file of the project, or a sample that stands for one."""

    path: str
    text: str

    @cached_property
    def tree(self) -> ast.Module:
        return ast.parse(self.text, self.path)

    @property
    def lines(self) -> Iterator[tuple[int, str]]:
        return enumerate(self.text.splitlines(), 1)


@dataclass(frozen=True)
class Finding:
    """A place that breaks a rule."""

    path: str
    line: int
    wrong: str

    def __str__(self) -> str:
        return f"{self.path}:{self.line}: {self.wrong}"


Rule = Callable[[Source], Iterable[Finding]]


def project_files() -> Iterator[Path]:
    """Every file that somebody wrote; generated protocol code is not among them."""
    for folder, below, names in os.walk(ROOT):
        below[:] = [
            name
            for name in below
            if name == ".ci" or (not name.startswith(".") and name not in UNWRITTEN)
        ]
        for name in names:
            if name not in UNWRITTEN and "_pb2" not in name:
                yield Path(folder, name).relative_to(ROOT)


def read(path: Path | str) -> Source:
    return Source(str(path), (ROOT / path).read_text())


SOURCES = tuple(
    read(path)
    for path in sorted(project_files())
    if path.suffix in {".py", ".md", ".proto", ".toml", ".yaml", ".sh"}
    or path.name in {"Makefile", "run", "Dockerfile"}
)
PYTHON = tuple(source for source in SOURCES if source.path.endswith(".py"))


def is_product(source: Source) -> bool:
    """Whether the file is a part of what is installed."""
    return source.path.startswith(tuple(f"{name}/" for name in PRODUCT))


def demand(rule: Rule, sources: Iterable[Source] = PYTHON) -> None:
    """Fail with every place that breaks the rule, one a line."""
    found = [str(finding) for source in sources for finding in rule(source)]
    if found:
        pytest.fail("\n".join(found), pytrace=False)


def lines_found(rule: Rule, sample: str, path: str = "sample.py") -> list[int]:
    """The lines of a sample that the rule finds."""
    return [finding.line for finding in rule(Source(path, sample))]
