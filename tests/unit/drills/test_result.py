"""What a drill reports: its JSON, its verdict, its exit code."""

import asyncio
import json
from dataclasses import replace

import pytest

from enactor.safeguards import BUGGY, FIXED
from staleplan.drills.dns_race import Script
from staleplan.drills.race_result import (
    CONVERGES,
    ORDER_OF_THE_RECORD,
    PROPERTY_NAMES,
    expected_of,
    verdict_on,
)
from staleplan.drills.result import EXIT_CODES, Judged, Result, Verdict, verdict_of
from staleplan.drills.runner import Order, _play
from staleplan.sim.dns_region import DnsRegion, Pace
from tests.unit.drills.runs import run

HELD = {each: Judged(held=True) for each in PROPERTY_NAMES}
SCRIPT = Script(1)


def breaking(**times: float) -> dict[str, Judged]:
    """Everything held but these, which broke at these times."""
    return HELD | {each: Judged(False, at, "so") for each, at in times.items()}


AS_THE_RECORD = breaking(P2=1.0, P1=2.0, P3=2.0, P4=3.0, P12=4.0)


def test_the_json_is_the_contract() -> None:
    told = json.loads(json.dumps(run("buggy", 1).to_json()))
    assert set(told) == {
        *("drill", "mode", "safeguards", "seed", "on", "speed", "wall_s"),
        *("timeline", "properties", "measures", "impact"),
        *("expected", "verdict", "trace_file"),
    }
    assert told["drill"] == "dns-race"
    assert (told["mode"], told["seed"], told["on"]) == ("buggy", 1, "sim")
    assert (told["speed"], told["trace_file"]) == (None, None)
    assert told["wall_s"] > 0
    assert {tuple(event) for event in told["timeline"]} == {("t_s", "event")}
    assert set(told["properties"]) == set(PROPERTY_NAMES) == set(told["expected"])
    shape = ("held", "first_violation_t_s", "evidence")
    assert {tuple(judged) for judged in told["properties"].values()} == {shape}
    assert told["verdict"] == "as expected"


def test_the_json_tells_impact_beside_the_record() -> None:
    told = run("buggy", 1).to_json()
    shape = ("service", "from", "to", "record_from", "record_to")
    assert {tuple(each) for each in told["impact"]} == {shape}


def test_expected_follows_from_the_safeguards() -> None:
    buggy, fixed = expected_of(BUGGY, SCRIPT), expected_of(FIXED, SCRIPT)
    assert {each for each, held in buggy.items() if not held} == {
        *ORDER_OF_THE_RECORD,
        CONVERGES,
    }
    assert all(fixed.values())
    assert all(expected_of(BUGGY, replace(SCRIPT, fault=False)).values())
    natural = expected_of(BUGGY, replace(SCRIPT, natural=True))
    assert {each for each, held in natural.items() if held is None} == {
        *ORDER_OF_THE_RECORD,
        CONVERGES,
    }


def test_buggy_is_as_expected_when_it_breaks_as_the_record_says() -> None:
    expected = expected_of(BUGGY, SCRIPT)
    assert verdict_on(AS_THE_RECORD, expected) is Verdict.AS_EXPECTED


@pytest.mark.parametrize(
    "judged",
    [
        HELD,
        breaking(P2=1.0, P1=2.0, P3=2.0, P12=4.0),
        AS_THE_RECORD | breaking(P6=5.0),
        breaking(P2=3.0, P1=2.0, P3=2.0, P4=4.0, P12=4.0),
    ],
    ids=["nothing broke", "no wedge", "something else broke", "in another order"],
)
def test_buggy_is_not_as_expected_otherwise(judged: dict[str, Judged]) -> None:
    verdict = verdict_on(judged, expected_of(BUGGY, SCRIPT))
    assert verdict is Verdict.NOT_AS_EXPECTED


@pytest.mark.parametrize("each", PROPERTY_NAMES)
def test_fixed_may_break_nothing(each: str) -> None:
    expected = expected_of(FIXED, SCRIPT)
    assert verdict_on(HELD, expected) is Verdict.AS_EXPECTED
    assert verdict_on(breaking(**{each: 1.0}), expected) is Verdict.NOT_AS_EXPECTED


def test_what_is_left_to_chance_may_hold_or_break() -> None:
    expected = expected_of(BUGGY, replace(SCRIPT, natural=True))
    assert verdict_on(HELD, expected) is Verdict.AS_EXPECTED
    assert verdict_on(breaking(P2=1.0), expected) is Verdict.AS_EXPECTED
    assert verdict_on(breaking(P6=1.0), expected) is Verdict.NOT_AS_EXPECTED


def test_a_run_that_was_never_steady_is_void() -> None:
    # Nobody looks for plans in time: the load never reaches its floor.
    order = Order("fixed", SCRIPT, on="sim")
    asleep = DnsRegion(FIXED, 1, pace=Pace(poll_interval_s=1e9))
    result = asyncio.run(_play(asleep, order, 0.0))
    assert result.verdict is Verdict.VOID
    assert EXIT_CODES[result.verdict] == 2
    assert (result.properties, result.measures, result.impact) == ({}, {}, [])
    (event,) = result.timeline
    assert event.event == "void: plan 2 was never active everywhere"
    assert set(result.to_json()) == set(run("fixed", 1).to_json())


def with_verdict(verdict: Verdict) -> Result:
    return replace(run("fixed", 1), verdict=verdict)


@pytest.mark.parametrize(
    ("verdicts", "exit_code"),
    [
        ([Verdict.AS_EXPECTED], 0),
        ([Verdict.AS_EXPECTED, Verdict.AS_EXPECTED], 0),
        ([Verdict.AS_EXPECTED, Verdict.VOID], 2),
        ([Verdict.VOID, Verdict.NOT_AS_EXPECTED, Verdict.AS_EXPECTED], 1),
    ],
)
def test_several_runs_are_as_bad_as_their_worst(
    verdicts: list[Verdict], exit_code: int
) -> None:
    assert (
        EXIT_CODES[verdict_of([with_verdict(each) for each in verdicts])] == exit_code
    )
