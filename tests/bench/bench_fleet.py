"""How fast the fleet is simulated, beside simpy, and what an admission costs.

The day: 15 hours of a hardened fleet, DynamoDB away for 157 minutes of them, judged by
the processor time of one core. simpy runs the same queues: workers of three hosts,
renewals in slots that go first, launches and terminations, each with a timeout; it has
no leases, terms, droplets or customers' retries. Both simulate the same stretch, in
turn, and the pieces of work per second of processor time are compared. An admission is
the decision whether new work may come in; aiolimiter's is beside it. simpy and
aiolimiter are not installed with the project; without them this says so and goes on.

    python -m tests.bench.bench_fleet [--json PATH] [--droplets N] [--rounds N]

Exits 1 if a goal is missed.
"""

import argparse
import asyncio
import importlib
import json
import random
import resource
import statistics
import sys
import time
from collections.abc import Callable, Generator
from pathlib import Path
from typing import Any

from dwfm.host import Host
from dwfm.model import HostName, Limits
from dwfm.safeguards import FIXED
from staleplan.drills.lease_storm import RECORD_OUTAGE_S
from staleplan.runtime.clock import INCIDENT_START_S
from staleplan.sim.fleet import RUN_UP_S, Fleet, FleetRegion

DAY_S = 15 * 3600.0
LOAD = 0.5
MOST_DAY_S = {10_000: 40.0, 100_000: 480.0}
"""Goals: processor seconds for the day, by droplets."""
MOST_MB = 2_048
"""Goal: memory at most, megabytes."""
LEAST_OF_SIMPY = 1.0
"""Goal: pieces of work a second, as a share of simpy's."""
MOST_ADMISSION_US = 1.0
"""Goal: an admission decision takes at most this, microseconds."""

STRETCH_S = 1_200.0
"""What both simulate side by side, incident seconds."""

WARM_S = 600.0


def day(droplets: int) -> dict[str, Any]:
    """Simulate the day once."""
    began_s = time.process_time()
    region = FleetRegion(Fleet(droplets, load=LOAD), FIXED, seed=1)

    async def play() -> None:
        await region.sleep_s(RUN_UP_S)
        await region.cut_off(away=True)
        await region.sleep_s(RECORD_OUTAGE_S)
        await region.cut_off(away=False)
        await region.sleep_s(INCIDENT_START_S + DAY_S - region.now_s())

    asyncio.run(play())
    cpu_s = time.process_time() - began_s
    memory_kb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    work = sum(az.host.counts.in_time for az in region.azs.values())
    return {
        "droplets": droplets,
        "cpu_s": round(cpu_s, 1),
        "memory_mb": memory_kb // 1024,
        "work": work,
        "trace_hash": region.trace_hash(),
    }


def ours(droplets: int) -> float:
    """Work per second of processor time, ours."""
    region = FleetRegion(Fleet(droplets, load=LOAD), FIXED, seed=1)
    asyncio.run(region.sleep_s(WARM_S))
    done = sum(az.host.counts.in_time for az in region.azs.values())
    began_s = time.process_time()
    asyncio.run(region.sleep_s(STRETCH_S))
    cpu_s = time.process_time() - began_s
    return (sum(az.host.counts.in_time for az in region.azs.values()) - done) / cpu_s


class SimpyFleet:
    """The same queues in simpy."""

    def __init__(self, simpy: Any, droplets: int) -> None:
        self.env = simpy.Environment()
        self.done = 0
        self._simpy = simpy
        self._draw = random.Random(1).random
        count = droplets // 3
        limits = Fleet(droplets).limits_of(count)
        renewals_per_s = count / limits.check_interval_s
        per_s = LOAD * limits.capacity_per_s - renewals_per_s
        for _ in range(3):
            workers = simpy.PriorityResource(self.env, capacity=limits.workers)
            for each in range(count):
                phase_s = limits.check_interval_s * each / count
                self.env.process(self._droplet(workers, phase_s, limits))
            self.env.process(self._customers(workers, per_s, limits))

    def _droplet(
        self, workers: Any, phase_s: float, limits: Limits
    ) -> Generator[Any, Any, None]:
        yield self.env.timeout(phase_s)
        while True:
            began_s = self.env.now
            yield from self._work(workers, 0, limits)
            yield self.env.timeout(limits.check_interval_s - self.env.now + began_s)

    def _customers(
        self, workers: Any, per_s: float, limits: Limits
    ) -> Generator[Any, Any, None]:
        chance = random.Random(2)
        while True:
            yield self.env.timeout(chance.expovariate(per_s))
            self.env.process(self._work(workers, 1, limits))

    def _work(
        self, workers: Any, priority: int, limits: Limits
    ) -> Generator[Any, Any, None]:
        with workers.request(priority=priority) as request:
            got = yield request | self.env.timeout(limits.timeout_s)
            if request in got:
                yield self.env.timeout(limits.service_s * (0.8 + 0.4 * self._draw()))
                self.done += 1


def simpys(simpy: Any, droplets: int) -> float:
    """Work per second of processor time, simpy's."""
    fleet = SimpyFleet(simpy, droplets)
    fleet.env.run(until=WARM_S)
    done = fleet.done
    began_s = time.process_time()
    fleet.env.run(until=WARM_S + STRETCH_S)
    return (fleet.done - done) / (time.process_time() - began_s)


def decision_us(decide: Callable[[], object]) -> float:
    """Microseconds of processor time for one decision, the loop's own taken off."""
    count = 200_000

    def spent_s(call: Callable[[], object]) -> float:
        began_s = time.process_time()
        for _ in range(count):
            call()
        return time.process_time() - began_s

    return (spent_s(decide) - spent_s(lambda: None)) / count * 1e6


def installed(name: str) -> Any:
    """A package, or `None` with a word about it."""
    try:
        return importlib.import_module(name)
    except ImportError:
        print(f"SKIPPED: {name} is not installed")
        return None


def side_by_side(droplets: int, rounds: int) -> dict[str, Any]:
    """Measure ours and simpy's in turn; medians."""
    simpy = installed("simpy")
    ours_per_s, simpys_per_s = [], []
    for _ in range(rounds):
        ours_per_s.append(ours(droplets))
        if simpy:
            simpys_per_s.append(simpys(simpy, droplets))
    result: dict[str, Any] = {"ours_per_s": round(statistics.median(ours_per_s))}
    if simpy:
        result["simpy_per_s"] = round(statistics.median(simpys_per_s))
        ratios = [a / b for a, b in zip(ours_per_s, simpys_per_s, strict=True)]
        result["of_simpy"] = round(statistics.median(ratios), 2)
    return result


def admissions(rounds: int) -> dict[str, float]:
    """Measure an admission of ours, and aiolimiter's."""
    host = Host(HostName("dwfm-a"), Limits(625), FIXED, [], 0.0)
    measured = {"ours_us": lambda: host.queue.has_room(FIXED, 1.0)}
    aiolimiter = installed("aiolimiter")

    async def measure() -> dict[str, float]:
        if aiolimiter:
            measured["aiolimiter_us"] = aiolimiter.AsyncLimiter(1e9, 1.0).has_capacity
        return {
            name: round(statistics.median(decision_us(d) for _ in range(rounds)), 3)
            for name, d in measured.items()
        }

    return asyncio.run(measure())


def main() -> int:
    """Measure, print, and compare with the goals."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", type=Path, help="write the figures here as well")
    parser.add_argument("--droplets", type=int, default=10_000, choices=MOST_DAY_S)
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    beside = side_by_side(10_000, options.rounds)
    admission = admissions(options.rounds)
    whole = day(options.droplets)
    result = {"day": whole, "beside_simpy": beside, "admission": admission}
    print(json.dumps(result, indent=2))
    if options.json:
        options.json.write_text(json.dumps(result, indent=2) + "\n")
    good = (
        whole["cpu_s"] <= MOST_DAY_S[options.droplets]
        and whole["memory_mb"] <= MOST_MB
        and beside.get("of_simpy", LEAST_OF_SIMPY) >= LEAST_OF_SIMPY
        and admission["ours_us"] <= MOST_ADMISSION_US
    )
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
