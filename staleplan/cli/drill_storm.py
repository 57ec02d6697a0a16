"""`staleplan drill run lease-storm`: its runs, and its sweeps."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal, NoReturn

import typer

from staleplan.cli import storm_report
from staleplan.cli.drill import on_postgres
from staleplan.cli.errors import CommandError, nearest
from staleplan.drills.lease_storm import RECORD_OUTAGE_S, Script
from staleplan.drills.lease_storm_live import run_live
from staleplan.drills.lease_storm_runner import Order, ablations, run_sim
from staleplan.drills.lease_storm_sweep import (
    FLEETS,
    LOADS,
    STORMS,
    TIMEOUTS_S,
    line_points,
    load_points,
)
from staleplan.drills.lease_storm_tables import write_line, write_load
from staleplan.drills.result import EXIT_CODES, Result, verdict_of
from staleplan.runtime.settings import Mode
from staleplan.sim.fleet import ONE_AZ, Fleet

Stage = Literal["live", "sim"]

DIMENSIONS = ("fleet", "workers", "timeout", "load")


@dataclass(frozen=True, slots=True)
class Usual:
    """What a run is unless told otherwise. Units: incident seconds."""

    droplets: int
    outage_s: float


USUAL: Mapping[Stage, Usual] = {
    "sim": Usual(1_000, RECORD_OUTAGE_S),
    "live": Usual(72, 1_800.0),
}
"""Live it is a small fleet, and half an hour: long enough for all of its leases."""

MOST_LIVE = 144
"""Most droplets live: each AZ does 40 pieces of work in a wall second then."""


def orders(
    *,
    modes: Sequence[Mode],
    switched: Mapping[str, bool],
    ablate: bool,
    seeds: Sequence[int],
    outage_s: float,
    fleet: Fleet,
    on: Stage,
) -> list[Order]:
    """Order every mode, or every set of safeguards, with every seed.

    Raises: CommandError, if a live fleet is too small or too large.
    """
    if on == "live" and not ONE_AZ <= fleet.droplets <= MOST_LIVE:
        raise CommandError(f"a live fleet has {ONE_AZ} to {MOST_LIVE} droplets")
    variants: list[tuple[str, Mode, Mapping[str, bool]]] = [
        ("", mode, switched) for mode in modes
    ]
    if ablate:
        variants = [*ablations()]
    return [
        Order(mode, Script(seed, outage_s), fleet, chosen, title, on)
        for seed in seeds
        for title, mode, chosen in variants
    ]


def run(
    orders: Sequence[Order], state: Path, database_url: str | None, *, as_json: bool
) -> NoReturn:
    """Run orders, print what came of it, and exit with the verdict's code."""
    if orders[0].on == "live":
        results = _run_live(orders, state, database_url)
    else:
        results = [run_sim(order) for order in orders]
    verdict = verdict_of(results)
    if as_json:
        runs = [result.to_json() for result in results]
        whole = runs[0] if len(runs) == 1 else {"runs": runs, "verdict": verdict}
        typer.echo(json.dumps(whole, indent=2))
    else:
        storm_report.show(results, [order.title for order in orders], verdict)
    raise typer.Exit(EXIT_CODES[verdict])


def _run_live(
    orders: Sequence[Order], state: Path, database_url: str | None
) -> list[Result]:
    """Run orders one after another: two at once would keep each other from work."""

    async def run_each(url: str) -> list[Result]:
        return [await run_live(order, state, url) for order in orders]

    return on_postgres(run_each, database_url, state)


def sweep(asked: str, droplets: int, folder: Path, *, as_json: bool) -> None:
    """Measure the line of collapse, goodput against load, or both.

    What is not asked for stays as it is: 30 s, as many workers as usual.
    Raises: CommandError, if a dimension is unknown or the folder is not there.
    """
    dimensions = asked.split(",")
    for each in dimensions:
        if each not in DIMENSIONS:
            raise CommandError(f"no dimension {each!r}; {nearest(each, DIMENSIONS)}")
    if not (folder / "lease-storm.md").is_file():
        raise CommandError(f"no lease-storm.md in {folder}, where the tables belong")
    measured: dict[str, list[dict[str, object]]] = {}
    if {*dimensions} & {"fleet", "workers", "timeout"}:
        line = list(
            line_points(
                FLEETS if "fleet" in dimensions else (droplets,),
                TIMEOUTS_S if "timeout" in dimensions else (30.0,),
                STORMS if "workers" in dimensions else None,
            )
        )
        write_line(line, folder)
        measured["line"] = [asdict(each) for each in line]
    if "load" in dimensions:
        load = list(load_points(droplets, LOADS))
        write_load(load, folder)
        measured["load"] = [asdict(each) for each in load]
    if as_json:
        typer.echo(json.dumps(measured, indent=2))
        return
    typer.echo(f"written: {', '.join(measured)}, in {folder}/lease-storm*")
