"""What `staleplan ops show` reads from the DNS store, and how a person sees it."""

from collections import deque
from collections.abc import Awaitable, Callable
from dataclasses import asdict, dataclass
from typing import Any

from rich.console import Console
from rich.table import Table

from protos.dns_store.v1 import dns_store_pb2 as pb
from staleplan import wire
from staleplan.cli.calls import CALL_TIMEOUT_S, choose
from staleplan.model import JournalEntry, Refused, ZoneName, ZoneView
from staleplan.runtime.clock import local_time
from staleplan.store_client import StoreClient, insist


@dataclass(frozen=True, slots=True)
class Seen:
    """The store as operators see it."""

    newest_plan: int
    paused: bool
    zones: list[ZoneView]
    journal: list[dict[str, Any]]
    audit: list[dict[str, Any]]


async def look(store: StoreClient, zone: str | None, entries: int) -> Seen:
    """Read zones, the last entries of the journal, and those of the audit."""
    about = await store.describe()
    head = await store.head()
    known = head.zones if head else ()
    names = (ZoneName(choose("zone", zone, known)),) if zone else ()
    return Seen(
        about.newest_generation,
        about.paused,
        list(await store.zones(names)),
        [_told(each) for each in await last_entries(store, zone or "", entries)],
        [
            {
                "at": local_time(each.at_s),
                "operator": each.operator,
                "action": each.action,
                "detail": each.detail,
                "trace_id": each.trace_id,
            }
            for each in deque(await store.audit(), entries)
        ],
    )


async def last_entries(store: StoreClient, zone: str, count: int) -> list[JournalEntry]:
    """Read the last entries of the journal, which is only read forwards.

    It may be long, so its end is searched: are there as many entries after this one?
    """

    async def after(sequence: int) -> list[pb.JournalEntry]:
        request = pb.ReadJournalRequest(after_sequence=sequence, limit=count, zone=zone)
        reply = await insist(
            lambda: store.stub.ReadJournal(request, timeout=CALL_TIMEOUT_S)
        )
        return list(reply.entries)

    start = await _last(0, lambda at: _is_full(after, at, count))
    return [wire.entry_from_message(each) for each in await after(start)]


async def _is_full(
    after: Callable[[int], Awaitable[list[pb.JournalEntry]]], at: int, count: int
) -> bool:
    return len(await after(at)) == count


async def _last(low: int, holds: Callable[[int], Awaitable[bool]]) -> int:
    """Find the last number for which something holds that then never holds again."""
    step = 1
    while await holds(low + step):
        low, step = low + step, step * 2
    while step > 1:
        step //= 2
        if await holds(low + step):
            low += step
    return low


def _told(entry: JournalEntry) -> dict[str, Any]:
    batch, outcome = entry.batch, entry.outcome
    return {
        "at": local_time(entry.at_s),
        "sequence": entry.sequence,
        "enactor": batch.enactor,
        "zone": batch.zone,
        "generation": batch.generation,
        "changes": [_words(change) for change in batch.changes],
        "outcome": outcome.reason if isinstance(outcome, Refused) else "applied",
        "trace_id": entry.trace_id,
    }


def _words(change: Any) -> str:
    """Say what a change does: BuildTree 3, PointActive 3, SetLock."""
    generation = asdict(change).get("generation", "")
    return f"{type(change).__name__} {generation}".strip()


def render(to: Console, seen: Seen) -> None:
    """Print three tables."""
    paused = ", automation is paused" if seen.paused else ""
    to.print(f"newest plan {seen.newest_plan}{paused}")
    table = Table("zone", "lock", "active", "rollback", "trees", box=None)
    for view in seen.zones:
        table.add_row(
            view.zone,
            lock_words(view),
            *(
                ", ".join(map(str, numbers))
                for numbers in (view.active, view.rollback, view.trees)
            ),
            style="bold red" if missing_trees(view) else None,
        )
    to.print(table)
    to.print("\nlast batches")
    for each in seen.journal:
        changes = ", ".join(each["changes"])
        to.print(
            f"{each['at']} {each['enactor']} {each['zone']}: {changes}: "
            f"{each['outcome']}",
            style=None if each["outcome"] == "applied" else "yellow",
            soft_wrap=True,
        )
    to.print("\naudit" if seen.audit else "\nno operator has done anything")
    for each in seen.audit:
        to.print(
            f"{each['at']} {each['operator']} {each['action']}: {each['detail']}",
            soft_wrap=True,
        )


def lock_words(view: ZoneView) -> str:
    """Say who holds a zone's lock, and until when; empty: nobody."""
    if view.lock is None:
        return ""
    return f"{view.lock.holder} until {local_time(view.lock.expires_at_s)}"


def missing_trees(view: ZoneView) -> tuple[int, ...]:
    """Return the active generations whose trees are gone. Source: R17, R18."""
    return tuple(each for each in view.active if each and each not in view.trees)
