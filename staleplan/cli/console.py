"""What commands share: their options, and the two ways of showing an answer."""

import dataclasses
import json
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from rich.console import Console

JsonOption = Annotated[bool, typer.Option("--json", help="Print one JSON document.")]
StateOption = Annotated[
    Path, typer.Option(envvar="STALEPLAN_STATE_FOLDER", help="Where files are kept.")
]
StackOption = Annotated[
    str | None, typer.Option(help="A running stack; may be left out if there is one.")
]

STATE = Path(".staleplan")
"""The state folder, unless told otherwise."""


def show(document: Any, render: "Callable[[Console], None]", *, as_json: bool) -> None:
    """Print an answer: as one JSON document, or for a person."""
    if as_json:
        typer.echo(json.dumps(document, indent=2, default=_as_json))
        return
    # A tenth of a second to import, and of no use to `--json` and `--help`.
    from rich.console import Console

    render(Console(highlight=False, markup=False))


def _as_json(value: Any) -> Any:
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return dataclasses.asdict(value)
    raise TypeError(f"{type(value).__name__} is not JSON")
