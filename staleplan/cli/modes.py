"""Which enactors a command is about: a preset, and what differs from it."""

from collections.abc import Sequence
from dataclasses import fields
from enum import StrEnum

from staleplan.cli.errors import CommandError, nearest


class Modes(StrEnum):
    """Which presets of safeguards to run."""

    BUGGY = "buggy"
    FIXED = "fixed"
    BOTH = "both"


def read_switches(given: Sequence[str]) -> dict[str, bool]:
    """Read FIELD=on|off of the enactor.

    Raises: CommandError, with the nearest name.
    """
    from enactor.safeguards import Safeguards

    names = [each.name for each in fields(Safeguards)]
    switched = {}
    for each in given:
        field, _, value = each.partition("=")
        field = field.removeprefix("enactor.")
        if field not in names:
            raise CommandError(f"no safeguard {field!r}; {nearest(field, names)}")
        if value not in {"on", "off"}:
            raise CommandError(f"{each!r}: a safeguard is on or off, as in {field}=on")
        switched[field] = value == "on"
    return switched
