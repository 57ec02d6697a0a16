"""What a command says when it cannot do what was asked: one line, no traceback."""

import difflib
from collections.abc import Iterable


class CommandError(Exception):
    """Something that the user can mend: `main` prints it as one line and exits 1."""


def nearest(name: str, known: Iterable[str]) -> str:
    """Say what was probably meant."""
    names = sorted(known)
    near = difflib.get_close_matches(name, names, n=1, cutoff=0.4)
    return f"did you mean {near[0]!r}?" if near else f"there is: {', '.join(names)}"
