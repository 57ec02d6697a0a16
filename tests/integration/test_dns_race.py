"""The drill `dns-race` on real processes, gRPC, PostgreSQL and DNS.

Each claim is a pair: buggy discovers the violation, fixed holds, and a safeguard
alone makes the difference.
"""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from staleplan.drills.dns_race import Script
from staleplan.drills.pace import CALM_PACE, DRILL_PACE
from staleplan.drills.race_result import ORDER_OF_THE_RECORD
from staleplan.drills.result import Result, Verdict
from staleplan.drills.runner import Order, run_order
from staleplan.runtime.postgres import postgres, remove
from staleplan.runtime.settings import Mode


@pytest.fixture(scope="module")
def where(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, str]]:
    """A state folder and a server that the runs of this module share."""
    state = tmp_path_factory.mktemp("race")
    with postgres(None, state) as url:
        yield state, url
    remove(state)


async def run(
    where: tuple[Path, str],
    mode: Mode,
    *,
    seed: int = 1,
    fault: bool = True,
    **switched: bool,
) -> Result:
    state, url = where
    return await run_order(
        Order(
            mode=mode,
            script=Script(seed, fault=fault),
            switched=switched,
            pace=DRILL_PACE if fault else CALM_PACE,
            state_folder=state,
            database_url=url,
            account_endpoints=640,
        )
    )


def broken(result: Result) -> list[str]:
    return [each for each, judged in result.properties.items() if not judged.held]


async def test_buggy_breaks_in_the_records_order(where: tuple[Path, str]) -> None:
    result = await run(where, "buggy")
    assert result.verdict is Verdict.AS_EXPECTED, result.timeline
    assert broken(result) == ["P1", "P2", "P3", "P4", "P12"]
    times = [
        result.properties[each].first_violation_t_s for each in ORDER_OF_THE_RECORD
    ]
    assert times == sorted(times, key=lambda t: t or 0)
    assert len(result.impact) == 1
    assert result.impact[0].to_s is not None, "the repair ended the outage"


async def test_the_outside_sees_no_error_and_no_answer(
    where: tuple[Path, str],
) -> None:
    result = await run(where, "buggy", seed=2)
    for when in ("after_race", "after_plans"):
        assert result.measures[when]["status"] == "NOERROR"
        assert result.measures[when]["answers"] == 0
        assert result.measures[when]["call"] == "UNAVAILABLE"
        assert "no data" in result.measures[when]["detail"]
    assert result.measures["after_repair"]["answers"] > 0
    assert result.measures["after_repair"]["call"] == "OK"


async def test_fixed_holds_everything(where: tuple[Path, str]) -> None:
    result = await run(where, "fixed")
    assert result.verdict is Verdict.AS_EXPECTED, result.timeline
    assert broken(result) == []
    assert result.measures["flips_refused_stale"] > 0, "the fault had teeth"
    assert result.measures["after_plans"]["call"] == "OK"


async def test_without_the_fault_buggy_is_healthy(where: tuple[Path, str]) -> None:
    result = await run(where, "buggy", fault=False)
    assert result.verdict is Verdict.AS_EXPECTED, result.timeline
    assert broken(result) == []


async def test_recheck_alone_saves_everything(where: tuple[Path, str]) -> None:
    result = await run(where, "buggy", recheck_generation_in_batch=True)
    assert broken(result) == []
    assert result.measures["flips_refused_stale"] > 0


async def test_keep_alone_saves_the_answers(where: tuple[Path, str]) -> None:
    result = await run(where, "buggy", keep_referenced_plans=True)
    assert broken(result) == ["P2"]


async def test_tolerance_alone_avoids_the_wedge(where: tuple[Path, str]) -> None:
    result = await run(where, "buggy", tolerate_missing_active=True)
    assert broken(result) == ["P1", "P2", "P3"]


async def test_the_trace_tells_the_race(where: tuple[Path, str]) -> None:
    """The late flip, the clean-up and the plan are linked, and the wedge is red."""
    result = await run(where, "buggy", seed=3)
    assert result.trace_file
    spans = list(spans_of(Path(result.trace_file)))
    held = str(result.measures["held_generation"])
    (planned,) = [
        s
        for s in spans
        if s["name"] == "plan" and attributes_of(s).get("plan.generation") == held
    ]
    published = {s["spanId"] for s in spans if s["traceId"] == planned["traceId"]}

    def linked(name: str, **wanted: str) -> list[dict]:  # type: ignore[type-arg]
        return [
            s
            for s in spans
            if s["name"] == name
            and wanted.items() <= attributes_of(s).items()
            and any(link["spanId"] in published for link in s.get("links", ()))
        ]

    assert linked("flip", **{"zone": "regional", "plan.generation": held})
    assert linked("clean up", zone="regional")
    wedged = [
        s
        for s in spans
        if s["name"] == "flip" and "active tree is gone" in str(s.get("status"))
    ]
    assert wedged
    assert all(s["status"]["code"] == 2 for s in wedged)
    passes = [attributes_of(s) for s in spans if s["name"] == "pass"]
    assert {each["safeguards"] for each in passes} == {"{}"}


def spans_of(path: Path) -> Iterator[dict]:  # type: ignore[type-arg]
    for line in path.read_text().splitlines():
        for resource in json.loads(line)["resourceSpans"]:
            for scope in resource["scopeSpans"]:
                yield from scope["spans"]


def attributes_of(span: dict) -> dict[str, str]:  # type: ignore[type-arg]
    return {
        each["key"]: str(next(iter(each["value"].values())))
        for each in span.get("attributes", ())
    }
