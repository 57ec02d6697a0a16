"""Apply a plan to 200,000 endpoints, beside one bare UPDATE of the same rows.

Ours is one pass of the shipped enactor, hardened and buggy in turn, over gRPC to a DNS
store in a process of its own: locks, trees, rollbacks, flips, journal, notifications,
and the DNS answers following. The reference is one statement, nothing checked or kept:
`UPDATE alias SET rollback = active, active = N`. All take turns, so that whatever else
the machine does hits all; VACUUM runs outside the clock.

    python -m tests.bench.bench_apply [--json PATH] [--repeats N]

Exits 1 if a median misses its goal.
"""

import argparse
import asyncio
import json
import os
import random
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, cast

import psycopg

from enactor.core import Extent, enact
from enactor.driver import Driver
from enactor.model import Pass, Purpose, ReadZones, Result
from enactor.safeguards import BUGGY, FIXED, Safeguards
from enactor.settings import EnactorSettings
from planner.core import lay_out, region_of
from planner.model import LoadBalancer, Reading
from staleplan.model import Generation, Plan, Published
from staleplan.runtime.channel import channel
from staleplan.runtime.footing import footing
from staleplan.runtime.postgres import postgres, remove
from staleplan.runtime.telemetry import Exporters
from staleplan.store_client import StoreClient

CLEAN_UP = Purpose.CLEAN_UP
ENDPOINTS = 200_000
LEAST_OF_UPDATE = 0.5
"""Goal: rows/s of applying a plan, to its last flip, as a share of the statement's."""

MOST_OF_BUGGY = 1.1
"""Goal: time of applying it, in times of the buggy enactor's."""

SCHEMA = "bench_apply"
POOLS = frozenset({"accounts", "fips", "dualstack", "regional"})
FLEET = tuple(
    LoadBalancer(f"lb-{n:03}", f"127.0.2.{n + 1}", f"2001:db8::{n + 1}", POOLS)
    for n in range(200)
)


@asynccontextmanager
async def store_process(url: str, state: Path) -> AsyncIterator[str]:
    """Run `python -m dns_store`; yields where it answers."""
    env = {
        **os.environ,
        "STALEPLAN_DATABASE_URL": url,
        "STALEPLAN_STACK": SCHEMA,
        "STALEPLAN_STATE_FOLDER": str(state),
        "STALEPLAN_LOG_FILE": str(state / "dns-store.log"),
    }
    child = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "dns_store", env=env, stdout=subprocess.PIPE, stderr=-3
    )
    try:
        line = await child.stdout.readline() if child.stdout else b""
        yield f"127.0.0.1:{json.loads(line)['port']}"
    finally:
        child.terminate()
        await child.wait()


class Bench:
    """A store that is running, and an enactor's hands."""

    def __init__(self, url: str, store: StoreClient, driver: Driver) -> None:
        self.store = store
        self.driver = driver
        self.region = region_of("us-east-1", ENDPOINTS)
        self.newest: Plan | None = None
        self.publish_s: list[float] = []
        self.sql = psycopg.connect(url.replace("+psycopg", "", 1), autocommit=True)
        self.sql.execute(f"SET search_path TO {SCHEMA}")

    async def publish(self) -> Generation:
        """Publish the next plan, in which every weight is another."""
        readings = {b.name: Reading(True, random.randint(50, 200)) for b in FLEET}
        draft = lay_out(self.region, FLEET, readings, self.newest)
        start_s = time.perf_counter()
        published = await self.store.publish(draft)
        self.publish_s.append(time.perf_counter() - start_s)
        if not isinstance(published, Published):
            raise TypeError(f"not published: {published}")
        self.newest = Plan(published.generation, draft, 0.0, "")
        return published.generation

    async def apply(self, safeguards: Safeguards) -> tuple[float, float]:
        """Apply the newest plan in one pass.

        Returns the seconds to the last flip, and to the end of the clean-up behind it.
        """
        settings = self.driver.settings
        extent = Extent(settings.keep_generations, settings.zones_in_flight)
        self.sql.execute("VACUUM alias")
        applied_s = float("inf")

        def until_clean_up() -> Pass:
            """The pass, and when its last zone was flipped."""
            nonlocal applied_s
            steps = enact(safeguards, extent)
            command = next(steps)
            while True:
                if isinstance(command, ReadZones) and command.purpose is CLEAN_UP:
                    applied_s = min(applied_s, time.perf_counter() - start_s)
                reply = yield command
                try:
                    command = steps.send(reply)
                except StopIteration as end:
                    return cast("Result", end.value)

        start_s = time.perf_counter()
        result = await self.driver.perform(until_clean_up())
        pass_s = time.perf_counter() - start_s
        newest = self.newest.generation if self.newest else None
        left = self.sql.execute(f"SELECT count(*) FROM alias WHERE active <> {newest}")
        if result is not Result.FINISHED or left.fetchone() != (0,):
            raise RuntimeError(f"the pass did not apply plan {newest}: {result}")
        return applied_s, pass_s

    def update(self, generation: Generation) -> float:
        """Run the reference; the seconds it took."""
        self.sql.execute("VACUUM alias")
        start_s = time.perf_counter()
        self.sql.execute(f"UPDATE alias SET rollback = active, active = {generation}")
        spent_s = time.perf_counter() - start_s
        self.sql.execute(
            f"UPDATE zone SET rollback = active, active = '{{{generation}}}'"
        )
        return spent_s

    async def round(self) -> dict[str, float]:
        """One of each, in turn."""
        await self.publish()
        fixed_s, fixed_pass_s = await self.apply(FIXED)
        generation = await self.publish()
        update_s = self.update(Generation(generation - 1))
        buggy_s, _ = await self.apply(BUGGY)
        return {
            "fixed_s": fixed_s,
            "fixed_pass_s": fixed_pass_s,
            "buggy_s": buggy_s,
            "update_s": update_s,
        }


async def measure(url: str, state: Path, repeats: int) -> dict[str, Any]:
    """Measure everything on a fresh schema."""
    with psycopg.connect(url.replace("+psycopg", "", 1), autocommit=True) as sql:
        sql.execute(f"DROP SCHEMA IF EXISTS {SCHEMA} CASCADE")
    async with Exporters() as exporters, store_process(url, state) as address:
        settings = EnactorSettings(dns_store=address, stack=SCHEMA)
        base = footing("enactor-a", settings, exporters, az="a")
        async with channel(address, base.telemetry) as to_store:
            client = StoreClient(to_store)
            driver = Driver(
                settings, client, base.clock, base.faults, base.telemetry, base.chance
            )
            bench = Bench(url, client, driver)
            await bench.round()  # warms caches and connections up
            rounds = [await bench.round() for _ in range(repeats)]
    rates = sorted(r["update_s"] / r["fixed_s"] for r in rounds)
    times = sorted(r["fixed_s"] / r["buggy_s"] for r in rounds)
    middle = {key: statistics.median(r[key] for r in rounds) for key in rounds[0]}
    return {
        "endpoints": ENDPOINTS,
        "fixed_rows_per_s": round(ENDPOINTS / middle["fixed_s"]),
        "buggy_rows_per_s": round(ENDPOINTS / middle["buggy_s"]),
        "update_rows_per_s": round(ENDPOINTS / middle["update_s"]),
        "fixed_of_update": round(statistics.median(rates), 2),
        "fixed_of_update_range": [round(rates[0], 2), round(rates[-1], 2)],
        "goal_fixed_of_update": LEAST_OF_UPDATE,
        "fixed_pass_with_clean_up_s": round(middle["fixed_pass_s"], 2),
        "fixed_time_of_buggy": round(statistics.median(times), 2),
        "goal_fixed_time_of_buggy": MOST_OF_BUGGY,
        "first_publish_s": round(bench.publish_s[0], 2),
        "publish_s": round(statistics.median(bench.publish_s[1:]), 2),
    }


def main() -> int:
    """Measure, print, and compare with the goals."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", type=Path, help="write the figures here as well")
    parser.add_argument("--repeats", type=int, default=5)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        state = Path(folder)
        with postgres(None, state) as url:
            figures = asyncio.run(measure(url, state, options.repeats))
        remove(state)
    shown = json.dumps(figures, indent=2)
    print(shown)
    if options.json:
        options.json.write_text(shown + "\n")
    met = (
        figures["fixed_of_update"] >= LEAST_OF_UPDATE
        and figures["fixed_time_of_buggy"] <= MOST_OF_BUGGY
    )
    return 0 if met else 1


if __name__ == "__main__":
    sys.exit(main())
