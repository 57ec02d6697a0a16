"""What a property is, and the steps that it judges."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass

from dns_store.core import ZoneState, settle, view
from staleplan.model import (
    Applied,
    Batch,
    JournalEntry,
    Outcome,
    PointActive,
    Refused,
    ZoneName,
    ZoneView,
)

OPERATOR = "operator"
"""How the names of people begin: what they order is theirs to answer for."""


@dataclass(frozen=True, slots=True)
class Step:
    """One batch and what it did to its zone. Units: `at_s`, epoch, incident time.

    `paused`: an operator had paused the automation. A journal does not tell.
    """

    at_s: float
    before: ZoneView
    batch: Batch
    outcome: Outcome
    after: ZoneView
    paused: bool = False

    @property
    def by_operator(self) -> bool:
        """Whether a person sent the batch."""
        return self.batch.enactor.startswith(OPERATOR)

    @property
    def is_flip(self) -> bool:
        """Whether the batch was to point aliases at a plan."""
        return any(isinstance(change, PointActive) for change in self.batch.changes)


@dataclass(frozen=True, slots=True)
class Property:
    """Something that must hold at every step.

    `violation` tells what is wrong with a step, for a person to read, or `None`.
    """

    id: str
    name: str
    violation: Callable[[Step], str | None]


@dataclass(frozen=True, slots=True)
class Violation:
    """The first step at which a property did not hold."""

    at_s: float
    evidence: str


class HistoryMismatch(ValueError):
    """A journal tells of a zone that its own batches do not lead to."""


def replay(
    zones: Mapping[ZoneName, ZoneState], entries: Iterable[JournalEntry]
) -> Iterator[Step]:
    """Walk a journal from the zones' beginning, one step a batch.

    Raises: HistoryMismatch, if what the journal says was found or left behind is not
    what the batches before it lead to.
    """
    states = dict(zones)
    for entry in entries:
        batch = entry.batch
        before = states[batch.zone]
        after = settle(before, batch, entry.outcome)
        told = _told(entry.outcome)
        expected = view(after, batch.endpoints)
        if told != expected:
            raise HistoryMismatch(
                f"entry {entry.sequence} ({batch.id}): the journal says {told}, "
                f"its batches lead to {expected}"
            )
        states[batch.zone] = after
        yield Step(entry.at_s, view(before), batch, entry.outcome, view(after))


def _told(outcome: Outcome) -> ZoneView:
    match outcome:
        case Applied(after):
            return after
        case Refused(_, _, found):  # pragma: no branch
            return found


def judge(
    properties: Iterable[Property], steps: Iterable[Step]
) -> dict[str, Violation | None]:
    """Find, for each property, the first step that violates it."""
    first: dict[str, Violation | None] = {p.id: None for p in properties}
    for step in steps:
        for each in properties:
            if first[each.id] is None and (wrong := each.violation(step)):
                first[each.id] = Violation(step.at_s, wrong)
    return first
