"""What is left out of a search makes no difference to what it finds."""

import random
from collections.abc import Iterator
from dataclasses import replace
from itertools import islice

import pytest

from enactor.safeguards import BUGGY, FIXED, Safeguards
from staleplan.check.mutants import MUTANTS
from staleplan.check.question import Mutation, Question
from staleplan.check.search import Found, Search

QUESTIONS = 200
MAX_STATES = 3_000
"""Unreduced: larger ones would take most of the time and show nothing more."""

SIZES = [(1, 1, 4), (1, 2, 3), (2, 1, 2), (2, 1, 3), (2, 2, 1), (3, 1, 1)]
"""Enactors, zones and plans that most often fit."""

MUTATIONS: list[Mutation | None] = [each.question.mutation for each in MUTANTS]


class TooLarge(Exception):
    """A space that another is drawn instead of."""


def drawn(chance: random.Random) -> Iterator[Question]:
    while True:
        enactors, zones, plans = chance.choice(SIZES)
        switches = chance.getrandbits(5)
        names = enumerate(Safeguards.__dataclass_fields__)
        yield Question(
            Safeguards(**{name: bool(switches >> at & 1) for at, name in names}),
            enactors=enactors,
            zones=zones,
            plans=plans,
            crashes=chance.random() < 0.15,
            lost_replies=chance.random() < 0.15,
            pauses=chance.random() < 0.3,
            keep_generations=chance.choice([0, 1]),
            zones_in_flight=chance.choice([0, 1]),
            mutation=chance.choice(MUTATIONS),
        )


def searched_both_ways(questions: Iterator[Question]) -> Iterator[tuple[Found, Found]]:
    for question in questions:
        try:
            whole = Search(replace(question, reduced=False)).run(_end_if_too_large)
        except TooLarge:
            continue
        yield Search(question).run(), whole


def _end_if_too_large(found: Found) -> None:
    if found.states > MAX_STATES:
        raise TooLarge


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_the_reduced_search_finds_what_the_whole_one_finds() -> None:
    found: set[str] = set()
    questions = drawn(random.Random(2310))
    for reduced, whole in islice(searched_both_ways(questions), QUESTIONS):
        assert reduced.complete
        assert reduced.paths.keys() == whole.paths.keys()
        assert set(reduced.happened) == set(whole.happened)
        found |= reduced.paths.keys()
    assert found == {"P1", "P2", "P3", "P4", "P12", "P15"}


@pytest.mark.parametrize(
    "question",
    [
        Question(BUGGY, plans=3),
        Question(FIXED, zones=2, plans=2),
        Question(FIXED, enactors=3, plans=2),
    ],
    ids=["plans", "zones", "enactors"],
)
def test_the_reduction_reduces(question: Question) -> None:
    reduced = Search(question).run()
    whole = Search(replace(question, reduced=False)).run()
    assert 2 * reduced.states < whole.states
    assert reduced.paths.keys() == whole.paths.keys()
