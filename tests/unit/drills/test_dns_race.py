"""The drill `dns-race` on the simulated stage: what breaks, what holds, and why."""

import asyncio
import itertools
from collections import Counter

import pytest

from enactor.safeguards import BUGGY, FIXED, Safeguards
from staleplan.drills.dns_race import PLANS_AFTER
from staleplan.drills.result import Verdict
from staleplan.drills.runner import NAMES, Order, ablations, run_order
from staleplan.drills.us_east_1 import DAY_PACE, LATE_FLIP_S, REPAIR_S, night
from staleplan.runtime.clock import INCIDENT_START_S
from staleplan.runtime.settings import Mode
from tests.unit.drills.runs import broken, run

SWITCHES = list(itertools.product([False, True], repeat=len(NAMES)))


@pytest.mark.parametrize("seed", range(20))
def test_buggy_breaks_in_the_records_order(seed: int) -> None:
    """A late flip, an empty answer, lost trees, and a wedge. Source: R16-R19."""
    result = run("buggy", seed)
    assert result.verdict is Verdict.AS_EXPECTED
    assert broken(result)[:4] == ["P2", "P1", "P3", "P4"]
    assert set(broken(result)) == {"P1", "P2", "P3", "P4", "P12"}
    times = [judged.first_violation_t_s for judged in result.properties.values()]
    assert all(time is None or time > 0 for time in times)


@pytest.mark.parametrize("natural", [False, True], ids=["held", "natural"])
@pytest.mark.parametrize("seed", range(40))
def test_fixed_breaks_nothing(seed: int, natural: bool) -> None:
    result = run("fixed", seed, natural=natural)
    assert result.verdict is Verdict.AS_EXPECTED
    assert broken(result) == []


@pytest.mark.parametrize("seed", range(10))
def test_without_the_fault_buggy_is_healthy(seed: int) -> None:
    result = run("buggy", seed, fault=False)
    assert result.verdict is Verdict.AS_EXPECTED
    assert broken(result) == []
    assert result.impact == []


def test_left_to_chance_buggy_always_goes_back_but_seldom_empties() -> None:
    """The window is narrow: that is why it took so long to be hit. Source: R16."""
    runs = [run("buggy", seed, natural=True) for seed in range(12)]
    found = Counter(each for result in runs for each in broken(result))
    assert found["P2"] == 12
    assert found["P1"] <= 3
    assert {result.verdict for result in runs} == {Verdict.AS_EXPECTED}


def test_what_the_outside_sees() -> None:
    """No error, and no answer; only operators bring it back. Source: R18, R19, R21."""
    measures = run("buggy", 1).measures
    for when in ("after_race", "after_plans"):
        seen = measures[when]
        assert (seen["status"], seen["answers"]) == ("NOERROR", 0)
        assert seen["call"] == "UNAVAILABLE"
    assert measures["after_repair"]["answers"] == 1
    assert measures["converged_s"] is None
    assert measures["flips_refused_wedged"] >= PLANS_AFTER
    (impact,) = run("buggy", 1).impact
    assert impact.service == "dynamodb"
    assert impact.to_s is not None
    assert impact.to_s > impact.from_s


def test_what_the_outside_sees_of_the_hardened_one() -> None:
    result = run("fixed", 1)
    for when in ("after_race", "after_plans"):
        assert result.measures[when]["call"] == "OK"
    assert result.measures["after_repair"] is None
    assert result.measures["flips_refused_wedged"] == 0
    assert result.impact == []


def test_the_recheck_is_what_refuses_the_late_flip() -> None:
    only = run("buggy", 1, ("recheck_generation_in_batch", True))
    assert only.measures["flips_refused_stale"] > 0
    assert run("buggy", 1).measures["flips_refused_stale"] == 0


def test_the_timeline_tells_the_record() -> None:
    events = " ".join(event.event for event in run("buggy", 1).timeline)
    cited = [each for each in ("R14", "R15", "R16", "R19", "R21") if each in events]
    assert cited == ["R14", "R15", "R16", "R19", "R21"]
    times = [event.t_s for event in run("buggy", 1).timeline]
    assert times == sorted(times)


@pytest.mark.parametrize(
    ("mode", "switched"),
    [pytest.param(mode, switched, id=title) for title, mode, switched in ablations()],
)
def test_the_ablation_table_is_as_expected(
    mode: Mode, switched: dict[str, bool]
) -> None:
    assert run(mode, 3, *switched.items()).verdict is Verdict.AS_EXPECTED


def test_the_ablation_table_has_each_safeguard_on_and_off() -> None:
    titles = [title for title, _, _ in ablations()]
    assert titles == [
        "none",
        *(f"only {name}" for name in NAMES),
        *(f"all but {name}" for name in NAMES),
        "all",
    ]


@pytest.mark.parametrize("switches", SWITCHES)
def test_what_is_expected_of_any_safeguards_is_what_happens(
    switches: tuple[bool, ...],
) -> None:
    safeguards = dict(zip(NAMES, switches, strict=True))
    result = run("buggy", 5, *safeguards.items())
    assert result.safeguards == safeguards
    found = {each: judged.held for each, judged in result.properties.items()}
    assert found == result.expected
    assert result.verdict is Verdict.AS_EXPECTED


def test_every_combination_of_safeguards_is_played() -> None:
    assert len(SWITCHES) == 32
    assert Safeguards(*SWITCHES[0]) == BUGGY
    assert Safeguards(*SWITCHES[-1]) == FIXED


def test_the_same_seed_gives_the_same_result() -> None:
    once, again = run("buggy", 11), run.__wrapped__("buggy", 11)
    assert once.properties == again.properties
    assert once.timeline == again.timeline
    assert once.measures == again.measures


def test_the_night_has_the_records_times_under_virtual_time_too() -> None:
    """Empty at 23:48, restored at 02:25, within a minute. Source: R17, R21."""
    order = Order("buggy", night(1, operators=True), on="sim", pace=DAY_PACE)
    result = asyncio.run(run_order(order))
    assert result.verdict is Verdict.AS_EXPECTED
    (impact,) = result.impact
    assert impact.to_s is not None
    assert abs(impact.from_s - (LATE_FLIP_S - INCIDENT_START_S)) < 60
    assert abs(impact.to_s - (REPAIR_S - INCIDENT_START_S)) < 60
