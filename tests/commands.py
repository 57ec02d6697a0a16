"""Commands of the command line, run as a user would, for tests."""

import json
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from typer.testing import CliRunner, Result

from staleplan.cli.app import app
from staleplan.stack.book import StackBook, read_book

PATIENCE_S = 30.0
"""Wall seconds until a test gives up: a loaded machine starts a service in ten."""


@dataclass(frozen=True)
class Commands:
    """Runs commands on one state folder."""

    state: Path

    def run(self, *words: str) -> Result:
        environment = {"STALEPLAN_STATE_FOLDER": str(self.state), "COLUMNS": "200"}
        return CliRunner().invoke(app, words, env=environment, catch_exceptions=False)

    def ask(self, *words: str, code: int = 0) -> Any:
        """Runs a command with `--json`; returns its document."""
        result = self.run(*words, "--json")
        assert (result.exit_code, result.stderr) == (code, ""), result.output
        return json.loads(result.stdout)

    def refused(self, *words: str, code: int = 1) -> str:
        """Runs a command that fails; returns its one line."""
        result = self.run(*words)
        assert (result.exit_code, result.stdout) == (code, ""), result.output
        (line,) = result.stderr.splitlines()
        return line

    def status(self) -> Any:
        """Returns the status of the one stack, whatever it is."""
        (stack,) = json.loads(self.run("status", "--json").stdout)["stacks"]
        return stack

    def book(self, name: str) -> StackBook:
        book = read_book(self.state.resolve() / "stacks" / name)
        assert book
        return book

    @contextmanager
    def stack(self, name: str, *options: str) -> Iterator[None]:
        """Keeps a stack up."""
        started = self.run("up", "--stack", name, *options)
        try:
            assert started.exit_code == 0, started.output
            yield
        finally:
            self.run("down", "--all")


def until(what: Callable[[], Any]) -> Any:
    """Asks again and again until the answer is yes; returns it."""
    end_s = time.monotonic() + PATIENCE_S
    while not (answer := what()):
        assert time.monotonic() < end_s, f"never came: {what}"
    return answer
