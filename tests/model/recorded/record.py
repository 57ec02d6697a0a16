"""Records `dns-race` on a running stack: `python -m tests.model.recorded.record`.

To be done again when an enactor's batches change; a file is some ten kilobytes.
"""

import asyncio
import gzip
import json
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from google.protobuf.json_format import MessageToDict, ParseDict

from dns_store.core import Pointer, ZoneState
from protos.dns_store.v1 import dns_store_pb2 as pb
from staleplan import wire
from staleplan.drills.dns_race import Script, run_race
from staleplan.drills.runner import Order, _stack_of, stage_of
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


def _file(mode: Mode) -> Path:
    return HERE / f"{mode}.jsonl.gz"


async def record(mode: Mode, url: str, state: Path) -> None:
    order = Order(
        mode, Script(1), database_url=url, state_folder=state, account_endpoints=4
    )
    async with stage_of(_stack_of(order), order.pace, {}) as stage:
        await run_race(stage, order.script)
        zones, journal = await stage.beginning(), await stage.journal()
    first = {zone: list(each.endpoints) for zone, each in zones.items()}
    lines: list[dict[Any, Any]] = [first]
    lines += [MessageToDict(wire.entry_to_message(entry)) for entry in journal]
    text = "\n".join(map(json.dumps, lines)).encode()
    _file(mode).write_bytes(gzip.compress(text, mtime=0))


def main() -> None:
    state = Path(tempfile.mkdtemp())
    with postgres(None, state) as url:
        for mode in MODES:
            asyncio.run(record(mode, url, state))
    remove(state)


if __name__ == "__main__":
    main()
