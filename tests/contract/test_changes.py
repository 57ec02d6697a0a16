"""What any store promises about change batches, operators and followers."""

import asyncio
from contextlib import aclosing

import pytest

from dns_store.errors import InvalidBatch, UnknownEndpoint, UnknownZone
from dns_store.store import Store, ZoneAnswers
from staleplan.model import (
    Applied,
    AutomationRuns,
    Batch,
    BuildTree,
    Change,
    DeleteTree,
    EndpointName,
    Generation,
    Lock,
    LockIs,
    PointActive,
    PointRollback,
    Reason,
    Refused,
    SetLock,
    ZoneName,
    ZoneView,
)
from staleplan.runtime.errors import ServiceError
from tests.samples import ENACTOR_A, FIPS, REGIONAL, batch, draft, endpoints_of, flip

ONE, TWO, NONE = Generation(1), Generation(2), Generation(0)
LOCK = Lock(ENACTOR_A, 100)


@pytest.fixture
async def filled(store: Store) -> Store:
    """A store with two plans, none of them enacted."""
    await store.publish(draft(0), at_s=1.0, story="")
    await store.publish(draft(1, answer=1), at_s=2.0, story="")
    return store


async def test_a_batch_is_applied_whole(filled: Store) -> None:
    outcomes = await filled.change([flip("a", 1, lock=LOCK)], at_s=3.0, trace_id="t")
    view = ZoneView(REGIONAL, LOCK, (ONE,), (NONE,), (ONE,))
    assert outcomes == (Applied(view),)
    assert await filled.zones([REGIONAL]) == (view,)
    assert await filled.versions() == {REGIONAL: 1, FIPS: 0}


async def test_a_refused_batch_changes_nothing(filled: Store) -> None:
    before = await filled.zones()
    wrong = batch("a", SetLock(LOCK), BuildTree(ONE), PointActive(TWO))
    (outcome,) = await filled.change([wrong], at_s=3.0, trace_id="t")
    assert outcome == Refused(Reason.TREE_MISSING, PointActive(TWO), before[0])
    assert await filled.zones() == before
    assert await filled.versions() == {REGIONAL: 0, FIPS: 0}


async def test_batches_of_one_call_are_judged_alone(filled: Store) -> None:
    calls = [flip("a", 1, found=LOCK), flip("b", 1, zone=FIPS, lock=LOCK)]
    refused, applied = await filled.change(calls, at_s=3.0, trace_id="")
    assert isinstance(refused, Refused)
    assert refused.reason is Reason.LOCK_CHANGED_HANDS
    assert isinstance(applied, Applied)
    entries = await filled.journal(0, 10)
    assert [entry.batch for entry in entries] == calls
    assert [entry.outcome for entry in entries] == [refused, applied]


async def test_a_batch_sent_again_is_applied_once(filled: Store) -> None:
    first = flip("a", 1, lock=LOCK)
    outcomes = await filled.change([first], at_s=3.0, trace_id="t")
    await filled.change([flip("b", 2, found=LOCK)], at_s=4.0, trace_id="t")
    now = await filled.zones()
    again = await filled.change([flip("c", 1, zone=FIPS), first], at_s=5.0, trace_id="")
    assert again[1:] == outcomes
    assert isinstance(again[0], Applied)
    assert (await filled.zones())[0] == now[0]
    assert [entry.batch.id for entry in await filled.journal(0, 9)] == ["a", "b", "c"]


async def test_a_batch_that_arrives_twice_at_once_is_applied_once(
    filled: Store,
) -> None:
    calls = [filled.change([flip("a", 1)], at_s=3.0, trace_id="") for _ in range(4)]
    outcomes = await asyncio.gather(*calls)
    assert len(set(outcomes)) == 1
    assert len(await filled.journal(0, 10)) == 1


async def test_a_narrowed_batch_moves_only_its_endpoints(filled: Store) -> None:
    await filled.change([flip("a", 1)], at_s=3.0, trace_id="")
    await filled.change([batch("b", BuildTree(TWO))], at_s=4.0, trace_id="")
    narrow = batch(
        "c",
        PointRollback(False),
        PointActive(TWO),
        endpoints=endpoints_of(REGIONAL)[1:2],
    )
    (outcome,) = await filled.change([narrow], at_s=5.0, trace_id="")
    assert outcome == Applied(ZoneView(REGIONAL, None, (TWO,), (ONE,), (ONE, TWO)))
    whole = ZoneView(REGIONAL, None, (ONE, TWO), (NONE, ONE), (ONE, TWO))
    assert await filled.zones([REGIONAL]) == (whole,)
    (answers,) = await filled.answers([REGIONAL])
    names = endpoints_of(REGIONAL)
    assert answers == ZoneAnswers(REGIONAL, 2, names, (ONE, TWO, ONE), (0, 1, 0))


async def test_only_what_changes_answers_raises_the_version(filled: Store) -> None:
    quiet: tuple[Change, ...] = (
        SetLock(LOCK),
        BuildTree(ONE),
        BuildTree(TWO),
        SetLock(None),
    )
    for number, change in enumerate(quiet):
        await filled.change([batch(f"q{number}", change)], at_s=3.0, trace_id="")
    assert (await filled.versions())[REGIONAL] == 0
    loud: tuple[Change, ...] = (PointActive(ONE), DeleteTree(ONE), BuildTree(ONE))
    for number, change in enumerate(loud):
        await filled.change([batch(f"l{number}", change)], at_s=3.0, trace_id="")
        assert (await filled.versions())[REGIONAL] == number + 1
    spared = batch("s", DeleteTree(ONE), endpoints=endpoints_of(REGIONAL)[:1])
    await filled.change([spared], at_s=3.0, trace_id="")
    assert (await filled.versions())[REGIONAL] == len(loud) + 1


async def test_each_rollback_goes_to_its_own_alias(filled: Store) -> None:
    first, second, _ = endpoints_of(REGIONAL)
    await filled.change([flip("a", 1)], at_s=3.0, trace_id="")
    ahead = batch("b", PointActive(TWO), endpoints=(second,))
    await filled.change([batch("t", BuildTree(TWO))], at_s=4.0, trace_id="")
    await filled.change([ahead], at_s=4.0, trace_id="")
    back = batch("c", PointRollback(False), PointActive(TWO))
    (outcome,) = await filled.change([back], at_s=5.0, trace_id="")
    assert outcome == Applied(ZoneView(REGIONAL, None, (TWO,), (ONE, TWO), (ONE, TWO)))
    for name, rollback in ((first, ONE), (second, TWO)):
        probe = batch(f"p-{name}", SetLock(None), endpoints=(name,))
        (found,) = await filled.change([probe], at_s=6.0, trace_id="")
        assert isinstance(found, Applied)
        assert found.after.rollback == (rollback,)


async def test_answers_vanish_with_the_active_tree(filled: Store) -> None:
    # R17, R18: nothing in the store forbids to delete what is pointed at.
    names = endpoints_of(REGIONAL)
    (empty,) = await filled.answers([REGIONAL])
    assert empty == ZoneAnswers(REGIONAL, 0, names, (NONE,) * 3, (None,) * 3)
    await filled.change([flip("a", 2)], at_s=3.0, trace_id="")
    (full,) = await filled.answers([REGIONAL])
    assert full == ZoneAnswers(REGIONAL, 1, names, (TWO,) * 3, (1,) * 3)
    await filled.change([batch("b", DeleteTree(TWO))], at_s=4.0, trace_id="")
    (gone,) = await filled.answers([REGIONAL])
    assert gone == ZoneAnswers(REGIONAL, 2, names, (TWO,) * 3, (None,) * 3)
    both = await filled.answers([FIPS, REGIONAL])
    assert [found.zone for found in both] == [REGIONAL, FIPS]


SOMEWHERE = ZoneName("somewhere")
ELSEWHERE = EndpointName("else.example")
MANY: tuple[Change, ...] = (SetLock(None),) * 501


@pytest.mark.parametrize(
    ("wrong", "error", "field", "text"),
    [
        (flip("x", 1, zone=SOMEWHERE), UnknownZone, "batches[1].zone", "'somewhere'"),
        (
            batch("x", PointActive(ONE), endpoints=(ELSEWHERE,)),
            UnknownEndpoint,
            "batches[1].endpoints[0]",
            "'else.example'",
        ),
        (flip("x", 1, zone=FIPS), InvalidBatch, "batches[1].zone", "duplicate zone"),
        (flip("a", 1), InvalidBatch, "batches[1].id", "duplicate id 'a'"),
        (batch("x", *MANY), InvalidBatch, "batches[1].changes", "1002 record changes"),
    ],
)
async def test_a_call_that_cannot_be_judged_stores_nothing(
    filled: Store, wrong: Batch, error: type[ServiceError], field: str, text: str
) -> None:
    before = await filled.zones()
    calls = [flip("a", 1, zone=FIPS), wrong]
    with pytest.raises(error) as raised:
        await filled.change(calls, at_s=3.0, trace_id="")
    assert text in raised.value.fields[field]
    assert raised.value.definite
    assert await filled.zones() == before
    assert await filled.journal(0, 10) == ()


async def test_reading_an_unknown_zone_names_it(filled: Store) -> None:
    for read in (filled.zones, filled.answers):
        with pytest.raises(UnknownZone, match=r"zones\[1\].*'somewhere'"):
            await read([REGIONAL, SOMEWHERE])


async def test_the_journal_is_read_in_parts(filled: Store) -> None:
    calls = [flip("a", 1), flip("b", 1, zone=FIPS)]
    await filled.change(calls, at_s=3.5, trace_id="00aa")
    await filled.change([flip("c", 1)], at_s=4.5, trace_id="")
    first, second, third = await filled.journal(0, 10)
    assert (first.at_s, first.trace_id) == (3.5, "00aa")
    assert await filled.journal(first.sequence, 1) == (second,)
    assert await filled.journal(0, 10, REGIONAL) == (first, third)
    assert await filled.journal(third.sequence, 10) == ()
    assert isinstance(third.outcome, Refused)
    assert third.outcome.reason is Reason.STALE


async def test_a_pause_stops_automation_and_is_audited(filled: Store) -> None:
    await filled.set_automation(paused=True, operator="ann", at_s=3.0, trace_id="t")
    assert (await filled.describe()).paused
    (outcome,) = await filled.change([flip("a", 1)], at_s=4.0, trace_id="")
    assert isinstance(outcome, Refused)
    assert (outcome.reason, outcome.attempted) == (Reason.PAUSED, AutomationRuns())
    await filled.set_automation(paused=False, operator="ann", at_s=5.0, trace_id="t")
    (outcome,) = await filled.change([flip("b", 1)], at_s=6.0, trace_id="")
    assert isinstance(outcome, Applied)
    paused, resumed = await filled.audit(0)
    assert (paused.operator, paused.action, paused.at_s) == ("ann", "pause", 3.0)
    assert resumed.action == "resume"
    assert await filled.audit(paused.sequence) == (resumed,)


async def test_an_operators_batch_is_audited_once(filled: Store) -> None:
    await filled.change([flip("a", 1, lock=LOCK)], at_s=3.0, trace_id="")
    unlock = batch("u", SetLock(None), needs=(LockIs(LOCK),))
    for _ in range(2):
        outcome = await filled.operate("unlock", unlock, at_s=4.0, trace_id="t")
        assert isinstance(outcome, Applied)
        assert outcome.after.lock is None
    again = batch("v", SetLock(None), needs=(LockIs(LOCK),))
    await filled.operate("unlock", again, at_s=5.0, trace_id="t")
    done, refused = await filled.audit(0)
    assert done.detail == "regional: SetLock(lock=None): applied"
    assert refused.detail.endswith("refused, lock changed hands")
    assert (done.action, done.trace_id) == ("unlock", "t")


async def test_followers_hear_of_applied_batches(filled: Store) -> None:
    async with aclosing(filled.changed()) as changes:
        assert await anext(changes) == {REGIONAL, FIPS}
        await filled.change([flip("r", 1, found=LOCK)], at_s=3.0, trace_id="")
        await filled.change([flip("a", 1, zone=FIPS)], at_s=3.0, trace_id="")
        assert await anext(changes) == {FIPS}
