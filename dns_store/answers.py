"""Prebuilt DNS answers: from a question on the wire to its answer on the wire.

A flip of an alias changes what a name answers with, never the name. So one dict leads
from a name, as on the wire, to its place in one list, where the set is that is active
there; a zone's names are put in once, side by side. To flip a zone is to assign one
slice of the list: no name is touched, and as it is one call into C, a query sees a zone
either before its flip or after it, in whichever thread it is answered.

A plain question (one, class IN, type A or AAAA, without EDNS or with a bare OPT) is
answered by joining five byte strings. Any other goes through dnspython, which is
about twenty times slower and gives the same answers.

Memory: about 150 bytes a name, whatever it answers with. A full garbage collection
walks the dict and stops all else meanwhile, for up to 20 ms with 200,000 names: call
`gc.freeze()` once it is filled.

Source: R6, R18, R22.
"""

import re
import struct
from collections import Counter
from collections.abc import Callable, Mapping, Sequence

import dns.exception
import dns.flags
import dns.message
import dns.name
import dns.opcode
import dns.rcode
import dns.rdata
import dns.rrset
from dns.rdataclass import IN
from dns.rdatatype import AAAA, ANY, AXFR, HINFO, IXFR, NS, SOA, A, RdataType
from dns.rdatatype import to_text as type_name

from dns_store.answer_set import (
    A_IN,
    AAAA_IN,
    ADDRESS_BYTES,
    Address,
    CompiledSet,
    Section,
    compile_set,
    heads,
)

__all__ = [
    "MAX_QUERY_BYTES",
    "MAX_UDP_BYTES",
    "NO_TREE",
    "Address",
    "AnswerTable",
    "CompiledSet",
    "Extra",
    "compile_set",
    "failure",
]

# Bytes. What crosses any path unfragmented (DNS flag day 2020).
MAX_UDP_BYTES = 1232
# Bytes. The longest name's question takes 271, EDNS options and a signature another
# 200. One byte more than this still comes from Python's small-object pools, which
# makes receiving 10 % faster.
MAX_QUERY_BYTES = 477

_MAX_TCP_BYTES = 65535
_MIN_UDP_BYTES = 512
_HEADER_BYTES = 12
# The longest name below an apex; also the furthest that an apex can be from the start.
_MAX_NAME_BYTES = 255
# Owner (a pointer to the question), type, class, TTL and length before an address.
_RR_HEAD_BYTES = 12
_NAME = re.compile(r"(?=.{1,253}\Z)[-_a-z0-9]{1,63}(?:\.[-_a-z0-9]{1,63})*")
# The rest of a header that asks one plain question -> index into a tuple of heads.
# AD and CD are for resolvers: an authoritative server ignores them (RFC 4035).
_HEAD_INDEX = {
    bytes((rd, ad_cd, 0, 1, 0, 0, 0, 0, 0, edns)): rd + 2 * edns
    for edns in (0, 1)
    for rd in (0, 1)
    for ad_cd in (0x00, 0x10, 0x20, 0x30)
}
_ADDRESS_TYPES = {A_IN: A, AAAA_IN: AAAA}
# A bare OPT record without its payload size -> the OPT record of the answer, which
# repeats the DO bit (RFC 3225).
_OPT_ANSWERS = {
    b"\0\0\x29\0\0" + do + b"\0\0": (
        b"\0\0\x29" + MAX_UDP_BYTES.to_bytes(2) + b"\0\0" + do + b"\0\0"
    )
    for do in (b"\0\0", b"\x80\0")
}

NO_TREE: CompiledSet = {}
"""What is active at an endpoint whose alias points at no tree: it answers NODATA."""

_NO_ENDPOINT = 0
"""Place of the names that exist only because of the names below them."""

_NODATA = heads(dns.rcode.NOERROR, answers=0, authority=1)
_NXDOMAIN = heads(dns.rcode.NXDOMAIN, answers=0, authority=1)

Extra = Callable[[str, str], list[str] | None]
"""Further records: (name in lower case, type such as `TXT`) -> records as text.

An empty list says that the name exists without that type, None that it does not.
"""


def failure(query: bytes, rcode: int) -> bytes:
    """A bare header that refuses a query of at least 12 bytes with `rcode`."""
    return query[:2] + bytes((0x80 | query[2] & 0x79, rcode)) + bytes(8)


class AnswerTable:
    """Everything at and below one apex: who exists, and what is active there.

    Inferred: the SOA and NS records name `ns1.<apex>`, which has no address; nobody
    delegates to us, and clients are told our address and port.
    """

    def __init__(
        self,
        apex: str,
        *,
        ttl_s: int,
        negative_ttl_s: int,
        extra: Extra = lambda _name, _type: None,
    ) -> None:
        self._apex_text = apex.lower()
        self._apex_wire = _to_wire(apex)
        self._apex = dns.name.from_wire(self._apex_wire, 0)[0]
        self._ttl_s = ttl_s
        self._extra = extra
        self._active: list[CompiledSet] = [NO_TREE]
        own = self._apex_wire, _to_wire(f"ns1.{apex}")
        self._places = dict.fromkeys(own, _NO_ENDPOINT)
        self._zones: dict[str, slice] = {}
        self._soa = dns.rrset.from_text(
            self._apex,
            negative_ttl_s,
            IN,
            SOA,
            f"ns1.{apex}. hostmaster.{apex}. 1 3600 600 86400 {negative_ttl_s}",
        )
        self._ns = dns.rrset.from_text(self._apex, ttl_s, IN, NS, f"ns1.{apex}.")
        self._hinfo = dns.rdata.from_text(IN, HINFO, '"RFC8482" ""')
        self._soa_after = [
            _soa_section(prefix_bytes, negative_ttl_s)
            for prefix_bytes in range(_MAX_NAME_BYTES)
        ]

    def add_names(self, zone: str, names: Sequence[str]) -> None:
        """Add the endpoints of a zone, in order; until pointed they answer NODATA.

        The names between an endpoint and the apex then exist too, without addresses.

        Raises: ValueError if a name is malformed, outside the apex, twice there or in
            another zone, or if the zone has other names; nothing is added then.
        """
        wires = [self._name_below_apex(name) for name in names]
        if zone in self._zones:
            span = self._zones[zone]
            if [*map(self._places.get, wires)] != [*range(span.start, span.stop)]:
                raise ValueError(f"zone {zone!r} already has other names")
            return
        for wire, times in Counter(wires).items():
            if times > 1 or self._places.get(wire, _NO_ENDPOINT) != _NO_ENDPOINT:
                raise ValueError(f"{_to_text(wire)!r} is already in a zone")
        first = len(self._active)
        self._active += [NO_TREE] * len(wires)
        self._zones[zone] = slice(first, len(self._active))
        for place, wire in enumerate(wires, first):
            self._places[wire] = place
            parent = wire[1 + wire[0] :]
            while len(parent) > len(self._apex_wire) and parent not in self._places:
                self._places[parent] = _NO_ENDPOINT
                parent = parent[1 + parent[0] :]

    def point(self, zone: str, sets: Sequence[CompiledSet]) -> None:
        """Point the endpoints of a zone, in order, at their active trees' sets.

        Raises: ValueError if the zone is unknown or has another number of names;
            nothing is changed then.
        Source: R6, R18.
        """
        span = self._zones.get(zone)
        names = span.stop - span.start if span else 0
        if span is None or len(sets) != names:
            raise ValueError(f"zone {zone!r} has {names} names, not {len(sets)}")
        # One call into C: an answering thread sees all of the zone's flip or none.
        self._active[span] = sets

    def answer(self, query: bytes, *, tcp: bool) -> bytes | None:
        """Answer one message; None is silence, for what is not a query at all.

        Raises: only what the `extra` function raises, or what its records raise when
            they cannot be parsed; no query makes it raise by itself.
        """
        # The first part is the hot path: it answers nearly all there is to answer.
        head_index = _HEAD_INDEX.get(query[2:_HEADER_BYTES])
        if head_index is not None:
            end = query.find(b"\0", _HEADER_BYTES) + 5
            opt = _opt_answer(query, end) if head_index >= 2 else b""
            if opt is not None and (opt or len(query) == end):
                # Sound, because no name's wire form begins another's, and the bytes
                # that give lengths (0..63) are no letters to be lowered.
                place = self._places.get(query[_HEADER_BYTES : end - 4].lower())
                if place is not None:
                    section = self._active[place].get(query[end - 4 : end])
                    if section is not None:
                        return b"".join(
                            (
                                query[:2],
                                section.heads[head_index],
                                query[_HEADER_BYTES:end],
                                next(section.rotation),
                                opt,
                            )
                        )
                exists = place is not None
                negative = self._answer_negative(query[:end], head_index, exists)
                if negative is not None:
                    return negative + opt
        return self._answer_any(query, tcp=tcp)

    def _answer_negative(
        self, query: bytes, head_index: int, exists: bool
    ) -> bytes | None:
        """Say that an address is surely missing, or None if that takes more thought."""
        kind = _ADDRESS_TYPES.get(query[-4:])
        name_bytes = len(query) - _HEADER_BYTES - 4
        if kind is None or (
            not exists and not self._is_absent(query, name_bytes, kind)
        ):
            return None
        heads = _NODATA if exists else _NXDOMAIN
        soa = self._soa_after[name_bytes - len(self._apex_wire)]
        return query[:2] + heads[head_index] + query[_HEADER_BYTES:] + soa

    def _is_absent(self, query: bytes, name_bytes: int, kind: RdataType) -> bool:
        """Whether a name outside the table is surely a missing one below the apex."""
        try:
            name, length = dns.name.from_wire(query, _HEADER_BYTES)
        except dns.exception.DNSException:
            return False
        return (
            length == name_bytes
            and name.is_subdomain(self._apex)
            and self._ask_extra(name, kind) is None
        )

    def _answer_any(self, query: bytes, *, tcp: bool) -> bytes | None:
        """Answer any message at all, by way of dnspython."""
        if len(query) < _HEADER_BYTES or query[2] & 0x80:
            return None
        if query[2] >> 3 != dns.opcode.QUERY:
            return failure(query, dns.rcode.NOTIMP)
        questions, answers, authority, additional = struct.unpack_from("!4H", query, 4)
        # IXFR brings one SOA, others an OPT and a TSIG: more is no query, and only
        # costs time.
        if questions != 1 or answers or authority > 1 or additional > 2:
            return failure(query, dns.rcode.FORMERR)
        if len(query) > MAX_QUERY_BYTES:
            return failure(query, dns.rcode.FORMERR)
        try:
            message = dns.message.from_wire(query, keyring=False)
        except (dns.exception.DNSException, ValueError):
            return failure(query, dns.rcode.FORMERR)
        response = dns.message.make_response(message, our_payload=MAX_UDP_BYTES, pad=0)
        response.ednsflags |= message.ednsflags & dns.flags.DO
        self._fill(response, edns_version=message.edns)
        udp_bytes = min(max(message.payload, _MIN_UDP_BYTES), MAX_UDP_BYTES)
        return response.to_wire(
            max_size=_MAX_TCP_BYTES if tcp else udp_bytes,
            prefer_truncation=True,
            want_shuffle=False,
        )

    def _fill(self, response: dns.message.Message, *, edns_version: int) -> None:
        """Decide the code and the records of the response to its question."""
        question = response.question[0]
        name, kind = question.name, question.rdtype
        if edns_version > 0:
            response.set_rcode(dns.rcode.BADVERS)
            return
        ours = question.rdclass == IN and name.is_subdomain(self._apex)
        if not ours or kind in (AXFR, IXFR):
            response.set_rcode(dns.rcode.REFUSED)
            return
        response.flags |= dns.flags.AA
        place = self._places.get(name.to_digestable())
        active = NO_TREE if place is None else self._active[place]
        records = self._own_records(name, kind, active)
        if records is None and (place is None or kind not in (A, AAAA)):
            texts = self._ask_extra(name, kind)
            if texts is None and place is None:
                response.set_rcode(dns.rcode.NXDOMAIN)
            records = self._extra_records(name, kind, texts)
        if records is None:
            response.authority.append(self._soa)
        else:
            response.answer.append(records)

    def _own_records(
        self, name: dns.name.Name, kind: RdataType, sections: Mapping[bytes, Section]
    ) -> dns.rrset.RRset | None:
        """The records that the table itself holds, if it holds any of that type."""
        if name == self._apex and kind in (SOA, NS):
            return self._soa if kind == SOA else self._ns
        if kind == ANY and (sections or name == self._apex):
            return dns.rrset.from_rdata(name, self._ttl_s, self._hinfo)
        wire_kind = struct.pack("!HH", kind, IN)
        section = sections.get(wire_kind)
        if section is None:
            return None
        wire, size = next(section.rotation), ADDRESS_BYTES[wire_kind]
        starts = range(_RR_HEAD_BYTES, len(wire), _RR_HEAD_BYTES + size)
        rdatas = [dns.rdata.from_wire(IN, kind, wire, at, size) for at in starts]
        return dns.rrset.from_rdata_list(name, section.ttl_s, rdatas)

    def _ask_extra(self, name: dns.name.Name, kind: RdataType) -> list[str] | None:
        # RFC 8482: ANY is answered with one HINFO record, so that is what we ask for.
        asked = HINFO if kind == ANY else kind
        text = name.to_text(omit_final_dot=True).lower()
        return self._extra(text, type_name(asked))

    def _extra_records(
        self, name: dns.name.Name, kind: RdataType, texts: list[str] | None
    ) -> dns.rrset.RRset | None:
        if texts is not None and kind == ANY:
            return dns.rrset.from_rdata(name, self._ttl_s, self._hinfo)
        if not texts:
            return None
        return dns.rrset.from_text_list(name, self._ttl_s, IN, kind, texts)

    def _name_below_apex(self, name: str) -> bytes:
        wire = _to_wire(name)
        if not f".{name}".lower().endswith(f".{self._apex_text}"):
            raise ValueError(f"{name!r} is not at or below {self._apex_text!r}")
        return wire


def _opt_answer(query: bytes, end: int) -> bytes | None:
    """The OPT record that answers the bare one after the question, if it is one."""
    return _OPT_ANSWERS.get(query[end : end + 3] + query[end + 5 :])


def _to_wire(name: str) -> bytes:
    """A host name without its final dot as lower-case labels with their lengths."""
    if not _NAME.fullmatch(name.lower()):
        raise ValueError(f"{name!r} is not a DNS name")
    labels = name.lower().encode().split(b".")
    return b"".join(bytes((len(label),)) + label for label in labels) + b"\0"


def _to_text(wire: bytes) -> str:
    return dns.name.from_wire(wire, 0)[0].to_text(omit_final_dot=True)


def _soa_section(prefix_bytes: int, negative_ttl_s: int) -> bytes:
    """The SOA record for a question whose apex begins after `prefix_bytes`.

    The TTL and the minimum are both the time for which a resolver may remember that
    there is nothing (RFC 2308).
    """
    apex = (0xC000 | (_HEADER_BYTES + prefix_bytes)).to_bytes(2)
    numbers = struct.pack("!5I", 1, 3600, 600, 86400, negative_ttl_s)
    rdata = b"\x03ns1" + apex + b"\x0ahostmaster" + apex + numbers
    return apex + struct.pack("!HHIH", SOA, IN, negative_ttl_s, len(rdata)) + rdata
