"""Stacks from outside: which ones run, how one is started, how one is ended."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterable
from pathlib import Path

from staleplan.cli.errors import CommandError, nearest
from staleplan.runtime.postgres import is_running, postgres
from staleplan.stack.book import BOOK, StackBook, forget, read_book
from staleplan.stack.outside import why_ended
from staleplan.stack.settings import StackSettings

SUPERVISORS = ("supervisor", "stack")
"""Under which name the book has the process that owns the others."""

STOP_TIMEOUT_S = 20.0
"""Wait for a process to end before it is killed, wall seconds: more than the
supervisor gives its services."""

LOOK_EVERY_S = 0.02
"""Wall seconds between two looks whether a process has ended."""


def folder_of(state: Path, name: str) -> Path:
    """Return the folder of a stack, the same however the state folder is written."""
    return StackSettings(name=name, state_folder=state.resolve()).folder


def books_in(state: Path) -> dict[str, StackBook]:
    """Read the books of all stacks of a state folder, by name."""
    folders = (found.parent for found in state.glob(f"stacks/*/{BOOK}"))
    books = (read_book(folder) for folder in sorted(folders))
    return {book.name: book for book in books if book}


def find_book(state: Path, name: str | None) -> StackBook:
    """Return the book of a running stack; without a name, of the only one.

    Raises: CommandError.
    """
    books = books_in(state)
    if not books:
        raise CommandError(f"no stack runs in {state}: start one with `staleplan up`")
    if name in books:
        return books[name]
    if name:
        raise CommandError(f"no stack {name!r} runs in {state}; {nearest(name, books)}")
    if len(books) > 1:
        raise CommandError(f"several stacks run: name one with --stack: {_list(books)}")
    return next(iter(books.values()))


def _list(names: Iterable[str]) -> str:
    return ", ".join(sorted(names))


def is_supervised(book: StackBook, folder: Path) -> bool:
    """Whether the process that keeps a stack's services running is alive."""
    return any(
        is_ours(book.processes[name], folder)
        for name in SUPERVISORS
        if name in book.processes
    )


def is_ours(process: int, folder: Path) -> bool:
    """Whether a process id is still that of a stack, and not given to another since.

    Every process of a stack has the stack's folder among its arguments.
    """
    return str(folder) in _arguments_of(process)


def _arguments_of(process: int) -> list[str]:
    """Return a living process's arguments; a zombie has none."""
    if Path("/proc/self").exists():
        try:
            return Path(f"/proc/{process}/cmdline").read_text().split("\0")
        except OSError:
            return []
    listed = subprocess.run(  # noqa: S603 - a number, and no shell
        ["ps", "-ww", "-o", "args=", "-p", str(process)],  # noqa: S607
        capture_output=True,
        text=True,
        check=False,
    )
    return listed.stdout.split()


def launch(settings: StackSettings, *, one_process: bool) -> StackBook:
    """Start a stack in the background, and wait until every service is ready.

    Raises: CommandError, with the reason; then nothing runs.
    """
    folder = settings.folder
    log = folder / "supervisor.log"
    options = ["--one-process"] if one_process else []
    with log.open("w") as errors:
        supervisor = subprocess.Popen(  # noqa: S603 - our own program, and no shell
            [sys.executable, "-m", "staleplan.stack", str(folder), *options],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
            start_new_session=True,
        )
    try:
        ready = _hand_over(supervisor, settings)
    except KeyboardInterrupt:
        supervisor.terminate()
        supervisor.wait()
        raise
    book = read_book(folder) if ready else None
    if book is None:
        supervisor.wait()
        raise CommandError(f"stack {settings.name!r}: {why_ended(log)} (see {folder})")
    # It is to outlive us: without this the interpreter would warn that it does.
    supervisor.returncode = 0
    return book


def _hand_over(supervisor: "subprocess.Popen[str]", settings: StackSettings) -> str:
    """Tell a supervisor its settings; return the line that says that it is ready."""
    if not supervisor.stdin or not supervisor.stdout:
        raise AssertionError("both are pipes")
    try:
        with supervisor.stdin, supervisor.stdout:
            supervisor.stdin.write(settings.model_dump_json())
            supervisor.stdin.close()
            return supervisor.stdout.readline()
    except BrokenPipeError:
        return ""


def end(book: StackBook, folder: Path) -> list[str]:
    """End every process of a stack; returns the services that had no supervisor.

    Not guaranteed: that data is deleted; a stack of the same name goes on with it.
    """
    for name in SUPERVISORS:
        _end_process(book.processes.get(name, 0), folder)
    orphans = [name for name, pid in book.processes.items() if is_ours(pid, folder)]
    for name in orphans:
        os.kill(book.processes[name], signal.SIGTERM)
    for name in orphans:
        _end_process(book.processes[name], folder)
    forget(folder)
    _stop_unused_postgres(folder.parents[1])
    return orphans


def _end_process(process: int, folder: Path) -> None:
    """Ask a process of the stack to end, and kill it if it does not."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        if not process or not is_ours(process, folder):
            return
        os.kill(process, number)
        until_s = time.monotonic() + STOP_TIMEOUT_S
        while is_ours(process, folder) and time.monotonic() < until_s:
            time.sleep(LOOK_EVERY_S)


def _stop_unused_postgres(state: Path) -> None:
    """Leave the embedded PostgreSQL as its last user would have, had it not died."""
    if is_running(state):
        with postgres(None, state):
            pass
