"""Every test here runs on PostgreSQL and on the in-memory twin."""

import pytest

from dns_store.memory import MemoryStore
from dns_store.store import Store


@pytest.fixture(params=["memory", "postgres"])
def store(request: pytest.FixtureRequest) -> Store:
    if request.param == "memory":
        return MemoryStore()
    found: Store = request.getfixturevalue("postgres_store")
    return found
