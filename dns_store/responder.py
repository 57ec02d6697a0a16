"""The sockets of the authoritative DNS server: UDP and TCP on one port.

Both share the event loop with everything else in the process. So UDP answers for at
most `_UDP_TURN_S` a wake-up, and each TCP connection gives way after every message.
A client that sends slowly, or does not read, holds up its own connection only.

An error inside an answer is ours, not the network's: it is logged, counted and
answered with SERVFAIL, and the next query is read as if nothing had happened.

Inferred: R18 says that Route 53 answered normally all day; nothing here knows of
plans, PostgreSQL or faults.
"""

import asyncio
import logging
import socket
import sys
import threading
import time
from collections import OrderedDict
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager
from typing import Any

import dns.rcode

from dns_store.answers import MAX_QUERY_BYTES, AnswerTable, failure

# Seconds. About 100 plain answers, or two through dnspython; others then get a turn.
_UDP_TURN_S = 0.001
# Messages. Reading the clock costs 1 % of an answer.
_UDP_CLOCK_EVERY = 4
# Bytes. Some 10,000 queries may wait while the loop is busy elsewhere (the kernel
# counts about 700 bytes for a small datagram, and may grant less).
_UDP_QUEUE_BYTES = 8 << 20
# Seconds. An answer takes Python's lock from other threads about three times, and each
# time waits this long for it if they are busy; Python's own figure is 5 ms.
_SWITCH_INTERVAL_S = 0.0001
# Seconds to receive one whole query, or to take one answer. RFC 7766 asks for a few.
_TCP_PATIENCE_S = 10.0
# Connections. More than any drill opens, and at most a few MB of buffers.
_MAX_CONNECTIONS = 256
# Attempts to find a port that is free for UDP and TCP alike.
_PORT_ATTEMPTS = 20
# Bytes. A DNS header: less is no message.
_MIN_MESSAGE_BYTES = 12

_log = logging.getLogger(__name__)


class Responder:
    """Serves one answer table on UDP and TCP.

    `dropped` counts what was met with silence: messages that are not queries, and
    answers that could not be sent. `errors` counts answers that failed within us.
    """

    def __init__(
        self,
        table: AnswerTable,
        *,
        tcp_patience_s: float = _TCP_PATIENCE_S,
        max_connections: int = _MAX_CONNECTIONS,
    ) -> None:
        self.dropped = 0
        self.errors = 0
        self._table = table
        self._tcp_patience_s = tcp_patience_s
        self._max_connections = max_connections
        self._answers = [0] * 16
        self._udp: socket.socket | None = None
        self._server: asyncio.Server | None = None
        # In order of last use, so that the first is the one idle for longest.
        self._connections: OrderedDict[asyncio.StreamWriter, asyncio.Task[None]]
        self._connections = OrderedDict()

    @property
    def port(self) -> int:
        """The port of both sockets; raises RuntimeError while not started."""
        if self._udp is None:
            raise RuntimeError("the responder is not started")
        port: int = self._udp.getsockname()[1]
        return port

    @property
    def answers(self) -> dict[str, int]:
        """Messages answered so far, by code; BADVERS counts as NOERROR."""
        return {
            dns.rcode.to_text(dns.rcode.Rcode.make(code)): count
            for code, count in enumerate(self._answers)
            if count
        }

    async def start(self, host: str, port: int) -> None:
        """Bind and serve; port 0 picks one that is free for UDP and TCP alike.

        Raises: OSError if the address or the port cannot be had.
        """
        udp, tcp = _bind_both(host, port)
        self._udp = udp
        self._server = await asyncio.start_server(self._accept, sock=tcp)
        asyncio.get_running_loop().add_reader(udp, self._answer_datagrams, udp)

    async def close(self) -> None:
        """Close both sockets and every connection; harmless if not started."""
        if self._udp is None or self._server is None:
            return
        asyncio.get_running_loop().remove_reader(self._udp)
        self._udp.close()
        self._server.close()
        tasks = list(self._connections.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await self._server.wait_closed()
        self._udp = self._server = None

    def _answer(self, query: bytes, *, tcp: bool) -> bytes | None:
        try:
            answer = self._table.answer(query, tcp=tcp)
        except Exception:  # noqa: BLE001  whatever it is, the server must outlive it
            _log.exception("a DNS query could not be answered")
            self.errors += 1
            answer = failure(query, dns.rcode.SERVFAIL)
        if answer is None:
            self.dropped += 1
        else:
            self._answers[answer[3] & 0x0F] += 1
        return answer

    def _answer_datagrams(self, udp: socket.socket) -> None:
        receive, answer, send = udp.recvfrom, self._answer, udp.sendto
        until = time.monotonic() + _UDP_TURN_S
        while time.monotonic() < until:
            for _ in range(_UDP_CLOCK_EVERY):
                try:
                    # One byte more than is allowed: a longer query shows as such.
                    query, client = receive(MAX_QUERY_BYTES + 1)
                except BlockingIOError:
                    return
                reply = answer(query, tcp=False)
                if reply is None:
                    continue
                try:
                    send(reply, client)
                except OSError:  # a full buffer, or a forged address: they ask again
                    self.dropped += 1

    def _accept(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        if len(self._connections) >= self._max_connections:
            _, idle_longest = self._connections.popitem(last=False)
            idle_longest.cancel()
        task = asyncio.create_task(self._serve_connection(reader, writer))
        self._connections[writer] = task
        task.add_done_callback(lambda _: self._disconnect(writer))

    def _disconnect(self, writer: asyncio.StreamWriter) -> None:
        self._connections.pop(writer, None)
        writer.transport.abort()

    async def _serve_connection(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        # Drained then means sent: closing cuts off no answer that is still buffered.
        writer.transport.set_write_buffer_limits(high=0)
        try:
            while await self._serve_message(reader, writer):
                self._connections.move_to_end(writer)
                await asyncio.sleep(0)  # buffered queries must not starve the loop
        except (OSError, TimeoutError, asyncio.IncompleteReadError):
            return  # the client left, or was too slow

    async def _serve_message(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> bool:
        """Serve one message; False if the connection is done for."""
        async with asyncio.timeout(self._tcp_patience_s):
            length = int.from_bytes(await reader.readexactly(2))
            if not _MIN_MESSAGE_BYTES <= length <= MAX_QUERY_BYTES:
                return False
            query = await reader.readexactly(length)
            answer = self._answer(query, tcp=True)
            if answer is not None:
                writer.write(len(answer).to_bytes(2) + answer)
                await writer.drain()
        return True


@asynccontextmanager
async def answering(
    table: AnswerTable, host: str, port: int
) -> AsyncIterator[Responder]:
    """Serve a table from a thread of its own: work in this one delays no answer.

    Raises: OSError if the address or the port cannot be had.
    Not guaranteed: answers wait for single calls into C that keep Python's lock, such
        as parsing a plan of 200,000 names, 6 ms.
    """
    sys.setswitchinterval(_SWITCH_INTERVAL_S)
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, name="dns", daemon=True)
    thread.start()

    def there(work: Coroutine[Any, Any, None]) -> asyncio.Future[None]:
        return asyncio.wrap_future(asyncio.run_coroutine_threadsafe(work, loop))

    responder = Responder(table)
    try:
        await there(responder.start(host, port))
        yield responder
    finally:
        await there(responder.close())
        loop.call_soon_threadsafe(loop.stop)
        await asyncio.to_thread(thread.join)
        loop.close()


def _bind_both(host: str, port: int) -> tuple[socket.socket, socket.socket]:
    """A UDP and a TCP socket on the same port."""
    attempts = _PORT_ATTEMPTS if port == 0 else 1
    while True:
        udp = _bind(host, port, socket.SOCK_DGRAM)
        try:
            return udp, _bind(host, udp.getsockname()[1], socket.SOCK_STREAM)
        except OSError:
            udp.close()
            attempts -= 1
            if attempts == 0:
                raise


def _bind(host: str, port: int, kind: socket.SocketKind) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    bound = socket.socket(family, kind)
    try:
        bound.setblocking(False)
        if kind == socket.SOCK_DGRAM:
            bound.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _UDP_QUEUE_BYTES)
        else:
            bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        bound.bind((host, port))
    except OSError:
        bound.close()
        raise
    return bound
