"""How the load balancers vary by themselves: a pure function of seed and time.

Two things vary. Capacity swings a little about its nominal value, each load balancer
at its own pace. And now and then one load balancer of the region is ill for a while.

Normal variation must never look like an accident: no answer set of four or more load
balancers of one pool may lose 30 % of its weight between two readings, or planners
would hold safe plans. Three rules see to that:

- capacity stays within 2.5 % of nominal, so that it changes by less than 6 %;
- one load balancer at a time is ill, and between two illnesses there are at least
  `REST_S` without any;
- only the smallest of its pools falls ill, and of no pool below four: it carries at
  most a quarter of any four.

Together that is less than 29 %. Not guaranteed: readings more than `REST_S` apart may
see one ill load balancer instead of another, a third of the three that were left.

Enforced by: tests/unit/world/test_core.py::test_planners_never_hold_normal_variation

Inferred: all of it; the record gives no figures for how load balancers vary.
"""

import math
from collections.abc import Iterator
from functools import lru_cache
from hashlib import blake2b

from staleplan.world.model import Fleet, LoadBalancer, Reading

AZS = ("a", "b", "c")
"""Availability zones of the region. Source: R4."""

CLASSES = (40, 80, 160, 240)
"""Capacities of the instance types, weights. Inferred: a doubling and a half, as
instance sizes go; none so small that rounding moves it by more than 2.5 %."""

SWING = 0.02
"""How far capacity swings about nominal, as a share. It rounds to 2.5 % at most."""

SWING_PERIOD_S = (3600.0, 10_800.0)
"""Shortest and longest period of the swing, incident seconds: a few readings differ by
one or two, and a day has several ups and downs."""

ILLNESS_WINDOW_S = 1800.0
"""At most one illness begins and ends in each window, incident seconds."""

ILLNESS_CHANCE = 0.5
"""Chance that a window has an illness: about one an hour in the region."""

ILLNESS_S = (300.0, 900.0)
"""Shortest and longest illness, incident seconds: long enough for several readings."""

REST_S = 600.0
"""Every window begins with this long without illness, incident seconds. A planner that
reads more often has seen one load balancer well before the next falls ill."""

SMALLEST_POOL = 4
"""A pool with fewer load balancers cannot spare one."""

_ADDRESSES_A_BLOCK = 254
_AZ_COUNT = len(AZS)


def lay_out_fleet(total: int, regional: int) -> Fleet:
    """Lay out load balancers over AZs, instance types and pools. Source: R2, R3.

    The first `regional` ones serve the regional endpoint. All others serve the
    account-specific endpoints, and every second of them the FIPS or the dual-stack
    endpoint as well: endpoints share capacity.
    """
    load_balancers = tuple(_load_balancer(i, regional) for i in range(total))
    return Fleet(load_balancers, tuple(_frail(load_balancers)))


def reading_at(
    fleet: Fleet, load_balancer: LoadBalancer, seed: int, at_s: float
) -> Reading:
    """Say how a load balancer is at an incident time, if nobody interferes."""
    healthy = load_balancer.name != ill_at(fleet.frail, seed, at_s)
    return Reading(healthy, _capacity_at(load_balancer, seed, at_s))


def ill_at(frail: tuple[str, ...], seed: int, at_s: float) -> str | None:
    """Name the load balancer that is ill at an incident time, if one is."""
    window, into_window_s = divmod(at_s, ILLNESS_WINDOW_S)
    if not frail or _chance(seed, "illness", window) >= ILLNESS_CHANCE:
        return None
    lasts_s = _between(*ILLNESS_S, _chance(seed, "lasts", window))
    latest_s = ILLNESS_WINDOW_S - lasts_s
    begins_s = _between(REST_S, latest_s, _chance(seed, "begins", window))
    if not begins_s <= into_window_s < begins_s + lasts_s:
        return None
    return frail[int(_chance(seed, "who", window) * len(frail))]


def _capacity_at(load_balancer: LoadBalancer, seed: int, at_s: float) -> int:
    name = load_balancer.name
    period_s = _between(*SWING_PERIOD_S, _chance(seed, "period", name))
    turns = at_s / period_s + _chance(seed, "phase", name)
    swing = 1 + SWING * math.sin(turns * math.tau)
    return round(load_balancer.nominal_capacity * swing)


def _load_balancer(index: int, regional: int) -> LoadBalancer:
    az = AZS[index % _AZ_COUNT]
    block, host = divmod(index, _ADDRESSES_A_BLOCK)
    if index < regional:
        pools = frozenset({"regional"})
    else:
        pools = frozenset({"accounts", ("fips", "dualstack")[(index - regional) % 2]})
    return LoadBalancer(
        name=f"lb-{az}-{index // _AZ_COUNT + 1:02}",
        az=az,
        ipv4=f"127.0.{block + 1}.{host + 1}",
        ipv6=f"2001:db8::{index + 1:x}" if "dualstack" in pools else None,
        pools=pools,
        # In pairs, so that every second one meets every class.
        nominal_capacity=CLASSES[index // 2 % len(CLASSES)],
    )


def _frail(load_balancers: tuple[LoadBalancer, ...]) -> Iterator[str]:
    """Name those that are the smallest of each of their pools, if it can spare one."""
    pools: dict[str, list[int]] = {}
    for each in load_balancers:
        for pool in each.pools:
            pools.setdefault(pool, []).append(each.nominal_capacity)
    for each in load_balancers:
        if all(
            len(pools[pool]) >= SMALLEST_POOL
            and each.nominal_capacity == min(pools[pool])
            for pool in each.pools
        ):
            yield each.name


def _between(low: float, high: float, share: float) -> float:
    return low + (high - low) * share


@lru_cache(maxsize=8192)  # two for each load balancer, four for each window
def _chance(seed: int, *what: object) -> float:
    """A number in [0, 1) that is always the same for the same seed and matter."""
    # 48 bits, so that the quotient is exact and never rounds up to 1.
    digest = blake2b(repr((seed, what)).encode(), digest_size=6).digest()
    return int.from_bytes(digest) / 2**48
