"""Every mutant of the hardened enactor: one guard taken out, and what notices.

A guard whose loss nobody notices may be a habit and no safeguard. So each is taken out
alone and the search is asked again. Those that survive are kept for a reason
that is written down, and for the second line of defence the first one is named: with
`behind` off as well, the guard is all that is left, and its loss is noticed.

Not twice: the flip without `ActiveBelow` is `recheck_generation_in_batch` off, and
clean-up by age that asks nothing is `keep_referenced_plans` off. Not at all: the lock
record as read, which a take demands; the checker reads and takes in one event.

Enforced by: tests/model/test_mutants.py
"""

from dataclasses import dataclass, replace

from enactor.model import Command, Order, Purpose, Submit, TakeLocks
from enactor.safeguards import FIXED, Safeguards
from staleplan.check.question import Mutation, PropertyId, Question
from staleplan.model import (
    AutomationRuns,
    DeleteTree,
    LockIs,
    Precondition,
    TreeUnreferenced,
)


@dataclass(frozen=True, slots=True)
class Mutant:
    """The hardened enactor without one guard, and what comes of it.

    `killed_by`: the property that breaks, and after how many `events` at the least;
    publishing is no event. `kept`: why the guard stays although nothing breaks, unless
    the safeguards `behind` which it stands are off too.
    """

    name: str
    question: Question
    killed_by: PropertyId | None = None
    events: int = 0
    kept: str = ""
    behind: tuple[str, ...] = ()


def off(safeguards: Safeguards, *names: str) -> Safeguards:
    """The safeguards without some."""
    return replace(safeguards, **dict.fromkeys(names, False))


def without(guard: type[Precondition], purpose: Purpose) -> Mutation:
    """Take a precondition out of every batch of one purpose."""

    def change(command: Command) -> Command:
        match command:
            case Submit(found, _, orders) if found is purpose:
                return replace(command, orders=tuple(map(loosened, orders)))
        return command

    def loosened(order: Order) -> Order:
        left = (p for p in order.preconditions if not isinstance(p, guard))
        return replace(order, preconditions=tuple(left))

    return Mutation(f"{purpose} without `{guard.__name__}`", change)


def _take_unguarded(command: Command) -> Command:
    return replace(command, guards=()) if isinstance(command, TakeLocks) else command


def _ask_of_each_tree(command: Command) -> Command:
    """Let a clean-up that chose by age ask what one that looks at use asks."""
    match command:
        case Submit(Purpose.CLEAN_UP, _, orders):
            return replace(command, orders=tuple(map(_asking, orders)))
    return command


def _asking(order: Order) -> Order:
    trees = (c.generation for c in order.changes if isinstance(c, DeleteTree))
    asked = (*order.preconditions, *map(TreeUnreferenced, trees))
    return replace(order, preconditions=asked)


def _without(gone: str | Mutation, *, crashes: int = 0, pauses: int = 0) -> Question:
    """Ask about the hardened enactor without a safeguard, or with a mutation."""
    safeguards = off(FIXED, gone) if isinstance(gone, str) else FIXED
    mutation = gone if isinstance(gone, Mutation) else None
    return Question(safeguards, mutation=mutation, crashes=crashes, pauses=pauses)


_SWITCHES = (
    Mutant(
        "`recheck_generation_in_batch` off",
        _without("recheck_generation_in_batch"),
        killed_by="P2",
        events=8,
    ),
    Mutant(
        "`refresh_plan_on_retry` off",
        _without("refresh_plan_on_retry", crashes=1, pauses=1),
        kept="It bounds how old a plan in hand can get (R14), and so how much work is "
        "refused; whatever its age, the recheck keeps it from doing harm.",
    ),
    Mutant(
        "`keep_referenced_plans` off",
        _without("keep_referenced_plans"),
        killed_by="P3",
        events=10,
    ),
    Mutant(
        "`tolerate_missing_active` off",
        _without("tolerate_missing_active", crashes=1, pauses=1),
        killed_by="P4",
        events=14,
        behind=("recheck_generation_in_batch", "keep_referenced_plans"),
        kept="The second line of defence: no active tree is lost here. It heals a zone "
        "that was broken before, or by somebody else (R19).",
    ),
    Mutant(
        "`pause_switch` off",
        _without("pause_switch", pauses=1),
        killed_by="P15",
        events=5,
    ),
)

_PRECONDITIONS = (
    Mutant(
        "flip without `LockIs`",
        _without(without(LockIs, Purpose.FLIP), crashes=1, pauses=1),
        kept="The lock is R9's own rule. It spares two enactors the same work; that "
        "the zone is right depends on the recheck, which the store judges "
        "in the same transaction.",
    ),
    Mutant(
        "flip without `AutomationRuns`",
        _without(without(AutomationRuns, Purpose.FLIP), pauses=1),
        killed_by="P15",
        events=5,
    ),
    Mutant(
        "release without `LockIs`",
        _without(without(LockIs, Purpose.RELEASE), crashes=1, pauses=1),
        kept="It takes nobody else's lock away. Whoever lost it so would be refused "
        "and try again: work wasted, nothing broken.",
    ),
    Mutant(
        "clean up without `LockIs`",
        _without(without(LockIs, Purpose.CLEAN_UP), crashes=1, pauses=1),
        kept="Every batch begins with the lock (R9), so that who holds a zone finds "
        "it as it was. That no tree in use goes depends on `TreeUnreferenced`.",
    ),
    Mutant(
        "clean up without `AutomationRuns`",
        _without(without(AutomationRuns, Purpose.CLEAN_UP), pauses=1),
        killed_by="P15",
        events=16,
    ),
    Mutant(
        "clean up without `TreeUnreferenced`",
        _without(without(TreeUnreferenced, Purpose.CLEAN_UP), crashes=1, pauses=1),
        killed_by="P1",
        events=20,
        behind=("recheck_generation_in_batch",),
        kept="The second line of defence: a zone that cannot go back never points at "
        "an older tree again, but people may restore one (R20) in between.",
    ),
    Mutant(
        "take lock without `AutomationRuns`",
        _without(
            Mutation("take lock without `AutomationRuns`", _take_unguarded),
            crashes=1,
            pauses=1,
        ),
        kept="A lock changes no answer. Refused here, an enactor holds none through "
        "a pause, and operators find every zone free.",
    ),
    Mutant(
        "clean up by age, asking `TreeUnreferenced`",
        Question(
            off(FIXED, "keep_referenced_plans"),
            mutation=Mutation("by age, asking", _ask_of_each_tree),
            crashes=1,
            pauses=1,
        ),
        kept="The store's answer is enough for safety. The choice is what makes "
        "clean-up useful: by age alone one tree in use spares all the others.",
    ),
)

MUTANTS = (*_SWITCHES, *_PRECONDITIONS)
"""Each safeguard off, then each precondition of a batch taken out."""
