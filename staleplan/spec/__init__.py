"""What must hold, one property a file; none of them knows the mode.

A property judges steps: a batch, the zone before it and the zone after it. Recorded
live runs, the simulation and the model checker all produce the same steps, so the same
objects judge all three. P1 to P6 are about the DNS half of the event; whether P15 held
only who knows of the pauses can tell: the model checker.

P7 to P9, P12, P13 and P16 are about the fleet. They judge a whole run, as looks at it
from outside, in windows: what was right on average may have been wrong for an hour.
"""

from staleplan.spec.fleet import (
    Action,
    FleetProperty,
    FleetRun,
    Look,
    Renewals,
    Size,
    Window,
    judge_fleet,
)
from staleplan.spec.p1_never_empty import NEVER_EMPTY
from staleplan.spec.p2_no_regress import NO_REGRESS
from staleplan.spec.p3_trees_exist import TREES_EXIST
from staleplan.spec.p4_no_wedge import NO_WEDGE
from staleplan.spec.p5_no_half_plan import NO_HALF_PLAN
from staleplan.spec.p6_bounded_plans import BOUNDED_PLANS
from staleplan.spec.p7_one_holder import ONE_HOLDER
from staleplan.spec.p8_goodput_floor import GOODPUT_FLOOR
from staleplan.spec.p9_nothing_late import NOTHING_LATE
from staleplan.spec.p12_back_to_normal import BACK_TO_NORMAL
from staleplan.spec.p13_instances_unaffected import INSTANCES_UNAFFECTED
from staleplan.spec.p15_pause_freezes import PAUSE_FREEZES
from staleplan.spec.p16_renewals_spread import RENEWALS_SPREAD
from staleplan.spec.property import (
    HistoryMismatch,
    Property,
    Step,
    Violation,
    judge,
    replay,
)

DNS_PROPERTIES = (
    NEVER_EMPTY,
    NO_REGRESS,
    TREES_EXIST,
    NO_WEDGE,
    NO_HALF_PLAN,
    BOUNDED_PLANS,
)

FLEET_PROPERTIES = (
    ONE_HOLDER,
    GOODPUT_FLOOR,
    NOTHING_LATE,
    BACK_TO_NORMAL,
    INSTANCES_UNAFFECTED,
    RENEWALS_SPREAD,
)

__all__ = [
    "BACK_TO_NORMAL",
    "BOUNDED_PLANS",
    "DNS_PROPERTIES",
    "FLEET_PROPERTIES",
    "GOODPUT_FLOOR",
    "INSTANCES_UNAFFECTED",
    "NEVER_EMPTY",
    "NOTHING_LATE",
    "NO_HALF_PLAN",
    "NO_REGRESS",
    "NO_WEDGE",
    "ONE_HOLDER",
    "PAUSE_FREEZES",
    "RENEWALS_SPREAD",
    "TREES_EXIST",
    "Action",
    "FleetProperty",
    "FleetRun",
    "HistoryMismatch",
    "Look",
    "Property",
    "Renewals",
    "Size",
    "Step",
    "Violation",
    "Window",
    "judge",
    "judge_fleet",
    "replay",
]
