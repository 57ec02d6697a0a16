"""A path through a region as a schedule: who does what, in which order, as JSON.

`staleplan check --save` writes one for each violation, and `staleplan drill run
dns-race --schedule FILE` replays it on a running stack, where every effect of an
enactor waits at a fault point for its turn.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

from pydantic import TypeAdapter

from enactor.model import (
    BackOff,
    Purpose,
    ReadNewestPlan,
    ReadZones,
    Submit,
    TakeLocks,
)
from staleplan.check.question import Question
from staleplan.check.story import Event
from staleplan.model import (
    NOTHING,
    Batch,
    DeleteTree,
    Generation,
    Lock,
    Outcome,
    PlanHead,
    PointActive,
    Refused,
    ZoneName,
)

Kind = Literal[
    "publish",
    "pause",
    "resume",
    "crash",
    "pick up",
    "check",
    "take lock",
    "flip",
    "release",
    "look",
    "clean up",
]
"""What an event is: the planner's, the operator's, and then an enactor's effects.
`look`: it reads which trees are old."""

TAKEN, LOST, APPLIED = "taken", "lost", "applied"
"""What comes of a lock, and of a batch unless it is refused for a reason."""


@dataclass(frozen=True, slots=True)
class Action:
    """One event. `outcomes`: what came of it, by zone; `broke`: property ids.

    `reply_lost`: its batches are in the journal, and are sent again.
    """

    who: str
    what: str
    kind: Kind
    generation: Generation = NOTHING
    outcomes: Mapping[ZoneName, str] | None = None
    broke: tuple[str, ...] = ()
    reply_lost: bool = False


@dataclass(frozen=True, slots=True)
class Change:
    """A flip or a deletion, as a schedule and a journal both tell it.

    `generations`: the plan flipped to, or those deleted.
    """

    who: str
    zone: ZoneName
    kind: Literal["flip", "clean up"]
    generations: tuple[Generation, ...]
    outcome: str

    def __str__(self) -> str:
        plans = ", ".join(map(str, self.generations))
        return f"{self.who}: {self.kind} of {self.zone}, plan {plans}: {self.outcome}"


@dataclass(frozen=True, slots=True)
class Schedule:
    """Who does what, in which order, and what it leads to."""

    safeguards: Mapping[str, bool]
    keep_generations: int
    enactors: int
    zones: tuple[ZoneName, ...]
    plans: int
    events: tuple[Action, ...]
    changes: tuple[Change, ...]

    @property
    def broken(self) -> frozenset[str]:
        """The properties that the schedule violates."""
        return frozenset(each for event in self.events for each in event.broke)

    def to_json(self) -> dict[str, Any]:
        """What `--save` writes."""
        written: dict[str, Any] = _SCHEDULE.dump_python(self, mode="json")
        return written

    @classmethod
    def from_json(cls, text: str) -> "Schedule":
        """Read what `--save` wrote. Raises: ValueError, with the path of the field."""
        return _SCHEDULE.validate_json(text)


_SCHEDULE = TypeAdapter(Schedule)


def schedule_of(question: Question, told: Sequence[Event]) -> Schedule:
    """Write down the events of a path."""
    steps = [step for event in told for step in event.steps]
    found = [change_of(step.batch, step.outcome) for step in steps]
    return Schedule(
        asdict(question.safeguards),
        question.keep_generations,
        question.enactors,
        question.zone_names,
        question.plans,
        tuple(_actions(told)),
        tuple(change for change in found if change),
    )


def change_of(batch: Batch, outcome: Outcome) -> Change | None:
    """A batch as a change that counts; `None`: it was about a lock alone."""
    came = str(outcome.reason) if isinstance(outcome, Refused) else APPLIED
    who, zone = batch.enactor, batch.zone
    if any(isinstance(each, PointActive) for each in batch.changes):
        return Change(who, zone, "flip", (batch.generation,), came)
    gone = tuple(c.generation for c in batch.changes if isinstance(c, DeleteTree))
    return Change(who, zone, "clean up", gone, came) if gone else None


def _actions(told: Sequence[Event]) -> Iterator[Action]:
    newest = NOTHING
    for event in told:
        if event.who == "the planner":
            newest = Generation(newest + 1)
            yield Action(event.who, event.what, "publish", newest)
        elif event.who == "the operator":
            kind: Kind = "pause" if event.what.startswith("pauses") else "resume"
            yield Action(event.who, event.what, kind)
        elif event.command is None:
            yield Action(event.who, event.what, "crash")
        elif not isinstance(event.command, BackOff):
            yield from _effect(event)


def _effect(event: Event) -> Iterator[Action]:
    """An enactor's effect; none: to find no plan, or to send batches again."""
    kind: Kind
    outcomes: dict[ZoneName, str] | None = None
    generation = NOTHING
    match event.command:
        case ReadNewestPlan():
            if not isinstance(event.reply, PlanHead):
                return
            kind, generation = "pick up", event.reply.generation
        case ReadZones(_, purpose):
            kind = "look" if purpose is Purpose.CLEAN_UP else "check"
        case TakeLocks(zones, generation):
            kind = "take lock"
            locks = event.reply if isinstance(event.reply, tuple) else ()
            outcomes = {
                zone: TAKEN if isinstance(lock, Lock) else LOST
                for zone, lock in zip(zones, locks, strict=True)
            }
        case Submit(purpose, generation) if event.steps:
            kind = "flip"
            if purpose is not Purpose.FLIP:
                kind = "release" if purpose is Purpose.RELEASE else "clean up"
            outcomes = {
                step.batch.zone: str(step.outcome.reason)
                if isinstance(step.outcome, Refused)
                else APPLIED
                for step in event.steps
            }
        case _:
            return
    broke = tuple(each.partition(" ")[0] for each in event.broke)
    yield Action(
        event.who, event.what, kind, generation, outcomes, broke, event.reply_lost
    )
