"""P9: no work is done after its deadline. Source: R28."""

from staleplan.spec.fleet import FleetProperty, FleetRun
from staleplan.spec.property import Violation

MOST_LATE = 0.01
"""Share of finished work that may be late: a worker cannot know how long one takes."""


def violation(run: FleetRun) -> Violation | None:
    """In a window with DynamoDB there, too much was finished for nobody."""
    for window in run.windows(run.size.long_window_s):
        if window.late_share > MOST_LATE:
            return Violation(
                window.after.at_s, f"{window.late_share:.1%} of the work was too late"
            )
    return None


NOTHING_LATE = FleetProperty("P9", "no work done after its deadline", violation)
