"""P4: the next plan always applies unaided. Source: R19."""

from staleplan.model import Reason, is_refused
from staleplan.spec.property import Property, Step


def violation(step: Step) -> str | None:
    """A flip was refused for a state that no other flip can change."""
    if not step.is_flip or not is_refused(step.outcome, Reason.ACTIVE_TREE_MISSING):
        return None
    return (
        f"{step.batch.enactor} cannot apply plan {step.batch.generation} to "
        f"{step.after.zone}: {Reason.ACTIVE_TREE_MISSING}"
    )


NO_WEDGE = Property("P4", "the next plan applies unaided", violation)
