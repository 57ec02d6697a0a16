"""P1: an endpoint that had an answer never loses it. Source: R17, R18."""

from staleplan.model import NOTHING
from staleplan.spec.property import Property, Step


def violation(step: Step) -> str | None:
    """An alias points at a tree that is not there: NOERROR with no addresses."""
    missing = set(step.after.active) - {NOTHING, *step.after.trees}
    if not missing:
        return None
    plans = ", ".join(map(str, sorted(missing)))
    return (
        f"{step.after.zone} answers from plan {plans}, whose tree is gone "
        f"({step.batch.enactor} on behalf of plan {step.batch.generation})"
    )


NEVER_EMPTY = Property("P1", "never an empty answer", violation)
