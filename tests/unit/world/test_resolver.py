"""The resolver's memory, against the store's own DNS server. Source: R22."""

import socket
from collections.abc import AsyncIterator
from typing import Self

import pytest

from dns_store.answers import NO_TREE, Address, AnswerTable, compile_set
from dns_store.responder import Responder
from staleplan.world.errors import ResolutionError
from staleplan.world.resolver import Answer, Resolver

NAME = "dynamodb.us-east-1.example"
TTL_S = 5
NEGATIVE_TTL_S = 60


class HandClock:
    """Incident time that passes when the test says so."""

    def __init__(self) -> None:
        self.at_s = 1000.0

    def now_s(self) -> float:
        return self.at_s

    async def sleep_s(self, seconds: float) -> None:
        self.at_s += seconds

    def wall_s(self, incident_seconds: float) -> float:
        return incident_seconds


class Dns:
    """One name at a real DNS server, with addresses or without."""

    def __init__(self, negative_ttl_s: int = NEGATIVE_TTL_S) -> None:
        self._table = AnswerTable(
            "us-east-1.example", ttl_s=TTL_S, negative_ttl_s=negative_ttl_s
        )
        self._table.add_names("regional", [NAME])
        self._responder = Responder(self._table)
        self.fill()

    @property
    def target(self) -> str:
        return f"127.0.0.1:{self._responder.port}"

    @property
    def asked(self) -> int:
        return sum(self._responder.answers.values())

    def fill(self) -> None:
        both = Address(1, "127.0.1.1", "2001:db8::1")
        self._table.point("regional", [compile_set([both], TTL_S)])

    def empty(self) -> None:
        self._table.point("regional", [NO_TREE])

    async def __aenter__(self) -> Self:
        await self._responder.start("127.0.0.1", 0)
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._responder.close()


@pytest.fixture
async def dns() -> AsyncIterator[Dns]:
    async with Dns() as server:
        yield server


@pytest.fixture
def clock() -> HandClock:
    return HandClock()


async def test_an_answer_holds_for_its_ttl_and_no_longer(
    dns: Dns, clock: HandClock
) -> None:
    resolver = Resolver(dns.target, clock)
    first = await resolver.resolve(NAME)
    assert first == Answer(NAME, "NOERROR", ("127.0.1.1",), TTL_S, 1005.0, False)
    clock.at_s += 4.0
    again = await resolver.resolve(NAME.upper() + ".")
    assert again == Answer(NAME, "NOERROR", ("127.0.1.1",), 1.0, 1005.0, True)
    assert dns.asked == 1
    clock.at_s += 1.0
    assert not (await resolver.resolve(NAME)).from_cache
    assert dns.asked == 2


async def test_each_family_has_its_own_memory(dns: Dns, clock: HandClock) -> None:
    resolver = Resolver(dns.target, clock)
    assert (await resolver.resolve(NAME, "A")).addresses == ("127.0.1.1",)
    assert (await resolver.resolve(NAME, "AAAA")).addresses == ("2001:db8::1",)
    assert dns.asked == 2


async def test_an_empty_answer_is_remembered_and_prolongs_the_outage(
    dns: Dns, clock: HandClock
) -> None:
    resolver = Resolver(dns.target, clock)
    dns.empty()
    empty = await resolver.resolve(NAME)
    assert (empty.code, empty.addresses) == ("NOERROR", ())
    assert empty.ttl_s == NEGATIVE_TTL_S
    dns.fill()
    assert (await Resolver(dns.target, clock).resolve(NAME)).addresses
    clock.at_s += NEGATIVE_TTL_S - 1.0
    still_empty = await resolver.resolve(NAME)
    assert (still_empty.addresses, still_empty.from_cache) == ((), True)
    clock.at_s += 1.0
    assert (await resolver.resolve(NAME)).addresses == ("127.0.1.1",)


@pytest.mark.parametrize("negative_ttl_s", [0, 1, 900])
async def test_the_negative_ttl_decides_how_long_the_outage_lasts(
    clock: HandClock, negative_ttl_s: int
) -> None:
    async with Dns(negative_ttl_s) as dns:
        resolver = Resolver(dns.target, clock)
        dns.empty()
        assert (await resolver.resolve(NAME)).addresses == ()
        dns.fill()
        outage_s = 0
        while not (await resolver.resolve(NAME)).addresses:
            clock.at_s += 1.0
            outage_s += 1
        assert outage_s == negative_ttl_s


async def test_a_name_that_does_not_exist_is_remembered_too(
    dns: Dns, clock: HandClock
) -> None:
    resolver = Resolver(dns.target, clock)
    missing = await resolver.resolve("nobody.us-east-1.example")
    assert (missing.code, missing.addresses) == ("NXDOMAIN", ())
    assert (await resolver.resolve("nobody.us-east-1.example")).from_cache
    assert dns.asked == 1


async def test_an_answer_that_is_an_error_is_raised_and_not_remembered(
    dns: Dns, clock: HandClock
) -> None:
    resolver = Resolver(dns.target, clock)
    for asked in (1, 2):
        with pytest.raises(ResolutionError) as raised:
            await resolver.resolve("somewhere.else")
        assert str(raised.value) == (
            f"could not resolve somewhere.else at {dns.target}: REFUSED"
        )
        assert raised.value.definite
        assert dns.asked == asked


async def test_a_name_that_is_none_is_raised_and_not_asked_for(
    dns: Dns, clock: HandClock
) -> None:
    with pytest.raises(ResolutionError, match=r"could not resolve a\.\.b"):
        await Resolver(dns.target, clock).resolve("a..b")
    assert dns.asked == 0


async def test_a_server_that_is_silent_is_an_error(
    clock: HandClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("staleplan.world.resolver.QUERY_TIMEOUT_S", 0.05)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as silent:
        silent.bind(("127.0.0.1", 0))
        target = f"127.0.0.1:{silent.getsockname()[1]}"
        with pytest.raises(ResolutionError) as raised:
            await Resolver(target, clock).resolve(NAME)
    assert "timed out" in str(raised.value)
