"""Which safeguards a command is about: a preset, and what differs from it."""

from collections.abc import Sequence
from dataclasses import fields
from enum import StrEnum
from importlib import import_module

from staleplan.cli.errors import CommandError, nearest


class Modes(StrEnum):
    """Which presets of safeguards to run."""

    BUGGY = "buggy"
    FIXED = "fixed"
    BOTH = "both"


def read_switches(given: Sequence[str], service: str = "enactor") -> dict[str, bool]:
    """Read FIELD=on|off of a service.

    Raises: CommandError, with the nearest name.
    """
    safeguards = import_module(f"{service}.safeguards").Safeguards
    names = [each.name for each in fields(safeguards)]
    switched = {}
    for each in given:
        field, _, value = each.partition("=")
        field = field.removeprefix(f"{service}.")
        if field not in names:
            raise CommandError(f"no safeguard {field!r}; {nearest(field, names)}")
        if value not in {"on", "off"}:
            raise CommandError(f"{each!r}: a safeguard is on or off, as in {field}=on")
        switched[field] = value == "on"
    return switched
