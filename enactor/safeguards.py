"""Every difference between the enactor as it failed and the hardened one."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Safeguards:
    """The mechanisms of the enactor that can be switched; each is read at one place."""

    recheck_generation_in_batch: bool
    """The batch carries `alias generation < mine`: the store refuses a late enactor.

    Answers R16: the one-time check of R11 may be long past when the batch arrives.
    Without it an old plan overwrites a newer one.
    Tested by tests/integration/test_dns_race.py::test_recheck_alone_saves_everything.
    """

    refresh_plan_on_retry: bool
    """A retry starts from the newest plan: an enactor cannot fall far behind.

    Answers R14: retrying with the plan in hand makes it older with every lost lock.
    Without it staleness has no bound.
    Tested by tests/unit/enactor/test_core.py::test_a_retry_starts_from_the_newest_plan.
    """

    keep_referenced_plans: bool
    """Clean-up leaves every tree that an alias or a rollback record points at.

    Answers R17: age alone says nothing about use.
    Without it clean-up empties the answer of whoever points at an old plan.
    Tested by tests/integration/test_dns_race.py::test_keep_alone_saves_the_answers.
    """

    tolerate_missing_active: bool
    """Where the active tree is gone, rollback falls to the newest tree there is.

    Answers R19: writing the rollback record needed a record that was gone.
    Without it no later plan can be applied until an operator repairs the zone.
    Tested by tests/integration/test_dns_race.py::test_tolerance_alone_avoids_the_wedge.
    """

    pause_switch: bool
    """Every batch is refused while an operator has paused the automation.

    Answers R23: freezing is safe, because serving does not need the enactor.
    Without it the only way to stop an enactor is to kill it.
    Tested by tests/integration/test_operators.py::test_pause_freezes_only_with_switch.
    """


BUGGY = Safeguards(
    recheck_generation_in_batch=False,
    refresh_plan_on_retry=False,
    keep_referenced_plans=False,
    tolerate_missing_active=False,
    pause_switch=False,
)
"""The enactor as it failed on 19 October 2025."""

FIXED = Safeguards(
    recheck_generation_in_batch=True,
    refresh_plan_on_retry=True,
    keep_referenced_plans=True,
    tolerate_missing_active=True,
    pause_switch=True,
)
"""The hardened enactor."""
