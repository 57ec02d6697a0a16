"""P8: whatever is offered, what is finished in time keeps up with it. Source: R28."""

from staleplan.spec.fleet import FleetProperty, FleetRun
from staleplan.spec.property import Violation

FLOOR = 0.9
"""Share of what was offered, or of capacity if that is less, that is of use."""


def violation(run: FleetRun) -> Violation | None:
    """In a window with DynamoDB there, too little work was of use."""
    for window in run.windows(run.size.long_window_s):
        least = FLOOR * min(1.0, window.offered)
        if window.goodput < least:
            return Violation(
                window.after.at_s,
                f"{window.goodput:.1%} of capacity was of use for "
                f"{window.seconds:.0f} s, {window.offered:.0%} was asked for",
            )
    return None


GOODPUT_FLOOR = FleetProperty("P8", "goodput keeps up with what is offered", violation)
