"""Every difference between the planner as it was and the hardened one."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Safeguards:
    """The mechanisms of the planner that can be switched; each is read at one place."""

    refuse_unsafe_plan: bool
    """A plan that empties an endpoint, or takes 30 % of its weight at once, is held.

    Answers R47 (protection against incorrect plans): an operator may force it by its
    digest. Without it one wrong report takes an endpoint's capacity away.
    Tested by tests/unit/planner/test_core.py::test_an_unsafe_plan_is_held.
    """

    treat_missing_input_as_unknown: bool
    """A load balancer without a reading keeps the last one; it is not taken for dead.

    Answers R46: an answer that is absent is not an answer of zero.
    Without it a gap in the health data removes load balancers that serve well.
    Tested by tests/unit/planner/test_core.py::test_a_missing_reading_is_not_a_zero.
    """


BUGGY = Safeguards(refuse_unsafe_plan=False, treat_missing_input_as_unknown=False)
"""The planner without protection against incorrect plans."""

FIXED = Safeguards(refuse_unsafe_plan=True, treat_missing_input_as_unknown=True)
"""The hardened planner."""
