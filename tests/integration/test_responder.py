"""The responder on real sockets, as honest clients see it."""

import asyncio
import errno
import logging
import socket
from collections.abc import AsyncIterator

import dns.asyncquery
import dns.flags
import dns.message
import dns.query
import dns.rcode
import pytest

import dns_store.responder
from dns_store.answers import NO_TREE, Address, AnswerTable, compile_set
from dns_store.responder import Responder, answering

APEX = "us-east-1.example"
NAME = f"dynamodb.{APEX}"
BIG_TEXTS = [f'"{number:04d}{"x" * 200}"' for number in range(40)]


def extra(name: str, _kind: str) -> list[str] | None:
    if name == f"broken.{APEX}":
        raise LookupError("the hook is broken")
    return BIG_TEXTS if name == f"big.{APEX}" else None


@pytest.fixture
async def table() -> AnswerTable:
    table = AnswerTable(APEX, ttl_s=5, negative_ttl_s=30, extra=extra)
    table.add_names("regional", [NAME])
    table.point("regional", [compile_set([Address(1, "127.0.1.1", None)], 5)])
    return table


@pytest.fixture
async def responder(table: AnswerTable) -> AsyncIterator[Responder]:
    responder = Responder(table)
    await responder.start("127.0.0.1", 0)
    yield responder
    await responder.close()


async def test_answers_do_not_wait_for_other_work(table: AnswerTable) -> None:
    async with answering(table, "127.0.0.1", 0) as responder:
        query = dns.message.make_query(NAME, "A")
        # Without await: this thread's loop stands still until the answer is here.
        answer = dns.query.udp(query, "127.0.0.1", timeout=10, port=responder.port)
        assert len(answer.answer) == 1
    with pytest.raises(RuntimeError, match="not started"):
        _ = responder.port


async def ask_udp(
    responder: Responder, name: str, kind: str = "A", host: str = "127.0.0.1"
) -> dns.message.Message:
    return await dns.asyncquery.udp(
        dns.message.make_query(name, kind), host, timeout=10, port=responder.port
    )


async def ask_tcp(
    responder: Responder, name: str, kind: str = "A"
) -> dns.message.Message:
    return await dns.asyncquery.tcp(
        dns.message.make_query(name, kind), "127.0.0.1", timeout=10, port=responder.port
    )


async def test_answers_on_udp_and_tcp(responder: Responder) -> None:
    for ask in (ask_udp, ask_tcp):
        answer = await ask(responder, NAME)
        assert [rdata.to_text() for rdata in answer.answer[0]] == ["127.0.1.1"]
        assert (await ask(responder, f"x.{APEX}")).rcode() == dns.rcode.NXDOMAIN
    assert responder.answers == {"NOERROR": 2, "NXDOMAIN": 2}


async def test_answers_on_ipv6(table: AnswerTable) -> None:
    responder = Responder(table)
    try:
        await responder.start("::1", 0)
    except OSError:
        pytest.skip("this machine has no IPv6 loopback")
    answer = await ask_udp(responder, NAME, host="::1")
    assert answer.rcode() == dns.rcode.NOERROR
    await responder.close()


async def test_a_flip_is_seen_by_the_next_query(
    responder: Responder, table: AnswerTable
) -> None:
    table.point("regional", [NO_TREE])
    assert (await ask_udp(responder, NAME)).answer == []
    table.point("regional", [compile_set([Address(1, "127.0.1.2", None)], 5)])
    answer = await ask_udp(responder, NAME)
    assert [rdata.to_text() for rdata in answer.answer[0]] == ["127.0.1.2"]


async def test_a_truncated_answer_is_whole_over_tcp(responder: Responder) -> None:
    assert (await ask_udp(responder, f"big.{APEX}", "TXT")).flags & dns.flags.TC
    answer = await ask_tcp(responder, f"big.{APEX}", "TXT")
    assert len(answer.answer[0]) == len(BIG_TEXTS)


async def test_a_connection_carries_many_queries_at_once(responder: Responder) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", responder.port)
    for number in range(1000):
        query = dns.message.make_query(NAME, "A", id=number).to_wire()
        writer.write(len(query).to_bytes(2) + query)
    writer.write_eof()
    for number in range(1000):
        length = int.from_bytes(await reader.readexactly(2))
        answer = dns.message.from_wire(await reader.readexactly(length))
        assert answer.id == number
        assert len(answer.answer) == 1
    assert await reader.read() == b""
    writer.close()
    await writer.wait_closed()


async def test_many_clients_at_once_are_all_answered(responder: Responder) -> None:
    answers = await asyncio.gather(
        *(ask_udp(responder, NAME) for _ in range(100)),
        *(ask_tcp(responder, NAME) for _ in range(100)),
    )
    assert {answer.rcode() for answer in answers} == {dns.rcode.NOERROR}
    assert responder.answers == {"NOERROR": 200}


async def test_an_error_within_is_servfail_and_nothing_stops(
    responder: Responder, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.ERROR):
        for ask in (ask_udp, ask_tcp):
            answer = await ask(responder, f"broken.{APEX}")
            assert answer.rcode() == dns.rcode.SERVFAIL
            assert (await ask(responder, NAME)).rcode() == dns.rcode.NOERROR
    assert responder.errors == 2
    assert responder.answers == {"NOERROR": 2, "SERVFAIL": 2}
    assert "the hook is broken" in caplog.text


async def test_a_port_in_use_is_refused_and_nothing_stays_open(
    table: AnswerTable,
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        responder = Responder(table)
        with pytest.raises(OSError, match="in use"):
            await responder.start("127.0.0.1", port)
        with pytest.raises(RuntimeError, match="the responder is not started"):
            _ = responder.port
        with socket.socket(type=socket.SOCK_DGRAM) as udp:
            udp.bind(("127.0.0.1", port))
    await responder.start("127.0.0.1", port)
    assert responder.port == port
    assert (await ask_udp(responder, NAME)).rcode() == dns.rcode.NOERROR
    await responder.close()


async def test_a_port_is_found_that_is_free_for_both(
    table: AnswerTable, monkeypatch: pytest.MonkeyPatch
) -> None:
    bind = dns_store.responder._bind
    tried: list[int] = []

    def bind_unless_first(
        host: str, port: int, kind: socket.SocketKind
    ) -> socket.socket:
        if kind == socket.SOCK_STREAM:
            tried.append(port)
            if len(tried) == 1:
                raise OSError(errno.EADDRINUSE, "Address already in use")
        return bind(host, port, kind)

    monkeypatch.setattr(dns_store.responder, "_bind", bind_unless_first)
    responder = Responder(table)
    await responder.start("127.0.0.1", 0)
    assert len(tried) == 2
    assert responder.port == tried[1]
    assert (await ask_tcp(responder, NAME)).rcode() == dns.rcode.NOERROR
    await responder.close()


async def test_closing_ends_connections_and_frees_the_port(table: AnswerTable) -> None:
    responder = Responder(table)
    await responder.close()
    await responder.start("127.0.0.1", 0)
    port = responder.port
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    query = dns.message.make_query(NAME, "A").to_wire()
    writer.write(len(query).to_bytes(2) + query)
    await reader.readexactly(2)
    await responder.close()
    await reader.read()
    assert reader.at_eof()
    writer.close()
    await responder.close()
    again = Responder(table)
    await again.start("127.0.0.1", port)
    assert (await ask_udp(again, NAME)).rcode() == dns.rcode.NOERROR
    await again.close()
