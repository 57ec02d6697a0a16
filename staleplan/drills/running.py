"""A stack for one drill: started with nothing in it, and gone with the drill."""

import asyncio
from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import psycopg

from protos.runtime.v1 import runtime_pb2
from protos.runtime.v1.runtime_pb2_grpc import SafeguardServiceStub
from staleplan.runtime.channel import channel
from staleplan.runtime.footing import Footing, footing
from staleplan.runtime.settings import ServiceSettings
from staleplan.runtime.telemetry import Exporters
from staleplan.stack.child import child_stack
from staleplan.stack.outside import Outside
from staleplan.stack.settings import StackSettings

DRILL_TRACE_FILE = "drill.trace.jsonl"
"""The drill's own spans, beside those of the stack."""


@dataclass(frozen=True, slots=True)
class RunningStack:
    """Where the services of a drill's stack answer, and what the drill stands on."""

    addresses: Mapping[str, str]
    base: Footing

    async def switch(self, kind: str, switched: Mapping[str, bool]) -> None:
        """Switch safeguards of every service of a kind, such as `enactor`."""
        request = runtime_pb2.SetRequest(safeguards=switched)
        for address in self._of(kind):
            async with channel(address, self.base.telemetry) as to_service:
                await SafeguardServiceStub(to_service).Set(request)

    def _of(self, kind: str) -> Iterable[str]:
        named = sorted(self.addresses.items())
        return [where for name, where in named if name.startswith(f"{kind}-")]


@asynccontextmanager
async def running_stack(
    stack: StackSettings, *, processes: bool = False
) -> AsyncIterator[RunningStack]:
    """Start a stack with nothing in it, and leave nothing of it but its traces."""
    await asyncio.to_thread(_empty, stack)
    told = ServiceSettings(
        stack=stack.name, clock=stack.clock, log_file=stack.folder / "drill.log"
    )
    async with Exporters(stack.folder / DRILL_TRACE_FILE) as exporters:
        base = footing("drill", told, exporters)
        running = (
            Outside(stack, base.telemetry.log, _nothing).running()
            if processes
            else child_stack(stack)
        )
        async with running as addresses:
            yield RunningStack(addresses, base)
    await asyncio.to_thread(_drop_schemas, stack)


def join_traces(stack: StackSettings) -> Path:
    """Put the spans of all processes into one file, which Jaeger opens."""
    whole = stack.state_folder / "runs" / f"{stack.name}.trace.jsonl"
    whole.parent.mkdir(parents=True, exist_ok=True)
    with whole.open("wb") as joined:
        for part in sorted(stack.folder.glob("*trace.jsonl")):
            joined.write(part.read_bytes())
    return whole


def _nothing() -> None:
    """A drill keeps no book of its processes."""


def _empty(stack: StackSettings) -> None:
    _drop_schemas(stack)
    stack.folder.mkdir(parents=True, exist_ok=True)
    for left in stack.folder.iterdir():
        left.unlink()


def _drop_schemas(stack: StackSettings) -> None:
    """Drop what the DNS store and DynamoDB keep."""
    url = (stack.database_url or "").replace("+psycopg", "", 1)
    with psycopg.connect(url, autocommit=True) as connection:
        for schema in (stack.name, f"{stack.name}_dynamodb"):
            connection.execute(f"DROP SCHEMA IF EXISTS {schema} CASCADE")
