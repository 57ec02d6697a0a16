"""Three enactors, a planner and time, in any order that chance can think of.

The hardened enactor holds every property under all of them; for the one that failed, a
search finds each violation of the record.
"""

import random
from collections.abc import Sequence
from dataclasses import replace
from functools import cache

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from enactor.safeguards import BUGGY, FIXED, Safeguards
from staleplan.model import ZoneName
from tests.unit.enactor.pure_world import LOCK_TTL_S, PureWorld, workers

ZONES = (ZoneName("fips"), ZoneName("regional"))
TURNS = "aaabbbcccp-"
"""Whose turn it is: an enactor's, more often than the planner's or that of time."""

MAX_TURNS = 120
"""Enough for a dozen passes of two zones, and for as many plans."""


def play(safeguards: Safeguards, turns: Sequence[str]) -> list[str]:
    """Take turns, and tell which properties broke, in order.

    A plan comes with the time in which every lock lapses, as in the services: else an
    enactor that never gets its turn holds up clean-up for ever, and P6 with it.
    """
    world = PureWorld(ZONES)
    enactors = workers(world, safeguards)
    world.publish()
    for turn in turns:
        if turn == "p":
            world.publish()
        if turn in "p-":
            world.pass_time(LOCK_TTL_S + 1)
        else:
            enactors[turn].step()
    return world.broken()


@cache
def search(safeguards: Safeguards) -> list[list[str]]:
    """What broke in each of 60 random interleavings, those that held left out."""
    chance = random.Random(1)
    runs = (chance.choices(TURNS, k=MAX_TURNS) for _ in range(60))
    return [broken for turns in runs if (broken := play(safeguards, turns))]


@settings(max_examples=100)
@given(st.lists(st.sampled_from(TURNS), min_size=MAX_TURNS // 3, max_size=MAX_TURNS))
def test_fixed_holds_under_any_interleaving(turns: list[str]) -> None:
    assert play(FIXED, turns) == []


def test_fixed_holds_where_buggy_breaks() -> None:
    assert search(FIXED) == []


@pytest.mark.parametrize("each", ["P1", "P2", "P3", "P4"])
def test_buggy_is_found_out(each: str) -> None:
    assert any(each in broken for broken in search(BUGGY))


def test_the_order_of_the_record_is_among_what_is_found() -> None:
    assert ["P2", "P1", "P3", "P4"] in search(BUGGY)


def test_without_the_recheck_a_plan_goes_back_and_nothing_worse_happens() -> None:
    found = search(replace(FIXED, recheck_generation_in_batch=False))
    assert found
    assert all(broken == ["P2"] for broken in found)
