"""P3: what an alias or a rollback record points at exists. Source: R7, R17."""

import pytest

from staleplan.model import DeleteTree, EnactorName, Generation, ZoneView
from staleplan.spec import TREES_EXIST
from tests.spec.samples import ENACTOR, OPERATOR, flip_to, step, zone

DELETE = (DeleteTree(Generation(3)),)
BEFORE = zone(4, 3, [2, 3, 4])


@pytest.mark.parametrize(
    "after", [zone(0), zone(1, 0, [1]), zone(4, 3, [3, 4]), zone(4, 4, [4])]
)
def test_nothing_is_no_tree_and_all_else_is(after: ZoneView) -> None:
    assert TREES_EXIST.violation(step(BEFORE, flip_to(4), after)) is None


@pytest.mark.parametrize(
    ("after", "missing"),
    [
        (zone(4, 3, [2, 4]), "3"),
        (zone(3, 4, [2, 4]), "3"),
        (zone(4, 3), "3, 4"),
        (zone((3, 4), 4, [4]), "3"),
    ],
    ids=["the way back", "the answer", "both", "one endpoint"],
)
@pytest.mark.parametrize("by", [ENACTOR, OPERATOR])
def test_neither_answer_nor_way_back_may_lose_its_tree(
    after: ZoneView, missing: str, by: EnactorName
) -> None:
    bad = step(BEFORE, DELETE, after, by=by)
    expected = f"regional points at plan {missing}, whose tree is gone"
    assert TREES_EXIST.violation(bad) == expected
