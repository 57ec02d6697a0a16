"""The night of 19 to 20 October 2025 as data: when things happened, in PDT.

Only the fault's moment and the operators' actions are given. What it did to anybody
is measured. So far this is the DNS half of the event.
"""

from staleplan.drills.dns_race import Script
from staleplan.drills.pace import Pace
from staleplan.runtime.clock import INCIDENT_START_S

MINUTE_S = 60.0

LATE_FLIP_S = INCIDENT_START_S
"""23:48: the late enactor overwrites the newer plan. Source: R14-R17."""

REPAIR_S = INCIDENT_START_S + 157 * MINUTE_S
"""02:25: all DNS information is restored, by operators. Source: R21."""

END_S = INCIDENT_START_S + 172 * MINUTE_S
"""02:40: clients have recovered. Source: R21."""

RUN_UP_S = 90 * MINUTE_S
"""How long before the flip the region starts: time for its processes to start, for a
few plans, and for a few more to fall behind. Inferred."""

DAY_PACE = Pace(
    planner_period_s=300.0, speed=600.0, start_s=INCIDENT_START_S - RUN_UP_S
)
"""Five minutes between plans, ten incident minutes in a second. Inferred."""


def night(seed: int, *, operators: bool) -> Script:
    """The script of the night; only the buggy region needs its operators."""
    return Script(
        seed,
        flip_at_s=LATE_FLIP_S,
        repair_at_s=REPAIR_S if operators else None,
        end_at_s=END_S,
    )
