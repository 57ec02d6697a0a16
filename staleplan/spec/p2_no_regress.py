"""P2: automation never replaces a plan by an older one. Source: R11, R16."""

from staleplan.spec.property import Property, Step


def violation(step: Step) -> str | None:
    """An alias went back, and nobody had ordered it to."""
    if step.by_operator or not step.is_flip:
        return None
    was, now = step.before.newest_active, step.after.oldest_active
    if now >= was:
        return None
    return f"{step.batch.enactor} put {step.after.zone} back from plan {was} to {now}"


NO_REGRESS = Property("P2", "the active plan never goes back", violation)
