"""P15: while an operator has paused it, automation changes nothing. Source: R23."""

from staleplan.model import Applied, DeleteTree, PointActive
from staleplan.spec.property import Property, Step


def violation(step: Step) -> str | None:
    """Automation applied a batch that moves a pointer or deletes a tree."""
    moves = any(isinstance(c, PointActive | DeleteTree) for c in step.batch.changes)
    if not (step.paused and moves and isinstance(step.outcome, Applied)):
        return None
    if step.by_operator:
        return None
    return f"{step.batch.enactor} changed {step.after.zone} during a pause"


PAUSE_FREEZES = Property("P15", "a pause freezes the automation", violation)
