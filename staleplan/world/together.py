"""Questions that come while others are answered, and are then answered together."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Generic, TypeVar

Question = TypeVar("Question")
Answer = TypeVar("Answer")

MOST = 256
"""Questions that are answered together: more would not make each of them cheaper."""


class Together(Generic[Question, Answer]):
    """Asks for one answer or for many, with one group on its way at a time.

    Who asks alone does not wait for others.
    """

    def __init__(
        self, answer: Callable[[Sequence[Question]], Awaitable[Sequence[Answer]]]
    ) -> None:
        """Have groups answered by `answer`, in their order."""
        self._answer = answer
        self._waiting: list[tuple[Question, asyncio.Future[Answer]]] = []
        self._working: asyncio.Task[None] | None = None

    async def ask(self, question: Question) -> Answer:
        """Return the answer to a question.

        Raises: what `answer` raises for the group. A question whose asker went away
            before its group was on its way is not put.
        """
        answer: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()
        self._waiting.append((question, answer))
        if self._working is None or self._working.done():
            self._working = asyncio.create_task(self._work())
        return await answer

    async def close(self) -> None:
        """Wait until all that was asked is answered."""
        if self._working:
            await asyncio.wait([self._working])

    async def _work(self) -> None:
        while self._waiting:
            group = [each for each in self._waiting[:MOST] if not each[1].done()]
            del self._waiting[:MOST]
            if group:
                await self._answer_group(group)

    async def _answer_group(
        self, group: list[tuple[Question, asyncio.Future[Answer]]]
    ) -> None:
        try:
            answers = await self._answer([question for question, _ in group])
        except Exception as error:  # noqa: BLE001  whoever asked is told
            for _, future in group:
                if not future.done():
                    future.set_exception(error)
        else:
            for (_, future), answer in zip(group, answers, strict=True):
                if not future.done():
                    future.set_result(answer)
