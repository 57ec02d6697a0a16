"""Every difference between the DWFM as it failed and the hardened one."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Safeguards:
    """The mechanisms of DWFM that can be switched; each is read at one place."""

    admit_by_queue_size: bool
    """New work is taken in only while the queue is as short as can be served in time.

    Answers R28, R31 and R34: launches beyond that are told when to come again, and
    droplets without a lease wait outside until there is room.
    Without it a recovery queues the whole fleet, and nothing is served in time.
    Tested by tests/unit/dwfm/test_storm.py::test_admission_alone_ends_the_storm.
    """

    drop_expired_work: bool
    """Work that can no longer be done in time is thrown away unserved.

    Answers R28: the queue was full of attempts that nobody waited for any more.
    Without it workers do work whose result is thrown away.
    Tested by tests/unit/dwfm/test_storm.py::test_dropping_does_no_late_work.
    """

    hold_leases_when_store_is_down: bool
    """While DynamoDB is away, a droplet that confirms its term keeps its lease.

    Answers R26: whoever else wanted the lease would need DynamoDB too.
    Without it an outage of DynamoDB becomes one of every launch.
    Tested by tests/unit/dwfm/test_leases.py::test_an_outage_expires_nothing_if_held.
    """

    spread_renewals: bool
    """Each droplet is checked in its own slot of the interval, whatever went before.

    Answers R28: what failed together is not tried again together.
    Without it all checks that an outage delayed come at the moment it ends.
    Tested by tests/unit/dwfm/test_leases.py::test_checks_keep_to_their_slots.
    """

    prioritise_renewals: bool
    """Checks of held leases go first, then lost leases, then launches.

    Answers R27: a lease that is lost costs more than a launch that waits.
    Without it a burst of launches makes leases expire.
    Tested by tests/unit/dwfm/test_storm.py::test_launches_do_not_delay_renewals.
    """


BUGGY = Safeguards(
    admit_by_queue_size=False,
    drop_expired_work=False,
    hold_leases_when_store_is_down=False,
    spread_renewals=False,
    prioritise_renewals=False,
)
"""DWFM as it failed on 20 October 2025."""

FIXED = Safeguards(
    admit_by_queue_size=True,
    drop_expired_work=True,
    hold_leases_when_store_is_down=True,
    spread_renewals=True,
    prioritise_renewals=True,
)
"""The hardened DWFM."""
