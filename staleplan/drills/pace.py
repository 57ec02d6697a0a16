"""How fast a region goes in a drill: everything follows from the planner's period."""

from dataclasses import dataclass
from typing import Any

from staleplan.runtime.clock import INCIDENT_START_S
from staleplan.runtime.settings import ClockSettings


@dataclass(frozen=True, slots=True)
class Pace:
    """Units: incident seconds. `speed`: incident seconds in a wall second.

    A pass of an enactor takes some 30 ms of wall time, so that a period of half a wall
    second is as roomy for it as minutes were for the real one. Inferred throughout.
    """

    planner_period_s: float
    speed: float
    start_s: float = INCIDENT_START_S
    keep_generations: int = 5

    def clock(self) -> ClockSettings:
        """A clock that starts now."""
        return ClockSettings(incident_origin_s=self.start_s, speed=self.speed)

    def planner(self) -> dict[str, Any]:
        """What the planner is told."""
        return {
            "period_s": self.planner_period_s,
            "look_interval_s": self.planner_period_s,
        }

    def world(self) -> dict[str, Any]:
        """What the world is told."""
        return {"customer": {"call_interval_s": self.planner_period_s / 5}}

    def enactor(self) -> dict[str, Any]:
        """What every enactor is told."""
        return {
            "poll_interval_s": self.planner_period_s / 5,
            "lock_ttl_s": max(2, round(self.planner_period_s)),
            "first_backoff_s": self.planner_period_s / 60,
            "max_backoff_s": self.planner_period_s / 4,
            "keep_generations": self.keep_generations,
        }


DRILL_PACE = Pace(planner_period_s=30.0, speed=75.0)
"""Half a minute between plans, in four tenths of a second."""

CALM_PACE = Pace(planner_period_s=120.0, speed=60.0)
"""Two wall seconds between plans: so slow that, without a fault, no enactor of a busy
machine ever falls a whole plan behind."""
