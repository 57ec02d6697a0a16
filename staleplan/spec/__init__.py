"""What must hold, one property a file; none of them knows the mode.

A property judges steps: a batch, the zone before it and the zone after it. Recorded
live runs, the simulation and the model checker all produce the same steps, so the same
objects judge all three. P1 to P6 are about the DNS half of the event; whether P15 held
only who knows of the pauses can tell: the model checker.
"""

from staleplan.spec.p1_never_empty import NEVER_EMPTY
from staleplan.spec.p2_no_regress import NO_REGRESS
from staleplan.spec.p3_trees_exist import TREES_EXIST
from staleplan.spec.p4_no_wedge import NO_WEDGE
from staleplan.spec.p5_no_half_plan import NO_HALF_PLAN
from staleplan.spec.p6_bounded_plans import BOUNDED_PLANS
from staleplan.spec.p15_pause_freezes import PAUSE_FREEZES
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

__all__ = [
    "BOUNDED_PLANS",
    "DNS_PROPERTIES",
    "NEVER_EMPTY",
    "NO_HALF_PLAN",
    "NO_REGRESS",
    "NO_WEDGE",
    "PAUSE_FREEZES",
    "TREES_EXIST",
    "HistoryMismatch",
    "Property",
    "Step",
    "Violation",
    "judge",
    "replay",
]
