"""Runs of `dns-race` under virtual time, each made once however often it is judged."""

import asyncio
from functools import cache

from staleplan.drills.dns_race import Script
from staleplan.drills.result import Result
from staleplan.drills.runner import Order, run_order
from staleplan.runtime.settings import Mode


@cache
def run(
    mode: Mode,
    seed: int,
    *switched: tuple[str, bool],
    natural: bool = False,
    fault: bool = True,
) -> Result:
    script = Script(seed, natural=natural, fault=fault)
    order = Order(mode, script, on="sim", switched=dict(switched))
    return asyncio.run(run_order(order))


def broken(result: Result) -> list[str]:
    """The properties that did not hold, in the order of their first violation."""
    times = {
        each: judged.first_violation_t_s or 0.0
        for each, judged in result.properties.items()
        if not judged.held
    }
    return sorted(times, key=lambda each: times[each])
