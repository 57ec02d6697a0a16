"""Commands on one running buggy stack: what is wrong, why, and its repair."""

from collections.abc import Iterator
from typing import Any

import pytest

from protos.world.v1 import world_pb2
from protos.world.v1.world_pb2_grpc import WorldServiceStub
from staleplan.cli.calls import Lines, perform
from staleplan.model import (
    Applied,
    Batch,
    BatchId,
    DeleteTree,
    EnactorName,
    LockIs,
    Outcome,
    ZoneName,
)
from tests.commands import Commands, until

NAME = "cli_buggy"
ENDPOINT = "dynamodb.us-east-1.example"
REGIONAL = ZoneName("regional")
SMALL = ("--endpoints", "320", "--speed", "20", "--one-process", "--no-fleet")


@pytest.fixture(scope="module")
def commands(
    tmp_path_factory: pytest.TempPathFactory, database_url: str
) -> Iterator[Commands]:
    """Commands on a buggy stack that has had a few plans: there is a way back."""
    commands = Commands(tmp_path_factory.mktemp("cli"))
    database = ("--database-url", database_url)
    with commands.stack(NAME, "--mode", "buggy", "--drill", *SMALL, *database):
        until(lambda: (r := regional(commands)) and r["newest_active"] >= 3)
        until(lambda: commands.status()["causes"] == [])
        yield commands


@pytest.fixture(autouse=True)
def no_fault_is_left(commands: Commands) -> Iterator[None]:
    """Whatever a test leaves held, the next one does not inherit."""
    yield
    commands.run("fault", "clear")


def regional(commands: Commands) -> Any:
    groups = commands.status()["groups"]
    return next((each for each in groups if each["group"] == REGIONAL), None)


def hold_enactors(commands: Commands) -> None:
    """Stops every enactor between two passes, as if it were dead."""
    commands.ask("fault", "inject", "enactor.before_pass", "--pause")

    def held() -> bool:
        faults = commands.ask("fault", "list")["faults"]
        return all(each["holds"] for each in faults)

    until(held)


def delete_active_tree(commands: Commands) -> int:
    async def delete(lines: Lines) -> tuple[int, Outcome]:
        (view,) = await lines.store.zones((REGIONAL,))
        batch = Batch(
            BatchId(f"by-hand/{view.newest_active}"),
            EnactorName("by-hand"),
            view.zone,
            view.newest_active,
            (LockIs(view.lock),),
            (DeleteTree(view.newest_active),),
        )
        (outcome,) = await lines.store.change((batch,))
        return view.newest_active, outcome

    deleted, outcome = perform(commands.book(NAME), delete)
    assert isinstance(outcome, Applied)
    return deleted


def test_a_wedge_is_named_with_its_cause_and_repaired_by_its_command(
    commands: Commands,
) -> None:
    hold_enactors(commands)
    deleted = delete_active_tree(commands)
    empty = until(lambda: (r := commands.run("resolve", ENDPOINT)).exit_code and r)
    assert f"{ENDPOINT} A: NOERROR, ANSWER: 0\n" in empty.stdout
    assert "SOA minimum: may be cached as empty for 900 s" in empty.stdout
    (cause,) = commands.status()["causes"]
    assert cause["text"].endswith("no enactor is known to be refused")

    until(lambda: commands.status()["newest_plan"] > deleted)
    commands.ask("fault", "clear")
    wedged = (
        f"regional: NOERROR with 0 answers: active plan {deleted} has no tree; "
        "enactors a, b, c are refused: the active tree is gone: nothing to roll back to"
    )
    until(lambda: wedged == commands.status()["causes"][0]["text"])
    old_plans = f"staleplan ops restart --stack {NAME}"
    repair = f"staleplan ops restore regional --generation newest --stack {NAME}"
    told = f"{wedged}. Repair: {old_plans} && {repair}"
    shown = until(lambda: (r := commands.run("status")).stdout.count(told) and r)
    assert shown.exit_code == 1
    assert shown.stdout.splitlines()[1] == told

    commands.ask(*old_plans.split()[1:])
    (zone,) = commands.ask(*repair.split()[1:], "--operator", "kim")["zones"]
    assert zone["outcome"] == "applied"
    assert zone["active"][0] > deleted
    until(lambda: commands.run("resolve", ENDPOINT).exit_code == 0)
    until(lambda: commands.status()["causes"] == [])
    *_, audited = commands.ask("ops", "show")["audit"]
    assert (audited["operator"], audited["action"]) == ("operator.kim", "restore")


def test_operators_need_no_enactor(commands: Commands) -> None:
    hold_enactors(commands)
    active = regional(commands)["newest_active"]
    (zone,) = commands.ask("ops", "restore", ENDPOINT, "--generation", str(active - 1))[
        "zones"
    ]
    assert zone["active"] == [active - 1]
    (zone,) = commands.ask("ops", "restore", REGIONAL, "--generation", "previous")[
        "zones"
    ]
    assert zone["active"] == [active]
    (zone,) = commands.ask("ops", "unlock", REGIONAL)["zones"]
    assert (zone["outcome"], zone["lock"]) == ("applied", None)
    (zone,) = commands.ask("ops", "restore", REGIONAL, "--generation", "99999", code=1)[
        "zones"
    ]
    assert zone["outcome"] == "the plan does not exist"
    assert zone["active"] == [active]
    document = commands.ask("ops", "show", "--zone", REGIONAL, "--entries", "2")
    assert [each["enactor"][:9] for each in document["journal"]] == ["operator."] * 2
    assert document["journal"][-1]["outcome"] == "the plan does not exist"
    assert [each["zone"] for each in document["zones"]] == [REGIONAL]
    commands.ask("fault", "clear")
    assert set(commands.ask("ops", "restart")["abandoned"]) == {"a", "b", "c"}


def test_a_fault_is_injected_where_its_point_is(commands: Commands) -> None:
    place = ("enactor.back_off", "--az", "b", "--zone", "fips")
    pause = ("--pause", "--until", "enactor.after_batch@enactor-c,zone=fips")
    assert commands.ask("fault", "inject", *place, *pause)["injected"] == [
        f"enactor-b/{number(commands, 'enactor-b')}"
    ]
    commands.ask("fault", "inject", "dynamodb.call", "--delay", "1", "--count", "1000")
    faults = commands.ask("fault", "list")["faults"]
    assert [each["id"].partition("/")[0] for each in faults] == ["world", "enactor-b"]
    delay, pause_of_b = faults[0]["fault"], faults[1]["fault"]
    assert delay["delay"] == {"seconds": 1.0}
    assert pause_of_b["labels"] == {"zone": "fips"}
    assert pause_of_b["pause"]["until"] == {
        "address": commands.book(NAME).addresses["enactor-c"],
        "point": "enactor.after_batch",
        "labels": {"zone": "fips"},
    }
    status = commands.run("status").stdout
    assert f"fault {faults[0]['id']} dynamodb.call delay 1.0 fired" in status
    assert commands.ask("fault", "clear", faults[0]["id"]) == {
        "cleared": [faults[0]["id"]]
    }
    commands.ask("fault", "clear")
    assert commands.ask("fault", "list")["faults"] == []


def number(commands: Commands, service: str) -> int:
    faults = commands.ask("fault", "list")["faults"]
    return max(
        int(each["id"].partition("/")[2])
        for each in faults
        if each["id"].startswith(service)
    )


def test_a_crashed_service_is_named_until_it_is_back(commands: Commands) -> None:
    address = commands.book(NAME).addresses["planner"]
    commands.ask("fault", "inject", "planner.before_publish", "--crash")
    dead = f"planner: no answer at {address}: the supervisor starts it again"
    until(lambda: dead in [c["text"] for c in commands.status()["causes"]])
    until(lambda: commands.status()["causes"] == [])
    assert commands.book(NAME).addresses["planner"] == address


def test_a_switched_safeguard_is_shown(commands: Commands) -> None:
    wanted = ("enactor-a.pause_switch=on", "planner.refuse_unsafe_plan=on")
    document = commands.ask("safeguard", "set", *wanted)
    assert set(document) == {"enactor-a", "planner"}
    assert document["enactor-a"]["requested"]["pause_switch"] is True
    switched = {"enactor-a.pause_switch": True, "planner.refuse_unsafe_plan": True}
    until(lambda: commands.status()["switched"] == switched)
    effective = commands.ask("safeguard", "list")["enactor-a"]["effective"]
    assert effective["pause_switch"] is True

    back = ("enactor.pause_switch=off", "planner.refuse_unsafe_plan=off")
    assert len(commands.ask("safeguard", "set", *back)) == 4
    until(lambda: commands.status()["switched"] == {})
    line = commands.refused("safeguard", "set", "enactor.pause_swich=on")
    assert line.endswith("did you mean 'pause_switch'?")
    line = commands.refused("safeguard", "set", "enactor.pause_switch=maybe")
    assert "a safeguard is on or off" in line


def test_a_held_plan_is_named_and_forced(commands: Commands) -> None:
    commands.ask("safeguard", "set", "planner.refuse_unsafe_plan=on")
    sick = world_pb2.Reading(healthy=False)
    set_regional(commands, world_pb2.SetLoadBalancerRequest(reading=sick))
    held = until(lambda: commands.status()["held"])
    (cause,) = [c for c in commands.status()["causes"] if "planner" in c["text"]]
    assert f"holds plan {held['digest']}, in which {ENDPOINT} loses 100%" in str(cause)
    assert f"staleplan ops force {held['digest']}" in cause["repair"]
    refusal = commands.refused("ops", "force", "0" * 12)
    assert refusal.endswith(f"holds no plan '{'0' * 12}': it holds {held['digest']}")
    commands.ask("safeguard", "set", "planner.refuse_unsafe_plan=off")
    set_regional(commands, world_pb2.SetLoadBalancerRequest(free=True))
    until(lambda: commands.status()["causes"] == [])


def set_regional(commands: Commands, request: world_pb2.SetLoadBalancerRequest) -> None:
    async def set_all(lines: Lines) -> None:
        world = WorldServiceStub(lines.to("world"))
        report = await world.ReportLoadBalancers(world_pb2.ReportLoadBalancersRequest())
        for each in report.load_balancers:
            if "regional" in each.pools:
                request.name = each.name
                await world.SetLoadBalancer(request)

    perform(commands.book(NAME), set_all)


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (("status", "--stack", "cli_bugy"), "did you mean 'cli_buggy'?"),
        (("ops", "restore", "regionl"), "did you mean 'regional'?"),
        (("ops", "restore", "regional", "--generation", "x"), "newest or previous"),
        (("ops", "show", "--zone", "acounts-000"), "did you mean 'accounts-000'?"),
        (("ops", "restart", "--az", "d"), "there is: a, b, c"),
        (("ops", "force", "abc"), "the planner holds no plan 'abc': none"),
        (("fault", "inject", "enactor.before", "--drop"), "did you mean 'enactor.be"),
        (("fault", "inject", "dynamodb.call"), "name one effect: --delay"),
        (
            ("fault", "inject", "dynamodb.call", "--drop", "--crash"),
            "--drop, --crash, --skew; got 2",
        ),
        (
            ("fault", "inject", "dynamodb.call", "--error", "UNAVAILBLE"),
            "did you mean 'UNAVAILABLE'?",
        ),
        (
            ("fault", "inject", "dynamodb.call", "--drop", "--az", "a"),
            "--az is for enactors and DWFM, dynamodb.call is not theirs",
        ),
        (
            ("fault", "inject", "enactor.before_pass", "--drop", "--until", "x@y"),
            "--until ends a --pause",
        ),
        (
            ("fault", "inject", "enactor.before_pass", "--pause", "--until", "a@b"),
            "no fault point 'a'",
        ),
        (("fault", "clear", "world/999"), "no fault 'world/999'"),
    ],
)
def test_a_wrong_name_is_told_in_one_line(
    commands: Commands, words: tuple[str, ...], line: str
) -> None:
    before = commands.ask("fault", "list")
    assert line in commands.refused(*words)
    assert commands.ask("fault", "list") == before
