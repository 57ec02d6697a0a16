"""Recorded runs are runs of the model, and one changed entry is found where it is."""

import asyncio
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from functools import cache

import pytest

from enactor.core import Extent
from enactor.safeguards import BUGGY, FIXED, Safeguards
from staleplan.check.conform import conform
from staleplan.check.walk import Nonconforming
from staleplan.drills.dns_race import Script, run_race
from staleplan.model import (
    ActiveBelow,
    Applied,
    BatchId,
    DeleteTree,
    EnactorName,
    Generation,
    JournalEntry,
    Lock,
    LockIs,
    Outcome,
    PointActive,
    Reason,
    Refused,
    SetLock,
)
from staleplan.runtime.settings import Mode
from staleplan.sim.dns_region import EXTENT, DnsRegion
from tests.model.recorded.record import Run, load

PRESETS: dict[Mode, Safeguards] = {"buggy": BUGGY, "fixed": FIXED}
LIVE = Extent(keep_generations=5, zones_in_flight=320)
"""As the enactor's settings have it."""

load = cache(load)


def check(mode: Mode, entries: list[JournalEntry]) -> None:
    conform(load(mode)[0], entries, PRESETS[mode], LIVE)


def is_flip(entry: JournalEntry) -> bool:
    return any(isinstance(c, PointActive) for c in entry.batch.changes)


def takes_lock(entry: JournalEntry) -> bool:
    return isinstance(entry.batch.changes[0], SetLock) and not gives_back(entry)


def gives_back(entry: JournalEntry) -> bool:
    return entry.batch.changes == (SetLock(None),)


def is_applied(entry: JournalEntry) -> bool:
    return isinstance(entry.outcome, Applied)


def is_refused(entry: JournalEntry, reason: Reason) -> bool:
    return isinstance(entry.outcome, Refused) and entry.outcome.reason is reason


Chooses = Callable[[JournalEntry], bool]
Changes = Callable[[JournalEntry], JournalEntry]


def place_of(mode: Mode, wanted: Chooses) -> int:
    """A place in the middle of a recorded run, by what is there."""
    entries = load(mode)[1]
    return [at for at, entry in enumerate(entries) if wanted(entry)][-1]


def rejected(mode: Mode, entries: list[JournalEntry]) -> Nonconforming:
    with pytest.raises(Nonconforming) as caught:
        check(mode, entries)
    return caught.value


def edited(mode: Mode, wanted: Chooses, change: Changes) -> None:
    """Change one entry: it is the one that is rejected."""
    entries = [*load(mode)[1]]
    at = place_of(mode, wanted)
    entries[at] = change(entries[at])
    found = rejected(mode, entries)
    assert found.step is entries[at]
    assert str(found).startswith(
        f"entry {entries[at].sequence} ({entries[at].batch.id}): recorded "
    )


def renumbered(
    entries: list[JournalEntry], *, in_one_life: bool = False
) -> list[JournalEntry]:
    """The same batches, whose ids tell nothing of what was done to them."""
    sent: Counter[str] = Counter()
    found = []
    for entry in entries:
        life = entry.batch.id.rpartition("/")[0]
        if in_one_life:
            life = f"{entry.batch.enactor}/1"
        sent[life] += 1
        batch = replace(entry.batch, id=BatchId(f"{life}/{sent[life]}"))
        found.append(replace(entry, batch=batch))
    return found


@pytest.mark.parametrize("mode", ["buggy", "fixed"])
def test_live_runs_conform(mode: Mode) -> None:
    entries = load(mode)[1]
    assert len({entry.batch.enactor for entry in entries}) >= 3
    assert any(map(is_flip, entries))
    check(mode, entries)


def simulated(safeguards: Safeguards, seed: int, *, natural: bool) -> Run:
    async def run() -> Run:
        region = DnsRegion(safeguards, seed)
        await run_race(region, Script(seed, natural=natural))
        return dict(await region.beginning()), await region.journal()

    return asyncio.run(run())


@pytest.mark.parametrize("natural", [False, True], ids=["held", "natural"])
@pytest.mark.parametrize("seed", range(1, 5))
@pytest.mark.parametrize("safeguards", [BUGGY, FIXED], ids=["buggy", "fixed"])
def test_simulated_runs_conform(
    safeguards: Safeguards, seed: int, natural: bool
) -> None:
    zones, entries = simulated(safeguards, seed, natural=natural)
    assert len(entries) > 200
    conform(zones, entries, safeguards, EXTENT)


@pytest.mark.parametrize(("mode", "other"), [("buggy", FIXED), ("fixed", BUGGY)])
def test_one_mode_is_not_the_other(mode: Mode, other: Safeguards) -> None:
    zones, entries = load(mode)
    with pytest.raises(Nonconforming) as caught:
        conform(zones, entries, other, LIVE)
    assert caught.value.step is entries[0], "the guards differ from the first batch on"


def test_another_extent_is_noticed_at_a_clean_up() -> None:
    zones, entries = load("buggy")
    with pytest.raises(Nonconforming) as caught:
        conform(zones, entries, BUGGY, replace(LIVE, keep_generations=6))
    step = caught.value.step
    assert isinstance(step, JournalEntry)
    assert isinstance(step.batch.changes[0], DeleteTree)


def test_a_refusal_that_was_none() -> None:
    def applied(entry: JournalEntry) -> JournalEntry:
        assert isinstance(entry.outcome, Refused)
        return replace(entry, outcome=Applied(entry.outcome.found))

    edited("fixed", lambda e: is_refused(e, Reason.STALE), applied)


def test_a_success_that_was_none() -> None:
    def refused(entry: JournalEntry) -> JournalEntry:
        assert isinstance(entry.outcome, Applied)
        guard = entry.batch.preconditions[-1]
        return replace(entry, outcome=Refused(Reason.STALE, guard, entry.outcome.after))

    edited("fixed", lambda e: is_flip(e) and is_applied(e), refused)


def test_a_dropped_precondition() -> None:
    """The outcome is the same, but no enactor of this mode sends such a flip."""

    def unguarded(entry: JournalEntry) -> JournalEntry:
        guards = entry.batch.preconditions
        kept = tuple(each for each in guards if not isinstance(each, ActiveBelow))
        assert len(kept) == len(guards) - 1
        return replace(entry, batch=replace(entry.batch, preconditions=kept))

    edited("fixed", lambda e: is_flip(e) and is_applied(e), unguarded)


def older(entry: JournalEntry) -> JournalEntry:
    generation = Generation(entry.batch.generation - 1)
    return replace(entry, batch=replace(entry.batch, generation=generation))


@pytest.mark.parametrize("mode", ["buggy", "fixed"])
def test_another_generation(mode: Mode) -> None:
    edited(mode, lambda e: is_flip(e) and is_applied(e), older)


def test_a_lock_for_another_generation() -> None:
    """The wedge: it is tried again and again, with the same plan in hand."""
    again = follows("buggy", gives_back)
    edited("buggy", lambda e: takes_lock(e) and e.batch.id in again, older)


def test_a_lock_that_lasts_longer_than_others_of_its_message() -> None:
    def lasting(entry: JournalEntry) -> JournalEntry:
        mine = entry.batch.changes[0]
        assert isinstance(mine, SetLock)
        assert mine.lock
        assert isinstance(entry.outcome, Applied)
        lock = replace(mine.lock, expires_at_s=mine.lock.expires_at_s + 1)
        return replace(
            entry,
            batch=replace(entry.batch, changes=(SetLock(lock),)),
            outcome=Applied(replace(entry.outcome.after, lock=lock)),
        )

    more = follows("fixed", takes_lock)
    edited("fixed", lambda e: takes_lock(e) and e.batch.id in more, lasting)


def follows(mode: Mode, wanted: Chooses) -> set[BatchId]:
    """Batches before which their enactor sent another such batch."""
    before: dict[str, JournalEntry] = {}
    found = set()
    for entry in load(mode)[1]:
        life = entry.batch.id.rpartition("/")[0]
        if life in before and wanted(before[life]):
            found.add(entry.batch.id)
        before[life] = entry
    return found


def test_a_foreign_lock() -> None:
    """The store would give it, but an enactor asks for its own only."""

    def foreign(entry: JournalEntry) -> JournalEntry:
        mine = entry.batch.changes[0]
        assert isinstance(mine, SetLock)
        assert mine.lock
        other = "enactor-b" if mine.lock.holder == "enactor-a" else "enactor-a"
        lock = replace(mine.lock, holder=EnactorName(other))
        outcome: Outcome = entry.outcome
        assert isinstance(outcome, Applied)
        return replace(
            entry,
            batch=replace(entry.batch, changes=(SetLock(lock),)),
            outcome=Applied(replace(outcome.after, lock=lock)),
        )

    first = follows("buggy", lambda e: not takes_lock(e))
    edited(
        "buggy",
        lambda e: takes_lock(e) and is_applied(e) and e.batch.id in first,
        foreign,
    )


def test_a_lock_that_has_not_lapsed() -> None:
    """Nobody asks for a lock that another holds, even if it would be refused."""

    def robbed(entry: JournalEntry) -> JournalEntry:
        late = Lock(EnactorName("enactor-x"), int(entry.at_s) + 60)
        batch = replace(
            entry.batch,
            preconditions=(LockIs(late), *entry.batch.preconditions[1:]),
        )
        assert isinstance(entry.outcome, Applied)
        found = replace(entry.outcome.after, lock=None)
        refused = Refused(Reason.LOCK_CHANGED_HANDS, LockIs(late), found)
        return replace(entry, batch=batch, outcome=refused)

    edited("buggy", lambda e: takes_lock(e) and is_applied(e), robbed)


@pytest.mark.parametrize("mode", ["buggy", "fixed"])
def test_a_batch_before_its_turn(mode: Mode) -> None:
    """A flip before its own lock."""
    entries = [*load(mode)[1]]
    flip = place_of(mode, lambda e: is_flip(e) and is_applied(e))
    mine = entries[flip].batch
    lock = next(
        at
        for at in reversed(range(flip))
        if (entries[at].batch.zone, entries[at].batch.enactor)
        == (mine.zone, mine.enactor)
        and takes_lock(entries[at])
    )
    entries.insert(lock, entries.pop(flip))
    entries = renumbered(entries)
    assert rejected(mode, entries).step is entries[lock]


def test_an_entry_that_is_left_out() -> None:
    """A refusal changes no zone: that it is missing shows in what follows it."""
    entries = [*load("fixed")[1]]
    at = place_of("fixed", lambda e: is_flip(e) and is_refused(e, Reason.STALE))
    left_out = entries.pop(at).batch
    entries = renumbered(entries)
    following = next(e for e in entries[at:] if e.batch.enactor == left_out.enactor)
    assert gives_back(following)
    assert rejected("fixed", entries).step is following


def test_a_lost_lock_that_is_left_out_shows_in_the_ids_alone() -> None:
    """For all that a core knows, it was lost by chance."""
    entries = [*load("fixed")[1]]
    at = place_of("fixed", lambda e: takes_lock(e) and not is_applied(e))
    life = entries.pop(at).batch.id.rpartition("/")[0]
    following = next(e for e in entries[at:] if e.batch.id.startswith(life))
    assert rejected("fixed", entries).step is following
    check("fixed", renumbered(entries))


@pytest.mark.parametrize("mode", ["buggy", "fixed"])
def test_an_applied_entry_that_is_left_out(mode: Mode) -> None:
    entries = [*load(mode)[1]]
    at = place_of(mode, lambda e: takes_lock(e) and is_applied(e))
    left_out = entries.pop(at).batch
    entries = renumbered(entries)
    following = next(e for e in entries[at:] if e.batch.zone == left_out.zone)
    assert rejected(mode, entries).step is following


def test_an_id_twice() -> None:
    entries = [*load("fixed")[1]]
    again = replace(entries[-1], sequence=entries[-1].sequence + 1)
    assert rejected("fixed", [*entries, again]).step is again


def test_a_pass_is_abandoned_by_a_restart_only() -> None:
    """The operator's restart of the drill shows in the ids; hidden, it is noticed."""
    entries = load("buggy")[1]
    assert len({entry.batch.id.rpartition("/")[0] for entry in entries}) > 4
    found = rejected("buggy", renumbered(entries, in_one_life=True))
    assert isinstance(found.step, JournalEntry)
    at = [entry.sequence for entry in entries].index(found.step.sequence)
    first = next(e for e in entries if e.batch.enactor == found.step.batch.enactor)
    lives = {e.batch.id.rpartition("/")[0] for e in (first, entries[at])}
    assert len(lives) == 2, "it is in a second life"


def test_a_refusal_for_a_pause_needs_a_pause() -> None:
    zones, entries = load("fixed")
    first, guard = entries[0], entries[0].batch.preconditions[-1]
    assert isinstance(first.outcome, Applied)
    found = replace(first.outcome.after, lock=None)
    paused = replace(first, outcome=Refused(Reason.PAUSED, guard, found))
    conform(zones, [paused], FIXED, LIVE, pauses=True)
    with pytest.raises(Nonconforming, match="automation is paused"):
        conform(zones, [paused], FIXED, LIVE)
