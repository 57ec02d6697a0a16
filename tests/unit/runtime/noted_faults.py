"""Faults on a clock that stands still, and two points to inject them at."""

import random
from collections.abc import Callable

from staleplan.runtime.clock import SkewedClock
from staleplan.runtime.fault_spec import Effect, Fault, Selector
from staleplan.runtime.faults import Faults

BATCH = "enactor.before_batch"
CLEAN_UP = "enactor.before_clean_up"


class NotedClock:
    """A clock that stands still, notes each wait, and scales by a thousand."""

    def __init__(self) -> None:
        self.sleeps: list[float] = []

    def now_s(self) -> float:
        return 100.0

    async def sleep_s(self, seconds: float) -> None:
        self.sleeps.append(seconds)

    def wall_s(self, incident_seconds: float) -> float:
        return incident_seconds / 1_000


def make_faults(
    *, seed: int = 1, crash: Callable[[], None] | None = None
) -> tuple[Faults, NotedClock, SkewedClock]:
    true_clock = NotedClock()
    clock = SkewedClock(true_clock)
    labels = {"service": "enactor", "az": "a"}
    return (
        Faults(clock, random.Random(seed), labels=labels, crash=crash),
        true_clock,
        clock,
    )


def fault(effect: Effect, point: str = BATCH, **labels: str) -> Fault:
    return Fault(Selector(point, labels), effect)
