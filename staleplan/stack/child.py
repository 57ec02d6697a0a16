"""Starts a one-process stack as a child of a command, and ends it with the command."""

import asyncio
import json
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from staleplan.stack.settings import StackSettings

READY_TIMEOUT_S = 60.0
"""Wall seconds for a stack to start; it takes two, more on a busy machine."""

STOP_TIMEOUT_S = 15.0
"""Wall seconds for a stack to end by itself."""


class StackFailed(RuntimeError):
    """A stack did not start; the message is the last it said."""


@asynccontextmanager
async def child_stack(settings: StackSettings) -> AsyncIterator[dict[str, str]]:
    """Run a stack in a process of its own; yields where its services answer.

    Raises: StackFailed.
    """
    settings.folder.mkdir(parents=True, exist_ok=True)
    said = settings.folder / "stack.log"
    with said.open("wb") as log:
        child = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "staleplan.stack.inside",
            settings.model_dump_json(),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=log,
        )
    try:
        addresses = await _addresses(child)
        if addresses is None:
            raise StackFailed(said.read_text().strip().rpartition("\n")[2])
        yield addresses
    finally:
        await _end(child)


async def _addresses(child: asyncio.subprocess.Process) -> dict[str, str] | None:
    """Read the line that says the stack is ready; `None`: it ended before."""
    async with asyncio.timeout(READY_TIMEOUT_S):
        line = await child.stdout.readline() if child.stdout else b""
    addresses: dict[str, str] | None = json.loads(line)["addresses"] if line else None
    return addresses


async def _end(child: asyncio.subprocess.Process) -> None:
    if child.stdin:
        child.stdin.close()
    try:
        async with asyncio.timeout(STOP_TIMEOUT_S):
            await child.wait()
    except TimeoutError:
        child.kill()
        await child.wait()
