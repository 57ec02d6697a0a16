"""What is wrong is named with its cause, in one line, however much is wrong."""

from dataclasses import replace
from typing import Any

import pytest

from staleplan.cli.causes import find_causes
from staleplan.cli.resolve import NO_ANSWER, Answer
from staleplan.cli.status_read import (
    DwfmStatus,
    EnactorStatus,
    GroupStatus,
    HeldPlan,
    ServiceStatus,
    StackStatus,
)

GONE = "the active tree is gone: nothing to roll back to"
IDLE = EnactorStatus(0, 9, "nothing to do", 0, "", ())
WELL = StackStatus(
    name="default",
    mode="buggy",
    drill=False,
    speed=1.0,
    supervised=True,
    services=(ServiceStatus("planner", "127.0.0.1:1", 1, "SERVING"),),
    newest_plan=12,
    enactors={"a": IDLE, "b": IDLE, "c": IDLE},
)


def group(name: str, *, answers: int = 4, **more: Any) -> GroupStatus:
    answer = Answer(f"{name}.example", "A", "NOERROR", answers)
    well = GroupStatus(name, 1, 12, 12, (12,), {}, (), {}, answer)
    return replace(well, **more)


def stuck(zone: str, *, retries: int = 5, refused: str = GONE) -> EnactorStatus:
    return EnactorStatus(12, 9, "finished", retries, refused, (zone,))


def lines(status: StackStatus) -> list[str]:
    return [str(cause) for cause in find_causes(status)]


def test_nothing_is_wrong() -> None:
    assert lines(replace(WELL, groups=(group("regional"),))) == []


def test_an_empty_zone_names_its_plan_its_enactors_and_its_repair() -> None:
    status = replace(
        WELL,
        groups=(group("regional", answers=0, empty={"regional": (3,)}),),
        enactors={"a": stuck("regional"), "b": stuck("regional"), "c": IDLE},
    )
    (line,) = lines(status)
    assert line == (
        "regional: NOERROR with 0 answers: active plan 3 has no tree; enactors a, b "
        f"are refused: {GONE}. Repair: staleplan ops restore regional --generation "
        "newest"
    )


def test_old_plans_are_taken_from_enactors_before_the_repair() -> None:
    late = replace(stuck("regional"), generation_in_hand=3)
    status = replace(
        WELL,
        name="other",
        groups=(group("regional", answers=0, empty={"regional": (3,)}),),
        enactors={"a": late, "b": stuck("regional"), "c": IDLE},
    )
    (line,) = lines(status)
    assert line.endswith(
        "Repair: staleplan ops restart --stack other && staleplan ops restore regional "
        "--generation newest --stack other"
    )


def test_what_the_store_answers_instead_is_red() -> None:
    (cause,) = find_causes(replace(WELL, errors=("dns-store: unexpected error",)))
    assert (cause.severity, str(cause)) == ("red", "dns-store: unexpected error")


def test_hundreds_of_empty_zones_are_one_cause() -> None:
    empty = {f"accounts-{n:03}": (3 + n % 2,) for n in range(300)}
    status = replace(
        WELL,
        name="other",
        groups=(group("accounts", answers=0, zones=625, empty=empty),),
        enactors={"a": stuck("accounts-007"), "b": stuck("accounts-008"), "c": IDLE},
    )
    (line,) = lines(status)
    assert line == (
        "accounts (300 zones): NOERROR with 0 answers: active plans 3, 4 have no "
        f"trees; enactors a, b are refused: {GONE}. Repair: staleplan ops restore "
        "accounts --generation newest --stack other"
    )


def test_an_empty_answer_with_its_tree_is_red_too() -> None:
    (line,) = lines(replace(WELL, groups=(group("fips", answers=0),)))
    assert line == "fips: NOERROR with 0 answers, although plan 12 has its tree"


def test_a_zone_that_was_never_planned_is_no_fault() -> None:
    never = group("fips", answers=0, oldest_active=0, newest_active=0, trees=())
    assert lines(replace(WELL, groups=(never,))) == []
    early = replace(WELL, groups=(never,), newest_plan=0)
    assert lines(early) == ["no plan has been published yet"]


def test_silent_dns_is_red() -> None:
    answer = Answer("fips.example", "A", NO_ANSWER, 0)
    status = replace(WELL, groups=(group("fips", answer=answer),))
    assert lines(status) == ["fips: DNS gives no answer at all"]


@pytest.mark.parametrize(
    ("supervised", "hint"), [(True, ": the supervisor starts it again"), (False, "")]
)
def test_a_dead_service_says_who_starts_it_again(supervised: bool, hint: str) -> None:
    dead = ServiceStatus("planner", "127.0.0.1:1", 1, "NO ANSWER")
    found = lines(replace(WELL, supervised=supervised, services=(dead,)))
    assert found[-1] == f"planner: no answer at 127.0.0.1:1{hint}"
    assert len(found) == 2 - supervised


def test_red_comes_before_yellow() -> None:
    status = replace(
        WELL,
        paused=True,
        mode="fixed",
        held=HeldPlan("0123456789ab", "x.example", 0.42),
        groups=(group("regional", answers=0, empty={"regional": (3,)}),),
    )
    found = find_causes(status)
    assert [cause.severity for cause in found] == ["red", "yellow", "yellow"]
    assert str(found[1]) == (
        "planner: holds plan 0123456789ab, in which x.example loses 42% of its weight. "
        "Repair: staleplan ops force 0123456789ab"
    )
    assert str(found[2]) == (
        "automation is paused by an operator, answers go on. "
        "Repair: staleplan ops resume"
    )


def test_a_pause_that_enactors_do_not_obey_says_so() -> None:
    status = replace(WELL, paused=True, switched={"enactor-b.pause_switch": True})
    (line,) = lines(status)
    assert "; enactors a, c go on: pause_switch is off. Repair" in line


@pytest.mark.parametrize(
    ("retries", "behind", "told"),
    [(2, ("fips",), False), (3, ("fips",), True), (3, (), False)],
)
def test_retries_are_told_when_they_are_many_and_still_in_vain(
    retries: int, behind: tuple[str, ...], told: bool
) -> None:
    status = replace(
        WELL,
        groups=(group("fips", behind=behind),),
        enactors={"c": stuck("fips", retries=retries, refused="")},
    )
    line = "enactor-c: tried fips 3 times in a row, with plan 12: another one has"
    assert [each[: len(line)] for each in lines(status)] == [line] * told


# --- DWFM ---------------------------------------------------------------------------

HOST = DwfmStatus(
    droplets=16,
    leases=16,
    instances=40,
    queued=0,
    workers=2,
    busy=1,
    oldest_wait_s=0.0,
    store_is_away=False,
    throttle_per_s=0.0,
    draining=False,
    leases_expired=0,
    late=0,
)


def with_host(**changed: Any) -> StackStatus:
    return replace(WELL, fleet={"a": replace(HOST, **changed)})


def test_a_fleet_with_its_leases_is_well() -> None:
    assert lines(with_host()) == []


def test_leases_that_are_held_without_dynamodb_are_told() -> None:
    (line,) = lines(with_host(store_is_away=True))
    assert line == (
        "dwfm-a: 16 of 16 droplets have a lease, and DynamoDB is away: they are held "
        "until it is back"
    )


def test_leases_that_run_out_are_red() -> None:
    (cause,) = find_causes(with_host(store_is_away=True, leases=3))
    assert str(cause) == ("dwfm-a: 3 of 16 droplets have a lease, and DynamoDB is away")
    assert cause.severity == "red"


def test_a_storm_names_its_queue_and_what_ended_it() -> None:
    """R28, R29."""
    status = with_host(leases=3, queued=500, oldest_wait_s=412.4, late=71)
    (line,) = lines(status)
    assert line == (
        "dwfm-a: 3 of 16 droplets have a lease, and 500 pieces of work wait, the "
        "oldest for 412 s; 71 were done too late. Repair: staleplan ops throttle 0.1 "
        "--az a && staleplan ops restart dwfm --az a"
    )


def test_a_recovery_under_way_is_yellow() -> None:
    recovering = {"leases": 3, "queued": 4, "oldest_wait_s": 9.0}
    (cause,) = find_causes(with_host(**recovering, leases_expired=16))
    assert str(cause).endswith("it is taking the others")
    assert cause.severity == "yellow"
    assert lines(with_host(**recovering)) == [], "it has just begun"


@pytest.mark.parametrize(
    ("changed", "told"),
    [
        ({"throttle_per_s": 0.5}, "0.5 a second. Repair: staleplan ops throttle 0"),
        ({"draining": True}, "drained. Repair: staleplan ops drain --end"),
    ],
)
def test_what_operators_limit_is_told_with_its_end(
    changed: dict[str, Any], told: str
) -> None:
    (line,) = lines(with_host(**changed))
    assert line == f"dwfm-a: an operator limits new work: {told} --az a"
