"""What DynamoDB's tables accept, and tables in memory.

The limits are a tenth and less of DynamoDB's own: what is kept here are leases.
"""

import re
from bisect import bisect_right, insort
from collections.abc import Iterator, Mapping

from staleplan.tables import (
    ABSENT,
    Conflict,
    Deleted,
    Item,
    Page,
    Version,
    Written,
)

MAX_PAGE = 1_000
"""Most items in one answer: with `MAX_ITEM_BYTES` each it stays below gRPC's 4 MiB."""

MAX_ITEM_BYTES = 3_072
"""Largest item, bytes of its key, its attributes' names and their values."""

MAX_ATTRIBUTES = 32
"""Most attributes of an item: a lease has five."""

_LETTERS = "a-z, A-Z, 0-9, _, . and -"

_TABLE = re.compile(r"[a-zA-Z0-9_.-]{3,63}")
_KEY = re.compile(r"[!-~]{1,255}")
_KEY_PART = re.compile(r"[!-~]{0,255}")
_ATTRIBUTE = re.compile(r"[a-zA-Z0-9_.-]{1,64}")

Violations = Iterator[tuple[str, str]]
"""Paths of fields, and what is wrong with each."""


def wrong_name(table: str, key: str) -> Violations:
    """Say what is wrong with the name of an item."""
    yield from _wrong_table(table)
    if not _KEY.fullmatch(key):
        yield "key", f"must be 1 to 255 visible ASCII characters, got {_cut(key)}"


def wrong_query(table: str, key_prefix: str, after_key: str) -> Violations:
    """Say what is wrong with what a query names."""
    yield from _wrong_table(table)
    for path, part in (("key_prefix", key_prefix), ("after_key", after_key)):
        if not _KEY_PART.fullmatch(part):
            yield path, f"at most 255 visible ASCII characters, got {_cut(part)}"


def wrong_attributes(key: str, attributes: Mapping[str, str]) -> Violations:
    """Say what is wrong first with what is to be written under a key."""
    if len(attributes) > MAX_ATTRIBUTES:
        yield "attributes", f"at most {MAX_ATTRIBUTES}, got {len(attributes)}"
        return
    for name, value in attributes.items():
        if not _ATTRIBUTE.fullmatch(name):
            yield "attributes", f"a name is 1 to 64 of {_LETTERS}, got {_cut(name)}"
            return
        if "\0" in value:
            yield f"attributes[{name}]", "must not have the character NUL"
            return
    size = len(key) + sum(len(f"{n}{v}".encode()) for n, v in attributes.items())
    if size > MAX_ITEM_BYTES:
        yield "attributes", f"at most {MAX_ITEM_BYTES} bytes with the key, got {size}"


def wrong_version(expected: Version | None) -> Violations:
    """Say what is wrong with the version that a caller saw."""
    if expected is not None and expected < ABSENT:
        yield "expected_version", f"must be at least 0, got {expected}"


def _wrong_table(table: str) -> Violations:
    if not _TABLE.fullmatch(table):
        yield "table", f"must be 3 to 63 of {_LETTERS}, got {_cut(table)}"


def _cut(text: str) -> str:
    return repr(text if len(text) <= 40 else f"{text[:40]}...")


class MemoryTables:
    """`Tables` that last as long as this object."""

    def __init__(self) -> None:
        self._items: dict[str, dict[str, Item]] = {}
        self._keys: dict[str, list[str]] = {}
        """The keys of each table, in order."""

    async def get(self, table: str, key: str) -> Item | None:
        """Return an item as it is now."""
        return self._items.get(table, {}).get(key)

    async def put(
        self,
        table: str,
        key: str,
        attributes: Mapping[str, str],
        expected: Version | None = None,
    ) -> Written | Conflict:
        """Write an item whole, if it has the expected version."""
        items = self._items.setdefault(table, {})
        found = items.get(key)
        current = found.version if found else ABSENT
        if expected not in (None, current):
            return Conflict(expected, found)
        if found is None:
            insort(self._keys.setdefault(table, []), key)
        items[key] = Item(key, Version(current + 1), dict(attributes))
        return Written(items[key])

    async def delete(
        self, table: str, key: str, expected: Version | None = None
    ) -> Deleted | Conflict:
        """Remove an item, if it has the expected version."""
        found = await self.get(table, key)
        if expected not in (None, found.version if found else ABSENT):
            return Conflict(expected, found)
        if found:
            del self._items[table][key]
            self._keys[table].remove(key)
        return Deleted()

    async def query(
        self, table: str, key_prefix: str = "", after_key: str = ""
    ) -> Page:
        """Return items whose keys begin with a prefix and come after another key."""
        keys = self._keys.get(table, [])
        first = bisect_right(keys, after_key)
        wanted = [key for key in keys[first:] if key.startswith(key_prefix)]
        items = tuple(self._items[table][key] for key in wanted[:MAX_PAGE])
        return Page(items, len(wanted) > MAX_PAGE)
