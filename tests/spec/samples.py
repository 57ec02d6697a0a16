"""Steps to judge: a zone before a batch, the batch, and the zone after it."""

from collections.abc import Iterable

from staleplan.model import (
    Applied,
    Batch,
    BatchId,
    BuildTree,
    Change,
    EnactorName,
    Generation,
    Lock,
    Outcome,
    PointActive,
    PointRollback,
    Reason,
    Refused,
    SetLock,
    ZoneName,
    ZoneView,
)
from staleplan.spec import Step

REGIONAL = ZoneName("regional")
ENACTOR, OPERATOR = EnactorName("enactor-a"), EnactorName("operator.ann")


def zone(
    active: int | tuple[int, ...],
    rollback: int = 0,
    trees: Iterable[int] = (),
    lock: Lock | None = None,
) -> ZoneView:
    actives = (active,) if isinstance(active, int) else active
    return ZoneView(
        REGIONAL,
        lock,
        tuple(map(Generation, actives)),
        (Generation(rollback),),
        tuple(map(Generation, trees)),
    )


def flip_to(generation: int) -> tuple[Change, ...]:
    to = Generation(generation)
    return BuildTree(to), PointRollback(False), PointActive(to), SetLock(None)


def step(
    before: ZoneView,
    changes: tuple[Change, ...],
    after: ZoneView,
    *,
    by: EnactorName = ENACTOR,
    generation: int = 1,
    refused: Reason | None = None,
) -> Step:
    """A step; where it was refused, `after` is what it was before."""
    batch = Batch(BatchId("b"), by, REGIONAL, Generation(generation), (), changes)
    outcome: Outcome = Applied(after)
    if refused:
        outcome = Refused(refused, changes[0], before)
    return Step(7.0, before, batch, outcome, after)
