"""PostgreSQL behind one setting: the user's own server, or an embedded one.

Everyone on one state folder shares one embedded server. In the folder are:

    postgres/        the cluster: `data/`, `server.log` and mostly the socket
    postgres.lock    held while a server is started or stopped
    postgres.users   held, shared, by everyone who uses the server
    postgres.keep    exists while the server is to outlive its users

Both locks belong to open files, so the kernel frees them however a process ends. Who
leaves and finds the users' lock free was the last, and stops the server.
"""

import fcntl
import os
import shutil
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from staleplan.runtime import embedded
from staleplan.runtime.embedded import PostgresError

__all__ = [
    "PostgresError",
    "is_running",
    "kill_server",
    "normalise_url",
    "postgres",
    "remove",
    "start",
    "stop",
]

_DRIVERS = ("postgresql", "postgres", "postgresql+psycopg")


@contextmanager
def postgres(database_url: str | None, state: Path) -> Iterator[str]:
    """Yield a SQLAlchemy URL: the one given, or that of the embedded server.

    Without a URL, or with an empty one, the server on the data in `state` is started
    if need be, shared with its other users, and stopped by the last of them.

    Raises: PostgresError.
    Not guaranteed: that a server behind a given URL answers; it is not contacted.
        That the embedded server ends with a killed user; the next one stops it.
    """
    if database_url:
        yield normalise_url(database_url)
        return
    state = state.absolute()
    users = _open(state / "postgres.users")
    try:
        with _exclusive(state) as lock:
            fcntl.flock(users, fcntl.LOCK_SH)
            url = embedded.ensure_running(state, lock)
        yield url
    finally:
        with _exclusive(state):
            os.close(users)
            if not (state / "postgres.keep").exists() and not _is_used(state):
                embedded.shut_down(embedded.cluster_of(state))


def normalise_url(database_url: str) -> str:
    """Return the URL with the psycopg driver; no error ever shows its password.

    Raises: PostgresError, if it is no URL or not one of PostgreSQL.
    """
    # Half a second to import, and needed only for a URL of the user's own.
    from sqlalchemy import URL, make_url  # noqa: PLC0415
    from sqlalchemy.exc import ArgumentError  # noqa: PLC0415

    expected = "expected postgresql://user:password@host:port/database"
    try:
        url = make_url(database_url)
    except (ArgumentError, ValueError):
        # Not chained: the cause may quote the text, and with it the password.
        raise PostgresError(f"the database URL cannot be read: {expected}") from None
    if url.drivername not in _DRIVERS:
        shown = URL.create(
            url.drivername, host=url.host, port=url.port, database=url.database
        )
        raise PostgresError(f"the database URL {shown} is not supported: {expected}")
    return url.set(drivername="postgresql+psycopg").render_as_string(
        hide_password=False
    )


def start(state: Path, *, keep: bool = False) -> str:
    """Start the embedded server unless it runs; `keep` holds until `stop`.

    Returns its URL.

    Raises: PostgresError.
    Not guaranteed: without `keep`, that it outlives the next user's leaving.
    """
    state = state.absolute()
    with _exclusive(state) as lock:
        url = embedded.ensure_running(state, lock)
        if keep:
            (state / "postgres.keep").touch()
        return url


def stop(state: Path) -> bool:
    """End `keep`, and stop the server unless it is used: then its last user does.

    Returns whether no server runs any more.

    Raises: PostgresError.
    """
    state = state.absolute()
    with _exclusive(state):
        (state / "postgres.keep").unlink(missing_ok=True)
        cluster = embedded.cluster_of(state)
        if not _is_used(state):
            embedded.shut_down(cluster)
        return embedded.running(cluster) is None


def is_running(state: Path) -> bool:
    """Return whether the state folder's server listens.

    Raises: PostgresError.
    """
    return embedded.running(embedded.cluster_of(state)) is not None


def kill_server(state: Path) -> None:
    """Kill the server as a crash would; `start` brings it back with recovery.

    Raises: PostgresError, if none runs.
    Not guaranteed: that its children have ended; `start` waits for them.
    """
    state = state.absolute()
    with _exclusive(state):
        cluster = embedded.cluster_of(state)
        server = embedded.running(cluster)
        if server is None:
            raise PostgresError(f"no PostgreSQL runs for {state}: nothing to kill")
        os.kill(server.pid, signal.SIGKILL)
        while embedded.running(cluster):
            time.sleep(0.001)


def remove(state: Path) -> None:
    """Stop the server and delete its data.

    Raises: PostgresError, if the server is used; then nothing is deleted.
    """
    state = state.absolute()
    with _exclusive(state):
        if _is_used(state):
            raise PostgresError(f"PostgreSQL of {state} is used: end its users first")
        cluster = embedded.cluster_of(state)
        embedded.shut_down(cluster)
        if cluster.is_dir():
            shutil.rmtree(cluster)
        if (state / "postgres").is_symlink():
            (state / "postgres").unlink()
        (state / "postgres.keep").unlink(missing_ok=True)


def _open(lock: Path) -> int:
    try:
        lock.parent.mkdir(parents=True, exist_ok=True)
        return os.open(lock, os.O_RDONLY | os.O_CREAT, 0o644)
    except OSError as error:
        raise PostgresError(
            f"the state folder {lock.parent} cannot be used: {error.strerror}; "
            "choose one that this user may write to"
        ) from error


@contextmanager
def _exclusive(state: Path) -> Iterator[int]:
    lock = _open(state / "postgres.lock")
    try:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield lock
    finally:
        os.close(lock)


def _is_used(state: Path) -> bool:
    users = _open(state / "postgres.users")
    try:
        fcntl.flock(users, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    else:
        return False
    finally:
        os.close(users)
