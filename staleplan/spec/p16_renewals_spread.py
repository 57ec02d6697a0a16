"""P16: no one cause makes many renewals due at once. Source: R28."""

import math
from itertools import accumulate

from staleplan.spec.fleet import FleetProperty, FleetRun, Renewals
from staleplan.spec.property import Violation

MOST = 0.75
"""Share of a host's capacity that renewals may take; in calm they take 0.4."""

ENOUGH_RENEWALS = 8
"""Work that a host could do in the time over which renewals are counted.

That is a second for a host of a thousand droplets, and a minute for one of 16, in which
a few renewals more or less are not yet a storm.
"""


def violation(run: FleetRun) -> Violation | None:
    """More renewals became due at a host than leaves room for other work."""
    for host in run.renewals:
        per_s, at_s = busiest(host)
        if per_s > MOST * host.capacity_per_s:
            share = per_s / host.capacity_per_s
            return Violation(at_s, f"renewals for {share:.2f} of capacity were due")
    return None


def busiest(host: Renewals) -> tuple[float, float]:
    """Find the time when most renewals a second were due, and how many."""
    width = math.ceil(ENOUGH_RENEWALS / host.capacity_per_s)
    sums = [0, *accumulate(host.due)]
    counts = (late - early for early, late in zip(sums, sums[width:], strict=False))
    most, second = max(((n, -i) for i, n in enumerate(counts)), default=(0, 0))
    return most / width, host.began_s - second + width


RENEWALS_SPREAD = FleetProperty("P16", "renewals of one cause are spread", violation)
