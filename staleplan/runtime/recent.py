"""A log in memory that forgets its oldest entries."""

from collections import deque
from itertools import islice
from typing import Generic, Protocol, TypeVar


class Numbered(Protocol):
    """An entry: the log gives its numbers out in order, without a gap."""

    @property
    def sequence(self) -> int:
        """Its number, from 1."""
        ...


Entry = TypeVar("Entry", bound=Numbered)


class Recent(Generic[Entry]):
    """The newest entries, up to a number of them."""

    def __init__(self, most: int) -> None:
        """Remember at most so many."""
        self.next_sequence = 1
        """What the next entry shall be numbered."""
        self._entries: deque[Entry] = deque(maxlen=most)

    def add(self, entry: Entry) -> Entry:
        """Remember an entry, which has the next number; returns it."""
        self.next_sequence += 1
        self._entries.append(entry)
        return entry

    def after(self, sequence: int, limit: int) -> list[Entry]:
        """Return up to `limit` entries with a later number, oldest first."""
        if not self._entries:
            return []
        skipped = max(0, sequence + 1 - self._entries[0].sequence)
        return list(islice(self._entries, skipped, skipped + limit))
