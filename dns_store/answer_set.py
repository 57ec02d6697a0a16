"""One weighted set of load balancers, prebuilt as the answers that it gives.

Each set holds some variants, each of up to `MAX_ADDRESSES` addresses drawn by weight
without replacement, and queries take them in turn. The variants are a function of the
set's content alone, so every process answers alike.

Inferred: how many addresses an answer has, and their order, are not in the record.
Source: R6.
"""

import math
import random
import struct
from bisect import bisect
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address
from itertools import accumulate, cycle

from dns.rcode import NOERROR

# Addresses. Four A or AAAA records always fit the 512 bytes of a client without EDNS.
MAX_ADDRESSES = 4
# Variants. An address comes first within 1/64 of its share; equal weights of up to
# 64 addresses come out exact. A larger set has one variant per address.
MIN_VARIANTS = 64
# Draws of an answer's further addresses before all that are left are sorted: three
# suffice but for repeats, which are rare in a set of many.
TRIES = 8
# The largest weight that Route 53 takes.
MAX_WEIGHT = 255

A_IN = b"\0\x01\0\x01"
"""Type and class of a question for IPv4 addresses, on the wire."""
AAAA_IN = b"\0\x1c\0\x01"
"""Type and class of a question for IPv6 addresses, on the wire."""
ADDRESS_BYTES = {A_IN: 4, AAAA_IN: 16}


def heads(rcode: int, *, answers: int, authority: int) -> tuple[bytes, ...]:
    """The header after its id: for RD clear and set, then for both with an OPT."""
    return tuple(
        struct.pack("!BBHHHH", 0x84 | rd, rcode, 1, answers, authority, edns)
        for edns in (0, 1)
        for rd in (0, 1)
    )


@dataclass(frozen=True, slots=True)
class Address:
    """One load balancer in an answer set.

    Units: weight is 0 (never answered) to 255, relative to the rest of its set.
    Raises: ValueError if the weight is outside that range.
    """

    weight: int
    ipv4: str | None
    ipv6: str | None

    def __post_init__(self) -> None:
        if not 0 <= self.weight <= MAX_WEIGHT:
            raise ValueError(f"weight {self.weight} is not in 0..{MAX_WEIGHT}")


@dataclass(frozen=True, slots=True, eq=False)
class Section:
    """The prebuilt answer sections of one set for one address family."""

    heads: tuple[bytes, ...]
    variants: tuple[bytes, ...]
    rotation: Iterator[bytes]
    ttl_s: int


CompiledSet = Mapping[bytes, Section]
"""One weighted set, ready to be sent; a family without addresses is absent."""


def compile_set(addresses: Sequence[Address], ttl_s: int) -> CompiledSet:
    """Prebuild the answers of a weighted set, for A and for AAAA.

    Over one rotation an address comes first within one variant of its weight's share,
    so one whose share is below 1/`MIN_VARIANTS` may never be first. Takes 1 ms for ten
    load balancers, 5 for 200: share one result among all names with that set.

    Raises: ValueError if an address is not one of its family.
    """
    ipv4: Counter[bytes] = Counter()
    ipv6: Counter[bytes] = Counter()
    for address in addresses:
        if address.ipv4 is not None:
            ipv4[IPv4Address(address.ipv4).packed] += address.weight
        if address.ipv6 is not None:
            ipv6[IPv6Address(address.ipv6).packed] += address.weight
    sections = {}
    for kind, weights in ((A_IN, ipv4), (AAAA_IN, ipv6)):
        served = sorted((+weights).items())
        if served:
            sections[kind] = _compile_section(kind, served, ttl_s)
    return sections


def _compile_section(
    kind: bytes, weights: list[tuple[bytes, int]], ttl_s: int
) -> Section:
    """Draw the variants of one family: the first addresses are dealt out by quota."""
    draw = random.Random(repr(weights))
    head = b"\xc0\x0c" + kind + struct.pack("!IH", ttl_s, ADDRESS_BYTES[kind])
    records = [(head + address, weight) for address, weight in weights]
    sums = tuple(accumulate(weight for _, weight in weights))
    variants = [
        b"".join(_draw_others(draw, first, records, sums))
        for first in _first_records(records)
    ]
    draw.shuffle(variants)
    count = min(len(weights), MAX_ADDRESSES)
    return Section(
        heads(NOERROR, answers=count, authority=0),
        tuple(variants),
        cycle(variants),
        ttl_s,
    )


def _draw_others(
    draw: random.Random,
    first: bytes,
    records: list[tuple[bytes, int]],
    sums: Sequence[int],
) -> list[bytes]:
    """Draw who comes after the first, by weight, without replacement.

    What is drawn again does not count. Where that leaves too few, because a few weigh
    nearly all, the rest is drawn by exponential times, the smallest first: the same
    distribution, but at the price of sorting the whole set.
    """
    drawn = {first: None}
    for _ in range(TRIES):
        record, _ = records[bisect(sums, draw.random() * sums[-1])]
        drawn[record] = None
        if len(drawn) == MAX_ADDRESSES:
            return list(drawn)
    rest = sorted((draw.expovariate(w), r) for r, w in records if r not in drawn)
    return [*drawn, *(record for _, record in rest)][:MAX_ADDRESSES]


def _first_records(records: list[tuple[bytes, int]]) -> list[bytes]:
    """Deal out who comes first, each address by its share of the weight."""
    divisor = math.gcd(*(weight for _, weight in records))
    total = sum(weight for _, weight in records) // divisor
    count = max(MIN_VARIANTS, len(records))
    if total <= count:
        count -= count % total  # every share comes out whole
    firsts: list[bytes] = []
    dealt = 0
    for record, weight in records:
        dealt += weight // divisor
        firsts += [record] * (count * dealt // total - len(firsts))
    return firsts
