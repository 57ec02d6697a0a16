"""Which plan, which zones and which entries an operator's words mean."""

from types import SimpleNamespace
from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protos.dns_store.v1 import dns_store_pb2 as pb
from staleplan import wire
from staleplan.cli.errors import CommandError
from staleplan.cli.ops import Place, _choose, _find
from staleplan.cli.ops_show import last_entries
from staleplan.model import (
    Applied,
    Generation,
    JournalEntry,
    Plan,
    PlanHead,
    ZoneName,
    ZoneView,
)
from staleplan.store_client import StoreClient
from tests.samples import FIPS, REGIONAL, batch, draft, endpoints_of

ACCOUNTS = (ZoneName("accounts-000"), ZoneName("accounts-001"))
EMPTY = ZoneView(REGIONAL, None, (Generation(0),), (Generation(0),), ())


class Shelf:
    """As much of a store as operators' words need."""

    def __init__(self, sequences: tuple[int, ...] = ()) -> None:
        self.calls = 0
        self.stub = SimpleNamespace(ReadJournal=self.read_journal)
        self._sequences = sequences

    async def head(self) -> PlanHead:
        return PlanHead(Generation(9), (*ACCOUNTS, REGIONAL, FIPS))

    async def plan(self) -> Plan:
        return Plan(Generation(9), draft(8, *ACCOUNTS, REGIONAL, FIPS), 0.0, "")

    async def read_journal(
        self, request: pb.ReadJournalRequest, **_: float
    ) -> pb.ReadJournalResponse:
        self.calls += 1
        after = [n for n in self._sequences if n > request.after_sequence]
        entries = [
            JournalEntry(n, 0.0, batch(f"b{n}"), Applied(EMPTY), "")
            for n in after[: request.limit]
        ]
        return pb.ReadJournalResponse(entries=map(wire.entry_to_message, entries))


def store(shelf: Shelf) -> StoreClient:
    return cast("StoreClient", cast("Any", shelf))


def view(
    active: tuple[int, ...], rollback: tuple[int, ...], trees: tuple[int, ...]
) -> ZoneView:
    def numbers(given: tuple[int, ...]) -> tuple[Generation, ...]:
        return tuple(map(Generation, given))

    return ZoneView(REGIONAL, None, numbers(active), numbers(rollback), numbers(trees))


@pytest.mark.parametrize(
    ("word", "found", "chosen"),
    [
        ("newest", view((3,), (10,), (10,)), 9),
        ("4", view((3,), (10,), (10,)), 4),
        ("previous", view((3,), (10,), (9, 10)), 10),
        ("previous", view((8,), (8,), (6, 7, 8)), 7),
        ("previous", view((7, 8), (7,), (6, 7, 8)), 6),
    ],
)
async def test_a_word_names_a_plan(word: str, found: ZoneView, chosen: int) -> None:
    assert await _choose(store(Shelf()), found, word) == chosen


@pytest.mark.parametrize(
    ("word", "line"),
    [
        ("previous", "regional: there is no previous plan to go to"),
        ("0", "regional: there is no 0 plan to go to"),
        ("-1", "--generation '-1': N, newest or previous wanted"),
        ("latest", "--generation 'latest': N, newest or previous wanted"),
    ],
)
async def test_a_word_that_names_no_plan_is_refused(word: str, line: str) -> None:
    with pytest.raises(CommandError) as refusal:
        await _choose(store(Shelf()), EMPTY, word)
    assert str(refusal.value) == line


@pytest.mark.parametrize(
    ("name", "place"),
    [
        ("regional", Place((REGIONAL,))),
        ("accounts", Place(ACCOUNTS)),
        ("accounts-001", Place(ACCOUNTS[1:])),
        (f"{endpoints_of(FIPS)[1]}.", Place((FIPS,), endpoints_of(FIPS)[1:2])),
    ],
)
async def test_a_zone_a_group_or_an_endpoint_is_found(name: str, place: Place) -> None:
    assert await _find(store(Shelf()), name) == place


async def test_an_unknown_endpoint_has_a_nearest() -> None:
    with pytest.raises(
        CommandError, match=r"did you mean 'fips-0\.us-east-1\.example'"
    ):
        await _find(store(Shelf()), "fips-9.us-east-1.example")


@given(
    sequences=st.sets(st.integers(1, 5_000), max_size=60).map(sorted).map(tuple),
    count=st.integers(1, 20),
)
async def test_the_last_entries_are_found_whatever_the_gaps(
    sequences: tuple[int, ...], count: int
) -> None:
    entries = await last_entries(store(Shelf(sequences)), "", count)
    assert tuple(each.sequence for each in entries) == sequences[-count:]


async def test_the_end_of_a_long_journal_is_found_in_few_calls() -> None:
    shelf = Shelf(tuple(range(1, 100_001)))
    (entry,) = await last_entries(store(shelf), "", 1)
    assert entry.sequence == 100_000
    assert shelf.calls < 40
