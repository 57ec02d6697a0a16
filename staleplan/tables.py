"""Tables of small items, as DynamoDB keeps them: the nouns, and what one may ask.

Every write raises an item's version by one, and may be made to depend on the version
that the writer saw. That is all that a lease needs of a store.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import NewType, Protocol

Version = NewType("Version", int)
"""Number of an item's write: 1, 2, 3, ... It begins anew when the item is deleted."""

ABSENT = Version(0)
"""Version of an item that does not exist."""


@dataclass(frozen=True, slots=True)
class Item:
    """What is kept under a key, and how often it was written."""

    key: str
    version: Version
    attributes: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Written:
    """The item was written, and is like this now."""

    item: Item


@dataclass(frozen=True, slots=True)
class Deleted:
    """There is no such item any more."""


@dataclass(frozen=True, slots=True)
class Conflict:
    """The item has another version than expected; nothing was done.

    `found` is `None` if there is no such item.
    """

    expected: Version
    found: Item | None


@dataclass(frozen=True, slots=True)
class Page:
    """Items in the order of their keys; `more`: others come after the last."""

    items: tuple[Item, ...]
    more: bool


class Tables(Protocol):
    """What one may ask of tables; a table exists once something is written to it.

    `expected` is the version that the caller saw, `ABSENT` for none; without it the
    write happens in any case.
    """

    async def get(self, table: str, key: str) -> Item | None:
        """Return an item as it is now."""
        ...

    async def put(
        self,
        table: str,
        key: str,
        attributes: Mapping[str, str],
        expected: Version | None = None,
    ) -> Written | Conflict:
        """Write an item whole."""
        ...

    async def delete(
        self, table: str, key: str, expected: Version | None = None
    ) -> Deleted | Conflict:
        """Remove an item."""
        ...

    async def query(
        self, table: str, key_prefix: str = "", after_key: str = ""
    ) -> Page:
        """Return items whose keys begin with a prefix and come after another key."""
        ...
