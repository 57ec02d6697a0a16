"""Puts the command line together, and sees to it that an error is one line."""

import sys
from importlib import metadata
from typing import Annotated, Any, NoReturn

import typer
from typer.core import TyperGroup

from staleplan.cli.check import check
from staleplan.cli.drill import app as drill_app
from staleplan.cli.drill import replay
from staleplan.cli.errors import CommandError
from staleplan.cli.fault import app as fault_app
from staleplan.cli.launch import launch
from staleplan.cli.ops import app as ops_app
from staleplan.cli.resolve import resolve
from staleplan.cli.safeguard import app as safeguard_app
from staleplan.cli.status import status
from staleplan.cli.up import down, up


class OneLineErrors(TyperGroup):
    """A group of commands whose errors are one line on standard error each."""

    def main(self, *args: Any, **options: Any) -> NoReturn:
        """Run a command and exit with its code."""
        try:
            code = super().main(*args, **{**options, "standalone_mode": False})
        except typer.TyperException as error:
            # An empty message is a request for help, which has been shown.
            _complain(error.format_message())
            sys.exit(error.exit_code)
        except CommandError as error:
            _complain(str(error))
            sys.exit(1)
        sys.exit(code if isinstance(code, int) else 0)


def _complain(message: str) -> None:
    if message:
        typer.echo(f"staleplan: {' '.join(message.split())}", err=True)


app = typer.Typer(
    cls=OneLineErrors,
    no_args_is_help=True,
    add_completion=False,
    help="An executable post-mortem of AWS us-east-1, 19-20 October 2025.",
    epilog="Begin with: staleplan up --mode buggy --drill",
)
for command in (up, down, status, resolve, launch, check, replay):
    app.command()(command)
app.add_typer(drill_app, name="drill")
app.add_typer(fault_app, name="fault")
app.add_typer(safeguard_app, name="safeguard")
app.add_typer(ops_app, name="ops")


def _show_version(wanted: bool) -> None:
    if wanted:
        typer.echo(metadata.version("staleplan"))
        raise typer.Exit


@app.callback()
def options(
    version: Annotated[
        bool,
        typer.Option(
            "--version",
            callback=_show_version,
            is_eager=True,
            help="Print the version and exit.",
        ),
    ] = False,
) -> None:
    """Read what comes before a command."""


def main() -> None:
    """Run the command line."""
    app(prog_name="staleplan")
