"""Runs of a fleet to judge, made of looks that differ in what a test is about."""

from collections.abc import Sequence
from dataclasses import replace

from staleplan.spec import Action, FleetRun, Look, Renewals, Size
from staleplan.spec.fleet import WAIT_CLASSES

SIZE = Size(
    droplets=1_200,
    capacity_per_s=10.0,
    service_s=7.5,
    timeout_s=30.0,
    check_interval_s=300.0,
    longest_deadline_s=60.0,
)
"""A fleet whose renewals take 0.4 of capacity; a check interval has 3,000 pieces."""

QUIET = (0,) * WAIT_CLASSES

START = Look(
    at_s=0.0,
    away=False,
    leases=1_200,
    queue=0,
    oldest_wait_s=0.0,
    running=4_800,
    leases_expired=0,
    useful=0,
    late=0,
    asked=0,
    launched=0,
    ended_unasked=0,
    waits=QUIET,
)


def waited(first_class: int) -> tuple[int, ...]:
    """So many renewals, none of which waited."""
    return (first_class, *QUIET[1:])


def interval(before: Look, *, useful: int, late: int = 0, asked: int = 1_200) -> Look:
    """The look one check interval later; 1,200 renewals, and what else was asked."""
    return replace(
        before,
        at_s=before.at_s + 300.0,
        useful=before.useful + useful,
        late=before.late + late,
        asked=before.asked + asked,
        waits=waited(before.waits[0] + 1_200),
    )


def run(
    *looks: Look,
    trigger_ended_s: float | None = None,
    actions: Sequence[Action] = (),
    renewals: Sequence[Renewals] = (),
) -> FleetRun:
    return FleetRun(SIZE, looks, trigger_ended_s, actions, renewals)
