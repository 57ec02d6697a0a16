"""A round of the planner, and what each safeguard does for it."""

import re
from collections.abc import Mapping
from dataclasses import replace

import pytest

from planner.core import (
    MAX_REMOVED_SHARE,
    Occasion,
    digest_of,
    find_unsafe,
    lay_out,
    make_plan,
    region_of,
)
from planner.model import (
    Command,
    Publish,
    Reading,
    ReadNewestPlan,
    ReadReport,
    Region,
    Reply,
    Report,
    Result,
    Shard,
    Unchanged,
    UnsafePlan,
)
from planner.safeguards import BUGGY, FIXED, Safeguards
from staleplan.model import (
    NOTHING,
    Draft,
    Generation,
    Outdated,
    Plan,
    Published,
    Weighted,
)
from tests.unit.planner.fleets import balancers, region, well

ON_CHANGE, ON_TIME = Occasion(period_is_over=False), Occasion(period_is_over=True)
PUBLISHED = Published(Generation(2))
ONLY_REFUSE = replace(BUGGY, refuse_unsafe_plan=True)
ONLY_UNKNOWN = replace(BUGGY, treat_missing_input_as_unknown=True)


def play(
    report: Report,
    newest: Plan | None = None,
    *,
    of: Region | None = None,
    known: Mapping[str, Reading] = {},
    occasion: Occasion = ON_CHANGE,
    safeguards: Safeguards = FIXED,
    publishes: Published | Outdated = PUBLISHED,
) -> tuple[Result, list[Command]]:
    """Make one round; return how it ended and what it asked for."""
    steps = make_plan(of or region(), known, occasion, safeguards)
    replies: list[Reply] = [newest, report, publishes]
    asked = [next(steps)]
    while True:
        try:
            asked.append(steps.send(replies.pop(0)))
        except StopIteration as end:
            result: Result = end.value
            return result, asked


def published(asked: list[Command]) -> Draft | None:
    *_, last = asked
    return last.draft if isinstance(last, Publish) else None


def plan_of(
    count: int, readings: Mapping[str, Reading], of: Region | None = None
) -> Plan:
    draft = lay_out(of or region(), balancers(count), readings, None)
    return Plan(Generation(1), draft, 0.0, "")


# --- A round -----------------------------------------------------------------------


@pytest.mark.parametrize("safeguards", [BUGGY, FIXED], ids=["buggy", "fixed"])
def test_the_first_plan_is_published(safeguards: Safeguards) -> None:
    result, asked = play(Report(balancers(2), well(2)), safeguards=safeguards)
    draft = published(asked)
    assert result == PUBLISHED
    assert draft
    assert asked == [ReadNewestPlan(), ReadReport(), Publish(draft)]
    assert draft.parent == NOTHING
    assert draft.answer_sets == ((Weighted(0, 10), Weighted(1, 10)),)
    assert [target.name for target in draft.targets] == ["nlb-00", "nlb-01"]


def test_what_changed_is_said_at_once_and_what_did_not_with_the_period() -> None:
    newest = plan_of(2, well(2))
    same = Report(balancers(2), well(2))
    other = Report(balancers(2), well(2, nlb_01=Reading(True, 11)))
    assert play(same, newest)[0] == Unchanged(Generation(1))
    assert play(other, newest)[0] == PUBLISHED
    result, asked = play(same, newest, occasion=ON_TIME)
    draft = published(asked)
    assert result == PUBLISHED
    assert draft == replace(newest.draft, parent=Generation(1))


def test_a_new_load_balancer_is_a_change() -> None:
    result, asked = play(Report(balancers(3), well(3)), plan_of(2, well(2)))
    assert isinstance(result, Published)
    assert published(asked) == replace(plan_of(3, well(3)).draft, parent=Generation(1))


def test_a_new_address_is_a_change() -> None:
    moved = tuple(replace(each, ipv4="10.9.9.9") for each in balancers(2))
    result, asked = play(Report(moved, well(2)), plan_of(2, well(2)))
    draft = published(asked)
    assert result == PUBLISHED
    assert draft
    assert {target.ipv4 for target in draft.targets} == {"10.9.9.9"}


def test_a_lost_race_for_the_next_number_is_told() -> None:
    outdated = Outdated(newest=Generation(7), attempted_parent=Generation(1))
    newest = plan_of(2, well(2))
    report = Report(balancers(2), well(2))
    result, _ = play(report, newest, occasion=ON_TIME, publishes=outdated)
    assert result == outdated


# --- Safeguards --------------------------------------------------------------------


def ill(count: int) -> dict[str, Reading]:
    """Readings of ten load balancers, the first of which are ill."""
    gone = Reading(healthy=False, capacity=10)
    return well(10) | {f"nlb-{n:02}": gone for n in range(count)}


def test_an_unsafe_plan_is_held() -> None:
    """`refuse_unsafe_plan` alone keeps an endpoint's capacity. Source: R47."""
    newest = plan_of(10, well(10))
    report = Report(balancers(10), ill(4))
    result, asked = play(report, newest, safeguards=BUGGY)
    draft = published(asked)
    assert result == PUBLISHED
    assert draft
    assert len(draft.answer_sets[0]) == 6
    result, asked = play(report, newest, safeguards=ONLY_REFUSE)
    assert result == UnsafePlan(digest_of(draft), "0.example", 0.4)
    assert published(asked) is None


def test_what_is_within_the_share_is_not_held() -> None:
    newest = plan_of(10, well(10))
    result, _ = play(Report(balancers(10), ill(3)), newest, safeguards=FIXED)
    assert MAX_REMOVED_SHARE == 0.3
    assert result == PUBLISHED


@pytest.mark.parametrize(
    ("reading", "removed"),
    [(Reading(True, 6), 0.4), (Reading(True, 0), 1.0), (Reading(False, 10), 1.0)],
)
def test_an_endpoint_with_one_record_is_no_exception(
    reading: Reading, removed: float
) -> None:
    newest = plan_of(1, well(1))
    result, _ = play(Report(balancers(1), {"nlb-00": reading}), newest)
    assert isinstance(result, UnsafePlan)
    assert result.removed == removed


def test_one_record_that_is_replaced_by_another_is_held() -> None:
    readings = {"nlb-00": Reading(False, 10), "nlb-01": Reading(True, 10)}
    newest = plan_of(2, well(1))
    result, _ = play(Report(balancers(2), readings), newest)
    assert isinstance(result, UnsafePlan)
    assert result.removed == 1.0


def test_an_empty_answer_is_held_even_in_the_first_plan() -> None:
    result, asked = play(Report(balancers(1), {}))
    assert isinstance(result, UnsafePlan)
    assert (result.endpoint, result.removed) == ("0.example", 1.0)
    _, asked = play(Report(balancers(1), {}), safeguards=BUGGY)
    draft = published(asked)
    assert draft
    assert draft.answer_sets == ((),)


def test_more_is_never_unsafe() -> None:
    one = plan_of(10, ill(9)).draft
    assert find_unsafe(one, plan_of(10, well(10)).draft) is None
    nothing = plan_of(1, {}).draft
    assert find_unsafe(nothing, plan_of(1, well(1)).draft) is None


def test_what_one_gains_does_not_make_up_for_what_another_loses() -> None:
    newest = plan_of(2, well(2))
    swapped = {"nlb-00": Reading(False, 10), "nlb-01": Reading(True, 20)}
    result, _ = play(Report(balancers(2), swapped), newest)
    assert isinstance(result, UnsafePlan)
    assert result.removed == 0.5


def test_an_endpoint_that_moves_to_another_set_is_judged_by_both() -> None:
    shards = (Shard("regional", 0, 0), Shard("fips", 0, 0))
    fleet = (
        *balancers(1, frozenset({"regional"})),
        *balancers(2, frozenset({"fips"}))[1:],
    )
    before = lay_out(region(*shards), fleet, well(2), None)
    stays, moves = before.zones
    after = replace(before, zones=(stays, replace(moves, answers=(0,))))
    unsafe = find_unsafe(before, after)
    assert unsafe
    assert (unsafe.endpoint, unsafe.removed) == ("1.example", 1.0)


def test_the_endpoint_that_loses_most_is_named() -> None:
    two = region(Shard("regional", 0, 0), Shard("fips", 0, 0))
    fips = balancers(2, frozenset({"fips"}))
    others = balancers(12, frozenset({"regional"}))[2:]
    whole = lay_out(two, fips + others, well(12), None)
    fewer = lay_out(two, fips + others, well(12, nlb_00=Reading(False, 10)), None)
    unsafe = find_unsafe(whole, fewer)
    assert unsafe == UnsafePlan(digest_of(fewer), "1.example", 0.5)


def test_a_zone_that_is_new_is_judged_for_emptiness_only() -> None:
    before = plan_of(1, well(1)).draft
    both = region(Shard("regional", 0, 0), Shard("fips", 0, 0))
    assert find_unsafe(before, lay_out(both, balancers(1), well(1), None)) is None
    only_regional = balancers(1, frozenset({"regional"}))
    unsafe = find_unsafe(before, lay_out(both, only_regional, well(1), None))
    assert unsafe
    assert unsafe.endpoint == "1.example"


@pytest.mark.parametrize("now", [50, 200])
def test_endpoints_that_changed_are_for_the_store_to_refuse(now: int) -> None:
    newest = plan_of(5, well(5), region_of("us-east-1", 100))
    report = Report(balancers(5), well(5, nlb_01=Reading(True, 11)))
    result, _ = play(report, newest, of=region_of("us-east-1", now))
    assert result == PUBLISHED


def test_a_forced_plan_is_published_and_no_other() -> None:
    newest = plan_of(10, well(10))
    four, five = Report(balancers(10), ill(4)), Report(balancers(10), ill(5))
    held, _ = play(four, newest)
    assert isinstance(held, UnsafePlan)
    forced = Occasion(period_is_over=False, forced_digest=held.digest)
    assert play(four, newest, occasion=forced)[0] == PUBLISHED
    still, _ = play(five, newest, occasion=forced)
    assert isinstance(still, UnsafePlan)
    assert still.digest != held.digest


def test_a_digest_is_of_what_is_said_and_not_of_when() -> None:
    draft = plan_of(2, well(2)).draft
    assert re.fullmatch("[0-9a-f]{12}", digest_of(draft))
    assert digest_of(replace(draft, parent=Generation(9))) == digest_of(draft)
    assert digest_of(plan_of(2, well(1)).draft) != digest_of(draft)


def test_a_missing_reading_is_not_a_zero() -> None:
    """`treat_missing_input_as_unknown` alone keeps who is not heard of. Source: R46."""
    newest = plan_of(2, well(2))
    half = Report(balancers(2), well(1))
    _, asked = play(half, newest, known=well(2), safeguards=BUGGY)
    draft = published(asked)
    assert draft
    assert draft.answer_sets == ((Weighted(0, 10),),)
    result, _ = play(half, newest, known=well(2), safeguards=ONLY_UNKNOWN)
    assert result == Unchanged(Generation(1))


def test_a_reading_that_arrives_wins_over_one_that_is_known() -> None:
    newest = plan_of(10, well(10))
    _, asked = play(Report(balancers(10), ill(1)), newest, known=well(10))
    draft = published(asked)
    assert draft
    assert len(draft.answer_sets[0]) == 9


def test_what_was_never_heard_of_is_not_answered() -> None:
    _, asked = play(Report(balancers(2), well(1)))
    draft = published(asked)
    assert draft
    assert draft.answer_sets == ((Weighted(0, 10),),)
