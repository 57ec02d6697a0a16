"""The nouns of `staleplan.model` as protobuf messages, both ways.

Reading a message that names no known kind raises `MalformedMessage` with the field's
path; whether its values make sense is the store's to judge.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from types import MappingProxyType
from typing import cast

from protos.dns_store.v1 import dns_store_pb2 as pb
from staleplan.model import (
    ActiveBelow,
    ActiveIs,
    Applied,
    AutomationRuns,
    Batch,
    BatchId,
    BuildTree,
    Change,
    DeleteTree,
    Draft,
    EnactorName,
    EndpointName,
    Generation,
    JournalEntry,
    Lock,
    LockIs,
    Outcome,
    Plan,
    PlanHead,
    PointActive,
    PointRollback,
    Precondition,
    Reason,
    Refused,
    SetLock,
    Target,
    TreeExists,
    TreeUnreferenced,
    Weighted,
    ZoneName,
    ZonePlan,
    ZoneView,
    in_groups,
)

NONE_KNOWN: Mapping[ZoneName, tuple[EndpointName, ...]] = MappingProxyType({})
"""No endpoints at hand that a plan may name again."""


class MalformedMessage(ValueError):
    """A message names no known kind; `field` is the path to where it should."""

    def __init__(self, field: str, description: str) -> None:
        super().__init__(f"{field}: {description}")
        self.field = field
        self.description = description


# --- Plans -------------------------------------------------------------------------


def draft_to_message(draft: Draft) -> pb.Plan:
    """Convert a draft; its generation is left to the store."""
    return pb.Plan(
        parent=draft.parent,
        targets=[
            pb.Target(name=t.name, ipv4=t.ipv4 or "", ipv6=t.ipv6 or "")
            for t in draft.targets
        ],
        answer_sets=[
            pb.AnswerSet(
                targets=[m.target for m in members],
                weights=[m.weight for m in members],
            )
            for members in draft.answer_sets
        ],
        zones=map(_zone_to_message, draft.zones),
    )


def draft_to_parts(draft: Draft, zones_in_part: int) -> Iterator[pb.Plan]:
    """Convert a draft to messages that make it when they are merged in order."""
    yield draft_to_message(replace(draft, zones=()))
    for zones in in_groups(draft.zones, zones_in_part):
        yield pb.Plan(zones=map(_zone_to_message, zones))


def _zone_to_message(zone: ZonePlan) -> pb.ZonePlan:
    return pb.ZonePlan(zone=zone.zone, endpoints=zone.endpoints, answers=zone.answers)


def draft_from_message(
    message: pb.Plan, known: Mapping[ZoneName, tuple[EndpointName, ...]] = NONE_KNOWN
) -> Draft:
    """Convert a plan's content; raises `MalformedMessage` for uneven answer sets.

    Zones whose endpoints are `known` share them: a second copy of 200,000 names takes
    40 MB, and later 10 ms to throw away.
    """
    for index, members in enumerate(message.answer_sets):
        if len(members.targets) != len(members.weights):
            raise MalformedMessage(
                f"answer_sets[{index}].weights",
                f"{len(members.weights)} weights for {len(members.targets)} targets",
            )
    return Draft(
        Generation(message.parent),
        tuple(Target(t.name, t.ipv4 or None, t.ipv6 or None) for t in message.targets),
        tuple(
            tuple(map(Weighted, members.targets, members.weights))
            for members in message.answer_sets
        ),
        tuple(
            ZonePlan(ZoneName(z.zone), _endpoints_from(z, known), tuple(z.answers))
            for z in message.zones
        ),
    )


def _endpoints_from(
    message: pb.ZonePlan, known: Mapping[ZoneName, tuple[EndpointName, ...]]
) -> tuple[EndpointName, ...]:
    # A cast, because a call for each of 200,000 names would be felt.
    read = cast("tuple[EndpointName, ...]", tuple(message.endpoints))
    found = known.get(ZoneName(message.zone))
    return found if found is not None and found == read else read


def plan_to_message(plan: Plan) -> pb.Plan:
    """Convert a published plan, whole."""
    message = draft_to_message(plan.draft)
    message.generation = plan.generation
    message.published_at_s = plan.published_at_s
    message.story = plan.story
    return message


def plan_from_message(message: pb.Plan) -> Plan:
    """Convert a published plan, whole."""
    return Plan(
        Generation(message.generation),
        draft_from_message(message),
        message.published_at_s,
        message.story,
    )


def head_to_message(head: PlanHead) -> pb.Plan:
    """Convert a plan's number, zones and story, without its content."""
    return pb.Plan(
        generation=head.generation,
        story=head.story,
        zones=[pb.ZonePlan(zone=zone) for zone in head.zones],
    )


def head_from_message(message: pb.Plan) -> PlanHead:
    """Convert a plan's number, zones and story."""
    return PlanHead(
        Generation(message.generation),
        tuple(ZoneName(zone.zone) for zone in message.zones),
        message.story,
    )


# --- Zones -------------------------------------------------------------------------


def lock_to_message(lock: Lock | None) -> pb.Lock | None:
    """Convert a lock record; none stays none."""
    if lock is None:
        return None
    return pb.Lock(holder=lock.holder, expires_at_s=lock.expires_at_s)


def _lock_from(message: pb.LockIs | pb.SetLock | pb.ZoneView) -> Lock | None:
    if not message.HasField("lock"):
        return None
    return Lock(EnactorName(message.lock.holder), message.lock.expires_at_s)


def view_to_message(view: ZoneView) -> pb.ZoneView:
    """Convert a zone as found."""
    return pb.ZoneView(
        zone=view.zone,
        lock=lock_to_message(view.lock),
        active=view.active,
        rollback=view.rollback,
        trees=view.trees,
    )


def view_from_message(message: pb.ZoneView) -> ZoneView:
    """Convert a zone as found."""
    return ZoneView(
        ZoneName(message.zone),
        _lock_from(message),
        _generations(message.active),
        _generations(message.rollback),
        _generations(message.trees),
    )


def _generations(numbers: Iterable[int]) -> tuple[Generation, ...]:
    return tuple(map(Generation, numbers))


# --- Batches -----------------------------------------------------------------------


def batch_to_message(batch: Batch) -> pb.Batch:
    """Convert a batch."""
    return pb.Batch(
        id=batch.id,
        enactor=batch.enactor,
        zone=batch.zone,
        generation=batch.generation,
        preconditions=map(_precondition_to_message, batch.preconditions),
        changes=map(_change_to_message, batch.changes),
        endpoints=batch.endpoints,
    )


def batch_from_message(message: pb.Batch, path: str = "batch") -> Batch:
    """Convert a batch; raises `MalformedMessage` below `path`."""
    return Batch(
        BatchId(message.id),
        EnactorName(message.enactor),
        ZoneName(message.zone),
        Generation(message.generation),
        tuple(
            _precondition_from_message(p, f"{path}.preconditions[{i}]")
            for i, p in enumerate(message.preconditions)
        ),
        tuple(
            _change_from_message(c, f"{path}.changes[{i}]")
            for i, c in enumerate(message.changes)
        ),
        tuple(map(EndpointName, message.endpoints)),
    )


def _precondition_to_message(condition: Precondition) -> pb.Precondition:
    match condition:
        case LockIs(lock):
            return pb.Precondition(lock_is=pb.LockIs(lock=lock_to_message(lock)))
        case ActiveIs(generation):
            return pb.Precondition(active_is=generation)
        case ActiveBelow(generation):
            return pb.Precondition(active_below=generation)
        case TreeExists(generation):
            return pb.Precondition(tree_exists=generation)
        case TreeUnreferenced(generation):
            return pb.Precondition(tree_unreferenced=generation)
        case AutomationRuns():
            return pb.Precondition(automation_runs=True)


def _precondition_from_message(message: pb.Precondition, path: str) -> Precondition:
    match message.WhichOneof("kind"):
        case "lock_is":
            return LockIs(_lock_from(message.lock_is))
        case "active_is":
            return ActiveIs(Generation(message.active_is))
        case "active_below":
            return ActiveBelow(Generation(message.active_below))
        case "tree_exists":
            return TreeExists(Generation(message.tree_exists))
        case "tree_unreferenced":
            return TreeUnreferenced(Generation(message.tree_unreferenced))
        case "automation_runs" if message.automation_runs:
            return AutomationRuns()
        case _:
            raise MalformedMessage(path, "names no precondition")


def _change_to_message(change: Change) -> pb.Change:
    match change:
        case SetLock(lock):
            return pb.Change(set_lock=pb.SetLock(lock=lock_to_message(lock)))
        case BuildTree(generation):
            return pb.Change(build_tree=generation)
        case DeleteTree(generation):
            return pb.Change(delete_tree=generation)
        case PointRollback(or_newest_tree):
            rollback = pb.PointRollback(or_newest_tree=or_newest_tree)
            return pb.Change(point_rollback=rollback)
        case PointActive(generation):
            return pb.Change(point_active=generation)


def _change_from_message(message: pb.Change, path: str) -> Change:
    match message.WhichOneof("kind"):
        case "set_lock":
            return SetLock(_lock_from(message.set_lock))
        case "build_tree":
            return BuildTree(Generation(message.build_tree))
        case "delete_tree":
            return DeleteTree(Generation(message.delete_tree))
        case "point_rollback":
            return PointRollback(message.point_rollback.or_newest_tree)
        case "point_active":
            return PointActive(Generation(message.point_active))
        case _:
            raise MalformedMessage(path, "names no change")


# --- Outcomes ----------------------------------------------------------------------

_REASONS: dict[Reason, pb.Reason.ValueType] = {
    reason: pb.Reason.Value(f"REASON_{reason.name}") for reason in Reason
}
_REASONS_BACK = {number: reason for reason, number in _REASONS.items()}


def outcome_to_message(outcome: Outcome) -> pb.Outcome:
    """Convert what became of a batch."""
    match outcome:
        case Applied(after):
            return pb.Outcome(applied=view_to_message(after))
        case Refused(reason, attempted, found):
            refused = pb.Refused(reason=_REASONS[reason], found=view_to_message(found))
            match attempted:
                case (
                    SetLock() | BuildTree() | DeleteTree()
                    | PointRollback() | PointActive()
                ):  # fmt: skip
                    refused.change.CopyFrom(_change_to_message(attempted))
                case _:
                    refused.precondition.CopyFrom(_precondition_to_message(attempted))
            return pb.Outcome(refused=refused)


def outcome_from_message(message: pb.Outcome) -> Outcome:
    """Convert what became of a batch."""
    if message.HasField("applied"):
        return Applied(view_from_message(message.applied))
    refused = message.refused
    attempted = (
        _change_from_message(refused.change, "refused.change")
        if refused.HasField("change")
        else _precondition_from_message(refused.precondition, "refused.precondition")
    )
    reason = _REASONS_BACK.get(refused.reason)
    if reason is None:
        raise MalformedMessage("refused.reason", f"unknown: {refused.reason}")
    return Refused(reason, attempted, view_from_message(refused.found))


def entry_to_message(entry: JournalEntry) -> pb.JournalEntry:
    """Convert one entry of the journal."""
    return pb.JournalEntry(
        sequence=entry.sequence,
        at_s=entry.at_s,
        batch=batch_to_message(entry.batch),
        outcome=outcome_to_message(entry.outcome),
        trace_id=entry.trace_id,
    )


def entry_from_message(message: pb.JournalEntry) -> JournalEntry:
    """Convert one entry of the journal."""
    return JournalEntry(
        message.sequence,
        message.at_s,
        batch_from_message(message.batch),
        outcome_from_message(message.outcome),
        message.trace_id,
    )
