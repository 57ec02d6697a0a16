"""When launches arrive, and when customers try again."""

import math
import random
from itertools import islice

import pytest
from hypothesis import given
from hypothesis import strategies as st

from staleplan.world.launches.core import (
    ATTEMPTS,
    FIRST_PAUSE_S,
    LONGEST_PAUSE_S,
    Outcome,
    gap_s,
    is_worth_retrying,
    lifetime_s,
    outcome_of,
    pause_s,
)

DRAWS = st.floats(0.0, 1.0, exclude_max=True)
TRANSIENT = [
    Outcome.INSUFFICIENT_CAPACITY,
    Outcome.REQUEST_LIMIT_EXCEEDED,
    Outcome.UNAVAILABLE,
    Outcome.DEADLINE_EXCEEDED,
]


@pytest.mark.parametrize(
    ("status", "reason", "outcome"),
    [
        ("OK", "", Outcome.LAUNCHED),
        ("RESOURCE_EXHAUSTED", "INSUFFICIENT_CAPACITY", Outcome.INSUFFICIENT_CAPACITY),
        (
            "RESOURCE_EXHAUSTED",
            "REQUEST_LIMIT_EXCEEDED",
            Outcome.REQUEST_LIMIT_EXCEEDED,
        ),
        ("RESOURCE_EXHAUSTED", "RESOURCE_EXHAUSTED", Outcome.FAILED),
        ("UNAVAILABLE", "TABLE_AWAY", Outcome.UNAVAILABLE),
        ("DEADLINE_EXCEEDED", "", Outcome.DEADLINE_EXCEEDED),
        ("INVALID_ARGUMENT", "INVALID_ARGUMENT", Outcome.FAILED),
        ("INTERNAL", "", Outcome.FAILED),
    ],
)
def test_a_reply_is_told_by_its_reason_and_then_by_its_status(
    status: str, reason: str, outcome: Outcome
) -> None:
    assert outcome_of(status, reason) is outcome


def test_what_may_pass_is_tried_again_up_to_a_number_of_attempts() -> None:
    for outcome in Outcome:
        tried = [n for n in range(1, 9) if is_worth_retrying(outcome, n)]
        assert tried == (list(range(1, ATTEMPTS)) if outcome in TRANSIENT else [])


@given(st.integers(1, 40), DRAWS)
def test_a_pause_is_anything_up_to_a_bound_that_doubles(
    attempts: int, draw: float
) -> None:
    longest_s = min(FIRST_PAUSE_S * 2 ** (attempts - 1), LONGEST_PAUSE_S)
    assert 0 <= pause_s(attempts, draw) < longest_s
    assert pause_s(attempts, 0.0) == 0
    assert pause_s(attempts, 0.5) == longest_s / 2


@given(st.integers(1, 9), DRAWS, st.floats(0.0, 1e4))
def test_nobody_comes_back_sooner_than_asked_and_not_all_at_once(
    attempts: int, draw: float, retry_after_s: float
) -> None:
    assert pause_s(attempts, draw, retry_after_s) >= retry_after_s
    assert pause_s(attempts, 0.9, retry_after_s) > pause_s(attempts, 0.1, retry_after_s)


def test_arrivals_are_poisson() -> None:
    chance = random.Random(1)
    gaps = [gap_s(0.5, chance.random()) for _ in range(40_000)]
    mean_s = sum(gaps) / len(gaps)
    assert mean_s == pytest.approx(2.0, rel=0.02)
    spread_s = math.sqrt(sum((gap - mean_s) ** 2 for gap in gaps) / len(gaps))
    assert spread_s == pytest.approx(2.0, rel=0.03)
    # Without memory: of those that lasted two seconds, as many last two more.
    late = [gap for gap in gaps if gap >= 2.0]
    assert sum(gap >= 4.0 for gap in late) / len(late) == pytest.approx(
        len(late) / len(gaps), rel=0.03
    )


@given(DRAWS, st.floats(1e-6, 1e6))
def test_gaps_and_lifetimes_scale_and_end(draw: float, scale: float) -> None:
    assert 0 <= gap_s(scale, draw) < math.inf
    assert 0 <= lifetime_s(scale, draw) < math.inf
    assert gap_s(1 / scale, draw) == pytest.approx(lifetime_s(scale, draw))


def test_at_no_rate_nobody_arrives() -> None:
    assert gap_s(0.0, 0.0) == gap_s(0.0, 0.999) == math.inf


def test_the_same_seed_tells_the_same_story() -> None:
    def story(seed: int) -> list[float]:
        chance = random.Random(seed)
        return list(islice(iter(lambda: gap_s(1.0, chance.random()), None), 50))

    assert story(3) == story(3)
    assert story(3) != story(4)
