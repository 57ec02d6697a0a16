"""What a search has no numbers for is refused, and never answered wrongly."""

from typing import Any

import pytest

from enactor.safeguards import BUGGY, FIXED
from staleplan.check import region
from staleplan.check.question import BadQuestion, Question
from staleplan.check.region import PAUSED, Region
from staleplan.check.result import result_of
from staleplan.check.search import Search
from staleplan.check.sizes import MAX_ENACTORS, MAX_FAULTS, MAX_PLANS, MAX_ZONES
from staleplan.check.space import Space


@pytest.mark.parametrize(
    ("size", "least", "most"),
    [
        ("enactors", 1, 4),
        ("zones", 1, 3),
        ("plans", 1, 15),
        ("crashes", 0, 3),
        ("lost_replies", 0, 3),
        ("pauses", 0, 3),
        ("keep_generations", 0, 15),
        ("zones_in_flight", 0, 3),
    ],
)
def test_a_size_without_bits_is_refused(size: str, least: int, most: int) -> None:
    def ask(asked: int) -> Question:
        sizes: dict[str, Any] = {size: asked}
        return Question(FIXED, **sizes)

    for fits in (least, most):
        assert getattr(ask(fits), size) == fits
    for asked in (least - 1, most + 1):
        with pytest.raises(BadQuestion) as caught:
            ask(asked)
        assert str(caught.value) == f"{size} is {asked}: it may be {least} to {most}"


def test_the_largest_sizes_do_not_run_into_each_other() -> None:
    most = Question(
        FIXED,
        enactors=MAX_ENACTORS,
        zones=MAX_ZONES,
        plans=MAX_PLANS,
        crashes=MAX_FAULTS,
        lost_replies=MAX_FAULTS,
        pauses=MAX_FAULTS,
    )
    space = Space(most)
    store, numbers, left = space.unpack(space.beginning)
    assert (store, numbers) == (space.region.beginning, [0] * MAX_ENACTORS)
    assert left == 0b11_11_11
    last = space.region.beginning + MAX_PLANS
    assert (space.region.newest(last), last & PAUSED) == (MAX_PLANS, 0)
    assert len(most.zone_names) == MAX_ZONES


def test_the_last_plan_and_a_pause_are_told_apart() -> None:
    """One more plan would be the bit that says that the automation is paused."""
    search = Search(Question(BUGGY, enactors=1, plans=MAX_PLANS))
    search.run(converging=False)
    stores = {
        search.space.store_of(after)
        for state in search.found.happened["a plan was deleted"]
        for after, _ in search.space.next_states(state)
    }
    assert max(map(Region.newest, stores)) == MAX_PLANS
    assert not any(store & PAUSED for store in stores)


@pytest.mark.parametrize("bits", ["ENACTOR_BITS", "ZONE_BITS"])
def test_more_numbers_than_bits_are_no_answer(
    bits: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    search = Search(Question(BUGGY))
    monkeypatch.setattr(region, bits, 3)
    found = search.run()
    assert found.stopped == "8 numbers of 3 bits are used"
    assert not found.complete
    assert result_of(search).verdict == "incomplete"
