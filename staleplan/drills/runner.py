"""Runs `dns-race` on either stage and reports it."""

import asyncio
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path
from typing import Literal

from enactor.safeguards import BUGGY, FIXED, Safeguards
from staleplan.drills import race_result
from staleplan.drills.dns_race import Script, Void, run_race
from staleplan.drills.live import LiveStage, live_stage
from staleplan.drills.pace import DRILL_PACE, Pace
from staleplan.drills.result import Event, Result, Verdict
from staleplan.drills.running import join_traces, running_stack
from staleplan.drills.stage import Stage
from staleplan.runtime.settings import Mode
from staleplan.sim import dns_region as sim
from staleplan.spec import replay
from staleplan.stack.settings import StackSettings

QUICK_CALL_S, SLOW_CALL_S = 0.001, 0.012
"""Wall seconds of the shortest and the longest call: as measured live."""

PRESETS: dict[Mode, Safeguards] = {"buggy": BUGGY, "fixed": FIXED}
NAMES = tuple(each.name for each in fields(Safeguards))
"""The enactor's safeguards, which the drill is about."""


@dataclass(frozen=True, slots=True)
class Order:
    """One run that is asked for: a mode, and safeguards that differ from its preset.

    `database_url` is needed live: the server in which the run gets a schema.
    """

    mode: Mode
    script: Script
    on: Literal["live", "sim"] = "live"
    switched: Mapping[str, bool] = field(default_factory=dict)
    pace: Pace = DRILL_PACE
    state_folder: Path = Path(".staleplan")
    database_url: str = ""
    account_endpoints: int = 2_000
    processes: bool = False
    title: str = ""

    @property
    def safeguards(self) -> Safeguards:
        """What the run begins with."""
        return replace(PRESETS[self.mode], **self.switched)

    @property
    def name(self) -> str:
        """Tell the run from others: also its database schema and its folder."""
        bits = "".join(str(int(on)) for on in asdict(self.safeguards).values())
        return f"race_{self.mode}_{bits}_{self.script.seed}"


async def run_order(order: Order) -> Result:
    """Run the drill once."""
    return await (run_live(order) if order.on == "live" else run_sim(order))


async def run_sim(order: Order) -> Result:
    """Run the drill under virtual time."""
    told = order.pace.enactor()
    pace = sim.Pace(
        planner_period_s=order.pace.planner_period_s,
        poll_interval_s=told["poll_interval_s"],
        lock_ttl_s=told["lock_ttl_s"],
        first_backoff_s=told["first_backoff_s"],
        max_backoff_s=told["max_backoff_s"],
        call_s=(QUICK_CALL_S * order.pace.speed, SLOW_CALL_S * order.pace.speed),
        start_s=order.pace.start_s,
    )
    stage = sim.DnsRegion(order.safeguards, order.script.seed, pace=pace)
    return await _play(stage, order, time.perf_counter())


async def run_live(order: Order) -> Result:
    """Run the drill on a stack of its own, which ends with it."""
    started_s = time.perf_counter()
    stack = _stack_of(order)
    live = stage_of(stack, order.pace, order.switched, processes=order.processes)
    async with live as stage:
        result = await _play(stage, order, started_s)
    trace_file = await asyncio.to_thread(join_traces, stack)
    return replace(
        result,
        speed=order.pace.speed,
        trace_file=str(trace_file),
        wall_s=round(time.perf_counter() - started_s, 3),
    )


def _stack_of(order: Order) -> StackSettings:
    return StackSettings(
        name=order.name,
        mode=order.mode,
        state_folder=order.state_folder,
        database_url=order.database_url,
        account_endpoints=order.account_endpoints,
        seed=order.script.seed,
        drill=True,
        clock=order.pace.clock(),
        planner=order.pace.planner(),
        world=order.pace.world(),
        enactor=order.pace.enactor(),
    )


@asynccontextmanager
async def stage_of(
    stack: StackSettings,
    pace: Pace,
    switched: Mapping[str, bool],
    *,
    processes: bool = False,
) -> AsyncIterator[LiveStage]:
    """Start a stack with nothing in it, switch its safeguards, and open a stage."""
    async with running_stack(stack, processes=processes) as running:
        await running.switch("enactor", switched)
        async with live_stage(
            running.addresses,
            running.base.clock,
            running.base.telemetry,
            planner_period_s=pace.planner_period_s,
            keep_generations=pace.keep_generations,
        ) as stage:
            yield stage


async def _play(stage: Stage, order: Order, started_s: float) -> Result:
    """Run the script on a stage and judge what it left behind."""
    expected = race_result.expected_of(order.safeguards, order.script)
    try:
        race = await run_race(stage, order.script)
    except Void as reason:
        return _void(order, expected, str(reason), started_s)
    steps = list(replay(await stage.beginning(), await stage.journal()))
    judged = race_result.judge_race(race, steps, stage.planner_period_s)
    return Result(
        drill="dns-race",
        mode=order.mode,
        safeguards=asdict(order.safeguards),
        seed=order.script.seed,
        on=order.on,
        speed=None,
        wall_s=round(time.perf_counter() - started_s, 3),
        timeline=race_result.events_of(race),
        properties=judged,
        measures=race_result.measures_of(race, steps),
        expected=expected,
        verdict=race_result.verdict_on(judged, expected),
        impact=race_result.dns_impact(steps, order.script),
    )


def _void(
    order: Order, expected: Mapping[str, bool | None], reason: str, started_s: float
) -> Result:
    return Result(
        drill="dns-race",
        mode=order.mode,
        safeguards=asdict(order.safeguards),
        seed=order.script.seed,
        on=order.on,
        speed=None,
        wall_s=round(time.perf_counter() - started_s, 3),
        timeline=[Event(0.0, f"void: {reason}")],
        properties={},
        measures={},
        expected=expected,
        verdict=Verdict.VOID,
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
