"""When a re-lease storm collapses, by arithmetic.

All of U checks are wanted at one moment, and workers do C of them a second, each in
s seconds. An attempt is given up after T, waiting included, and queued again, while
the old one stays in the queue (R28).

In the first T seconds C T attempts end in time, and their leases are there. The other
U - C T are given up at T and queued again, behind themselves: their old attempts, for
which nobody waits, must be done first. That takes until U / C. The first new attempt
begins then, and is of use if it ends by 2 T:

    U / C <= 2 T - s

If it is not, the second round ends nothing in time, and leaves behind as much as it
found and as much again: so does every round after it. Nothing ends the collapse.

Other work that is wanted meanwhile, r a second, stands in the same queue and moves the
line nearer: (U + r T) / C <= 2 T - s. After a long outage there is next to none:
renewals need leases, and launches need leased droplets. Source: R27.

Not guaranteed: for few workers time is not divided as finely as this assumes.
"""

from dwfm.safeguards import Safeguards
from staleplan.drills.lease_storm import Script
from staleplan.sim.fleet import LEASE_TTL_S
from staleplan.spec import Size

GREY = 0.25
"""This close to the line, as a share of it, chance decides."""


def line_s(timeout_s: float, service_s: float) -> float:
    """The longest storm that does not collapse, in seconds of all workers' time."""
    return 2 * timeout_s - service_s


def storm_s(safeguards: Safeguards, script: Script, size: Size) -> float:
    """How long all workers are busy with what an outage makes due at one moment."""
    if safeguards.hold_leases_when_store_is_down:
        return 0.0
    shortest_s, longest_s = LEASE_TTL_S
    over_s = script.outage_s + size.check_interval_s / 2 - shortest_s
    lost = min(1.0, max(0.0, over_s / (longest_s - shortest_s)))
    delayed = min(1.0, script.outage_s / size.check_interval_s) - lost
    share = 0.0
    if not safeguards.admit_by_queue_size:
        share += lost
    if not safeguards.spread_renewals:
        share += max(0.0, delayed)
    return share * size.droplets / size.capacity_per_s


def collapses(safeguards: Safeguards, script: Script, size: Size) -> bool | None:
    """Tell whether the recovery must collapse; `None`: too close to say."""
    if safeguards.drop_expired_work:
        return False
    of_line = storm_s(safeguards, script, size) / line_s(size.timeout_s, size.service_s)
    if abs(of_line - 1.0) < GREY:
        return None
    return of_line > 1.0
