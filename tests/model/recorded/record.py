"""Records `dns-race` on a running stack: `python -m tests.model.recorded.record`.

To be done again when an enactor's batches or spans change: some ten kilobytes for a
journal, and forty for a trace.
"""

import asyncio
import gzip
import json
import tempfile
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from google.protobuf.json_format import MessageToDict, ParseDict

from dns_store.core import Pointer, ZoneState
from protos.dns_store.v1 import dns_store_pb2 as pb
from staleplan import wire
from staleplan.check.spans import NAMES
from staleplan.drills.dns_race import Script, run_race
from staleplan.drills.runner import Order, _stack_of, stage_of
from staleplan.drills.running import join_traces
from staleplan.model import EndpointName, JournalEntry, ZoneName
from staleplan.runtime.postgres import postgres, remove
from staleplan.runtime.settings import Mode

HERE = Path(__file__).parent
MODES: tuple[Mode, ...] = ("buggy", "fixed")

Run = tuple[Mapping[ZoneName, ZoneState], list[JournalEntry]]


def load(mode: Mode) -> Run:
    """The zones' beginning and the journal of a live run."""
    zones, *entries = gzip.decompress(_file(mode).read_bytes()).splitlines()
    beginning = {
        ZoneName(zone): ZoneState(
            ZoneName(zone),
            tuple(map(EndpointName, endpoints)),
            (Pointer(),) * len(endpoints),
        )
        for zone, endpoints in json.loads(zones).items()
    }
    messages = (ParseDict(json.loads(each), pb.JournalEntry()) for each in entries)
    return beginning, [wire.entry_from_message(message) for message in messages]


def load_trace(mode: Mode) -> list[str]:
    """The lines of the same run's trace, without the spans that no check reads."""
    return gzip.decompress(_file(mode, ".trace").read_bytes()).decode().splitlines()


def _file(mode: Mode, what: str = "") -> Path:
    return HERE / f"{mode}{what}.jsonl.gz"


async def record(mode: Mode, url: str, state: Path) -> None:
    order = Order(
        mode, Script(1), database_url=url, state_folder=state, account_endpoints=4
    )
    stack = _stack_of(order)
    async with stage_of(stack, order.pace, {}) as stage:
        await run_race(stage, order.script)
        zones, journal = await stage.beginning(), await stage.journal()
    first = {zone: list(each.endpoints) for zone, each in zones.items()}
    lines: list[dict[Any, Any]] = [first]
    lines += [MessageToDict(wire.entry_to_message(entry)) for entry in journal]
    _write(_file(mode), map(json.dumps, lines))
    trace = join_traces(stack).read_text().splitlines()
    _write(_file(mode, ".trace"), filter(None, map(_told, trace)))


def _told(line: str) -> str:
    """An export without the spans that no check reads; empty if it has no others."""
    export = json.loads(line)
    spans = 0
    for resource in export["resourceSpans"]:
        for scope in resource["scopeSpans"]:
            scope["spans"] = [each for each in scope["spans"] if each["name"] in NAMES]
            spans += len(scope["spans"])
    return json.dumps(export) if spans else ""


def _write(path: Path, lines: Iterable[str]) -> None:
    path.write_bytes(gzip.compress("\n".join(lines).encode(), mtime=0))


def main() -> None:
    state = Path(tempfile.mkdtemp())
    with postgres(None, state) as url:
        for mode in MODES:
            asyncio.run(record(mode, url, state))
    remove(state)


if __name__ == "__main__":
    main()
