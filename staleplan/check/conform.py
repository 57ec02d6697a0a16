"""Whether a recorded run is one that the model allows: its journal, and its trace.

The journal, batch by batch: each outcome must be what the store's rules give in the
state that the batches before lead to, and each enactor must be able to send the batches
that it sent (`staleplan.check.walk`). The trace then says which pass each was sent in,
for which plan, and how the pass ended (`staleplan.check.passes`).

An id tells a restart, and a batch that is missing: `enactor-a/3fa2c1/17` is the 17th
of one of the enactor's lives.

Taken for granted: batches are journalled as they are numbered, which is so for up to 64
zones; and reads see them in the journal's order, though of two that are written at once
the store may show the later one first, for some milliseconds.

Not guaranteed: when people pause the automation is not in a journal, so that with
`pauses` any batch that asks for a running automation may have been refused for it.
"""

from collections import Counter
from collections.abc import Mapping, Sequence

from dns_store.core import ZoneState, decide, settle, view
from enactor.core import Extent, enact
from enactor.model import BackOff
from enactor.safeguards import Safeguards
from staleplan.check.machine import Machine
from staleplan.check.passes import judge_passes
from staleplan.check.spans import Trace
from staleplan.check.walk import History, Nonconforming, Walk
from staleplan.model import (
    NOTHING,
    Applied,
    EnactorName,
    Generation,
    JournalEntry,
    Outcome,
    Reason,
    ZoneName,
    is_refused,
)
from staleplan.spec.property import OPERATOR


def conform(
    zones: Mapping[ZoneName, ZoneState],
    entries: Sequence[JournalEntry],
    safeguards: Safeguards,
    extent: Extent,
    *,
    trace: Trace | None = None,
    pauses: bool = False,
) -> None:
    """Check a run from the zones' beginning; `safeguards` are those of all of it.

    `pauses`: people may have paused the automation meanwhile.

    Raises: Nonconforming, for the first entry that is not allowed; if all are, for the
    first span.
    """
    machine = Machine(
        lambda: enact(safeguards, extent), lambda command: isinstance(command, BackOff)
    )
    history = _judge_journal(machine, zones, entries, pauses=pauses)
    if trace:
        judge_passes(machine, history, trace)


def _judge_journal(
    machine: Machine,
    zones: Mapping[ZoneName, ZoneState],
    entries: Sequence[JournalEntry],
    *,
    pauses: bool,
) -> History:
    history = History(entries)
    states = dict(zones)
    seen = {zone: view(state) for zone, state in zones.items()}
    newest = NOTHING
    lives: dict[str, Walk] = {}
    sent: Counter[str] = Counter()
    last_of: dict[EnactorName, int] = {}
    for at, entry in enumerate(entries):
        batch = entry.batch
        history.views.append(dict(seen))
        history.newest.append(newest)
        life = batch.id.rpartition("/")[0]
        sent[life] += 1
        if batch.id != f"{life}/{sent[life]}":
            raise Nonconforming(entry, f"id {batch.id}", f"{life}/{sent[life]}")
        _judge(entry, states[batch.zone], newest, pauses=pauses)
        if not batch.enactor.startswith(OPERATOR):
            born = last_of.get(batch.enactor, 0)
            lives.setdefault(life, Walk(machine, history, born)).send(at)
            last_of[batch.enactor] = at + 1
        if _proves_plan(entry):
            newest = max(newest, batch.generation)
        states[batch.zone] = settle(states[batch.zone], batch, entry.outcome)
        seen[batch.zone] = view(states[batch.zone])
    history.views.append(seen)
    return history


def _judge(
    entry: JournalEntry, state: ZoneState, newest: Generation, *, pauses: bool
) -> None:
    batch = entry.batch
    plans = [*range(1, newest + 1)]
    if not is_refused(entry.outcome, Reason.PLAN_MISSING):
        plans.append(batch.generation)
    found = view(state, batch.endpoints)
    allowed: list[Outcome] = []
    for runs in (True, False) if pauses else (True,):
        outcome = decide(found, batch, plans=plans, runs=runs)
        if outcome not in allowed:
            allowed.append(outcome)
    if entry.outcome not in allowed:
        raise Nonconforming(entry, entry.outcome, " or ".join(map(str, allowed)))


def _proves_plan(entry: JournalEntry) -> bool:
    """Whether the plan of a batch is published: an enactor invents none."""
    if entry.batch.enactor.startswith(OPERATOR):
        return isinstance(entry.outcome, Applied)
    return True
