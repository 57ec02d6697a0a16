"""How large a search may be: what the numbers of its states have bits for."""

ZONE_NAMES = ("regional", "fips", "dualstack")
"""Zones of the explored region, named after those of the real one. Source: R5."""

ENACTOR_AZS = ("a", "b", "c", "d")
"""One zone more than the region has, for what only shows with many enactors."""

PLAN_BITS, FAULT_BITS = 4, 2
"""Bits of the newest plan's number, and of how many faults of a kind are left."""

MAX_ENACTORS, MAX_ZONES = len(ENACTOR_AZS), len(ZONE_NAMES)
MAX_PLANS, MAX_FAULTS = (1 << PLAN_BITS) - 1, (1 << FAULT_BITS) - 1
"""A larger number would run into the bits of its neighbour."""
