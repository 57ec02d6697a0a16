"""The address book of a running stack: where its services answer, on disk."""

import json
from pathlib import Path

from pydantic import BaseModel, ConfigDict

from staleplan.runtime.settings import Mode

BOOK = "stack.json"
"""The file, in the stack's folder."""


class StackBook(BaseModel):
    """A running stack.

    `addresses`: host:port by service; `dns` and `load-balancers` besides. `processes`:
    process ids by service; a stack in one process has one, `stack`.
    """

    model_config = ConfigDict(frozen=True)

    name: str
    mode: Mode
    drill: bool
    speed: float
    addresses: dict[str, str]
    processes: dict[str, int]

    def write(self, folder: Path) -> None:
        """Keep the book, whole or not at all: others read it at any time."""
        folder.mkdir(parents=True, exist_ok=True)
        draft = folder / f"{BOOK}.draft"
        draft.write_text(self.model_dump_json(indent=2) + "\n")
        draft.replace(folder / BOOK)


def read_book(folder: Path) -> StackBook | None:
    """Read the book of a stack; `None`: no stack runs from this folder."""
    try:
        text = (folder / BOOK).read_text()
    except FileNotFoundError:
        return None
    return StackBook(**json.loads(text))


def forget(folder: Path) -> None:
    """Strike a stack that has ended."""
    (folder / BOOK).unlink(missing_ok=True)
