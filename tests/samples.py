"""Small plans and batches that tests of the store share."""

from staleplan.model import (
    ActiveBelow,
    AutomationRuns,
    Batch,
    BatchId,
    BuildTree,
    Change,
    Draft,
    EnactorName,
    EndpointName,
    Generation,
    Lock,
    LockIs,
    PointActive,
    PointRollback,
    Precondition,
    SetLock,
    Target,
    Weighted,
    ZoneName,
    ZonePlan,
)

APEX = "us-east-1.example"
FIPS = ZoneName("fips")
REGIONAL = ZoneName("regional")
ENACTOR_A = EnactorName("enactor-a")


def endpoints_of(zone: ZoneName, count: int = 3) -> tuple[EndpointName, ...]:
    return tuple(EndpointName(f"{zone}-{n}.{APEX}") for n in range(count))


def draft(parent: int, *zones: ZoneName, answer: int = 0, endpoints: int = 3) -> Draft:
    return Draft(
        Generation(parent),
        (Target("nlb-0", "10.0.0.1", None), Target("nlb-1", None, "2001:db8::1")),
        ((Weighted(0, 10),), (Weighted(0, 10), Weighted(1, 5))),
        tuple(
            ZonePlan(zone, endpoints_of(zone, endpoints), (answer,) * endpoints)
            for zone in zones or (REGIONAL, FIPS)
        ),
    )


def batch(
    name: str,
    *changes: Change,
    zone: ZoneName = REGIONAL,
    needs: tuple[Precondition, ...] = (),
    generation: int = 1,
    endpoints: tuple[EndpointName, ...] = (),
    enactor: EnactorName = ENACTOR_A,
) -> Batch:
    return Batch(
        BatchId(name), enactor, zone, Generation(generation), needs, changes, endpoints
    )


def flip(
    name: str,
    generation: int,
    *,
    zone: ZoneName = REGIONAL,
    found: Lock | None = None,
    lock: Lock | None = None,
    enactor: EnactorName = ENACTOR_A,
) -> Batch:
    """An enactor's whole batch: the lock preamble, the tree, the way back, the flip."""
    to = Generation(generation)
    changes = (SetLock(lock), BuildTree(to), PointRollback(False), PointActive(to))
    needs = (LockIs(found), ActiveBelow(to), AutomationRuns())
    return Batch(BatchId(name), enactor, zone, to, needs, changes)
