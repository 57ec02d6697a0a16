"""P3: what an alias or a rollback record points at exists. Source: R7, R17."""

from staleplan.spec.property import Property, Step


def violation(step: Step) -> str | None:
    """A pointer's tree is gone: no answer, or no way back."""
    missing = step.after.referenced - set(step.after.trees)
    if not missing:
        return None
    plans = ", ".join(map(str, sorted(missing)))
    return f"{step.after.zone} points at plan {plans}, whose tree is gone"


TREES_EXIST = Property("P3", "active and rollback trees exist", violation)
