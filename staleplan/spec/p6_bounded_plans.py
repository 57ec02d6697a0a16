"""P6: old plans are cleaned up, so that records never run out. Source: R12."""

from staleplan.spec.property import Property, Step

MAX_TREES = 12
"""Trees in one zone. Clean-up keeps 5 generations before the one applied; the plan
in hand, those that two slower enactors still build, a rollback that is spared, and
clean-ups that found the zone locked add a few. Inferred."""


def violation(step: Step) -> str | None:
    """More trees are kept in a zone than clean-up should ever leave."""
    kept = len(step.after.trees)
    return f"{step.after.zone} keeps {kept} trees" if kept > MAX_TREES else None


BOUNDED_PLANS = Property("P6", "old plans are bounded", violation)
