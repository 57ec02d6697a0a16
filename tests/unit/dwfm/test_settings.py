"""A host refuses settings that contradict each other, and names every outcome."""

import pytest
from pydantic import ValidationError

from dwfm.clients import NOBODY, row_of
from dwfm.errors import FAILURES, WANTED, RequestFailedError, insist
from dwfm.model import Answer, InstanceId, Kind, Outcome, Row, Term
from dwfm.service import instance_of
from dwfm.settings import DwfmSettings
from staleplan.tables import Item, Version
from tests.unit.dwfm.fleets import A

ONE = InstanceId("i-1")


@pytest.mark.parametrize(
    ("settings", "why"),
    [
        ({"shortest_lease_ttl_s": 599.0}, "at least twice check_interval_s"),
        ({"longest_lease_ttl_s": 599.0}, "must not exceed longest_lease_ttl_s"),
        ({"timeout_s": 15.0}, "must exceed twice service_s"),
        ({"margin_s": 300.0}, "margin_s must be below check_interval_s"),
        ({"workers": 0}, "greater than or equal to 1"),
        ({"az": "d"}, "'a', 'b' or 'c'"),
        ({"service_s": float("nan")}, "finite number"),
        ({"endpoint": "not a name"}, "endpoint"),
    ],
)
def test_settings_that_contradict_each_other_are_refused(
    settings: dict[str, object], why: str
) -> None:
    with pytest.raises(ValidationError, match=why):
        DwfmSettings.model_validate(settings)


def test_a_fleet_needs_workers_enough_for_its_renewals() -> None:
    settings = DwfmSettings(workers=2)
    settings.check_fleet(60)
    with pytest.raises(ValueError, match=r"61 droplets .* raise workers"):
        settings.check_fleet(61)


def test_leases_are_spread_evenly_between_the_shortest_and_the_longest() -> None:
    settings = DwfmSettings(shortest_lease_ttl_s=600.0, longest_lease_ttl_s=900.0)
    assert [settings.lease_ttl_s(n, 4) for n in range(4)] == [600, 700, 800, 900]
    assert settings.lease_ttl_s(0, 1) == 600


def test_every_outcome_is_told_or_wanted() -> None:
    assert set(FAILURES) | set(WANTED.values()) == set(Outcome)
    told = {(each.reason, each.code) for each in FAILURES.values()}
    assert len({reason for reason, _ in told}) == len(FAILURES)


def test_what_is_wanted_depends_on_what_was_asked() -> None:
    ended = Answer(ONE, Outcome.TERMINATED, kind=Kind.TERMINATE)
    assert insist(ended) is ended
    with pytest.raises(RequestFailedError, match="a token launches once"):
        insist(ended._replace(kind=Kind.LAUNCH))


def test_a_refusal_carries_when_to_ask_again() -> None:
    limited = Answer(ONE, Outcome.REQUEST_LIMIT_EXCEEDED, retry_after_s=12.5)
    with pytest.raises(RequestFailedError) as raised:
        insist(limited)
    assert raised.value.retry_after_s == 12.5
    assert raised.value.reason == "REQUEST_LIMIT_EXCEEDED"
    assert raised.value.definite


def test_a_token_is_always_the_same_instance() -> None:
    assert instance_of("one") == instance_of("one") != instance_of("One")


GOOD = {"holder": "dwfm-a", "term": "7", "until_s": "1000.5"}


def test_a_row_is_read() -> None:
    item = Item("droplet-a-0001", Version(3), GOOD)
    assert row_of(item) == Row(A, Term(7), 1000.5, 3)


@pytest.mark.parametrize(
    "wrong", [{"term": "seven"}, {"until_s": "soon"}, {"until_s": "nan"}]
)
def test_a_row_that_makes_no_sense_has_run_out(wrong: dict[str, str]) -> None:
    row = row_of(Item("droplet-a-0001", Version(3), GOOD | wrong))
    assert (row.until_s, row.version) == (NOBODY.until_s, 3)


def test_a_row_without_its_attributes_has_run_out() -> None:
    row = row_of(Item("droplet-a-0001", Version(3), {}))
    assert (row.holder, row.until_s, row.version) == ("", NOBODY.until_s, 3)
