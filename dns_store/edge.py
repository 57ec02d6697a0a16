"""What the store accepts at its edge: the form of drafts and batches, without I/O.

Nothing here depends on what is stored, but for `check_call` and `new_zones`, which
both stores call with the zones that they have.
"""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from ipaddress import AddressValueError, IPv4Address, IPv6Address
from itertools import islice, zip_longest

from dns_store.core import count_changes, is_too_large
from dns_store.errors import (
    EndpointsChanged,
    InvalidBatch,
    InvalidDraft,
    UnknownEndpoint,
    UnknownZone,
)
from staleplan.model import (
    MAX_CHANGES,
    MAX_GENERATION,
    MAX_WEIGHT,
    MAX_ZONE_ENDPOINTS,
    NOTHING,
    ActiveBelow,
    ActiveIs,
    AnswerSet,
    AutomationRuns,
    Batch,
    BuildTree,
    Change,
    DeleteTree,
    Draft,
    EndpointName,
    Generation,
    Lock,
    LockIs,
    PointActive,
    PointRollback,
    Precondition,
    SetLock,
    Target,
    TreeExists,
    TreeUnreferenced,
    ZoneName,
    ZonePlan,
)

Violation = tuple[str, str]
"""The path of a field, and what is wrong with it."""

Zones = Mapping[ZoneName, tuple[EndpointName, ...]]
"""The zones that a store has, with their endpoints."""

MAX_REPORTED = 20
"""Violations in one error: gRPC sends them in a trailer, of which 8 KB are sure."""

MAX_ANSWER_SETS = 65_536
"""Answer sets in one plan: their indexes are stored in 16 bits for each endpoint."""

MAX_BATCHES = 64
"""Batches in one call: their zones stay locked until all of them are written."""

_ZONE = re.compile(r"[a-z0-9-]{1,63}")
_ENACTOR = re.compile(r"[A-Za-z0-9@._-]{1,63}")
_PRINTABLE = re.compile(r"[!-~]{1,120}")
_LABEL = r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?"
_DNS_NAME = re.compile(rf"(?=.{{1,253}}\Z){_LABEL}(?:\.{_LABEL})*")


def check_draft(draft: Draft, apex: str, zones: Zones) -> None:
    """Refuse a draft that breaks a rule of form; `zones` are those of the store.

    Raises: InvalidDraft, with the first `MAX_REPORTED` violations.
    """
    fields = dict(islice(draft_violations(draft, apex, zones), MAX_REPORTED))
    if fields:
        raise InvalidDraft(fields)


def check_batches(batches: Sequence[Batch]) -> None:
    """Refuse batches that break a rule of form.

    Raises: InvalidBatch, with the first `MAX_REPORTED` violations.
    """
    fields = dict(islice(_call_violations(batches), MAX_REPORTED))
    if fields:
        raise InvalidBatch(fields)


def check_call(batches: Sequence[Batch], zones: Zones) -> None:
    """Refuse a call that the store cannot judge: names and sizes, before any batch.

    Raises: InvalidBatch, UnknownZone, UnknownEndpoint.
    """
    fields: dict[str, str] = {}
    for number, batch in enumerate(batches):
        path = f"batches[{number}]"
        if batch.zone not in zones:
            raise UnknownZone(f"{path}.zone", batch.zone, zones)
        if batch.endpoints:
            _check_endpoints(batch.endpoints, zones[batch.zone], path)
        if is_too_large(batch, len(zones[batch.zone])):
            size = count_changes(batch, len(zones[batch.zone]))
            fields[f"{path}.changes"] = (
                f"{size} record changes, at most {MAX_CHANGES} are allowed"
            )
    fields |= _repeats("batches", "zone", [batch.zone for batch in batches])
    fields |= _repeats("batches", "id", [batch.id for batch in batches])
    if fields:
        raise InvalidBatch(fields)


def _check_endpoints(
    asked: Sequence[EndpointName], known: Sequence[EndpointName], path: str
) -> None:
    found = set(known)
    for number, name in enumerate(asked):
        if name not in found:
            raise UnknownEndpoint(f"{path}.endpoints[{number}]", name, known)


def new_zones(draft: Draft, zones: Zones) -> tuple[ZonePlan, ...]:
    """The zones that a draft adds, if it covers all there are, unaltered.

    Raises: EndpointsChanged.
    """
    fields = {
        f"zones[{number}].endpoints": _alteration(plan.endpoints, zones[plan.zone])
        for number, plan in enumerate(draft.zones)
        if plan.zone in zones and plan.endpoints != zones[plan.zone]
    }
    missing = sorted(zones.keys() - {plan.zone for plan in draft.zones})
    if missing:
        fields["zones"] = f"{len(missing)} zones are left out, first {missing[0]!r}"
    if fields:
        raise EndpointsChanged(dict(islice(fields.items(), MAX_REPORTED)))
    return tuple(plan for plan in draft.zones if plan.zone not in zones)


def _alteration(asked: Sequence[EndpointName], found: Sequence[EndpointName]) -> str:
    pairs = enumerate(zip_longest(asked, found))
    number, (one, other) = next(pair for pair in pairs if pair[1][0] != pair[1][1])
    return f"endpoint {number} is {one!r}, the zone has {other!r}: it is fixed"


# --- Drafts ------------------------------------------------------------------------


def draft_violations(draft: Draft, apex: str, zones: Zones) -> Iterator[Violation]:
    """Every rule of form that a draft breaks, lazily; `apex` is the store's domain.

    Where a draft names no endpoint that the store has not, the names are not looked
    at again: 200,000 take a third of a second.
    """
    if not NOTHING <= draft.parent < MAX_GENERATION:
        yield "parent", f"{draft.parent} is not 0 to {MAX_GENERATION - 1}"
    yield from _target_violations(draft.targets)
    if len(draft.answer_sets) > MAX_ANSWER_SETS:
        found = len(draft.answer_sets)
        yield "answer_sets", f"{found} answer sets, at most {MAX_ANSWER_SETS}"
    for number, answer_set in enumerate(draft.answer_sets):
        path = f"answer_sets[{number}]"
        yield from _answer_set_violations(answer_set, path, len(draft.targets))
    if not draft.zones:
        yield "zones", "no zone: a plan covers at least one"
    yield from _repeats("zones", "zone", [plan.zone for plan in draft.zones]).items()
    for number, plan in enumerate(draft.zones):
        yield from _zone_violations(plan, f"zones[{number}]", len(draft.answer_sets))
    if any(plan.endpoints != zones.get(plan.zone) for plan in draft.zones):
        owners: dict[EndpointName, tuple[int, int]] = {}
        for number, plan in enumerate(draft.zones):
            yield from _endpoint_violations(plan, number, f".{apex}", owners)


def _target_violations(targets: Sequence[Target]) -> Iterator[Violation]:
    yield from _repeats("targets", "name", [target.name for target in targets]).items()
    for number, target in enumerate(targets):
        path = f"targets[{number}]"
        if not _PRINTABLE.fullmatch(target.name):
            yield f"{path}.name", f"{target.name!r} is not 1 to 120 printable letters"
        if target.ipv4 is None and target.ipv6 is None:
            yield path, f"target {target.name!r} has no address"
        if target.ipv4 is not None and not _is_address(target.ipv4, IPv4Address):
            yield f"{path}.ipv4", f"{target.ipv4!r} is not an IPv4 address"
        if target.ipv6 is not None and not _is_address(target.ipv6, IPv6Address):
            yield f"{path}.ipv6", f"{target.ipv6!r} is not an IPv6 address"


def _is_address(text: str, kind: type[IPv4Address] | type[IPv6Address]) -> bool:
    try:
        kind(text)
    except AddressValueError:
        return False
    # A scope such as %eth0 means something on one host only, not in DNS.
    return "%" not in text


def _answer_set_violations(
    answer_set: AnswerSet, path: str, targets: int
) -> Iterator[Violation]:
    if not answer_set:
        yield path, "no target: an answer set is never empty"
    elif all(member.weight == 0 for member in answer_set):
        yield f"{path}.weights", "all weights are 0: nothing would be answered"
    for number, member in enumerate(answer_set):
        if not 0 <= member.target < targets:
            problem = f"{member.target} is not the index of one of {targets} targets"
            yield f"{path}.targets[{number}]", problem
        if not 0 <= member.weight <= MAX_WEIGHT:
            problem = f"{member.weight} is not 0 to {MAX_WEIGHT}"
            yield f"{path}.weights[{number}]", problem
    if len({member.target for member in answer_set}) < len(answer_set):
        yield f"{path}.targets", "a target is in it twice"


def _zone_violations(plan: ZonePlan, path: str, sets: int) -> Iterator[Violation]:
    if not _ZONE.fullmatch(plan.zone):
        yield f"{path}.zone", f"{plan.zone!r} is not 1 to 63 of a-z, 0-9 and -"
    if not 1 <= len(plan.endpoints) <= MAX_ZONE_ENDPOINTS:
        found = len(plan.endpoints)
        problem = f"{found} endpoints, a zone has 1 to {MAX_ZONE_ENDPOINTS}"
        yield f"{path}.endpoints", problem
    if len(plan.answers) != len(plan.endpoints):
        problem = f"{len(plan.answers)} answers for {len(plan.endpoints)} endpoints"
        yield f"{path}.answers", problem
    if 0 <= min(plan.answers, default=0) <= max(plan.answers, default=0) < sets:
        return
    for number, answer in enumerate(plan.answers):
        if not 0 <= answer < sets:
            problem = f"{answer} is not the index of one of {sets} answer sets"
            yield f"{path}.answers[{number}]", problem


def _endpoint_violations(
    plan: ZonePlan,
    zone_number: int,
    below: str,
    owners: dict[EndpointName, tuple[int, int]],
) -> Iterator[Violation]:
    # 200,000 names pass here: what is right must not cost a string.
    is_name = _DNS_NAME.fullmatch
    for number, name in enumerate(plan.endpoints):
        place = (zone_number, number)
        if not is_name(name):
            problem = f"{name!r} is not a DNS name in lower case"
            yield _endpoint_path(place), problem
        elif not name.endswith(below):
            yield _endpoint_path(place), f"{name!r} is not below {below[1:]!r}"
        owner = owners.setdefault(name, place)
        if owner is not place:
            problem = f"duplicate endpoint {name!r}, also in {_endpoint_path(owner)}"
            yield _endpoint_path(place), problem


def _endpoint_path(place: tuple[int, int]) -> str:
    return f"zones[{place[0]}].endpoints[{place[1]}]"


# --- Batches -----------------------------------------------------------------------


def _call_violations(batches: Sequence[Batch]) -> Iterator[Violation]:
    if not 1 <= len(batches) <= MAX_BATCHES:
        yield "batches", f"{len(batches)} batches, a call has 1 to {MAX_BATCHES}"
    for number, batch in enumerate(batches):
        yield from batch_violations(batch, f"batches[{number}]")


def batch_violations(batch: Batch, path: str = "batch") -> Iterator[Violation]:
    """Every rule of form that a batch breaks, lazily."""
    if not _PRINTABLE.fullmatch(batch.id):
        yield f"{path}.id", f"{batch.id!r} is not 1 to 120 printable letters"
    if not _ENACTOR.fullmatch(batch.enactor):
        problem = f"{batch.enactor!r} is not 1 to 63 letters, digits and @ . _ -"
        yield f"{path}.enactor", problem
    if not NOTHING <= batch.generation <= MAX_GENERATION:
        yield f"{path}.generation", _no_generation(batch.generation, NOTHING)
    for number, part in enumerate(batch.preconditions):
        yield from _part_violations(part, f"{path}.preconditions[{number}]")
    for number, change in enumerate(batch.changes):
        yield from _part_violations(change, f"{path}.changes[{number}]")
    yield from _order_violations(batch.changes, f"{path}.changes")
    if batch.endpoints:
        yield from _narrowed_violations(batch, path)


def _part_violations(part: Precondition | Change, path: str) -> Iterator[Violation]:
    match part:
        case LockIs(lock) | SetLock(lock):
            yield from _lock_violations(lock, path)
        case ActiveIs(generation):
            if not NOTHING <= generation <= MAX_GENERATION:
                yield path, _no_generation(generation, NOTHING)
        case (
            ActiveBelow(generation)
            | TreeExists(generation)
            | TreeUnreferenced(generation)
            | BuildTree(generation)
            | DeleteTree(generation)
            | PointActive(generation)
        ):
            if not NOTHING < generation <= MAX_GENERATION:
                yield path, _no_generation(generation, 1)
        case PointRollback() | AutomationRuns():  # pragma: no branch
            pass


def _no_generation(found: Generation, least: int) -> str:
    return f"{found} is not a generation, {least} to {MAX_GENERATION}"


def _lock_violations(lock: Lock | None, path: str) -> Iterator[Violation]:
    if lock is None:
        return
    if not _ENACTOR.fullmatch(lock.holder):
        problem = f"{lock.holder!r} is not 1 to 63 letters, digits and @ . _ -"
        yield f"{path}.lock.holder", problem
    if not 0 <= lock.expires_at_s <= MAX_GENERATION:
        problem = f"{lock.expires_at_s} s is not 0 to {MAX_GENERATION}"
        yield f"{path}.lock.expires_at_s", problem


def _order_violations(changes: Sequence[Change], path: str) -> Iterator[Violation]:
    if not changes:
        yield path, "no change: a batch makes at least one"
    kinds = [type(change) for change in changes]
    for kind in (PointRollback, PointActive):
        if kinds.count(kind) > 1:
            yield path, f"{kinds.count(kind)} x {kind.__name__}, at most one"
    if PointRollback in kinds and PointActive in kinds[: kinds.index(PointRollback)]:
        # The rollback would be the new plan itself: no way back. Source: R7.
        yield path, "PointRollback comes after PointActive, it must come before"


def _narrowed_violations(batch: Batch, path: str) -> Iterator[Violation]:
    whole = (BuildTree, DeleteTree, TreeUnreferenced)
    for part in (*batch.preconditions, *batch.changes):
        if isinstance(part, whole):
            problem = f"{type(part).__name__} is of the whole zone, not of some names"
            yield f"{path}.endpoints", problem
    if len(set(batch.endpoints)) < len(batch.endpoints):
        yield f"{path}.endpoints", "an endpoint is in it twice"


def _repeats(path: str, field: str, names: Iterable[str]) -> dict[str, str]:
    first: dict[str, int] = {}
    found = {}
    for number, name in enumerate(names):
        if first.setdefault(name, number) != number:
            problem = f"duplicate {field} {name!r}, also in {path}[{first[name]}]"
            found[f"{path}[{number}].{field}"] = problem
    return found
