"""What operators may rely on while the automation runs. Source: R20, R23."""

from collections.abc import Iterator
from typing import Any

import pytest

from tests.commands import Commands, until

NAME = "operators"
ENDPOINT = "dynamodb.us-east-1.example"


@pytest.fixture(scope="module")
def commands(
    tmp_path_factory: pytest.TempPathFactory, database_url: str
) -> Iterator[Commands]:
    """Commands on a fixed stack."""
    commands = Commands(tmp_path_factory.mktemp("operators"))
    small = ("--endpoints", "320", "--speed", "20", "--one-process")
    with commands.stack(NAME, "--drill", *small, "--database-url", database_url):
        until(lambda: commands.run("resolve", ENDPOINT).exit_code == 0)
        yield commands


def active(commands: Commands) -> dict[str, list[int]]:
    zones: list[dict[str, Any]] = commands.ask("ops", "show")["zones"]
    return {zone["zone"]: zone["active"] for zone in zones}


def plans_go_on(commands: Commands) -> None:
    """Waits for two more plans: an enactor looks ten times between two of them."""
    now = commands.status()["newest_plan"]
    until(lambda: commands.status()["newest_plan"] >= now + 2)


def test_pause_freezes_only_with_switch(commands: Commands) -> None:
    assert commands.ask("ops", "pause", "--operator", "kim") == {"paused": True}
    plans_go_on(commands)
    frozen = active(commands)
    plans_go_on(commands)
    assert active(commands) == frozen
    assert commands.ask("resolve", ENDPOINT)["answers"] > 0
    (cause,) = commands.status()["causes"]
    assert cause["text"] == "automation is paused by an operator, answers go on"

    commands.ask("safeguard", "set", "enactor.pause_switch=off")
    until(lambda: min(active(commands).values()) > max(frozen.values()))
    deaf = "; enactors a, b, c go on: pause_switch is off"
    until(lambda: commands.status()["causes"][0]["text"].endswith(deaf))

    commands.ask("safeguard", "set", "enactor.pause_switch=on")
    assert commands.ask("ops", "resume", "--operator", "kim") == {"paused": False}
    then = active(commands)
    until(lambda: min(active(commands).values()) > max(then.values()))
    until(lambda: commands.status()["causes"] == [])
    audit = commands.ask("ops", "show")["audit"]
    done = [each["action"] for each in audit if each["operator"] == "kim"]
    assert done == ["pause", "resume"]


def test_an_enactor_that_works_moves_a_restored_zone_on(commands: Commands) -> None:
    until(lambda: active(commands)["regional"][0] >= 2)
    restored = commands.ask("ops", "restore", "regional", "--generation", "previous")
    (zone,) = restored["zones"]
    assert zone["outcome"] == "applied"
    until(lambda: active(commands)["regional"][0] > zone["active"][0])
    assert commands.ask("resolve", ENDPOINT)["answers"] > 0
