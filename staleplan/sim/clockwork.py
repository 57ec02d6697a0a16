"""Virtual time: processes are generators that yield how long, or where, they wait."""

import heapq
import itertools
from collections.abc import Generator
from dataclasses import dataclass, field


@dataclass(eq=False)
class Gate:
    """Where processes wait until it is opened; afterwards it holds nobody."""

    is_open: bool = False
    waiting: list["Running"] = field(default_factory=list)


Process = Generator[float | Gate, None, None]
"""A process. It yields incident seconds to wait, or a gate to wait at."""


@dataclass(eq=False)
class Running:
    """A process that has been started. `stopped`: it does nothing any more."""

    process: Process
    stopped: bool = False

    def stop(self) -> None:
        """End the process where it stands."""
        self.stopped = True
        self.process.close()


class Clockwork:
    """Runs processes in the order of virtual time; ties go to who was first."""

    def __init__(self, start_s: float) -> None:
        self.now_s = start_s
        self._order = itertools.count()
        self._due: list[tuple[float, int, Running]] = []

    def start(self, process: Process) -> Running:
        """Start a process now."""
        running = Running(process)
        self._wake(running, 0.0)
        return running

    def open(self, gate: Gate) -> None:
        """Let everybody at a gate go on."""
        gate.is_open = True
        for running in gate.waiting:
            self._wake(running, 0.0)
        gate.waiting.clear()

    def run_until(self, end_s: float) -> bool:
        """Make one step, if any is due by then; else only the time passes."""
        if not self._due or self._due[0][0] > end_s:
            self.now_s = max(self.now_s, end_s)
            return False
        self.now_s, _, running = heapq.heappop(self._due)
        if not running.stopped:
            self._step(running)
        return True

    def _step(self, running: Running) -> None:
        wait = next(running.process, None)
        match wait:
            case Gate(is_open=False):
                wait.waiting.append(running)
            case Gate():
                self._wake(running, 0.0)
            case None:
                running.stopped = True
            case seconds:
                self._wake(running, seconds)

    def _wake(self, running: Running, after_s: float) -> None:
        due = (self.now_s + after_s, next(self._order), running)
        heapq.heappush(self._due, due)
