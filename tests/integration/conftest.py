"""A server and a client of the runtime, for its tests."""

from collections.abc import AsyncIterator

import pytest

from staleplan.runtime.settings import ServiceSettings
from tests.integration.echo import Pair


@pytest.fixture
async def pair() -> AsyncIterator[Pair]:
    pair = Pair(ServiceSettings(stack="one"))
    await pair.start()
    yield pair
    await pair.stop()
