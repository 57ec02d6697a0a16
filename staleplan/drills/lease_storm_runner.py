"""Runs `lease-storm` on a stage and reports it."""

import asyncio
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from typing import Literal

from dwfm.safeguards import BUGGY, FIXED, Safeguards
from staleplan.drills import lease_storm_result
from staleplan.drills.lease_storm import Script, Void, run_of, run_storm
from staleplan.drills.lease_storm_stage import LeaseStage
from staleplan.drills.result import Event, Result, Verdict
from staleplan.runtime.settings import Mode
from staleplan.sim.fleet import Fleet, FleetRegion

PRESETS: dict[Mode, Safeguards] = {"buggy": BUGGY, "fixed": FIXED}
NAMES = tuple(each.name for each in fields(Safeguards))
"""DWFM's safeguards, which the drill is about."""


@dataclass(frozen=True, slots=True)
class Order:
    """One run that is asked for: a mode, and safeguards that differ from its preset."""

    mode: Mode
    script: Script
    fleet: Fleet
    switched: Mapping[str, bool] = field(default_factory=dict)
    title: str = ""
    on: Literal["live", "sim"] = "sim"

    @property
    def safeguards(self) -> Safeguards:
        """What the run goes with."""
        return replace(PRESETS[self.mode], **self.switched)

    @property
    def name(self) -> str:
        """Tell the run from others: also its database schema and its folder."""
        bits = "".join(str(int(on)) for on in asdict(self.safeguards).values())
        return f"storm_{self.mode}_{bits}_{self.script.seed}"


def run_sim(order: Order) -> Result:
    """Run the drill under virtual time."""
    region = FleetRegion(order.fleet, order.safeguards, order.script.seed)
    result = asyncio.run(play(region, order))
    measures = {**result.measures, "trace_hash": region.trace_hash()}
    return replace(result, measures=measures)


async def play(stage: LeaseStage, order: Order) -> Result:
    """Run the script on a stage and judge what it left behind."""
    started_s = time.perf_counter()
    expected = lease_storm_result.expected_of(
        order.safeguards, order.script, stage.size
    )
    empty = Result(
        drill="lease-storm",
        mode=order.mode,
        safeguards=asdict(order.safeguards),
        seed=order.script.seed,
        on=order.on,
        speed=None,
        wall_s=0.0,
        timeline=[],
        properties={},
        measures={},
        expected=expected,
        verdict=Verdict.VOID,
    )
    try:
        storm = await run_storm(stage, order.script)
    except Void as reason:
        wall_s = round(time.perf_counter() - started_s, 3)
        why = [Event(0.0, f"void: {reason}")]
        return replace(empty, wall_s=wall_s, timeline=why)
    run = await run_of(stage, storm)
    judged = lease_storm_result.judge_storm(run)
    outcomes = await stage.outcomes()
    return replace(
        empty,
        wall_s=round(time.perf_counter() - started_s, 3),
        timeline=lease_storm_result.events_of(storm),
        properties=judged,
        measures=lease_storm_result.measures_of(storm, run, outcomes),
        verdict=lease_storm_result.verdict_on(judged, expected),
        impact=lease_storm_result.impact_of(storm, run),
    )


def ablations() -> list[tuple[str, Mode, dict[str, bool]]]:
    """Every safeguard alone, and all but each: what a table of ablations has."""
    alone: list[tuple[str, Mode, dict[str, bool]]] = [
        (f"only {name}", "buggy", {name: True}) for name in NAMES
    ]
    without: list[tuple[str, Mode, dict[str, bool]]] = [
        (f"all but {name}", "fixed", {name: False}) for name in NAMES
    ]
    return [("none", "buggy", {}), *alone, *without, ("all", "fixed", {})]
