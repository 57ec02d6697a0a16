"""A server and a client of the runtime, and a world, for their tests."""

from collections.abc import AsyncIterator

import pytest

from staleplan.runtime.settings import ServiceSettings
from tests.integration.echo import Pair
from tests.integration.world_stage import Stage, staged


@pytest.fixture
async def pair() -> AsyncIterator[Pair]:
    pair = Pair(ServiceSettings(stack="one"))
    await pair.start()
    yield pair
    await pair.stop()


@pytest.fixture
async def stage() -> AsyncIterator[Stage]:
    async with staged() as stage:
        yield stage
