"""Whether a recorded trace and its journal tell the same, pass by pass.

A span of a batch says what the journal says of it. The batches of a pass are those that
a core sends that picked up the plan of the pass, and its end is one that the core comes
to: of a pass that sent nothing, too. A pass without an end was abandoned, so that its
enactor goes on in another life.

Time orders what the journal does not: a batch whose span ended before another's began
was judged before it, and a pass reads what was there between its beginning and its end.

The trace may go on after the journal was read. What was sent then is left open, and so
is the end of every pass that could have read it.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from enactor.model import Purpose
from staleplan.check.machine import Machine
from staleplan.check.spans import TAKE_LOCK, Span, Trace
from staleplan.check.walk import History, Nonconforming, Walk
from staleplan.model import (
    NOTHING,
    Applied,
    Batch,
    BatchId,
    BuildTree,
    DeleteTree,
    Generation,
    JournalEntry,
    PlanHead,
    SetLock,
)
from staleplan.runtime import attributes
from staleplan.spec.property import OPERATOR

FOREVER_NS = 1 << 64
"""Later than any span, wall nanoseconds."""


@dataclass(frozen=True, slots=True)
class Made:
    """A pass, and the places in the journal of what was sent in it, in order."""

    span: Span
    sent: tuple[int, ...]

    @property
    def was_abandoned(self) -> bool:
        """Whether it never came to an end."""
        return attributes.PASS_RESULT not in self.span.told


def judge_passes(machine: Machine, history: History, trace: Trace) -> None:
    """Check the trace of a run whose journal is allowed. Raises: Nonconforming."""
    entries = history.entries
    for entry in entries:
        if entry.batch.id in trace.batches:
            _judge_span(entry, trace.batches[entry.batch.id])
    open_from_ns = _judge_order(entries, trace)
    passes = _passes(entries, trace)
    for name in {entry.batch.enactor for entry in entries}:
        if not name.startswith(OPERATOR):
            own = [made for made in passes if made.span.service == name]
            _judge_lives(entries, own)
            _judge_unheard(entries, name, own)
    for made in passes:
        _judge_plan(trace, made)
        _judge_end(machine, history, trace, made, open_from_ns)


def _judge_span(entry: JournalEntry, span: Span) -> None:
    """What a span says of its batch is what the journal says."""
    batch, outcome = entry.batch, entry.outcome
    deleted = [c.generation for c in batch.changes if isinstance(c, DeleteTree)]
    journalled: dict[str, object] = {
        "service": batch.enactor,
        "name": _verb(batch),
        attributes.ZONE: batch.zone,
        attributes.PLAN_GENERATION: batch.generation,
        attributes.PLAN_DELETED: sorted(deleted) or None,
        attributes.BATCH_OUTCOME: (
            "applied" if isinstance(outcome, Applied) else outcome.reason
        ),
    }
    said = {"service": span.service, "name": span.name, **span.told}
    recorded = {key: said.get(key) for key in journalled}
    wrong = [key for key in journalled if recorded[key] != journalled[key]]
    if wrong:
        raise Nonconforming(
            span,
            {key: recorded[key] for key in wrong},
            {key: journalled[key] for key in wrong},
        )


def _verb(batch: Batch) -> str:
    match batch.changes:
        case (BuildTree(), *_):
            return Purpose.FLIP
        case (DeleteTree(), *_):
            return Purpose.CLEAN_UP
        case (SetLock(None),):
            return Purpose.RELEASE
    return TAKE_LOCK


def _judge_order(entries: Sequence[JournalEntry], trace: Trace) -> int:
    """Compare the journal's order with the spans' times; tell when the journal ends."""
    last_ns = 0
    for entry in entries:
        span = trace.batches.get(entry.batch.id)
        if span:
            if span.end_ns < last_ns:
                raise Nonconforming(
                    span, "an end before batches began that were judged earlier", "none"
                )
            last_ns = max(last_ns, span.start_ns)
    journalled = {entry.batch.id for entry in entries}
    later = [span for each, span in trace.batches.items() if each not in journalled]
    for span in later:
        if span.end_ns < last_ns:
            raise Nonconforming(span, "a batch", "none: the journal has none such")
    return min((span.start_ns for span in later), default=FOREVER_NS)


def _passes(entries: Sequence[JournalEntry], trace: Trace) -> list[Made]:
    """Every pass in the order of the beginnings, with what was sent in it."""
    sent: dict[str, list[int]] = {span.id: [] for span in trace.passes}
    within = {span.id: span for span in trace.passes}
    for at, entry in enumerate(entries):
        span = trace.batches.get(entry.batch.id)
        if span is None:
            continue
        found = within.get(span.parent)
        if found is None or found.service != span.service:
            raise Nonconforming(span, "no pass", f"a pass of {span.service} around it")
        if _plan_of(found) != entry.batch.generation:
            raise Nonconforming(
                found, f"plan {_plan_of(found)}", f"plan {entry.batch.generation}"
            )
        sent[found.id].append(at)
    return [Made(span, tuple(sent[span.id])) for span in trace.passes]


def _judge_lives(entries: Sequence[JournalEntry], own: Sequence[Made]) -> None:
    """Whoever abandons a pass goes on under another id."""
    life = ""
    over: dict[str, Span] = {}
    for made in own:
        for at in made.sent:
            life = _life_of(entries[at].batch.id)
            if life in over:
                raise Nonconforming(
                    over[life], "no end", f"one, as {life} goes on after it"
                )
        if made.was_abandoned:
            over[life] = made.span


def _judge_unheard(
    entries: Sequence[JournalEntry], name: str, own: Sequence[Made]
) -> None:
    """Only the last batches of an abandoned pass have no span."""
    pass_of = {at: number for number, made in enumerate(own) for at in made.sent}
    mine = [at for at, entry in enumerate(entries) if entry.batch.enactor == name]
    since = 0
    for number, at in enumerate(mine):
        if at in pass_of:
            since = pass_of[at]
            continue
        life, until = _life_of(entries[at].batch.id), len(own)
        heard = [each for each in mine[number:] if each in pass_of]
        if heard:
            until = pass_of[heard[0]]
        goes_on = any(_life_of(entries[each].batch.id) == life for each in heard)
        if goes_on or not any(made.was_abandoned for made in own[since:until]):
            raise Nonconforming(
                entries[at], "no span", "one, as its pass was not abandoned"
            )


def _judge_plan(trace: Trace, made: Made) -> None:
    """A pass picks up the newest plan, or a newer one that comes just then."""
    plan = _plan_of(made.span)
    published = [p for p in trace.plans if p.end_ns < made.span.start_ns]
    newest = max(map(_plan_of, published), default=NOTHING)
    if plan < newest and (plan or not made.was_abandoned):
        raise Nonconforming(made.span, f"plan {plan}", f"plan {newest} or newer")


def _judge_end(
    machine: Machine, history: History, trace: Trace, made: Made, open_from_ns: int
) -> None:
    """A core that picks up its plan sends what was sent in it, and ends as it did."""
    span, plan = made.span, _plan_of(made.span)
    since, until = 0, len(history.entries)
    for at, entry in enumerate(history.entries):
        other = trace.batches.get(entry.batch.id)
        if other and other.end_ns < span.start_ns:
            since = at + 1
        if other and other.start_ns > span.end_ns:
            until = min(until, at)
    head = PlanHead(plan, tuple(history.views[0])) if plan else None
    walk = Walk.of_one_pass(machine, history, since, head)
    for at in made.sent:
        walk.send(at)
    if made.was_abandoned or span.end_ns >= open_from_ns:
        return
    allowed = walk.end(until)
    if span.told[attributes.PASS_RESULT] not in allowed:
        raise Nonconforming(
            span,
            f"the end: {span.told[attributes.PASS_RESULT]}",
            " or ".join(sorted(allowed)) or "no end yet",
        )


def _plan_of(span: Span) -> Generation:
    return Generation(span.told.get(attributes.PLAN_GENERATION, NOTHING))


def _life_of(batch_id: BatchId) -> str:
    return batch_id.rpartition("/")[0]
