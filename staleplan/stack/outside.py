"""A whole stack, each service a process of its own, as in production."""

import asyncio
import json
import os
import sys
from asyncio.subprocess import DEVNULL, PIPE, Process
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from itertools import dropwhile
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from staleplan.runtime.logs import BoundLogger
from staleplan.stack.settings import (
    DNS_SERVICES,
    FLEET,
    RESTART_AFTER_S,
    StackSettings,
    known_ports,
)

WAVES = (
    DNS_SERVICES[:1],
    DNS_SERVICES[1:2],
    (*DNS_SERVICES[2:], *FLEET[:-1]),
    FLEET[-1:],
)
"""Services that start side by side: each needs only those of earlier waves."""

MODULES = {
    "dns-store": "dns_store",
    "world": "staleplan.world",
    "customers": "staleplan.world.launches",
}
"""What `python -m` runs for a service, unless it is the name without the AZ."""

START_TIMEOUT_S = 60.0
"""Longest start of a service, wall seconds: one takes 2, ten side by side take 20."""

STOP_TIMEOUT_S = 10.0
"""Longest stop of a service, wall seconds: it drains for 5 and flushes for 1.5."""


class ServiceFailedError(Exception):
    """A service ended, or said nothing, before it was ready."""

    def __init__(self, service: str, why: str) -> None:
        super().__init__(f"{service} did not start: {why}")


@dataclass
class Outside:
    """The service processes of one stack; `changed` is called after each restart."""

    settings: StackSettings
    log: BoundLogger
    changed: Callable[[], None]
    addresses: dict[str, str] = field(default_factory=dict)
    _alive: dict[str, Process] = field(default_factory=dict)

    @property
    def processes(self) -> dict[str, int]:
        """Process ids by service."""
        return {service: process.pid for service, process in self._alive.items()}

    @asynccontextmanager
    async def running(self) -> AsyncIterator[dict[str, str]]:
        """Keep every service running until this is left; yields where they answer.

        Raises: ServiceFailedError; then no process is left.
        """
        keeping: list[asyncio.Task[None]] = []
        try:
            for each in WAVES:
                wave = [s for s in each if s in self.settings.services]
                starts = [self._start(service) for service in wave]
                for failure in await asyncio.gather(*starts, return_exceptions=True):
                    if failure:
                        raise failure
                keeping += [asyncio.create_task(self._keep(each)) for each in wave]
            yield self.addresses
        finally:
            for task in keeping:
                task.cancel()
            await asyncio.gather(*keeping, return_exceptions=True)
            await asyncio.gather(*map(_end, self._alive.values()))

    async def _keep(self, service: str) -> None:
        """Start a service again whenever it ends, at the same address."""
        while True:
            code = await self._alive[service].wait()
            self.log.error("service ended", ended=service, exit_code=code)
            await asyncio.sleep(RESTART_AFTER_S)
            try:
                await self._start(service)
            except ServiceFailedError as failure:
                self.log.error("restart failed", reason=str(failure))  # noqa: TRY400
            else:
                self.log.info("service restarted", restarted=service)
                self.changed()

    async def _start(self, service: str) -> None:
        """Start a service, and wait until it says that it is ready."""
        errors = self.settings.folder / f"{service}.stderr"
        with errors.open("a") as stderr:
            process = await asyncio.create_subprocess_exec(
                *command_of(service, self.settings.folder),
                env=self._environment(service),
                stdin=DEVNULL,
                stdout=PIPE,
                stderr=stderr,
            )
        self._alive[service] = process
        line = b""
        if process.stdout:
            with suppress(TimeoutError):
                line = await asyncio.wait_for(
                    process.stdout.readline(), START_TIMEOUT_S
                )
        if not line:
            await _end(process)
            raise ServiceFailedError(service, why_ended(errors))
        self._enter(service, json.loads(line))

    def _enter(self, service: str, ready: dict[str, Any]) -> None:
        self.addresses[service] = f"127.0.0.1:{ready['port']}"
        if "dns_port" in ready:
            self.addresses["dns"] = f"127.0.0.1:{ready['dns_port']}"
        if "load_balancer_port" in ready:
            self.addresses["load-balancers"] = f":{ready['load_balancer_port']}"

    def _environment(self, service: str) -> dict[str, str]:
        """Say in variables what the service is told; others may add to it."""
        told = self.settings.of(service, self.addresses)
        told |= known_ports(service, self.addresses)
        return os.environ | {
            f"STALEPLAN_{name.upper()}": _as_text(value)
            for name, value in told.items()
            if value is not None
        }


def command_of(service: str, folder: Path) -> tuple[str, ...]:
    """Return a service's command line.

    It ends with the stack's folder, which the service ignores: that is how a process
    is told from another one that was given its id later, by us and by who runs `ps`.
    """
    module = MODULES.get(service, service.partition("-")[0])
    return (sys.executable, "-m", module, str(folder))


def why_ended(log: Path) -> str:
    """Return what a process said last: its error without the traceback, or a line."""
    lines = [line for line in log.read_text(errors="replace").splitlines() if line]
    traces = [n for n, line in enumerate(lines) if line.startswith("Traceback")]
    if not traces:
        return lines[-1].strip() if lines else "it said nothing"
    below = dropwhile(lambda line: line[0] == " ", lines[traces[-1] + 1 :])
    return " ".join(line.strip() for line in below if "further information" not in line)


def _as_text(value: object) -> str:
    if isinstance(value, dict):
        return json.dumps(value)
    return value.model_dump_json() if isinstance(value, BaseModel) else str(value)


async def _end(process: Process) -> None:
    """Let a process drain; kill it when it takes too long."""
    with suppress(ProcessLookupError):
        process.terminate()
        try:
            await asyncio.wait_for(process.wait(), STOP_TIMEOUT_S)
        except TimeoutError:
            process.kill()
            await process.wait()
