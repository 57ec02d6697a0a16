"""P4: the next plan always applies unaided. Source: R19."""

import pytest

from staleplan.model import PointRollback, Reason, SetLock
from staleplan.spec import NO_WEDGE
from tests.spec.samples import OPERATOR, flip_to, step, zone

WEDGED = zone(3, 10, [10])


def test_a_flip_refused_for_want_of_the_active_tree_is_a_wedge() -> None:
    refused = Reason.ACTIVE_TREE_MISSING
    bad = step(WEDGED, flip_to(11), WEDGED, generation=11, refused=refused)
    assert NO_WEDGE.violation(bad) == (
        "enactor-a cannot apply plan 11 to regional: "
        "the active tree is gone: nothing to roll back to"
    )
    # No exemption: an operator's flip must not meet it either.
    again = step(WEDGED, flip_to(11), WEDGED, by=OPERATOR, refused=refused)
    assert NO_WEDGE.violation(again)


@pytest.mark.parametrize("reason", set(Reason) - {Reason.ACTIVE_TREE_MISSING})
def test_a_flip_refused_for_what_passes_is_none(reason: Reason) -> None:
    good = step(WEDGED, flip_to(11), WEDGED, refused=reason)
    assert NO_WEDGE.violation(good) is None


def test_what_is_no_flip_cannot_be_wedged() -> None:
    for changes in ((PointRollback(False),), (SetLock(None),)):
        refused = Reason.ACTIVE_TREE_MISSING
        good = step(WEDGED, changes, WEDGED, refused=refused)
        assert NO_WEDGE.violation(good) is None


def test_a_flip_that_heals_is_none() -> None:
    healed = step(WEDGED, flip_to(11), zone(11, 10, [10, 11]))
    assert NO_WEDGE.violation(healed) is None
