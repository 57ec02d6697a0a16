"""A stack whose services are processes: begun, killed in parts, and ended."""

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from staleplan.cli.stacks import is_ours
from staleplan.runtime.postgres import is_running
from staleplan.stack import settings
from staleplan.stack.outside import command_of
from tests.commands import Commands, until

NAME = "processes"
ENDPOINT = "dynamodb.us-east-1.example"
SERVICES = set(settings.SERVICES)


@pytest.fixture
def commands(tmp_path: Path) -> Iterator[Commands]:
    """Commands on a folder of their own; every stack in it is ended."""
    commands = Commands(tmp_path / "state")
    yield commands
    commands.run("down", "--all")


def folder(commands: Commands) -> Path:
    return commands.state.resolve() / "stacks" / NAME


def test_a_stack_of_processes_lives_and_dies_whole(commands: Commands) -> None:
    """One story, because a start takes seconds: up, killed, repaired, ended."""
    up = ("up", "--stack", NAME, "--speed", "20", "--endpoints", "320")
    document = commands.ask(*up)
    assert document["started"]
    assert set(document["processes"]) == {"supervisor", *SERVICES}
    until(lambda: commands.run("resolve", ENDPOINT).exit_code == 0)
    until(lambda: commands.status()["causes"] == [])

    again = commands.ask(*up)
    assert not again["started"]
    assert again["processes"] == document["processes"]
    assert "runs fixed, not buggy" in commands.refused(*up, "--mode", "buggy")
    assert "runs without --drill" in commands.refused(*up, "--drill")
    refusal = "start the stack with `staleplan up --drill`"
    assert refusal in commands.refused("fault", "list")

    killed_service_comes_back(commands, document["processes"]["dns-store"])
    nothing_is_left_without_a_supervisor(commands)
    time_goes_on(commands, up)


def killed_service_comes_back(commands: Commands, process: int) -> None:
    before = commands.book(NAME)
    os.kill(process, signal.SIGKILL)
    until(lambda: commands.book(NAME).processes["dns-store"] != process)
    after = commands.book(NAME)
    assert after.addresses == before.addresses
    assert after.processes | {"dns-store": process} == before.processes
    status = until(lambda: (s := commands.status())["newest_plan"] and s)
    assert {each["health"] for each in status["services"]} == {"SERVING"}
    until(lambda: commands.run("resolve", ENDPOINT).exit_code == 0)


def nothing_is_left_without_a_supervisor(commands: Commands) -> None:
    processes = commands.book(NAME).processes
    os.kill(processes["supervisor"], signal.SIGKILL)
    until(lambda: not is_ours(processes["supervisor"], folder(commands)))
    assert all(is_ours(processes[each], folder(commands)) for each in SERVICES)
    causes = [cause["text"] for cause in commands.status()["causes"]]
    assert "the supervisor is dead: what crashes stays down" in causes

    (ended,) = commands.ask("down", "--stack", NAME)["ended"]
    assert set(ended["orphans"]) == SERVICES
    assert not any(is_ours(pid, folder(commands)) for pid in processes.values())
    assert not is_running(commands.state)
    assert "no stack runs in" in commands.refused("down", "--stack", NAME)


def time_goes_on(commands: Commands, up: tuple[str, ...]) -> None:
    """A second life has the plans of the first, and none of its times ahead."""
    (last,) = [commands.ask(*up) and entries(commands)[0]]
    until(lambda: entries(commands)[-1]["sequence"] > last["sequence"])
    times = [entry["at"] for entry in entries(commands)]
    assert times == sorted(times)
    (ended,) = commands.ask("down")["ended"]
    assert ended == {"name": NAME, "orphans": []}
    assert not is_running(commands.state)


def entries(commands: Commands) -> list[dict[str, str]]:
    journal: list[dict[str, str]] = commands.ask("ops", "show")["journal"]
    return journal


def test_what_cannot_work_is_told_before_anything_starts(commands: Commands) -> None:
    commands.state.mkdir()
    (commands.state / "stacks").touch()
    line = commands.refused("up")
    assert "cannot be used" in line
    assert "choose one with --state" in line
    assert list(commands.state.iterdir()) == [commands.state / "stacks"]


def test_a_database_that_does_not_answer_is_named_without_its_password(
    commands: Commands,
) -> None:
    url = "postgresql://user:secret@127.0.0.1:1/db"
    line = commands.refused("up", "--database-url", url)
    assert "postgresql://user:***@127.0.0.1:1/db does not answer" in line
    assert "secret" not in line
    assert "no stack runs" in commands.refused("status")


def test_a_service_that_cannot_start_ends_the_start(
    commands: Commands, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The environment adds to what services are told; here, nonsense for the store."""
    monkeypatch.setenv("STALEPLAN_TTL_S", "-1")
    line = commands.refused("up", "--stack", NAME, "--database-url", database_url)
    assert f"stack '{NAME}': dns-store did not start" in line
    assert "ttl_s Input should be greater than or equal to 0" in line
    assert "no stack runs" in commands.refused("status")


def test_a_process_is_ours_only_with_our_folder(tmp_path: Path) -> None:
    assert command_of("enactor-b", tmp_path)[1:] == ("-m", "enactor", str(tmp_path))
    assert not is_ours(os.getpid(), tmp_path)
