"""What a person sees of a replayed schedule: each change, and what it broke."""

import dataclasses
import json

import typer
from rich.console import Console

from staleplan.drills.scheduled import Replayed


def show(replayed: Replayed, *, as_json: bool) -> None:
    """Print what the schedule says beside what the stack did."""
    if as_json:
        typer.echo(json.dumps(_to_json(replayed), indent=2))
        return
    console = Console(highlight=False, markup=False, soft_wrap=True)
    for number, event in enumerate(replayed.schedule.events, 1):
        console.print(f"{number:3}. {event.who} {event.what}")
    console.print("\non the running stack:")
    for change in replayed.changes:
        console.print(f"  {change}")
    console.print(f"broken, by the schedule: {_listed(replayed.schedule.broken)}")
    console.print(f"broken, on the stack:    {_listed(replayed.broken)}")
    if replayed.left:
        console.print(f"left the schedule: {replayed.left}")
    console.print(f"trace: {replayed.trace_file}")
    console.print(f"verdict: {'the same' if replayed.is_same else 'NOT the same'}")


def _listed(properties: frozenset[str]) -> str:
    return ", ".join(sorted(properties)) or "nothing"


def _to_json(replayed: Replayed) -> dict[str, object]:
    return {
        "schedule": replayed.schedule.to_json(),
        "changes": [dataclasses.asdict(change) for change in replayed.changes],
        "broken": sorted(replayed.broken),
        "left": replayed.left,
        "same": replayed.is_same,
        "wall_s": round(replayed.wall_s, 3),
        "trace_file": str(replayed.trace_file),
    }
