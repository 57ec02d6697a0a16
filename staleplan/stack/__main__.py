"""The supervisor of one stack: `python -m staleplan.stack FOLDER [--one-process]`.

`staleplan up` starts it and hands it the stack's settings on standard input, where no
other user can read the database's password. Once every service is ready it writes the
stack's book and one JSON line on standard output. SIGTERM ends the stack.
"""

import asyncio
import fcntl
import json
import os
import signal
import sys
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager, contextmanager
from pathlib import Path

import psycopg
from sqlalchemy import make_url

from staleplan.runtime.footing import exporters_of
from staleplan.runtime.logs import json_log
from staleplan.runtime.postgres import PostgresError, normalise_url, postgres
from staleplan.runtime.settings import ClockSettings, ServiceSettings
from staleplan.stack.book import StackBook, forget
from staleplan.stack.outside import Outside, ServiceFailedError
from staleplan.stack.settings import StackSettings

LOCK = "stack.lock"
"""A file in the stack's folder, locked while its supervisor lives, however it ends."""

CLOCK = "clock.json"
"""The stack's clock, in its folder, beyond the stack's end."""

CONNECT_TIMEOUT_S = 5
"""Wait for a given database, seconds: a server on the same machine takes 10 ms."""


class StackTakenError(Exception):
    """Another supervisor has the stack."""


def main() -> None:
    """Run the stack until a signal ends it; the last line of the log says why not."""
    settings = StackSettings.model_validate_json(sys.stdin.read())
    try:
        with _locked(settings.folder):
            _check_database(settings)
            with postgres(settings.database_url, settings.state_folder):
                asyncio.run(_supervise(resumed(settings)))
    except (ServiceFailedError, StackTakenError, PostgresError) as error:
        sys.exit(" ".join(str(error).split()))


def resumed(settings: StackSettings) -> StackSettings:
    """Let incident time go on from the stack's earlier life.

    What is stored has times in it. Were they in the future, a lock that a killed
    enactor left would seem to be held for hours.
    """
    kept = settings.folder / CLOCK
    if not kept.exists():
        return settings
    earlier = ClockSettings.model_validate_json(kept.read_text())
    clock = ClockSettings(
        wall_origin_s=time.time(),
        incident_origin_s=earlier.clock().now_s(),
        speed=settings.clock.speed,
    )
    return settings.model_copy(update={"clock": clock})


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    lock = os.open(folder / LOCK, os.O_RDONLY | os.O_CREAT, 0o644)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    except BlockingIOError:
        raise StackTakenError(
            f"the stack in {folder} is being started or stopped by another command"
        ) from None
    finally:
        os.close(lock)


def _check_database(settings: StackSettings) -> None:
    """Ask a given database whether it answers, before anything starts."""
    if settings.database_url is None:
        return
    url = make_url(normalise_url(settings.database_url)).set(drivername="postgresql")
    plain = url.render_as_string(hide_password=False)
    try:
        psycopg.connect(plain, connect_timeout=CONNECT_TIMEOUT_S).close()
    except psycopg.OperationalError as error:
        raise PostgresError(f"the database {url} does not answer: {error}") from error


async def _supervise(settings: StackSettings) -> None:
    _end_on_signal()
    one_process = "--one-process" in sys.argv
    stack = _in_this_process(settings) if one_process else _as_processes(settings)
    try:
        async with stack:
            (settings.folder / CLOCK).write_text(settings.clock.model_dump_json())
            sys.stdout.write(json.dumps({"ready": True}) + "\n")
            sys.stdout.flush()
            await asyncio.get_running_loop().create_future()
    except asyncio.CancelledError:
        forget(settings.folder)


def _end_on_signal() -> None:
    """Cancel the caller's task at the first signal; later ones change nothing."""
    loop = asyncio.get_running_loop()
    task = asyncio.current_task()
    numbers = (signal.SIGTERM, signal.SIGINT)

    def end() -> None:
        for number in numbers:
            loop.add_signal_handler(number, lambda: None)
        if task:
            task.cancel()

    for number in numbers:
        loop.add_signal_handler(number, end)


def _as_processes(settings: StackSettings) -> AbstractAsyncContextManager[None]:
    log = json_log(settings.clock.clock(), settings.log_level)

    def write_book() -> None:
        processes = {"supervisor": os.getpid(), **outside.processes}
        _book(settings, outside.addresses, processes).write(settings.folder)

    outside = Outside(settings, log, write_book)

    @asynccontextmanager
    async def running() -> AsyncIterator[None]:
        async with outside.running():
            write_book()
            yield

    return running()


@asynccontextmanager
async def _in_this_process(settings: StackSettings) -> AsyncIterator[None]:
    # It brings in every service, which a supervisor of processes does without.
    from staleplan.stack.inside import Inside  # noqa: PLC0415

    telemetry = ServiceSettings(
        stack=settings.name, trace_file=settings.folder / "trace.jsonl"
    )
    async with (
        exporters_of(telemetry) as exporters,
        Inside(settings, exporters).running() as addresses,
    ):
        processes = {"stack": os.getpid()}
        _book(settings, addresses, processes).write(settings.folder)
        yield


def _book(
    settings: StackSettings, addresses: dict[str, str], processes: dict[str, int]
) -> StackBook:
    return StackBook(
        name=settings.name,
        mode=settings.mode,
        drill=settings.drill,
        speed=settings.clock.speed,
        addresses=addresses,
        processes=processes,
    )


if __name__ == "__main__":
    main()
