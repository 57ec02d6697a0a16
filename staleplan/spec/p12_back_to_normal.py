"""P12: once DynamoDB is back, so is the fleet, unaided. Source: R28, R29."""

from staleplan.spec.fleet import FleetProperty, FleetRun
from staleplan.spec.property import Violation


def violation(run: FleetRun) -> Violation | None:
    """A check interval after the trigger's end, something was not as before it."""
    if run.trigger_ended_s is None:
        return None
    latest_s = run.trigger_ended_s + run.size.check_interval_s
    for look in run.looks:
        if look.at_s >= latest_s and not look.is_normal(run.size):
            missing = run.size.droplets - look.leases
            return Violation(
                look.at_s,
                f"{missing} leases are missing, and work has waited for "
                f"{look.oldest_wait_s:.0f} s",
            )
    return None


BACK_TO_NORMAL = FleetProperty(
    "P12", "back to normal within a check interval", violation
)
