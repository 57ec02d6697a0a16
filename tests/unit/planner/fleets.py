"""Load balancers, readings and regions that tests of the planner share."""

from planner.model import LoadBalancer, Reading, Region, Shard
from staleplan.model import EndpointName, ZoneName, ZonePlan

ALL = frozenset({"accounts", "fips", "dualstack", "regional"})


def balancers(count: int, pools: frozenset[str] = ALL) -> tuple[LoadBalancer, ...]:
    return tuple(
        LoadBalancer(f"nlb-{n:02}", f"10.0.0.{n}", None, pools) for n in range(count)
    )


def well(count: int, **others: Reading) -> dict[str, Reading]:
    """Readings of healthy load balancers of weight 10, some otherwise."""
    readings = {f"nlb-{n:02}": Reading(healthy=True, capacity=10) for n in range(count)}
    return readings | {name.replace("_", "-"): r for name, r in others.items()}


def region(*shards: Shard) -> Region:
    """One zone of one endpoint for each shard."""
    chosen = shards or (Shard("regional", 0, 0),)
    zones = tuple(
        ZonePlan(ZoneName(f"zone-{n}"), (EndpointName(f"{n}.example"),), (n,))
        for n in range(len(chosen))
    )
    return Region(chosen, zones)
