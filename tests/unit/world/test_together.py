"""Those who come while others are served are served together."""

import asyncio
from collections.abc import Sequence

import pytest

from staleplan.world import together
from staleplan.world.together import Together


class Server:
    """Doubles numbers, one group after the other, when the test lets it."""

    def __init__(self) -> None:
        self.groups: list[list[int]] = []
        self.go_on = asyncio.Event()
        self.begun = asyncio.Event()

    async def double(self, numbers: Sequence[int]) -> list[int]:
        self.groups.append(list(numbers))
        self.begun.set()
        await self.go_on.wait()
        if 13 in numbers:
            raise LookupError("13")
        return [2 * number for number in numbers]


async def test_who_asks_alone_is_answered_alone() -> None:
    server = Server()
    server.go_on.set()
    numbers = Together(server.double)
    assert [await numbers.ask(1), await numbers.ask(2)] == [2, 4]
    assert server.groups == [[1], [2]]


async def test_who_comes_meanwhile_is_answered_with_the_others() -> None:
    server = Server()
    numbers = Together(server.double)
    first = asyncio.create_task(numbers.ask(1))
    await server.begun.wait()
    others = asyncio.gather(*(numbers.ask(number) for number in (2, 3, 4)))
    await asyncio.sleep(0)
    server.go_on.set()
    assert await first == 2
    assert await others == [4, 6, 8]
    assert server.groups == [[1], [2, 3, 4]]


async def test_a_group_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(together, "MOST", 2)
    server = Server()
    server.go_on.set()
    numbers = Together(server.double)
    answers = await asyncio.gather(*map(numbers.ask, range(5)))
    assert answers == [0, 2, 4, 6, 8]
    assert server.groups == [[0, 1], [2, 3], [4]]


async def test_a_failure_is_told_to_the_whole_group_and_to_nobody_else() -> None:
    server = Server()
    server.go_on.set()
    numbers = Together(server.double)
    told = await asyncio.gather(*map(numbers.ask, (12, 13)), return_exceptions=True)
    assert [str(each) for each in told] == ["13", "13"]
    assert await numbers.ask(14) == 28


async def test_a_question_is_not_put_when_its_asker_has_gone() -> None:
    server = Server()
    numbers = Together(server.double)
    first = asyncio.create_task(numbers.ask(1))
    await server.begun.wait()
    gone, stays = (asyncio.create_task(numbers.ask(number)) for number in (2, 3))
    await asyncio.sleep(0)
    gone.cancel()
    first.cancel()
    await asyncio.wait([gone, first])
    server.go_on.set()
    assert await stays == 6
    assert server.groups == [[1], [3]]


async def test_close_waits_for_what_was_asked() -> None:
    server = Server()
    numbers = Together(server.double)
    await numbers.close()
    question = asyncio.create_task(numbers.ask(1))
    await server.begun.wait()
    closing = asyncio.create_task(numbers.close())
    await asyncio.sleep(0)
    assert not closing.done()
    server.go_on.set()
    await closing
    assert await question == 2
