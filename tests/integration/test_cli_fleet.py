"""The fleet from the command line: launches, and what operators do to DWFM."""

import json
from collections.abc import Iterator
from typing import Any

import pytest

from tests.commands import Commands, until

NAME = "cli_fleet"
QUICK = ("--endpoints", "320", "--speed", "40", "--one-process")
DROPLETS = 16
B = ("--az", "b")


@pytest.fixture(scope="module")
def commands(
    tmp_path_factory: pytest.TempPathFactory, database_url: str
) -> Iterator[Commands]:
    """Commands on a hardened stack whose droplets all have their lease."""
    commands = Commands(tmp_path_factory.mktemp("cli"))
    database = ("--database-url", database_url)
    with commands.stack(NAME, "--drill", *QUICK, *database):
        until(lambda: [each["leases"] for each in hosts(commands)] == [DROPLETS] * 3)
        yield commands


def hosts(commands: Commands) -> list[Any]:
    return list(commands.status()["fleet"].values())


def launched(commands: Commands, *words: str) -> Any:
    """Launches; returns them, or nothing if one was refused."""
    result = commands.run("launch", *words, "--json")
    return result.exit_code == 0 and json.loads(result.stdout)["launches"]


def host(commands: Commands, az: str) -> Any:
    return commands.status()["fleet"][az]


def test_launches_go_to_each_az_in_turn(commands: Commands) -> None:
    # A busy machine lets a queue grow, and a hardened host then refuses.
    launches = until(lambda: launched(commands, "--count", "3"))
    assert [each["host"] for each in launches] == ["dwfm-a", "dwfm-b", "dwfm-c"]
    assert {each["outcome"] for each in launches} == {"RUNNING"}
    assert all(each["droplet"][8] == each["host"][-1] for each in launches)
    one = until(lambda: "runs on" in (s := commands.run("launch", *B).stdout) and s)
    assert one.startswith("dwfm-b: i-")
    assert "runs on droplet-b-" in one
    line = commands.refused("launch", "--az", "d")
    assert "no availability zone 'd'" in line


def test_an_operator_throttles_drains_and_restarts(commands: Commands) -> None:
    commands.ask("ops", "throttle", "0.25", "--az", "a")
    assert host(commands, "a")["throttle_per_s"] == 0.25
    (cause,) = [c for c in commands.status()["causes"] if "operator" in c["text"]]
    assert "dwfm-a: an operator limits new work: 0.25 a second" in cause["text"]
    commands.ask("ops", "throttle", "0")
    assert host(commands, "a")["throttle_per_s"] == 0

    commands.ask("ops", "drain", "--az", "c")
    (refused,) = commands.ask("launch", "--az", "c", code=1)["launches"]
    assert refused["outcome"] == "DRAINING"
    commands.ask("ops", "drain", "--end")
    assert not host(commands, "c")["draining"]

    cleared = commands.ask("ops", "restart", "dwfm")["cleared"]
    assert list(cleared) == ["dwfm-a", "dwfm-b", "dwfm-c"]
    assert all(each["leases"] for each in hosts(commands)), "a restart keeps leases"
    assert "dwfm-b restarted" in commands.run("ops", "restart", "dwfm").stdout


def test_dwfm_has_its_faults_and_safeguards(commands: Commands) -> None:
    where = ("--az", "b", "--droplet", "droplet-b-0002")
    found = commands.ask("fault", "inject", "dwfm.state_check", *where, "--delay", "1")
    assert found["injected"] == ["dwfm-b/1"]
    (fault,) = commands.ask("fault", "list")["faults"]
    assert fault["fault"]["labels"] == {"droplet": "droplet-b-0002"}
    commands.ask("fault", "clear")

    document = commands.ask("safeguard", "set", "dwfm.drop_expired_work=off")
    assert sorted(document) == ["dwfm-a", "dwfm-b", "dwfm-c"]
    assert all(not d["effective"]["drop_expired_work"] for d in document.values())
    assert commands.status()["switched"] == dict.fromkeys(
        [f"dwfm-{az}.drop_expired_work" for az in "abc"], False
    )
    commands.ask("safeguard", "set", "dwfm.drop_expired_work=on")


def test_status_shows_the_fleet(commands: Commands) -> None:
    shown = commands.run("status").stdout
    assert "DWFM" in shown
    assert f"/{DROPLETS}" in shown
