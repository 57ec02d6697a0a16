"""A caching stub resolver, as stands between most customers and the DNS.

It remembers that a name has no addresses just as it remembers addresses, and as a
rule for longer: the negative TTL is the server's to say (RFC 2308). So an outage that
is an empty answer goes on for its customers after the answer is back. Source: R22.

Time is incident time: TTLs scale with everything else.
"""

from dataclasses import dataclass, replace
from typing import Literal

import dns.asyncquery
import dns.exception
import dns.flags
import dns.message
import dns.rcode
import dns.rdataclass
import dns.rdatatype
import dns.rdtypes.ANY.SOA

from staleplan.runtime.clock import Clock
from staleplan.world.errors import ResolutionError

QUERY_TIMEOUT_S = 2.0
"""How long an answer may take, wall seconds; a local one takes a millisecond."""

AddressType = Literal["A", "AAAA"]
"""Which addresses are asked for."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What a name resolves to, from the server or from memory.

    `code` is `NOERROR`, or `NXDOMAIN` for a name that does not exist; no addresses
    with `NOERROR` is a name that exists and has none. Units: `ttl_s` is how long the
    answer holds from now, `expires_at_s` epoch seconds, both incident time.
    """

    name: str
    code: str
    addresses: tuple[str, ...]
    ttl_s: float
    expires_at_s: float
    from_cache: bool


class Resolver:
    """Asks one DNS server, and remembers what it said for as long as it said so.

    Not guaranteed: memory is bounded by the names that are asked for, nothing else.
    """

    def __init__(self, dns_target: str, clock: Clock) -> None:
        """Asks the server at `dns_target` (host:port)."""
        self._dns_target = dns_target
        self._host, _, port = dns_target.rpartition(":")
        self._port = int(port)
        self._clock = clock
        self._cache: dict[tuple[str, AddressType], Answer] = {}

    async def resolve(self, name: str, kind: AddressType = "A") -> Answer:
        """Returns the addresses of a name; no addresses is an answer like any other.

        Raises: ResolutionError, if the server is silent, or answers with another
            error than that the name does not exist.
        """
        key = (name.lower().rstrip("."), kind)
        now_s = self._clock.now_s()
        known = self._cache.get(key)
        if known and now_s < known.expires_at_s:
            return replace(known, ttl_s=known.expires_at_s - now_s, from_cache=True)
        answer = await self._ask(*key)
        self._cache[key] = answer
        return answer

    async def _ask(self, name: str, kind: AddressType) -> Answer:
        try:
            query = dns.message.make_query(name, kind)
            response, _ = await dns.asyncquery.udp_with_fallback(
                query, self._host, QUERY_TIMEOUT_S, self._port
            )
        except (dns.exception.DNSException, OSError) as error:
            problem = str(error) or type(error).__name__
            raise ResolutionError(name, self._dns_target, problem) from error
        code = response.rcode()
        if code not in (dns.rcode.NOERROR, dns.rcode.NXDOMAIN):
            raise ResolutionError(name, self._dns_target, dns.rcode.to_text(code))
        records = [
            each for each in response.answer if each.rdtype == query.question[0].rdtype
        ]
        ttl_s = (
            min(each.ttl for each in records) if records else _negative_ttl_s(response)
        )
        return Answer(
            name,
            dns.rcode.to_text(code),
            tuple(record.address for each in records for record in each),
            ttl_s,
            self._clock.now_s() + ttl_s,
            from_cache=False,
        )


def _negative_ttl_s(response: dns.message.Message) -> int:
    """How long "there is nothing" holds: the lesser of the SOA's TTL and its minimum.

    Without an SOA it is not to be remembered at all (RFC 2308, section 5).
    """
    for records in response.authority:
        for record in records:
            if isinstance(record, dns.rdtypes.ANY.SOA.SOA):
                return min(records.ttl, record.minimum)
    return 0
