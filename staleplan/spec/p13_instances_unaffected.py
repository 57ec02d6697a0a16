"""P13: whatever happens to the control plane, what runs goes on. Source: R26."""

from staleplan.spec.fleet import FleetProperty, FleetRun
from staleplan.spec.property import Violation


def violation(run: FleetRun) -> Violation | None:
    """An instance that a customer had ended, and the customer had not asked for it."""
    for look in run.looks:
        if look.ended_unasked:
            return Violation(look.at_s, f"{look.ended_unasked} instances ended unasked")
    return None


INSTANCES_UNAFFECTED = FleetProperty("P13", "running instances unaffected", violation)
