"""What a transition tells of its event, as bits of one integer."""

from collections.abc import Iterable

from enactor.model import Command, Purpose, ReadNewestPlan, ReadZones, Submit
from staleplan.spec import (
    NEVER_EMPTY,
    NO_HALF_PLAN,
    NO_REGRESS,
    NO_WEDGE,
    PAUSE_FREEZES,
    TREES_EXIST,
    Step,
)

PROPERTIES = (
    NEVER_EMPTY,
    NO_REGRESS,
    TREES_EXIST,
    NO_WEDGE,
    NO_HALF_PLAN,
    PAUSE_FREEZES,
)
"""What every step is judged by. P6 needs more plans than a search has."""

SOMETIMES = (
    "a plan was deleted",
    "a lock was lost",
    "a lock lapsed and was taken",
    "a flip came after its lock had lapsed",
    "a late flip was refused",
    "a pause refused a batch",
    "a reply was lost",
    "a crash before the check",
    "a crash before the locks",
    "a crash before the flip",
    "a crash before the release",
    "a crash before the look at old plans",
    "a crash before the clean-up",
)
"""What must happen somewhere, or a search has shown nothing."""

_FIRST_SOMETIMES_BIT = len(PROPERTIES)

BY_CHANCE, PUBLISHES, LOSES_REPLY, CRASHES, PAUSES, RESUMES = (
    1 << 32 + bit for bit in range(6)
)
"""What kind of event it was; without a mark, an enactor's step without a fault."""

NOTED = (1 << _FIRST_SOMETIMES_BIT + len(SOMETIMES)) - 1
"""Marks of what a search looks for: violations, and what must happen sometimes."""

FAULTS = BY_CHANCE | PUBLISHES | LOSES_REPLY | CRASHES | PAUSES
"""What is over once faults have ended, and the planner waits to be followed."""


def happening(what: str) -> int:
    """The mark of something that must happen sometimes."""
    return 1 << _FIRST_SOMETIMES_BIT + SOMETIMES.index(what)


def violations(steps: Iterable[Step]) -> int:
    """The marks of the properties that some steps violate."""
    found = [each.violation(step) for step in steps for each in PROPERTIES]
    count = len(PROPERTIES)
    marks = 0
    for at, wrong in enumerate(found):
        marks |= bool(wrong) << at % count
    return marks


def names_of(marks: int) -> list[str]:
    """The violated properties' ids, and what happened."""
    names = [each.id for each in PROPERTIES] + [*SOMETIMES]
    return [name for bit, name in enumerate(names) if marks >> bit & 1]


def crash_before(command: Command) -> int:
    """The marks of a crash of an enactor that was about to do something."""
    match command:
        case ReadZones(_, Purpose.CHECK):
            before = "check"
        case ReadZones():
            before = "look at old plans"
        case Submit(Purpose.FLIP):
            before = "flip"
        case Submit(Purpose.RELEASE):
            before = "release"
        case Submit():
            before = "clean-up"
        case ReadNewestPlan():
            return CRASHES
        case _:
            before = "locks"
    return CRASHES | happening(f"a crash before the {before}")
