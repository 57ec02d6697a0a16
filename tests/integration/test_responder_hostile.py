"""Clients that are slow, silent, greedy or broken harm nobody but themselves."""

import asyncio
import random
import socket
from collections.abc import AsyncIterator, Awaitable, Callable

import dns.asyncquery
import dns.message
import dns.rcode
import pytest

from dns_store.answers import MAX_QUERY_BYTES, Address, AnswerTable, compile_set
from dns_store.responder import Responder

APEX = "us-east-1.example"
NAME = f"dynamodb.{APEX}"
QUERY = dns.message.make_query(NAME, "A", id=1).to_wire()
FRAMED = len(QUERY).to_bytes(2) + QUERY
BIG = dns.message.make_query(f"big.{APEX}", "TXT", id=1).to_wire()


class TableWithBigAnswers(AnswerTable):
    """Answers one name with much more than a client's buffers hold."""

    def answer(self, query: bytes, *, tcp: bool) -> bytes | None:
        if query == BIG:
            return query[:2] + bytes(60_000)
        return super().answer(query, tcp=tcp)


Start = Callable[..., Awaitable[Responder]]
Stream = tuple[asyncio.StreamReader, asyncio.StreamWriter]


@pytest.fixture
async def start() -> AsyncIterator[Start]:
    """Starts responders that are closed after the test."""
    started = []

    async def start(**options: float) -> Responder:
        table = TableWithBigAnswers(APEX, ttl_s=5, negative_ttl_s=30)
        table.add_names("regional", [NAME])
        table.point("regional", [compile_set([Address(1, "127.0.1.1", None)], 5)])
        responder = Responder(table, **options)  # type: ignore[arg-type]
        started.append(responder)
        await responder.start("127.0.0.1", 0)
        return responder

    yield start
    for responder in started:
        await responder.close()


async def connect(responder: Responder) -> Stream:
    return await asyncio.open_connection("127.0.0.1", responder.port)


async def disconnect(stream: Stream) -> None:
    stream[1].transport.abort()


async def read_to_end(reader: asyncio.StreamReader) -> bytes:
    """What is still received until the server closes or resets the connection."""
    received = b""
    try:
        while part := await reader.read(1 << 16):
            received += part
    except ConnectionError:
        pass
    return received


async def assert_serves(responder: Responder) -> None:
    query = dns.message.from_wire(QUERY)
    for ask in (dns.asyncquery.udp, dns.asyncquery.tcp):
        answer = await ask(query, "127.0.0.1", timeout=10, port=responder.port)
        assert answer.rcode() == dns.rcode.NOERROR
        assert len(answer.answer) == 1


async def assert_answers(stream: Stream) -> None:
    reader, writer = stream
    writer.write(FRAMED)
    length = int.from_bytes(await reader.readexactly(2))
    assert (await reader.readexactly(length))[:2] == QUERY[:2]


async def send_forever(client: socket.socket, sent: bytes) -> None:
    while True:
        await asyncio.get_running_loop().sock_sendall(client, sent)


@pytest.mark.parametrize(
    "sent", [b"\0\0", b"\0\x0b", b"\xff\xff", (MAX_QUERY_BYTES + 1).to_bytes(2)]
)
async def test_an_impossible_length_closes_that_connection_only(
    start: Start, sent: bytes
) -> None:
    responder = await start()
    other, broken = await connect(responder), await connect(responder)
    broken[1].write(sent + b"x" * 65535)
    assert await read_to_end(broken[0]) == b""
    await assert_answers(other)
    await assert_serves(responder)
    await disconnect(other)
    await disconnect(broken)


async def test_a_message_of_65535_bytes_is_not_read(start: Start) -> None:
    responder = await start()
    stream = await connect(responder)
    stream[1].write(b"\xff\xff" + QUERY + b"\0" * (65535 - len(QUERY)))
    assert await read_to_end(stream[0]) == b""
    assert responder.answers == {}
    await assert_serves(responder)
    await disconnect(stream)


async def test_a_message_that_is_cut_short_gets_no_answer(start: Start) -> None:
    responder = await start()
    for cut in range(len(FRAMED)):
        reader, writer = await connect(responder)
        writer.write(FRAMED[:cut])
        writer.write_eof()
        assert await read_to_end(reader) == b""
        writer.close()
    assert responder.answers == {}
    await assert_serves(responder)


async def test_silent_clients_delay_nobody_and_are_cut_off(start: Start) -> None:
    responder = await start(tcp_patience_s=1.0)
    silent = [await connect(responder) for _ in range(20)]
    for number, (_, writer) in enumerate(silent):
        writer.write(FRAMED[:number])
    await assert_serves(responder)
    for reader, _ in silent:
        assert await read_to_end(reader) == b""
    for stream in silent:
        await disconnect(stream)


async def test_a_client_that_sends_byte_by_byte_is_answered(start: Start) -> None:
    responder = await start()
    reader, writer = await connect(responder)
    writer.get_extra_info("socket").setsockopt(
        socket.IPPROTO_TCP, socket.TCP_NODELAY, 1
    )
    for byte in FRAMED:
        writer.write(bytes((byte,)))
        await assert_serves(responder)
    assert int.from_bytes(await reader.readexactly(2)) > len(QUERY)
    await disconnect((reader, writer))


async def test_a_client_that_never_reads_is_cut_off(start: Start) -> None:
    responder = await start(tcp_patience_s=1.0)
    with socket.socket() as client:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        client.setblocking(False)
        loop = asyncio.get_running_loop()
        await loop.sock_connect(client, ("127.0.0.1", responder.port))
        # Twelve megabytes of answers: more than both sockets' buffers hold.
        await loop.sock_sendall(client, (len(BIG).to_bytes(2) + BIG) * 200)
        await assert_serves(responder)
        with pytest.raises(ConnectionError):
            await asyncio.wait_for(send_forever(client, FRAMED), 30)
    await assert_serves(responder)


async def test_a_client_that_reads_late_misses_nothing(start: Start) -> None:
    responder = await start()
    with socket.socket() as client:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        client.setblocking(False)
        loop = asyncio.get_running_loop()
        await loop.sock_connect(client, ("127.0.0.1", responder.port))
        await loop.sock_sendall(client, (len(BIG).to_bytes(2) + BIG) * 100)
        client.shutdown(socket.SHUT_WR)
        await assert_serves(responder)
        received_bytes = 0
        while part := await asyncio.wait_for(loop.sock_recv(client, 65536), 10):
            received_bytes += len(part)
    assert received_bytes == 100 * (2 + 2 + 60_000)


async def test_the_connection_idle_for_longest_gives_way(start: Start) -> None:
    responder = await start(max_connections=3)
    first, second, third = [await connect(responder) for _ in range(3)]
    for stream in (second, third, first):
        await assert_answers(stream)
    fourth = await connect(responder)
    await assert_answers(fourth)
    assert await read_to_end(second[0]) == b""
    for stream in (first, third, fourth):
        await assert_answers(stream)
    for stream in (first, second, third, fourth):
        await disconnect(stream)


async def test_a_flood_of_connections_leaves_room_for_the_next(start: Start) -> None:
    responder = await start(max_connections=8)
    flood = [await connect(responder) for _ in range(100)]
    await assert_serves(responder)
    for stream in flood:
        await disconnect(stream)


async def test_a_greedy_connection_lets_others_in(start: Start) -> None:
    responder = await start()
    greedy = await connect(responder)
    greedy[1].write(FRAMED * 2000)
    await assert_serves(responder)
    answered = responder.answers["NOERROR"]
    assert answered < 2000
    await disconnect(greedy)


async def test_datagrams_of_any_content_are_survived(start: Start) -> None:
    responder = await start()
    noise = random.Random(1)
    with socket.socket(type=socket.SOCK_DGRAM) as udp:
        udp.connect(("127.0.0.1", responder.port))
        for size in [0, 1, 11, 12, 13, 511, 512, 476, 477, 478, 1232, 4096, 65507]:
            udp.send(noise.randbytes(size))
            udp.send((QUERY + noise.randbytes(size))[:65507])
            udp.send(b"\0\0\x80\0\0\1\0\0\0\0\0\0" + noise.randbytes(min(size, 999)))
            await assert_serves(responder)
    assert responder.errors == 0
    assert responder.dropped >= 11


async def test_a_response_is_met_with_silence(start: Start) -> None:
    responder = await start()
    stream = await connect(responder)
    response = dns.message.make_response(dns.message.from_wire(QUERY)).to_wire()
    stream[1].write(len(response).to_bytes(2) + response)
    await assert_answers(stream)
    assert responder.dropped == 1
    assert responder.answers == {"NOERROR": 1}
    await disconnect(stream)


async def test_an_answer_that_cannot_be_sent_is_dropped(
    start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    responder = await start()

    class Unsendable(socket.socket):
        """A socket whose sends all fail, as to a forged source port of 0."""

        def sendto(self, *_args: object) -> int:
            raise OSError("Invalid argument")

    await assert_serves(responder)
    with Unsendable(type=socket.SOCK_DGRAM) as udp:
        udp.setblocking(False)
        udp.bind(("127.0.0.1", 0))
        with socket.socket(type=socket.SOCK_DGRAM) as client:
            client.sendto(QUERY, udp.getsockname())
            responder._answer_datagrams(udp)
    assert responder.dropped == 1
    await assert_serves(responder)
