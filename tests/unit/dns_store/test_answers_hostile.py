"""The answer table and queries that are odd, broken or hostile."""

from typing import Any

import dns.edns
import dns.flags
import dns.message
import dns.name
import dns.rcode
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dns_store.answers import (
    MAX_QUERY_BYTES,
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
BIG_TEXTS = [f'"{number:04d}{"x" * 200}"' for number in range(40)]


def extra(name: str, kind: str) -> list[str] | None:
    return {
        (f"v7.{NAME}", "A"): ["127.0.1.9"],
        (f"big.{APEX}", "TXT"): BIG_TEXTS,
    }.get((name, kind))


def make_table(pointed: CompiledSet | None = None) -> AnswerTable:
    table = AnswerTable(APEX, ttl_s=5, negative_ttl_s=30, extra=extra)
    table.add_names("accounts-0", [NAME, ACCOUNT, f"gone.{APEX}"])
    served = pointed or compile_set([Address(10, "127.0.1.1", "2001:db8::1")], 5)
    table.point("accounts-0", [served, served, NO_TREE])
    return table


TABLE = make_table()


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


# ---- what is not a plain question


def test_silence_for_what_is_no_query() -> None:
    response = dns.message.make_response(question(NAME)).to_wire()
    for message in (b"", b"\0" * 11, response, response[:12]):
        assert TABLE.answer(message, tcp=False) is None


@pytest.mark.parametrize("opcode", [1, 2, 3, 4, 5, 6, 15])
def test_other_opcodes_are_not_implemented(opcode: int) -> None:
    wire = bytearray(question(NAME).to_wire())
    wire[2] |= opcode << 3
    answer = TABLE.answer(bytes(wire), tcp=False)
    assert answer == bytes(wire[:2]) + bytes((0x80 | opcode << 3 | 1, 4)) + bytes(8)


@pytest.mark.parametrize(
    "counts",
    [
        "0000 0000 0000 0000",
        "0002 0000 0000 0000",
        "0001 0001 0000 0000",
        "0001 0000 0002 0000",
        "0001 0000 0000 0003",
        "0001 0000 0000 0001",
        "ffff ffff ffff ffff",
    ],
)
def test_wrong_counts_are_format_errors(counts: str) -> None:
    wire = question(NAME).to_wire()
    wire = wire[:4] + bytes.fromhex(counts) + wire[12:]
    answer = TABLE.answer(wire, tcp=False)
    assert answer == wire[:2] + b"\x81\x01" + bytes(8)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"\0",
        b"\x03abc",
        b"\x03abc\0\0\1",
        b"\xc0\x0c\0\1\0\1",
        b"\xc0\x0e\xc0\x0c\0\1\0\1",
        b"\xff\xff\0\1\0\1",
        b"\x40abc\0\0\1\0\1",
        b"\x80abc\0\0\1\0\1",
        b"\x03a\0b" + b"\x09us-east-1\x07example\0\0\1\0\1\0",
        b"\x3f" + b"a" * 62 + b"\0\0\1\0\1",
        (b"\x3f" + b"a" * 63) * 4 + b"\x09us-east-1\x07example\0\0\1\0\1",
        b"\x01a" * 128 + b"\0\0\1\0\1",
        b"\x09us-east-1\x07example\0\0\1\0\1" + b"\0" * 1300,
    ],
)
def test_malformed_questions_are_format_errors(body: bytes) -> None:
    wire = b"\x12\x34\x01\0\0\1\0\0\0\0\0\0" + body
    answer = TABLE.answer(wire, tcp=True)
    assert answer == b"\x12\x34\x81\x01" + bytes(8)


def test_a_label_may_hold_any_byte() -> None:
    body = b"\x03a\0b\x09us-east-1\x07example\0\0\1\0\1"
    wire = TABLE.answer(b"\x12\x34\x01\0\0\1\0\0\0\0\0\0" + body, tcp=False)
    assert wire is not None
    assert dns.message.from_wire(wire).rcode() == dns.rcode.NXDOMAIN


def test_a_newer_edns_is_answered_with_ours() -> None:
    answer = ask(TABLE, question(NAME, use_edns=1))
    assert answer.rcode() == dns.rcode.BADVERS
    assert answer.edns == 0
    assert answer.answer == []


@pytest.mark.parametrize("kind", ["AXFR", "IXFR"])
def test_zone_transfers_are_refused(kind: str) -> None:
    answer = ask(TABLE, question(APEX, kind), tcp=True)
    assert answer.rcode() == dns.rcode.REFUSED


@pytest.mark.parametrize("rdclass", ["CH", "HS", "NONE", "ANY"])
def test_other_classes_are_refused(rdclass: str) -> None:
    answer = ask(TABLE, question(NAME, rdclass=rdclass))
    assert answer.rcode() == dns.rcode.REFUSED


def test_a_signed_query_is_answered_unsigned() -> None:
    query = question(NAME)
    query.use_tsig({dns.name.from_text("key."): b"secret"})
    wire = TABLE.answer(query.to_wire(), tcp=False)
    assert wire is not None
    answer = dns.message.from_wire(wire)
    assert records(answer) == ["127.0.1.1"]
    assert not answer.had_tsig


# ---- properties

LABELS = st.sampled_from(
    ["dynamodb", "DynamoDB", "111122223333", "ddb", "gone", "x", "ns1", "v7", "_lock"]
)
NAMES = st.builds(
    lambda labels, end: ".".join([*labels, end]),
    st.lists(LABELS, max_size=3),
    st.sampled_from([APEX, "US-EAST-1.example", "us-west-2.example", "example"]),
)
KINDS = st.sampled_from(["A", "AAAA"])


@given(
    name=NAMES,
    kind=KINDS,
    flags=st.sets(st.sampled_from([dns.flags.RD, dns.flags.AD, dns.flags.CD])),
    edns=st.sampled_from(
        [{}, {"use_edns": 0}, {"want_dnssec": True}, {"payload": 512}]
    ),
    asked_before=st.integers(0, 5),
)
def test_both_paths_give_the_same_answer(
    name: str,
    kind: str,
    flags: set[dns.flags.Flag],
    edns: dict[str, Any],
    asked_before: int,
) -> None:
    addresses = [Address(i, f"127.0.1.{i}", f"2001:db8::{i}") for i in range(1, 8)]
    query = question(name, kind, **edns)
    query.flags = dns.flags.Flag(sum(flags))
    wire = query.to_wire()
    plain, full = (make_table(compile_set(addresses, 5)) for _ in range(2))
    for _ in range(asked_before + 1):
        fast = plain.answer(wire, tcp=False)
        slow = full._answer_any(wire, tcp=False)
    assert fast is not None
    assert slow is not None
    fast_message, slow_message = map(dns.message.from_wire, (fast, slow))
    assert fast_message == slow_message  # header and records, in any order
    assert records(fast_message) == records(slow_message)
    for one, other in zip(fast_message.authority, slow_message.authority, strict=True):
        assert one.ttl == other.ttl
    for one, other in zip(fast_message.answer, slow_message.answer, strict=True):
        assert one.ttl == other.ttl
    assert fast_message.question[0].name.labels == query.question[0].name.labels
    assert (fast_message.edns, fast_message.ednsflags, fast_message.payload) == (
        slow_message.edns,
        slow_message.ednsflags,
        slow_message.payload,
    )


def check_any_message(message: bytes) -> None:
    """Whatever comes in, an answer is well formed, fits it, and is no question."""
    for tcp in (False, True):
        answer = TABLE.answer(message, tcp=tcp)
        if len(message) < 12 or message[2] & 0x80:
            assert answer is None
            continue
        assert answer is not None
        assert answer[:2] == message[:2]
        assert answer[2] & 0x80
        assert answer[2] & 0x78 == message[2] & 0x78
        assert tcp or len(answer) <= MAX_UDP_BYTES
        dns.message.from_wire(answer)


@given(st.binary(max_size=600))
def test_random_bytes_never_raise(message: bytes) -> None:
    check_any_message(message)


@given(st.binary(max_size=300), st.integers(0, 2))
def test_random_bodies_never_raise(body: bytes, additional: int) -> None:
    check_any_message(b"\x12\x34\x01\0\0\1\0\0\0\0\0" + bytes((additional,)) + body)


REAL = [
    question(NAME).to_wire(),
    question(ACCOUNT, "AAAA", want_dnssec=True).to_wire(),
    question(NAME, options=[dns.edns.ECSOption("192.0.2.1")]).to_wire(),
    question(NAME, options=[dns.edns.CookieOption(b"12345678", b"")]).to_wire(),
    question(
        NAME, options=[dns.edns.EDEOption(dns.edns.EDECode.STALE_ANSWER, "text")]
    ).to_wire(),
    question(f"big.{APEX}", "TXT", payload=1232).to_wire(),
    question(APEX, "ANY").to_wire(),
]
EDIT = st.tuples(
    st.integers(0, 120), st.integers(0, 4), st.binary(max_size=4)
)  # from, bytes taken out, bytes put in


@given(st.sampled_from(REAL), st.lists(EDIT, max_size=4), st.integers(0, 200))
def test_mutated_queries_never_raise(
    message: bytes, edits: list[tuple[int, int, bytes]], keep: int
) -> None:
    for start, taken, put in edits:
        message = message[:start] + put + message[start + taken :]
    check_any_message(message[:keep])


def test_every_single_byte_change_of_a_real_query_is_harmless() -> None:
    for message in REAL[:3]:
        for position in range(2, len(message)):
            for value in (0, 0x3F, 0x80, 0xC0, 0xFF):
                check_any_message(
                    message[:position] + bytes((value,)) + message[position + 1 :]
                )


@pytest.mark.parametrize("fill", [b"\0", b"\x3f", b"\xc0\x0c", b"\xff", b"\x01a"])
@pytest.mark.parametrize("size", [MAX_QUERY_BYTES + 1, 65535])
def test_oversized_messages_cost_no_parsing(size: int, fill: bytes) -> None:
    message = b"\x12\x34\x01\0\0\1\0\0\0\0\0\0" + fill * size
    answer = TABLE.answer(message[:size], tcp=True)
    assert answer == b"\x12\x34\x81\x01" + bytes(8)
