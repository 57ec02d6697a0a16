"""The planner's decisions: from the load balancers' state to the region's next plan."""

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import cast

from planner.model import (
    LoadBalancer,
    Publish,
    Reading,
    ReadNewestPlan,
    ReadReport,
    Region,
    Report,
    Round,
    Shard,
    Unchanged,
    UnsafePlan,
)
from planner.safeguards import Safeguards
from staleplan.model import (
    MAX_ZONE_ENDPOINTS,
    NOTHING,
    AnswerSet,
    Draft,
    EndpointName,
    Outdated,
    Plan,
    Published,
    Target,
    Weighted,
    ZoneName,
    ZonePlan,
)

MAX_REMOVED_SHARE = 0.3
"""The largest share of an endpoint's weight that a plan may take away unforced.
Inferred: AWS names the protection (R47), not the figure."""

ACCOUNT_SHARDS = 16
"""Answer sets that the account-specific endpoints share. Inferred: enough that two
accounts seldom have all load balancers in common, few enough to stay small."""

ACCOUNT_SHARD_WIDTH = 4
"""Load balancers behind one account-specific endpoint. Inferred."""


@dataclass(frozen=True, slots=True)
class Occasion:
    """Why a round is made: its period is over, or an operator forces a digest."""

    period_is_over: bool
    forced_digest: str | None = None


def make_plan(
    region: Region,
    known: Mapping[str, Reading],
    occasion: Occasion,
    safeguards: Safeguards,
) -> Round:
    """Publish the next plan, if there is something to say. Source: R1, R2.

    `known` are the readings of earlier rounds.
    """
    newest = cast("Plan | None", (yield ReadNewestPlan()))
    report = cast("Report", (yield ReadReport()))
    readings = (
        {**known, **report.readings}
        if safeguards.treat_missing_input_as_unknown
        else report.readings
    )
    draft = lay_out(region, report.load_balancers, readings, newest)
    if newest and not occasion.period_is_over and _says_the_same(newest.draft, draft):
        return Unchanged(newest.generation)
    if safeguards.refuse_unsafe_plan:
        unsafe = find_unsafe(newest.draft if newest else None, draft)
        if unsafe and unsafe.digest != occasion.forced_digest:
            return unsafe
    return cast("Published | Outdated", (yield Publish(draft)))


def lay_out(
    region: Region,
    load_balancers: tuple[LoadBalancer, ...],
    readings: Mapping[str, Reading],
    newest: Plan | None,
) -> Draft:
    """Turn readings into answer sets: healthy load balancers, weighted by capacity."""
    targets = tuple(Target(b.name, b.ipv4, b.ipv6) for b in load_balancers)
    answer_sets = tuple(
        _answer_set(shard, load_balancers, readings) for shard in region.shards
    )
    parent = newest.generation if newest else NOTHING
    return Draft(parent, targets, answer_sets, region.zones)


def find_unsafe(old: Draft | None, new: Draft) -> UnsafePlan | None:
    """Find the endpoint that loses most, if it loses too much. Source: R47."""
    worst: tuple[float, str] = (0.0, "")
    for zone, before, after in _pairs(old, new):
        lost = _removed_share(before, after)
        worst = max(worst, (lost, zone))
    removed, endpoint = worst
    if removed <= MAX_REMOVED_SHARE:
        return None
    return UnsafePlan(digest_of(new), endpoint, removed)


def digest_of(draft: Draft) -> str:
    """Name a draft by what it says, so that an operator can force this very one.

    Shape: 12 hexadecimal digits.
    """
    said = repr((draft.targets, draft.answer_sets)).encode()
    return hashlib.sha256(said).hexdigest()[:12]


def region_of(name: str, account_endpoints: int) -> Region:
    """Lay out a region's endpoints in zones, the regional endpoint last. Source: R2.

    Inferred: accounts come in blocks of one zone each, and the endpoint that everybody
    uses is walked last, so that a bad plan shows itself on the small ones first.
    """
    shards = (
        *(Shard("accounts", ACCOUNT_SHARD_WIDTH, i) for i in range(ACCOUNT_SHARDS)),
        Shard("fips", 0, 0),
        Shard("dualstack", 0, 0),
        Shard("regional", 0, 0),
    )
    singles = (
        ("fips", f"dynamodb-fips.{name}.example", ACCOUNT_SHARDS),
        ("dualstack", f"dynamodb-dualstack.{name}.example", ACCOUNT_SHARDS + 1),
        ("regional", f"dynamodb.{name}.example", ACCOUNT_SHARDS + 2),
    )
    zones = (
        *_account_blocks(name, account_endpoints),
        *(
            ZonePlan(ZoneName(zone), (EndpointName(endpoint),), (answers,))
            for zone, endpoint, answers in singles
        ),
    )
    return Region(shards, zones)


def _account_blocks(name: str, account_endpoints: int) -> Iterator[ZonePlan]:
    blocks = range(0, account_endpoints, MAX_ZONE_ENDPOINTS)
    for block, start in enumerate(blocks):
        accounts = range(start, min(start + MAX_ZONE_ENDPOINTS, account_endpoints))
        yield ZonePlan(
            ZoneName(f"accounts-{block:03}"),
            tuple(EndpointName(f"{a:012}.ddb.{name}.example") for a in accounts),
            tuple(a % ACCOUNT_SHARDS for a in accounts),
        )


def _answer_set(
    shard: Shard,
    load_balancers: tuple[LoadBalancer, ...],
    readings: Mapping[str, Reading],
) -> AnswerSet:
    pool = [
        (index, balancer.name)
        for index, balancer in enumerate(load_balancers)
        if shard.pool in balancer.pools
    ]
    if shard.width:
        # Highest random weight: a load balancer that comes or goes moves few shards.
        pool.sort(key=lambda member: _rank(shard.index, member[1]))
        pool = sorted(pool[: shard.width])
    return tuple(
        Weighted(index, reading.capacity)
        for index, name in pool
        if (reading := readings.get(name)) and reading.healthy and reading.capacity
    )


def _rank(shard: int, name: str) -> bytes:
    return hashlib.sha256(f"{shard}/{name}".encode()).digest()


def _says_the_same(old: Draft, new: Draft) -> bool:
    return (old.targets, old.answer_sets) == (new.targets, new.answer_sets)


Weights = Mapping[str, int]


def _pairs(old: Draft | None, new: Draft) -> Iterator[tuple[str, Weights, Weights]]:
    """Each distinct change of an answer set, with an endpoint that undergoes it."""
    before = {zone.zone: zone.answers for zone in old.zones} if old else {}
    seen: set[tuple[int | None, int]] = set()
    for zone in new.zones:
        was = before.get(zone.zone) or (None,) * len(zone.answers)
        # A zone whose endpoints changed is for the store to refuse.
        pairs = zip(zone.endpoints, was, zone.answers, strict=False)
        for endpoint, one, other in pairs:
            if (one, other) not in seen:
                seen.add((one, other))
                earlier = _weights(old, one) if old and one is not None else {}
                yield endpoint, earlier, _weights(new, other)


def _weights(draft: Draft, answer_set: int) -> Weights:
    members = draft.answer_sets[answer_set]
    return {draft.targets[m.target].name: m.weight for m in members}


def _removed_share(before: Weights, after: Weights) -> float:
    if not any(after.values()):
        return 1.0
    total = sum(before.values())
    lost = sum(max(0, weight - after.get(name, 0)) for name, weight in before.items())
    return lost / total if total else 0.0
