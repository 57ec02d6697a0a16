"""The store's nouns as rows, packed bytes and JSON, both ways; no I/O."""

import json
import struct
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from dns_store.core import Move, changes_answers, moves_of
from dns_store.store import PlanSets, ZoneAnswers
from staleplan import model
from staleplan.model import (
    AnswerSet,
    Applied,
    Batch,
    EnactorName,
    EndpointName,
    Generation,
    Lock,
    Outcome,
    Reason,
    Refused,
    Target,
    Weighted,
    ZoneName,
    ZoneView,
)

MAX_PAYLOAD_BYTES = 7_900
"""Longest list of zones in one notification: PostgreSQL's limit is 8,000 bytes."""

MOVES = (
    "moved_zones",
    "moved_from",
    "moved_to",
    "rolled_back_to",
    "moved_endpoints",
)
"""Columns of the pointers to move, as `WRITE_BATCHES` names them."""

ALL_ZONES = "*"
"""Payload that stands for a list of zones that would be too long."""

_KINDS: dict[str, Any] = {
    kind.__name__: kind
    for kind in (
        *model.Precondition.__args__,
        *model.Change.__args__,
        *model.Outcome.__args__,
        model.Batch,
        model.Lock,
        model.ZoneView,
    )
}


@dataclass(frozen=True, slots=True)
class KnownZone:
    """What never changes of a zone, so that it is read once."""

    id: int
    endpoints: tuple[EndpointName, ...]


@dataclass(frozen=True, slots=True)
class Judged:
    """A batch, the zone as it was found, and what came of it."""

    zone_id: int
    batch: Batch
    found: ZoneView
    outcome: Outcome


class ZoneRow(NamedTuple):
    """A row of `READ_ZONES`; SQLAlchemy's own takes 0.7 us to find one by name."""

    id: int
    name: ZoneName
    lock_holder: EnactorName | None
    lock_expires_s: int
    active: list[Generation]
    rollback: list[Generation]
    trees: list[Generation]
    plans: list[Generation]
    paused: bool
    outcome: Any


class AnswersRow(NamedTuple):
    """A row of `READ_ANSWERS`; null `generations`: no active tree exists."""

    id: int
    name: ZoneName
    version: int
    active: list[Generation]
    generations: list[Generation] | None
    answers: list[bytes] | None


def view_of(row: ZoneRow) -> ZoneView:
    """Read a row of `READ_ZONES`."""
    lock = Lock(row.lock_holder, row.lock_expires_s) if row.lock_holder else None
    pointers = tuple(row.active), tuple(row.rollback)
    return ZoneView(row.name, lock, *pointers, tuple(row.trees))


def written(judged: Sequence[Judged]) -> dict[str, Any]:
    """Every row that a call writes, as `WRITE_BATCHES` takes them."""
    moves: list[tuple[object, ...]] = []
    settled, changed = [], []
    built: list[dict[str, int]] = []
    deleted: list[dict[str, int]] = []
    for one in judged:
        if isinstance(one.outcome, Refused):
            continue
        zone_id, found, after = one.zone_id, one.found, one.outcome.after
        names = " ".join(one.batch.endpoints) or None
        moves += (
            (zone_id, was, move.active, move.rollback, names)
            for was, move in moves_of(found, one.batch).items()
            if move != Move(was)
        )
        trees, trees_before = set(after.trees), set(found.trees)
        built += _trees(zone_id, trees - trees_before)
        deleted += _trees(zone_id, trees_before - trees)
        answers = changes_answers(found, one.batch, one.outcome)
        settled.append(_settled(one, after) | {"raised": int(answers)})
        if answers:
            changed.append(one.batch.zone)
    columns = map(list, zip(*moves, strict=True)) if moves else ([] for _ in MOVES)
    return {
        **dict(zip(MOVES, columns, strict=True)),
        "built": to_json(built),
        "deleted": to_json(deleted),
        "settled": to_json(settled),
        "entries": to_json([_entry(*numbered) for numbered in enumerate(judged)]),
        "changed": payload_of(changed),
    }


def _trees(zone_id: int, trees: Iterable[Generation]) -> Iterator[dict[str, int]]:
    return ({"zone_id": zone_id, "generation": tree} for tree in trees)


def _settled(one: Judged, after: ZoneView) -> dict[str, Any]:
    row: dict[str, Any] = {"zone_id": one.zone_id}
    if after.lock:
        row |= {"holder": after.lock.holder, "expires_s": after.lock.expires_at_s}
    if not one.batch.endpoints:
        row |= {"active": after.active, "rollback": after.rollback}
    return row


def partly_moved(judged: Sequence[Judged]) -> list[int]:
    """The zones of which a call moved some pointers only."""
    return [
        one.zone_id
        for one in judged
        if one.batch.endpoints and isinstance(one.outcome, Applied)
    ]


def _entry(place: int, one: Judged) -> dict[str, Any]:
    return {
        "place": place,
        "zone_id": one.zone_id,
        "batch": one.batch,
        "outcome": one.outcome,
    }


def payload_of(zones: Sequence[ZoneName]) -> str:
    """Name the zones that changed in one notification."""
    names = " ".join(zones)
    return names if len(names) <= MAX_PAYLOAD_BYTES else ALL_ZONES


def answers_of(known: KnownZone, row: AnswersRow) -> ZoneAnswers:
    """Read a row of `READ_ANSWERS`."""
    size = len(known.endpoints)
    found = zip(row.generations or (), row.answers or (), strict=True)
    trees = {generation: unpack_answers(packed) for generation, packed in found}
    missing: tuple[None, ...] = (None,) * size
    if len(row.active) == 1:
        active = tuple(row.active) * size
        answers: Sequence[int | None] = trees.get(row.active[0], missing)
    else:
        active = tuple(row.active)
        answers = tuple(trees.get(to, missing)[at] for at, to in enumerate(active))
    return ZoneAnswers(row.name, row.version, known.endpoints, active, answers)


def _fields(noun: Any) -> dict[str, Any]:
    fields = {"is": type(noun).__name__}
    for name in noun.__match_args__:
        fields[name] = getattr(noun, name)
    return fields


_ENCODER = json.JSONEncoder(
    separators=(",", ":"), default=_fields, check_circular=False
)


def to_json(value: object) -> str:
    """Write nouns for the journal: type's name and fields, readable in SQL."""
    return _ENCODER.encode(value)


def from_json(value: Any) -> Any:
    """Read what `to_json` wrote; the caller knows which noun it was."""
    if isinstance(value, list):
        return tuple(from_json(item) for item in value)
    if not isinstance(value, dict):
        return value
    fields = {name: from_json(item) for name, item in value.items()}
    kind = _KINDS[fields.pop("is")]
    if kind is Refused:
        fields["reason"] = Reason(fields["reason"])
    return kind(**fields)


def pack_answers(answers: Sequence[int]) -> bytes:
    """Pack indexes of answer sets as 16 bits each, little-endian."""
    return struct.pack(f"<{len(answers)}H", *answers)


def unpack_answers(packed: bytes) -> tuple[int, ...]:
    """Unpack what `pack_answers` packed."""
    return struct.unpack(f"<{len(packed) // 2}H", packed)


def pack_sets(targets: Iterable[Target], answer_sets: Iterable[AnswerSet]) -> bytes:
    """Pack what the zones of a plan share."""
    body = {
        "targets": [[target.name, target.ipv4, target.ipv6] for target in targets],
        "answer_sets": [
            [[member.target, member.weight] for member in answer_set]
            for answer_set in answer_sets
        ],
    }
    return json.dumps(body, separators=(",", ":")).encode()


def unpack_sets(body: bytes) -> PlanSets:
    """Unpack what `pack_sets` packed."""
    plain = json.loads(body)
    return PlanSets(
        tuple(Target(*target) for target in plain["targets"]),
        tuple(
            tuple(Weighted(*member) for member in answer_set)
            for answer_set in plain["answer_sets"]
        ),
    )
