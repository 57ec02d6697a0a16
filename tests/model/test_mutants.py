"""Each guard that is taken out is noticed by its property, or kept for a reason.

Writes the table of docs/checking.md anew:

    .venv/bin/python -m tests.model.test_mutants
"""

import re
import sys
from dataclasses import replace
from functools import cache
from pathlib import Path

import pytest

from enactor.model import Purpose, Submit, TakeLocks
from enactor.safeguards import FIXED
from staleplan.check.mutants import MUTANTS, Mutant, off, without
from staleplan.check.question import Question
from staleplan.check.result import result_of
from staleplan.check.search import Found, Search
from staleplan.model import ActiveBelow, LockIs

PAGE = Path(__file__).parents[2] / "docs/checking.md"
HEAD = (
    "| taken out | killed by | events | size | kept, though nothing breaks, because |",
    "|---|---|---|---|---|",
)
TABLE = re.compile(re.escape(HEAD[0]) + r"\n(?:\|.*\n)*")

KILLED = [mutant for mutant in MUTANTS if not mutant.kept]
SURVIVES = [mutant for mutant in MUTANTS if mutant.kept]
WITHOUT = [mutant for mutant in MUTANTS if " without " in mutant.name]
SECOND_LINE = [mutant for mutant in MUTANTS if mutant.behind]


@cache
def searched(question: Question) -> Search:
    search = Search(question)
    search.run()
    return search


def lengths(found: Found) -> dict[str, int]:
    return {each: len(path) - 1 for each, path in found.paths.items()}


def exposed(mutant: Mutant) -> Question:
    """The mutant where the first line of defence is gone, too; no fault is needed."""
    alone = off(mutant.question.safeguards, *mutant.behind)
    return replace(mutant.question, safeguards=alone, crashes=0, pauses=0)


def by_name(mutant: Mutant) -> str:
    return mutant.name


@pytest.mark.parametrize("mutant", KILLED, ids=by_name)
def test_a_mutant_is_killed_by_its_property(mutant: Mutant) -> None:
    found = searched(mutant.question).found
    assert found.complete
    assert lengths(found) == {mutant.killed_by: mutant.events}


@pytest.mark.parametrize("mutant", SURVIVES, ids=by_name)
def test_a_survivor_breaks_nothing(mutant: Mutant) -> None:
    search = searched(mutant.question)
    assert search.found.complete
    assert lengths(search.found) == {}
    # Without the lock, no flip can come after it has lapsed; all else must happen.
    assert set(result_of(search).vacuous) <= {"a flip came after its lock had lapsed"}


@pytest.mark.parametrize("mutant", SECOND_LINE, ids=by_name)
def test_a_second_line_of_defence_holds_where_the_first_is_gone(mutant: Mutant) -> None:
    guarded = replace(
        exposed(mutant), safeguards=off(FIXED, *mutant.behind), mutation=None
    )
    assert mutant.killed_by not in searched(guarded).found.paths
    assert lengths(searched(exposed(mutant)).found).items() >= {
        (mutant.killed_by, mutant.events)
    }


def test_a_release_that_asks_nothing_takes_the_lock_of_another() -> None:
    """It survives, but it is not the enactor itself: regions differ by it."""
    asks_nothing = Question(FIXED, mutation=without(LockIs, Purpose.RELEASE))
    itself = searched(Question(FIXED)).found
    assert searched(asks_nothing).found.states > itself.states


# --- Nothing is left out -----------------------------------------------------------


def guards_of(question: Question) -> set[str]:
    """Every precondition that some command of the explored enactor carries."""
    found = set()
    for node in searched(question).region.machine.nodes:
        match node.command:
            case Submit(purpose, _, orders):
                for order in orders:
                    found |= {(str(purpose), type(p)) for p in order.preconditions}
            case TakeLocks(_, _, guards):
                found |= {("take lock", type(guard)) for guard in guards}
    return {f"{purpose} without `{guard.__name__}`" for purpose, guard in found}


def test_every_precondition_is_taken_out_once() -> None:
    named = {mutant.name for mutant in MUTANTS}
    elsewhere = {"flip without `ActiveBelow`"}  # the recheck: see below
    assert guards_of(Question(FIXED)) - named == elsewhere


@pytest.mark.parametrize("mutant", WITHOUT, ids=by_name)
def test_what_is_taken_out_is_gone(mutant: Mutant) -> None:
    assert mutant.name in guards_of(Question(FIXED))
    assert mutant.name not in guards_of(mutant.question)


def test_every_safeguard_is_switched_off_once() -> None:
    named = {mutant.name for mutant in MUTANTS}
    assert {f"`{each}` off" for each in FIXED.__dataclass_fields__} <= named


def test_the_flip_without_active_below_is_the_recheck_off() -> None:
    mutant = Question(FIXED, mutation=without(ActiveBelow, Purpose.FLIP))
    switched = Question(off(FIXED, "recheck_generation_in_batch"))
    one, other = searched(mutant).found, searched(switched).found
    assert replace(one, wall_s=0.0) == replace(other, wall_s=0.0)


# --- The page ----------------------------------------------------------------------


def table() -> str:
    return "\n".join([*HEAD, *map(row, MUTANTS)]) + "\n"


def row(mutant: Mutant) -> str:
    question = exposed(mutant) if mutant.behind else mutant.question
    events = lengths(searched(question).found).get(mutant.killed_by or "", "")
    killer: str = mutant.killed_by or "" if events else ""
    if mutant.behind:
        killer = f"{killer}, {' and '.join(f'`{each}`' for each in mutant.behind)} off"
    cells = (mutant.name, killer, events, size(mutant.question), mutant.kept)
    return "| " + " | ".join(str(cell) or "-" for cell in cells) + " |"


def size(question: Question) -> str:
    faults = {"crash": question.crashes, "pause": question.pauses}
    sizes = f"{question.enactors}x{question.zones}x{question.plans}"
    return ", ".join([sizes, *(f"{n} {fault}" for fault, n in faults.items() if n)])


def test_the_page_has_the_table_that_is_found() -> None:
    (written,) = TABLE.findall(PAGE.read_text())
    anew = ".venv/bin/python -m tests.model.test_mutants"
    assert written == table(), f"docs/checking.md is not what is found: {anew}"


if __name__ == "__main__":
    page, count = TABLE.subn(lambda _: table(), PAGE.read_text())
    if count != 1:
        sys.exit(f"{PAGE} has {count} tables of mutants")
    PAGE.write_text(page)
