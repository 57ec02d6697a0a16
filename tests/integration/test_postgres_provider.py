"""The PostgreSQL provider: one embedded server per state folder, or the user's own."""

import os
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import AbstractContextManager
from importlib import util
from pathlib import Path

import pytest

from staleplan.runtime.postgres import (
    PostgresError,
    is_running,
    kill_server,
    normalise_url,
    postgres,
    remove,
    start,
    stop,
)
from tests.commands import until
from tests.integration.postgres_use import IS_ROOT, REPOSITORY, run_sql

USER = """
import sys
from pathlib import Path
from staleplan.runtime.postgres import postgres
with postgres(None, Path(sys.argv[1])) as url:
    print(url, flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def state(tmp_path: Path) -> Iterator[Path]:
    """A state folder; what is left of its server and data is removed."""
    folder = tmp_path / "state"
    yield folder
    remove(folder)


@pytest.fixture(scope="module")
def made_once(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A state folder whose cluster is made: that is most of a test's time."""
    folder = tmp_path_factory.mktemp("made")
    with postgres(None, folder) as url:
        run_sql(url, "create table kept (value int)", "insert into kept values (7)")
    yield folder
    remove(folder)


@pytest.fixture
def made(made_once: Path) -> Iterator[Path]:
    """The made state folder, with 7 in the table `kept` and no server running."""
    yield made_once
    assert stop(made_once)


def begin_use(state: Path) -> AbstractContextManager[subprocess.Popen[str]]:
    """Start a process that uses the server until its standard input ends."""
    return subprocess.Popen(
        [sys.executable, "-c", USER, str(state)],
        env=os.environ | {"PYTHONPATH": str(REPOSITORY)},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )


def url_of(user: subprocess.Popen[str]) -> str:
    """Wait for the user's URL."""
    assert user.stdout is not None
    return user.stdout.readline().strip()


def end(user: subprocess.Popen[str]) -> None:
    """Let the user leave, and wait for its end."""
    user.communicate()
    assert user.returncode == 0


def kill(user: subprocess.Popen[str]) -> None:
    """Kill the user: it cannot leave."""
    user.kill()
    user.communicate()


def test_restart_keeps_the_data(state: Path) -> None:
    with postgres(None, state) as url:
        run_sql(url, "create table kept (value int)", "insert into kept values (7)")
    assert not is_running(state)
    with postgres("", state) as url:
        assert run_sql(url, "select value from kept") == 7


@pytest.mark.parametrize(
    ("setting", "value"),
    [
        ("fsync", "on"),
        ("port", "5432"),
        ("listen_addresses", ""),
        ("server_encoding", "UTF8"),
        ("shared_buffers", "128MB"),
        ("max_wal_size", "4GB"),
        ("max_connections", "100"),
    ],
)
def test_server_runs_with_its_setting(
    running_url: str, setting: str, value: str
) -> None:
    assert run_sql(running_url, f"show {setting}") == value


@pytest.fixture(scope="module")
def running_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A server whose caller has variables for some other PostgreSQL."""
    folder = tmp_path_factory.mktemp("running")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PGPORT", "6543")
        patch.setenv("PGDATA", "/nowhere")
        with postgres(None, folder) as url:
            yield url
    remove(folder)


def test_start_after_kill_recovers_what_was_committed(made: Path) -> None:
    with postgres(None, made) as url:
        run_sql(url, "create table late (value int)", "insert into late values (8)")
        kill_server(made)
        assert not is_running(made)
        assert start(made) == url
        assert run_sql(url, "select value from late") == 8
    assert not is_running(made)


def test_start_waits_for_a_killed_servers_children(made: Path) -> None:
    # A loop never waits, so its process learns of the kill only at its end.
    loop = "do $$ begin for n in 1..20000000 loop null; end loop; end $$"
    active = "select count(*) from pg_stat_activity where query like 'do %'"
    with postgres(None, made) as url, ThreadPoolExecutor(1) as pool:
        busy = pool.submit(run_sql, url, loop)
        until(lambda: run_sql(url, active) == 1)
        kill_server(made)
        assert not busy.done()
        assert start(made) == url
        wait([busy])  # What became of it is PostgreSQL's affair.


def test_dead_servers_process_id_may_be_taken_by_another(made: Path) -> None:
    with postgres(None, made) as url:
        kill_server(made)
        data = made / "postgres" / "data"
        owner = data.stat().st_uid if IS_ROOT else None
        with subprocess.Popen(["sleep", "60"], user=owner) as another:
            try:
                pid_file = data / "postmaster.pid"
                _, *rest = pid_file.read_text().splitlines()
                pid_file.write_text("\n".join([str(another.pid), *rest]) + "\n")
                assert start(made) == url
                assert another.poll() is None
            finally:
                another.kill()


def test_two_starters_share_one_server_and_the_last_stops_it(state: Path) -> None:
    with begin_use(state) as one, begin_use(state) as other:
        assert url_of(one) == url_of(other) != ""
        log = (state / "postgres" / "server.log").read_text()
        assert log.count("ready to accept connections") == 1
        end(one)
        assert is_running(state)
        end(other)
        assert not is_running(state)


def test_killed_user_blocks_nobody_and_the_next_stops_the_server(made: Path) -> None:
    with begin_use(made) as user:
        url = url_of(user)
        kill(user)
    assert is_running(made)
    with postgres(None, made) as same:
        assert same == url
    assert not is_running(made)


def test_user_killed_while_it_makes_the_cluster_blocks_nobody(state: Path) -> None:
    with begin_use(state) as user:
        until((state / "postgres" / "data.new").exists)
        kill(user)
    with postgres(None, state) as url:
        assert run_sql(url, "select 1") == 1
    assert not (state / "postgres" / "data.new").exists()


def test_user_killed_while_the_server_starts_blocks_nobody(made: Path) -> None:
    with begin_use(made) as user:
        until((made / "postgres" / "data" / "postmaster.pid").exists)
        kill(user)
    with postgres(None, made) as url:
        assert run_sql(url, "select 1") == 1
    assert not is_running(made)


def test_kept_server_outlives_its_users_until_stop(made: Path) -> None:
    url = start(made, keep=True)
    with postgres(None, made) as same:
        assert same == url
        kill_server(made)
        start(made)
    assert is_running(made)
    assert stop(made)
    assert not is_running(made)


def test_stop_leaves_a_used_server_to_its_last_user(made: Path) -> None:
    start(made, keep=True)
    with postgres(None, made) as url:
        assert not stop(made)
        assert run_sql(url, "select 1") == 1
    assert not is_running(made)


def test_remove_refuses_while_used_and_then_deletes(state: Path) -> None:
    with postgres(None, state) as url:
        cluster = (state / "postgres").resolve()
        with pytest.raises(PostgresError, match="is used: end its users first"):
            remove(state)
        assert run_sql(url, "select 1") == 1
    remove(state)
    assert not cluster.exists()
    assert {each.name for each in state.iterdir()} == {
        "postgres.lock",
        "postgres.users",
    }


def test_failed_start_shows_the_servers_log(made: Path) -> None:
    settings = made / "postgres" / "data" / "postgresql.conf"
    good = settings.read_text()
    settings.write_text(good + "work_mem = plenty\n")
    with pytest.raises(PostgresError, match=r"work_mem.*plenty"), postgres(None, made):
        pytest.fail("must not start")
    assert not is_running(made)
    settings.write_text(good)
    with postgres(None, made) as url:
        assert run_sql(url, "select value from kept") == 7


def test_missing_wheel_names_the_extra_and_the_setting(
    state: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(util, "find_spec", lambda _: None)
    with pytest.raises(PostgresError) as error, postgres(None, state):
        pytest.fail("must not start")
    assert "staleplan[pg-embedded]" in str(error.value)
    assert "STALEPLAN_DATABASE_URL" in str(error.value)
    assert not (state / "postgres").exists()


def test_unusable_state_folder_is_named(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_text("kept")
    with (
        pytest.raises(PostgresError, match="file cannot be used"),
        postgres(None, file),
    ):
        pytest.fail("must not start")
    assert file.read_text() == "kept"


def test_kill_without_a_server_says_so(made: Path) -> None:
    with pytest.raises(PostgresError, match="nothing to kill"):
        kill_server(made)


@pytest.mark.parametrize("scheme", ["postgresql", "postgres", "postgresql+psycopg"])
def test_given_url_gets_the_psycopg_driver(scheme: str, tmp_path: Path) -> None:
    rest = "me:s%40cret@db.internal:5433/plans?sslmode=require"
    with postgres(f"{scheme}://{rest}", tmp_path) as url:
        assert url == f"postgresql+psycopg://{rest}"
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("given", "named"),
    [
        ("mysql://me:s3cret@db:1/plans?password=s3cret", "mysql://db:1/plans"),
        ("postgresql+asyncpg://me:s3cret@db/plans", "postgresql+asyncpg://db/plans"),
        ("host=db password=s3cret", "cannot be read"),
        ("postgresql://me:s3cret@db:port/plans", "cannot be read"),
        ("s3cret", "cannot be read"),
    ],
)
def test_other_urls_are_refused_without_their_password(given: str, named: str) -> None:
    with pytest.raises(PostgresError) as error:
        normalise_url(given)
    assert named in str(error.value)
    assert "expected postgresql://user:password@host:port/database" in str(error.value)
    assert "s3cret" not in str(error.value)
    assert error.value.__cause__ is None
