"""How a call of the world passes its fault point."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from staleplan.runtime.errors import ReplyLostError
from staleplan.runtime.faults import Faults


@asynccontextmanager
async def faulted(faults: Faults, point: str, **labels: str) -> AsyncIterator[None]:
    """Suffer the faults of a point, then act; a dropped reply is lost after the act.

    Raises: InjectedError; ReplyLostError.
    """
    drop = await faults.reach(point, **labels)
    yield
    if drop:
        raise ReplyLostError(f"fault injected at {point}: the reply is lost")
