"""The form of drafts and batches: each rule is broken once, and found by its path."""

from dataclasses import replace
from typing import Any

import pytest

from dns_store.edge import (
    MAX_ANSWER_SETS,
    MAX_REPORTED,
    batch_violations,
    check_batches,
    check_draft,
    draft_violations,
)
from dns_store.errors import InvalidBatch, InvalidDraft
from staleplan.model import (
    MAX_GENERATION,
    ActiveBelow,
    ActiveIs,
    AutomationRuns,
    Batch,
    BatchId,
    BuildTree,
    DeleteTree,
    Draft,
    EnactorName,
    EndpointName,
    Generation,
    Lock,
    LockIs,
    PointActive,
    PointRollback,
    SetLock,
    TreeExists,
    TreeUnreferenced,
    Weighted,
    ZoneName,
    ZonePlan,
)
from tests.samples import APEX, ENACTOR_A, REGIONAL, batch, draft, endpoints_of, flip

GOOD = draft(0)
TOO_LARGE = Generation(MAX_GENERATION + 1)
ONE = Generation(1)


def name_of(bytes_long: int) -> EndpointName:
    labels = "a." * bytes_long
    return EndpointName(labels[: bytes_long - len(APEX) - 1 - 1] + f"a.{APEX}")


def with_zone(**fields: Any) -> Draft:
    return replace(GOOD, zones=(replace(GOOD.zones[0], **fields), GOOD.zones[1]))


def with_name(name: str) -> Draft:
    names = (*endpoints_of(REGIONAL, 2), EndpointName(name))
    return with_zone(endpoints=names)


def with_target(**fields: Any) -> Draft:
    return replace(GOOD, targets=(replace(GOOD.targets[0], **fields), GOOD.targets[1]))


def with_set(*members: Weighted) -> Draft:
    return replace(GOOD, answer_sets=(members, GOOD.answer_sets[1]))


@pytest.mark.parametrize(
    ("wrong", "path", "text"),
    [
        (replace(GOOD, parent=Generation(-1)), "parent", "-1 is not 0 to"),
        (replace(GOOD, parent=MAX_GENERATION), "parent", "is not 0 to"),
        (replace(GOOD, zones=()), "zones", "no zone"),
        (with_zone(zone=ZoneName("fips")), "zones[1].zone", "also in zones[0]"),
        (with_zone(zone=ZoneName("A")), "zones[0].zone", "'A' is not"),
        (with_zone(zone=ZoneName("a" * 64)), "zones[0].zone", "is not 1 to 63"),
        (with_zone(endpoints=(), answers=()), "zones[0].endpoints", "0 endpoints"),
        (
            with_zone(endpoints=endpoints_of(REGIONAL, 321), answers=(0,) * 321),
            "zones[0].endpoints",
            "321 endpoints",
        ),
        (with_zone(answers=(0, 0)), "zones[0].answers", "2 answers for 3 endpoints"),
        (with_zone(answers=(0, 2, 0)), "zones[0].answers[1]", "one of 2 answer sets"),
        (with_zone(answers=(0, -1, 0)), "zones[0].answers[1]", "-1 is not"),
        (with_name(f"A.{APEX}"), "zones[0].endpoints[2]", "not a DNS name"),
        (with_name(f"-a.{APEX}"), "zones[0].endpoints[2]", "not a DNS name"),
        (with_name(f"a..{APEX}"), "zones[0].endpoints[2]", "not a DNS name"),
        (with_name(f"a.{APEX}\n"), "zones[0].endpoints[2]", "not a DNS name"),
        (with_name(f"a.{APEX}."), "zones[0].endpoints[2]", "not a DNS name"),
        (with_name("a" * 64 + f".{APEX}"), "zones[0].endpoints[2]", "not a DNS name"),
        (with_name(name_of(254)), "zones[0].endpoints[2]", "not a DNS name"),
        (with_name("a.other.example"), "zones[0].endpoints[2]", "is not below"),
        (with_name(APEX), "zones[0].endpoints[2]", "is not below"),
        (
            with_name(f"regional-0.{APEX}"),
            "zones[0].endpoints[2]",
            f"duplicate endpoint 'regional-0.{APEX}', also in zones[0].endpoints[0]",
        ),
        (with_name(f"fips-1.{APEX}"), "zones[1].endpoints[1]", "duplicate endpoint"),
        (with_set(), "answer_sets[0]", "never empty"),
        (with_set(Weighted(0, 0)), "answer_sets[0].weights", "all weights are 0"),
        (with_set(Weighted(0, 256)), "answer_sets[0].weights[0]", "256 is not"),
        (with_set(Weighted(0, -1)), "answer_sets[0].weights[0]", "-1 is not"),
        (with_set(Weighted(2, 1)), "answer_sets[0].targets[0]", "one of 2 targets"),
        (with_set(Weighted(-1, 1)), "answer_sets[0].targets[0]", "-1 is not"),
        (with_set(Weighted(1, 1), Weighted(1, 2)), "answer_sets[0].targets", "twice"),
        (
            replace(GOOD, answer_sets=GOOD.answer_sets[:1] * (MAX_ANSWER_SETS + 1)),
            "answer_sets",
            "65537 answer sets",
        ),
        (with_target(name=""), "targets[0].name", "'' is not 1 to 120"),
        (with_target(name="nlb-1"), "targets[1].name", "duplicate name 'nlb-1'"),
        (with_target(ipv4=None), "targets[0]", "has no address"),
        (with_target(ipv4="10.0.0.256"), "targets[0].ipv4", "not an IPv4 address"),
        (with_target(ipv6="10.0.0.1"), "targets[0].ipv6", "not an IPv6 address"),
        (with_target(ipv6="fe80::1%eth0"), "targets[0].ipv6", "not an IPv6 address"),
    ],
)
def test_a_wrong_draft_is_refused_by_path(wrong: Draft, path: str, text: str) -> None:
    with pytest.raises(InvalidDraft) as raised:
        check_draft(wrong, APEX, {})
    assert text in raised.value.fields[path]
    assert raised.value.definite
    assert next(iter(raised.value.fields)) == path


def test_a_right_draft_passes() -> None:
    check_draft(GOOD, APEX, {})
    check_draft(with_name(name_of(253)), APEX, {})
    check_draft(replace(GOOD, parent=Generation(MAX_GENERATION - 1)), APEX, {})
    check_draft(
        with_zone(endpoints=endpoints_of(REGIONAL, 320), answers=(1,) * 320), APEX, {}
    )


def test_names_that_are_known_are_looked_at_again_beside_new_ones() -> None:
    known = {plan.zone: plan.endpoints for plan in GOOD.zones}
    check_draft(GOOD, APEX, known)
    taken = ZonePlan(ZoneName("new"), (GOOD.zones[0].endpoints[0],), (0,))
    with pytest.raises(InvalidDraft) as raised:
        check_draft(replace(GOOD, zones=(*GOOD.zones, taken)), APEX, known)
    assert "duplicate endpoint" in raised.value.fields["zones[2].endpoints[0]"]


def test_a_report_has_an_end() -> None:
    names = tuple(EndpointName(f"{number}.other") for number in range(300))
    wrong = Draft(
        GOOD.parent,
        GOOD.targets,
        GOOD.answer_sets,
        (ZonePlan(REGIONAL, names, (0,) * 300),),
    )
    with pytest.raises(InvalidDraft) as raised:
        check_draft(wrong, APEX, {})
    assert len(raised.value.fields) == MAX_REPORTED
    assert len(list(draft_violations(wrong, APEX, {}))) == 300


POINT = PointActive(ONE)


@pytest.mark.parametrize(
    ("wrong", "path", "text"),
    [
        (batch("", POINT), "id", "is not 1 to 120"),
        (batch("a" * 121, POINT), "id", "is not 1 to 120"),
        (batch("a\nb", POINT), "id", "is not 1 to 120"),
        (batch("b", POINT, enactor=EnactorName("")), "enactor", "is not 1 to 63"),
        (batch("b", POINT, generation=-1), "generation", "-1 is not a generation"),
        (batch("b", POINT, generation=TOO_LARGE), "generation", "is not a generation"),
        (batch("b"), "changes", "no change"),
        (batch("b", POINT, POINT), "changes", "2 x PointActive"),
        (
            batch("b", PointRollback(True), PointRollback(False)),
            "changes",
            "2 x PointRollback",
        ),
        (batch("b", POINT, PointRollback(True)), "changes", "it must come before"),
        (batch("b", PointActive(Generation(0))), "changes[0]", "0 is not a generation"),
        (batch("b", BuildTree(TOO_LARGE)), "changes[0]", "is not a generation"),
        (batch("b", DeleteTree(Generation(0))), "changes[0]", "is not a generation"),
        (
            batch("b", SetLock(Lock(EnactorName("a b"), 1))),
            "changes[0].lock.holder",
            "'a b' is not",
        ),
        (
            batch("b", POINT, needs=(LockIs(Lock(ENACTOR_A, -1)),)),
            "preconditions[0].lock.expires_at_s",
            "-1 s is not",
        ),
        *(
            (batch("b", POINT, needs=(need,)), "preconditions[0]", "not a generation")
            for need in (
                ActiveIs(Generation(-1)),
                ActiveBelow(Generation(0)),
                TreeExists(Generation(0)),
                TreeUnreferenced(TOO_LARGE),
            )
        ),
        *(
            (
                batch("b", change, endpoints=endpoints_of(REGIONAL)),
                "endpoints",
                f"{type(change).__name__} is of the whole zone",
            )
            for change in (BuildTree(ONE), DeleteTree(ONE))
        ),
        (
            batch(
                "b",
                POINT,
                needs=(TreeUnreferenced(ONE),),
                endpoints=endpoints_of(REGIONAL),
            ),
            "endpoints",
            "TreeUnreferenced is of the whole zone",
        ),
        (
            batch("b", POINT, endpoints=endpoints_of(REGIONAL) * 2),
            "endpoints",
            "is in it twice",
        ),
    ],
)
def test_a_wrong_batch_is_refused_by_path(wrong: Batch, path: str, text: str) -> None:
    with pytest.raises(InvalidBatch) as raised:
        check_batches([flip("good", 1), wrong])
    assert list(raised.value.fields) == [f"batches[1].{path}"]
    assert text in raised.value.fields[f"batches[1].{path}"]
    assert dict(batch_violations(wrong)).keys() == {f"batch.{path}"}


@pytest.mark.parametrize("count", [0, 65])
def test_a_call_has_1_to_64_batches(count: int) -> None:
    with pytest.raises(InvalidBatch, match=f"{count} batches, a call has 1 to 64"):
        check_batches([flip(f"b-{number}", 1) for number in range(count)])


def test_a_right_batch_passes() -> None:
    whole = batch(
        "b" * 120,
        *(SetLock(Lock(ENACTOR_A, 0)), BuildTree(ONE), PointRollback(True), POINT),
        needs=(LockIs(None), ActiveIs(Generation(0)), AutomationRuns()),
        generation=MAX_GENERATION,
    )
    narrow = replace(
        whole, id=BatchId("n"), changes=(POINT,), endpoints=endpoints_of(REGIONAL)
    )
    check_batches([whole, narrow] * 32)


def test_targets_need_one_address_only() -> None:
    check_draft(with_target(ipv4=None, ipv6="::1"), APEX, {})
