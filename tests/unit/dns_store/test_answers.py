"""What the answer table says, on the wire, to honest queries."""

import tracemalloc
from typing import Any

import dns.edns
import dns.exception
import dns.flags
import dns.message
import dns.name
import dns.opcode
import dns.rcode
import dns.rdatatype
import pytest

from dns_store.answer_set import MAX_ADDRESSES
from dns_store.answers import (
    MAX_UDP_BYTES,
    NO_TREE,
    Address,
    AnswerTable,
    CompiledSet,
    compile_set,
)

APEX = "us-east-1.example"
NAME = f"dynamodb.{APEX}"
ACCOUNT = f"111122223333.ddb.{APEX}"
BOTH = Address(10, "127.0.1.1", "2001:db8::1")
BIG_TEXTS = [f'"{number:04d}{"x" * 200}"' for number in range(40)]


def extra(name: str, kind: str) -> list[str] | None:
    """Operators' records, as the feed gives them."""
    return {
        (f"_lock.{APEX}", "TXT"): ['"enactor-az1 1760943600"'],
        (f"_lock.{APEX}", "A"): [],
        (f"_lock.{APEX}", "HINFO"): [],
        (f"v7.{NAME}", "A"): ["127.0.1.9"],
        (f"big.{APEX}", "TXT"): BIG_TEXTS,
        (f"broken.{APEX}", "A"): ["not an address"],
    }.get((name, kind))


def make_table(pointed: CompiledSet | None = None) -> AnswerTable:
    table = AnswerTable(APEX, ttl_s=5, negative_ttl_s=30, extra=extra)
    table.add_names("regional", [NAME])
    table.add_names("accounts-0", [ACCOUNT, f"gone.{APEX}"])
    served = pointed or compile_set([BOTH], 5)
    table.point("regional", [served])
    table.point("accounts-0", [served, NO_TREE])
    return table


def ask(
    table: AnswerTable, query: dns.message.Message, *, tcp: bool = False
) -> dns.message.Message:
    wire = table.answer(query.to_wire(), tcp=tcp)
    assert wire is not None
    answer = dns.message.from_wire(wire)
    if answer.question:
        assert query.is_response(answer)
    return answer


def question(name: str, kind: str = "A", **options: Any) -> dns.message.Message:
    return dns.message.make_query(name, kind, **options)


def records(answer: dns.message.Message) -> list[str]:
    return [rdata.to_text() for rrset in answer.answer for rdata in rrset]


def assert_negative(answer: dns.message.Message, rcode: dns.rcode.Rcode) -> None:
    assert answer.rcode() == rcode
    assert answer.flags & dns.flags.AA
    assert answer.answer == []
    [soa] = answer.authority
    assert soa.name == dns.name.from_text(APEX)
    assert (soa.ttl, soa[0].minimum) == (30, 30)


# ---- what exists


@pytest.mark.parametrize("edns", [False, True])
@pytest.mark.parametrize("tcp", [False, True])
@pytest.mark.parametrize(
    ("kind", "address"), [("A", "127.0.1.1"), ("AAAA", "2001:db8::1")]
)
def test_answers_an_address_question(
    kind: str, address: str, tcp: bool, edns: bool
) -> None:
    answer = ask(make_table(), question(NAME, kind, use_edns=edns), tcp=tcp)
    assert answer.rcode() == dns.rcode.NOERROR
    assert records(answer) == [address]
    assert answer.answer[0].name == dns.name.from_text(NAME)
    assert answer.answer[0].ttl == 5
    assert answer.flags == dns.flags.QR | dns.flags.AA | dns.flags.RD
    assert answer.edns == (0 if edns else -1)
    assert answer.payload == (MAX_UDP_BYTES if edns else 0)
    assert answer.authority == []


@pytest.mark.parametrize("options", [{}, {"options": [dns.edns.NSIDOption(b"")]}])
def test_copies_the_case_of_the_question_and_the_asked_bits_only(
    options: dict[str, Any],
) -> None:
    query = question("DynamoDB.US-east-1.EXAMPLE", want_dnssec=True, **options)
    query.flags = dns.flags.Flag(dns.flags.AD | dns.flags.CD)
    wire = make_table().answer(query.to_wire(), tcp=False)
    assert wire is not None
    assert b"\x08DynamoDB\x09US-east-1\x07EXAMPLE\0" in wire
    answer = dns.message.from_wire(wire)
    assert records(answer) == ["127.0.1.1"]
    assert answer.flags == dns.flags.QR | dns.flags.AA
    assert answer.ednsflags == dns.flags.DO
    assert answer.options == ()


def test_an_alias_to_a_missing_tree_is_nodata() -> None:
    for kind in ("A", "AAAA", "ANY", "TXT"):
        assert_negative(
            ask(make_table(), question(f"gone.{APEX}", kind)), dns.rcode.NOERROR
        )


def test_a_family_without_addresses_is_nodata() -> None:
    table = make_table(compile_set([Address(1, "127.0.1.1", None)], 5))
    assert records(ask(table, question(NAME, "A"))) == ["127.0.1.1"]
    assert_negative(ask(table, question(NAME, "AAAA")), dns.rcode.NOERROR)


def test_a_name_that_was_never_pointed_is_nodata() -> None:
    table = AnswerTable(APEX, ttl_s=5, negative_ttl_s=30)
    table.add_names("regional", [NAME])
    assert_negative(ask(table, question(NAME)), dns.rcode.NOERROR)


@pytest.mark.parametrize("name", [APEX, f"ns1.{APEX}", f"ddb.{APEX}"])
@pytest.mark.parametrize("kind", ["A", "AAAA", "MX"])
def test_a_name_that_only_has_names_below_it_is_nodata(name: str, kind: str) -> None:
    assert_negative(ask(make_table(), question(name, kind)), dns.rcode.NOERROR)


@pytest.mark.parametrize("edns", [False, True])
@pytest.mark.parametrize("kind", ["A", "AAAA", "TXT", "ANY"])
@pytest.mark.parametrize("name", [f"x.{APEX}", f"x.{NAME}", f"a.b.{APEX}"])
def test_an_unknown_name_below_the_apex_is_nxdomain(
    name: str, kind: str, edns: bool
) -> None:
    answer = ask(make_table(), question(name, kind, use_edns=edns))
    assert_negative(answer, dns.rcode.NXDOMAIN)


@pytest.mark.parametrize("kind", ["A", "TXT", "SOA"])
@pytest.mark.parametrize("name", [".", "example", "us-west-2.example", f"x{APEX}"])
def test_a_name_outside_the_apex_is_refused(name: str, kind: str) -> None:
    answer = ask(make_table(), question(name, kind))
    assert answer.rcode() == dns.rcode.REFUSED
    assert not answer.flags & (dns.flags.AA | dns.flags.RA)
    assert (answer.answer, answer.authority) == ([], [])


def test_the_apex_has_soa_and_ns() -> None:
    soa = ask(make_table(), question(APEX, "SOA"))
    assert records(soa) == [
        f"ns1.{APEX}. hostmaster.{APEX}. 1 3600 600 86400 30",
    ]
    assert records(ask(make_table(), question(APEX, "NS"))) == [f"ns1.{APEX}."]


def test_the_apex_itself_can_be_an_endpoint() -> None:
    table = AnswerTable(NAME, ttl_s=5, negative_ttl_s=30)
    table.add_names("regional", [f"a.{NAME}", NAME])
    table.point("regional", [NO_TREE, compile_set([BOTH], 5)])
    assert records(ask(table, question(NAME))) == ["127.0.1.1"]
    assert len(records(ask(table, question(NAME, "SOA")))) == 1


def test_an_endpoint_can_be_above_another() -> None:
    table = AnswerTable(APEX, ttl_s=5, negative_ttl_s=30)
    table.add_names("accounts", [f"1.{NAME}"])
    table.add_names("regional", [NAME])
    served = compile_set([BOTH], 5)
    table.point("accounts", [served])
    table.point("regional", [served])
    for name in (NAME, f"1.{NAME}"):
        assert records(ask(table, question(name))) == ["127.0.1.1"]


@pytest.mark.parametrize("name", [NAME, APEX, f"_lock.{APEX}"])
def test_any_gets_one_record_only(name: str) -> None:
    assert records(ask(make_table(), question(name, "ANY"))) == ['"RFC8482" ""']


# ---- operators' records


def test_extra_records_are_served() -> None:
    table = make_table()
    lock = ask(table, question(f"_LOCK.{APEX}", "TXT"))
    assert records(lock) == ['"enactor-az1 1760943600"']
    assert lock.flags & dns.flags.AA
    assert lock.answer[0].ttl == 5
    assert records(ask(table, question(f"v7.{NAME}"))) == ["127.0.1.9"]
    assert_negative(ask(table, question(f"_lock.{APEX}")), dns.rcode.NOERROR)


def test_extra_records_cannot_change_the_addresses_of_an_endpoint() -> None:
    table = AnswerTable(
        APEX, ttl_s=5, negative_ttl_s=30, extra=lambda _name, _kind: ["127.9.9.9"]
    )
    table.add_names("regional", [NAME])
    for edns in (None, 0):
        options = [dns.edns.NSIDOption(b"")] if edns == 0 else None
        answer = ask(table, question(NAME, use_edns=edns, options=options))
        assert_negative(answer, dns.rcode.NOERROR)


def test_extra_records_that_make_no_sense_raise() -> None:
    query = question(f"broken.{APEX}").to_wire()
    with pytest.raises(dns.exception.SyntaxError):
        make_table().answer(query, tcp=False)


@pytest.mark.parametrize(
    ("payload", "limit"), [(None, 512), (100, 512), (900, 900), (4096, MAX_UDP_BYTES)]
)
def test_an_answer_too_big_for_udp_is_truncated(
    payload: int | None, limit: int
) -> None:
    query = question(f"big.{APEX}", "TXT", payload=payload)
    wire = make_table().answer(query.to_wire(), tcp=False)
    assert wire is not None
    assert len(wire) <= limit
    answer = dns.message.from_wire(wire)
    assert answer.flags & dns.flags.TC
    assert answer.answer == []
    over_tcp = ask(make_table(), query, tcp=True)
    assert not over_tcp.flags & dns.flags.TC
    assert records(over_tcp) == BIG_TEXTS


def test_udp_fills_the_payload_of_the_client() -> None:
    table = AnswerTable(
        APEX, ttl_s=5, negative_ttl_s=30, extra=lambda _name, _kind: BIG_TEXTS[:4]
    )
    query = question(f"x.{APEX}", "TXT", payload=1232)
    assert records(ask(table, query)) == BIG_TEXTS[:4]
    query = question(f"x.{APEX}", "TXT", payload=800)
    assert ask(table, query).flags & dns.flags.TC


@pytest.mark.parametrize("kind", ["A", "AAAA"])
def test_the_longest_name_still_fits_a_client_without_edns(kind: str) -> None:
    long_name = ".".join(["x" * 63] * 3 + ["y" * (253 - 3 * 64 - len(APEX) - 1), APEX])
    table = AnswerTable(APEX, ttl_s=5, negative_ttl_s=30)
    table.add_names("regional", [long_name])
    query = question(long_name, kind)
    wire = table.answer(query.to_wire(), tcp=False)
    assert wire is not None
    assert len(wire) <= 512
    assert_negative(dns.message.from_wire(wire), dns.rcode.NOERROR)
    nine = [Address(1, f"127.0.1.{i}", f"2001:db8::{i}") for i in range(1, 10)]
    table.point("regional", [compile_set(nine, 5)])
    wire = table.answer(query.to_wire(), tcp=False)
    assert wire is not None
    assert len(wire) <= 512
    assert len(records(dns.message.from_wire(wire))) == MAX_ADDRESSES


# ---- adding and pointing


def snapshot(table: AnswerTable) -> list[bytes | None]:
    names = (NAME, ACCOUNT, f"gone.{APEX}", f"new.{APEX}", APEX, f"ddb.{APEX}")
    queries = [question(name, id=0).to_wire() for name in names]
    return [table.answer(query, tcp=False) for query in queries]


def test_pointing_a_zone_changes_all_of_its_names_and_no_other() -> None:
    table = make_table()
    flipped = compile_set([Address(1, "127.0.1.2", None)], 5)
    table.point("accounts-0", [NO_TREE, flipped])
    assert_negative(ask(table, question(ACCOUNT)), dns.rcode.NOERROR)
    assert records(ask(table, question(f"gone.{APEX}"))) == ["127.0.1.2"]
    assert records(ask(table, question(NAME))) == ["127.0.1.1"]


def test_adding_the_same_names_again_changes_nothing() -> None:
    table = make_table()
    before = snapshot(table)
    table.add_names("accounts-0", [ACCOUNT.upper(), f"gone.{APEX}"])
    assert snapshot(table) == before


@pytest.mark.parametrize(
    ("zone", "names", "text"),
    [
        ("regional", [ACCOUNT], "zone 'regional' already has other names"),
        ("regional", [], "zone 'regional' already has other names"),
        ("accounts-0", [f"gone.{APEX}", ACCOUNT], "already has other names"),
        ("new", [f"new.{APEX}", NAME], f"'{NAME}' is already in a zone"),
        ("new", [f"new.{APEX}", f"new.{APEX}"], f"'new.{APEX}' is already in a zone"),
        ("new", [f"new.{APEX}", "a.example"], "'a.example' is not at or below"),
        ("new", [f"new.{APEX}", f"new{APEX}"], f"'new{APEX}' is not at or below"),
        ("new", [f"new.{APEX}", ""], "'' is not a DNS name"),
        ("new", [f"new.{APEX}", f"a..{APEX}"], "is not a DNS name"),
        ("new", [f"new.{APEX}", f"{APEX}."], "is not a DNS name"),
        ("new", [f"new.{APEX}", f"{'x' * 64}.{APEX}"], "is not a DNS name"),
        ("new", [f"new.{APEX}", f"{'x.' * 120}{APEX}"], "is not a DNS name"),
        ("new", [f"new.{APEX}", f"\N{LATIN SMALL LETTER E WITH ACUTE}.{APEX}"],
         "is not a DNS name"),
        ("new", [f"new.{APEX}", f"a\n.{APEX}"], "is not a DNS name"),
    ],
)  # fmt: skip
def test_names_that_cannot_be_added_change_nothing(
    zone: str, names: list[str], text: str
) -> None:
    table = make_table()
    before = snapshot(table)
    with pytest.raises(ValueError, match=text):
        table.add_names(zone, names)
    assert snapshot(table) == before
    table.add_names("later", [f"new.{APEX}"])


@pytest.mark.parametrize(
    ("zone", "count", "text"),
    [
        ("accounts-0", 1, "zone 'accounts-0' has 2 names, not 1"),
        ("accounts-0", 3, "zone 'accounts-0' has 2 names, not 3"),
        ("nowhere", 1, "zone 'nowhere' has 0 names, not 1"),
        ("nowhere", 0, "zone 'nowhere' has 0 names, not 0"),
    ],
)
def test_pointing_wrongly_changes_nothing(zone: str, count: int, text: str) -> None:
    table = make_table()
    before = snapshot(table)
    with pytest.raises(ValueError, match=text):
        table.point(zone, [compile_set([], 5)] * count)
    assert snapshot(table) == before


def test_many_names_are_small() -> None:
    blocks = {
        f"accounts-{block}": [
            f"{block:06d}{account:06d}.ddb.{APEX}" for account in range(400)
        ]
        for block in range(20)
    }
    served = compile_set([BOTH], 5)
    tracemalloc.start()
    try:
        table = AnswerTable(APEX, ttl_s=5, negative_ttl_s=30)
        for zone, names in blocks.items():
            table.add_names(zone, names)
            table.point(zone, [served] * len(names))
        held_bytes = tracemalloc.get_traced_memory()[0]
    finally:
        tracemalloc.stop()
    assert held_bytes < 20 * 400 * 300  # 60 MB for 200,000 names
