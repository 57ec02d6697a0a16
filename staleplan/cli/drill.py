"""`staleplan drill` and `staleplan replay`: play the event, and judge it.

What is heavy is imported when a command runs, so that `--help` is quick.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import replace
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NoReturn, TypeVar

import typer

from staleplan.cli.console import STATE, JsonOption, StateOption
from staleplan.cli.errors import CommandError, nearest
from staleplan.cli.modes import Modes, read_switches

if TYPE_CHECKING:
    from staleplan.drills.result import Result
    from staleplan.drills.runner import Order
    from staleplan.runtime.settings import Mode

DRILLS = {
    "dns-race": "a late enactor overwrites a newer plan, and clean-up deletes it",
    "lease-storm": "DynamoDB goes and comes back, and the fleet wants all its leases",
}

T = TypeVar("T")

app = typer.Typer(no_args_is_help=True, help="Play a scenario, and judge it.")


class Stages(StrEnum):
    """What to run on."""

    LIVE = "live"
    SIM = "sim"


ModeOption = Annotated[Modes, typer.Option(help="As it failed, hardened, or both.")]
OnOption = Annotated[
    Stages, typer.Option(help="Real services, or the same cores in virtual time.")
]
SeedOption = Annotated[int, typer.Option(help="What chance is drawn from.")]
DatabaseOption = Annotated[
    str | None,
    typer.Option(
        envvar="STALEPLAN_DATABASE_URL", help="PostgreSQL; else the embedded one."
    ),
]


SafeguardOption = Annotated[
    list[str] | None, typer.Option(help="FIELD=on|off; may be repeated.")
]
AblateOption = Annotated[
    bool, typer.Option(help="Each safeguard alone, and all but each.")
]
CountOption = Annotated[int, typer.Option(min=1, help="Seeds, one after another.")]
FaultOption = Annotated[bool, typer.Option(help="Without: nothing goes wrong.")]

NaturalOption = Annotated[
    bool, typer.Option(help="dns-race: only starve the late enactor, and see.")
]
ScheduleOption = Annotated[
    Path | None,
    typer.Option(help="dns-race: replay what `check --save` wrote, live."),
]
EndpointsOption = Annotated[
    int,
    typer.Option(min=0, max=1_000_000, help="dns-race: account-specific endpoints."),
]
ProcessesOption = Annotated[
    bool, typer.Option(help="dns-race: each service as its own process.")
]

FleetOption = Annotated[
    int | None,
    typer.Option(min=16, max=200_000, help="lease-storm: droplets; 1,000, live 72."),
]
OutageOption = Annotated[
    float | None,
    typer.Option(
        min=10, max=10_800, help="lease-storm: seconds without DynamoDB; the night's."
    ),
]
LoadOption = Annotated[
    float,
    typer.Option(min=0.4, max=20, help="lease-storm: work, in times of capacity."),
]
SweepOption = Annotated[
    str | None,
    typer.Option(help="lease-storm: any of fleet,workers,timeout,load."),
]
DocsOption = Annotated[
    Path, typer.Option(help="lease-storm: where a sweep puts what it measured.")
]


@app.command("list")
def list_drills(as_json: JsonOption = False) -> None:
    """List the scenarios."""
    if as_json:
        typer.echo(json.dumps(DRILLS))
        return
    for name, what in DRILLS.items():
        typer.echo(f"{name}  {what}")


@app.command("run")
def run(
    name: Annotated[str, typer.Argument(help="A scenario: see `drill list`.")],
    mode: ModeOption = Modes.BOTH,
    safeguard: SafeguardOption = None,
    ablate: AblateOption = False,
    on: Annotated[
        Stages | None, typer.Option(help="dns-race: live; lease-storm: sim.")
    ] = None,
    seed: SeedOption = 1,
    count: CountOption = 1,
    fault: FaultOption = True,
    natural: NaturalOption = False,
    schedule: ScheduleOption = None,
    endpoints: EndpointsOption = 2_000,
    processes: ProcessesOption = False,
    fleet: FleetOption = None,
    outage: OutageOption = None,
    load: LoadOption = 0.5,
    sweep: SweepOption = None,
    docs: DocsOption = Path("docs"),
    state: StateOption = STATE,
    database_url: DatabaseOption = None,
    as_json: JsonOption = False,
) -> None:
    """Run a scenario. Exit code: 0 as expected, 1 not, 2 the run proves nothing."""
    if name not in DRILLS:
        raise CommandError(f"no drill {name!r}; {nearest(name, DRILLS)}")
    if schedule:
        _replay_schedule(schedule, state, database_url, as_json=as_json)
    if name == "lease-storm":
        from staleplan.cli import drill_storm
        from staleplan.sim.fleet import Fleet

        usual = drill_storm.USUAL[(on or Stages.SIM).value]
        if sweep:
            drill_storm.sweep(sweep, fleet or usual.droplets, docs, as_json=as_json)
            return
        storms = drill_storm.orders(
            modes=_modes(mode),
            switched=read_switches(safeguard or (), "dwfm"),
            ablate=ablate,
            seeds=range(seed, seed + count),
            outage_s=(outage or usual.outage_s) if fault else 0.0,
            fleet=Fleet(fleet or usual.droplets, load=load),
            on=(on or Stages.SIM).value,
        )
        drill_storm.run(storms, state, database_url, as_json=as_json)
    from staleplan.drills.dns_race import Script
    from staleplan.drills.pace import CALM_PACE, DRILL_PACE
    from staleplan.drills.runner import Order

    base = Order(
        mode="buggy",
        script=Script(seed, natural=natural, fault=fault),
        on=(on or Stages.LIVE).value,
        switched=read_switches(safeguard or ()),
        pace=DRILL_PACE if fault else CALM_PACE,
        state_folder=state,
        account_endpoints=endpoints,
        processes=processes,
    )
    orders = _variants(base, _modes(mode), count, ablate=ablate)
    _report(_run_all(orders, database_url, at_once=2), orders, as_json=as_json)


def _variants(
    base: Order, modes: Sequence[Mode], count: int, *, ablate: bool
) -> list[Order]:
    """Order every mode, or every set of safeguards, with so many seeds."""
    from staleplan.drills.runner import ablations

    if ablate:
        variants = [
            replace(base, mode=preset, switched=chosen, title=title)
            for title, preset, chosen in ablations()
        ]
    else:
        variants = [replace(base, mode=each) for each in modes]
    return [
        replace(each, script=replace(each.script, seed=base.script.seed + more))
        for more in range(count)
        for each in variants
    ]


def replay(
    mode: ModeOption = Modes.BOTH,
    on: OnOption = Stages.LIVE,
    seed: SeedOption = 1,
    state: StateOption = STATE,
    database_url: DatabaseOption = None,
    as_json: JsonOption = False,
) -> None:
    """Replay the night: 22:18 to 02:40 PDT, buggy and fixed side by side."""
    from staleplan.drills.runner import Order
    from staleplan.drills.us_east_1 import DAY_PACE, night

    orders = [
        Order(
            mode=each,
            script=night(seed, operators=each == "buggy"),
            on=on.value,
            pace=DAY_PACE,
            state_folder=state,
            title="replay",
        )
        for each in _modes(mode)
    ]
    _report(_run_all(orders, database_url, at_once=2), orders, as_json=as_json)


def _replay_schedule(
    path: Path, state: Path, database_url: str | None, *, as_json: bool
) -> NoReturn:
    """Replay a schedule, print what came of it, and exit: 0 is the same, 1 not."""
    from staleplan.check.schedule import Schedule
    from staleplan.cli import schedule_report
    from staleplan.drills.scheduled import Replayed, replay_live

    try:
        schedule = Schedule.from_json(path.read_text())
    except (OSError, ValueError) as error:
        raise CommandError(f"no schedule in {path}: {error}") from error

    async def play(url: str) -> Replayed:
        return await replay_live(schedule, url, state)

    try:
        replayed = on_postgres(play, database_url, state)
    except ValueError as error:
        raise CommandError(f"{path}: {error}") from error
    schedule_report.show(replayed, as_json=as_json)
    raise typer.Exit(0 if replayed.is_same else 1)


def _modes(mode: Modes) -> list[Mode]:
    chosen: dict[Modes, list[Mode]] = {
        Modes.BUGGY: ["buggy"],
        Modes.FIXED: ["fixed"],
        Modes.BOTH: ["buggy", "fixed"],
    }
    return chosen[mode]


def _run_all(
    orders: Sequence[Order], database_url: str | None, *, at_once: int
) -> list[Result]:
    """Run several orders, a few at a time, on one PostgreSQL."""
    from staleplan.drills.runner import run_order

    if orders[0].on == "sim":
        return [asyncio.run(run_order(each)) for each in orders]

    async def run_each(url: str) -> list[Result]:
        turn = asyncio.Semaphore(at_once)

        async def run_one(order: Order) -> Result:
            async with turn:
                return await run_order(replace(order, database_url=url))

        # One that fails ends the others: nothing is left running.
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(run_one(order)) for order in orders]
        return [task.result() for task in tasks]

    return on_postgres(run_each, database_url, orders[0].state_folder)


def on_postgres(
    play: Callable[[str], Coroutine[None, None, T]],
    database_url: str | None,
    state: Path,
) -> T:
    """Play on the database that is given, or on one that ends with the command."""
    from staleplan.runtime.errors import ServiceError
    from staleplan.runtime.postgres import PostgresError, postgres
    from staleplan.stack.child import StackFailed
    from staleplan.stack.outside import ServiceFailedError

    try:
        with postgres(database_url, state) as url:
            return asyncio.run(play(url))
    except* (
        OSError,
        PostgresError,
        ServiceError,
        ServiceFailedError,
        StackFailed,
    ) as failed:
        raise CommandError(str(failed.exceptions[0])) from failed


def _report(
    results: Sequence[Result], orders: Sequence[Order], *, as_json: bool
) -> None:
    """Print what came of it, and exit with the verdict's code."""
    from staleplan.cli import race_report
    from staleplan.drills.result import EXIT_CODES, verdict_of

    verdict = verdict_of(results)
    if as_json:
        runs = [result.to_json() for result in results]
        whole = runs[0] if len(runs) == 1 else {"runs": runs, "verdict": verdict}
        typer.echo(json.dumps(whole, indent=2))
    else:
        race_report.show(results, [order.title for order in orders], verdict)
    raise typer.Exit(EXIT_CODES[verdict])
