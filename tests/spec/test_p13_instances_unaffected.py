"""P13: whatever happens to the control plane, what runs goes on. Source: R26."""

from dataclasses import replace

from staleplan.spec import INSTANCES_UNAFFECTED
from staleplan.spec.property import Violation
from tests.spec.fleets import START, run


def test_an_instance_that_ended_by_itself_is_found() -> None:
    assert INSTANCES_UNAFFECTED.violation(run(START)) is None
    ended = replace(START, at_s=9.0, ended_unasked=2)
    found = INSTANCES_UNAFFECTED.violation(run(START, ended))
    assert found == Violation(9.0, "2 instances ended unasked")
