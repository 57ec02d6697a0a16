"""Tells a path through a region as a numbered story, in the record's terms."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

from enactor.model import (
    Command,
    Purpose,
    ReadNewestPlan,
    ReadZones,
    Reply,
    Submit,
    TakeLocks,
)
from staleplan.check.machine import START
from staleplan.check.marks import LOSES_REPLY, PROPERTIES, PUBLISHES
from staleplan.check.region import PAUSED, Edge, Enactor
from staleplan.check.search import Search, Way
from staleplan.check.sizes import ENACTOR_AZS
from staleplan.model import (
    Applied,
    DeleteTree,
    EnactorName,
    Generation,
    PlanHead,
    Refused,
    ZoneName,
    ZoneView,
)
from staleplan.spec import Step

ENACTORS = tuple(EnactorName(f"enactor-{az}") for az in ENACTOR_AZS)


@dataclass(frozen=True, slots=True)
class Event:
    """One event of a path: who did what, and what it broke.

    `command` and `reply` are an enactor's; nobody else has any.
    """

    who: str
    what: str
    broke: tuple[str, ...] = ()
    command: Command | None = None
    reply: Reply = None
    steps: tuple[Step, ...] = ()
    reply_lost: bool = False


def events(search: Search, path: Way) -> Iterator[Event]:
    """Every event of a path, with the enactors called by their names."""
    names = list(ENACTORS[: search.question.enactors])
    for state, after in pairwise(path):
        told, names = _explain(search, state, after, names)
        yield from told


def tell(search: Search, path: Way) -> str:
    """A path as numbered lines; what an event is the first to break stands below it."""
    lines = []
    broken: set[str] = set()
    for number, event in enumerate(events(search, path), 1):
        lines.append(f"{number:3}. {event.who} {event.what}")
        lines += [f"     ! {each}" for each in event.broke if each[:3] not in broken]
        broken |= {each[:3] for each in event.broke}
    return "\n".join(lines)


def _explain(
    search: Search, state: int, after: int, names: Sequence[EnactorName]
) -> tuple[list[Event], list[EnactorName]]:
    """The event between two states, and the names in the order of the second."""
    region = search.region
    store, numbers, left = search.space.unpack(state)
    then_store, then_numbers, then_left = search.space.unpack(after)
    for at, number in enumerate(numbers):
        others = region.owned_by(numbers[:at] + numbers[at + 1 :])
        for edge in region.edges(number, others, store):
            changed = [region.without(n, edge.taken) for n in numbers]
            changed[at] = edge.enactor
            lossy = bool(edge.marks & LOSES_REPLY)
            if (edge.store, sorted(changed)) == (then_store, sorted(then_numbers)) and (
                lossy == (then_left != left)
            ):
                told = list(_tell_edge(search, number, names[at], edge, store))
                return told, _renamed(search, names, changed)
        if then_left != left and then_store == store:
            changed = [*numbers]
            changed[at], _ = region.crash(number)
            if number != region.fresh and sorted(changed) == sorted(then_numbers):
                crash = Event(names[at], "crashes, forgets everything and starts anew")
                return [crash], _renamed(search, names, changed)
    if store & PAUSED != then_store & PAUSED:
        verb = "pauses" if then_store & PAUSED else "resumes"
        return [Event("the operator", f"{verb} the automation")], [*names]
    newest = region.newest(then_store)
    return [Event("the planner", f"publishes plan {newest}")], [*names]


def _renamed(
    search: Search, names: Sequence[EnactorName], numbers: Sequence[int]
) -> list[EnactorName]:
    if not search.question.reduced:
        return [*names]
    order = sorted(range(len(numbers)), key=numbers.__getitem__)
    return [names[at] for at in order]


def _tell_edge(
    search: Search, number: int, name: EnactorName, edge: Edge, store: int
) -> Iterator[Event]:
    region = search.region
    enactor = region.enactors[number]
    if edge.marks & PUBLISHES:
        before, newest = region.newest(store), region.newest(edge.store)
        for plan in range(before + 1, newest + 1):
            yield Event("the planner", f"publishes plan {plan}")
    steps = tuple(
        replace(step, batch=replace(step.batch, enactor=name)) for step in edge.steps
    )
    broke = tuple(
        f"{each.id} {each.name}: {wrong}"
        for each in PROPERTIES
        for step in steps
        if (wrong := each.violation(step))
    )
    what = _what(search, enactor, edge, steps)
    if region.enactors[edge.enactor].node == START and _ends_pass(edge):
        result = region.machine.move(enactor.node, edge.reply).result
        what += f"; its pass ends: {result}"
    lossy = bool(edge.marks & LOSES_REPLY)
    if lossy:
        what += "; the reply is lost"
    yield Event(name, what, broke, edge.command, edge.reply, steps, lossy)


def _ends_pass(edge: Edge) -> bool:
    return not edge.marks & LOSES_REPLY


def _what(search: Search, enactor: Enactor, edge: Edge, steps: Sequence[Step]) -> str:
    if enactor.unheard is not None:
        return "sends its batches again; the journal has their outcomes"
    match edge.command:
        case ReadNewestPlan():
            head = edge.reply
            return (
                f"picks up plan {head.generation}"
                if isinstance(head, PlanHead)
                else "finds no plan yet"
            )
        case ReadZones(zones, Purpose.CHECK):
            plan = search.region.machine.nodes[enactor.node].path[0].generation
            return f"checks once whether plan {plan} is newer: {_found(edge)} (R11)"
        case ReadZones(zones, _):
            return f"looks which plans are old: {_found(edge)}"
        case TakeLocks(zones, plan):
            return _locks(search, edge, zones, plan)
        case Submit(purpose):
            return "; ".join(_batch(purpose, step) for step in steps)
    return "backs off"


def _found(edge: Edge) -> str:
    views = edge.reply if isinstance(edge.reply, tuple) else ()
    return ", ".join(
        f"{view.zone} has plan {view.newest_active} active, trees {_plans(view.trees)}"
        for view in views
        if isinstance(view, ZoneView)
    )


def _plans(plans: Sequence[Generation]) -> str:
    return " ".join(map(str, plans)) or "none"


def _locks(
    search: Search, edge: Edge, zones: Sequence[ZoneName], plan: Generation
) -> str:
    locks = edge.reply if isinstance(edge.reply, tuple) else ()
    told = []
    for zone, lock in zip(zones, locks, strict=True):
        bit = 1 << search.region.zones.index(zone)
        if lock is None:
            told.append(f"loses the lock of {zone} with plan {plan} in hand (R9)")
        elif edge.taken & bit:
            told.append(f"takes the lock of {zone}, which has lapsed (R9)")
        else:
            told.append(f"takes the lock of {zone} (R9)")
    return "; ".join(told)


def _batch(purpose: Purpose, step: Step) -> str:
    zone, plan = step.before.zone, step.batch.generation
    match step.outcome:
        case Refused(reason):
            return f"is refused at {zone} with plan {plan}: {reason}"
        case Applied(after) if purpose is Purpose.FLIP:
            return (
                f"flips {zone} from plan {step.before.newest_active} to plan {plan}, "
                f"rollback {_plans(after.rollback)} (R6, R7)"
            )
        case Applied() if purpose is Purpose.CLEAN_UP:
            gone = [
                c.generation for c in step.batch.changes if isinstance(c, DeleteTree)
            ]
            return f"deletes plan {_plans(gone)} of {zone} (R12)"
    return f"gives the lock of {zone} back"
