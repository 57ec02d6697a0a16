"""P5: a zone is never left between two plans. Source: R6, R8."""

from staleplan.model import Applied
from staleplan.spec.property import Property, Step


def violation(step: Step) -> str | None:
    """Some endpoints of a zone were flipped by a batch and others were not."""
    if step.by_operator or not step.is_flip or not isinstance(step.outcome, Applied):
        return None
    if step.after.active == (step.batch.generation,):
        return None
    return f"{step.after.zone} answers from plans {step.after.active} after one flip"


NO_HALF_PLAN = Property("P5", "no half plan is ever served", violation)
