"""Faults: named points where a drill may delay, stop, fail or kill a service.

A driver calls `await faults.reach("enactor.before_batch", zone="regional")` at each
point; it never asks which faults there are. Reaching a point first tells who watches
it, and then suffers, in order of injection, every fault that matches. A fault that
pauses may end when another point is reached: that is how a drill puts two services
in the one order of events that the record tells, without a sleep.

When nothing is armed and nobody watches, reaching a point counts it and no more.
"""

from __future__ import annotations

import asyncio
import os
import random
from collections import deque
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass, field
from typing import Never

import grpc
from opentelemetry import trace

from staleplan.runtime.attributes import FAULT
from staleplan.runtime.clock import SkewedClock
from staleplan.runtime.errors import ServiceError
from staleplan.runtime.fault_spec import (
    POINTS,
    Crash,
    Delay,
    Drop,
    Error,
    Fault,
    Pause,
    Selector,
    Skew,
    Until,
    check_fault,
    check_selector,
)

CRASH_EXIT_CODE = 70
"""Exit code of a process that a `crash` fault ended: EX_SOFTWARE of sysexits.h."""

WATCH_BACKLOG = 1024
"""Events that wait for a slow watcher before the oldest are discarded.

A drill waits for one event; this many keeps a watcher that shows them all whole,
and costs at most a few hundred KiB.
"""


@dataclass(frozen=True)
class Reached:
    """A point was reached; `times_reached` counts this service's visits to it."""

    point: str
    labels: Mapping[str, str]
    at_s: float
    times_reached: int


@dataclass(eq=False)
class Waiter:
    """A caller that a pause holds, since an incident time, epoch seconds."""

    labels: Mapping[str, str]
    since_s: float
    released: asyncio.Event = field(default_factory=asyncio.Event)


@dataclass(eq=False)
class InjectedFault:
    """A fault that was injected, and what became of it.

    It is in force while it may fire, and while it holds or moves what it fired on.
    """

    id: int
    fault: Fault
    in_force: bool = True
    times_fired: int = 0
    skewed_by_s: float = 0.0
    waiters: list[Waiter] = field(default_factory=list)
    expiry: asyncio.TimerHandle | None = None
    unfollow: Callable[[], object] | None = None
    """Stops whoever waits for the `until` of this fault in another process."""

    @property
    def may_fire(self) -> bool:
        """Tells whether it is in force and has not fired as often as it may."""
        count = self.fault.count
        return (
            self.in_force
            and not self.skewed_by_s
            and (not count or self.times_fired < count)
        )


class InjectedError(ServiceError):
    """A service fails because an `error` fault says so; nothing was done."""

    reason = "INJECTED_FAULT"
    definite = True

    def __init__(self, point: str, status: grpc.StatusCode) -> None:
        super().__init__(
            f"fault injected at {point}: {status.name}",
            detail_metadata={"point": point},
        )
        self.code = status


class UnknownFaultError(ServiceError):
    """No fault with this id is listed."""

    code = grpc.StatusCode.NOT_FOUND
    reason = "UNKNOWN_FAULT"
    definite = True


class Watch:
    """The events of one watcher, in order, until the watch is closed."""

    def __init__(self, selector: Selector) -> None:
        self.selector = selector
        self._events: deque[Reached] = deque(maxlen=WATCH_BACKLOG)
        self._wake = asyncio.Event()
        self._closed = False

    def notify(self, event: Reached) -> None:
        """Hands over one event."""
        self._events.append(event)
        self._wake.set()

    def close(self) -> None:
        """Ends the stream once what has been handed over is read."""
        self._closed = True
        self._wake.set()

    async def __aiter__(self) -> AsyncIterator[Reached]:
        """Yields events in order until the watch is closed."""
        while True:
            while self._events:
                yield self._events.popleft()
            if self._closed:
                return
            self._wake.clear()
            await self._wake.wait()


class Faults:
    """The fault points of one service, and the faults injected there."""

    def __init__(
        self,
        clock: SkewedClock,
        chance: random.Random,
        *,
        labels: Mapping[str, str] | None = None,
        crash: Callable[[], None] | None = None,
    ) -> None:
        """Serves the service that `labels` name (service, az).

        `chance` is seeded by the caller and decides where a fault has a probability.
        `crash` ends just this service; without it the process exits, running no
        clean-up at all.
        """
        self.times_reached: dict[str, int] = dict.fromkeys(POINTS, 0)
        self._clock = clock
        self._chance = chance
        self._own_labels = dict(labels or {})
        self._crash = crash or exit_hard
        self._listed: dict[int, InjectedFault] = {}
        self._in_force: list[InjectedFault] = []
        self._watches: list[Watch] = []
        self._last_id = 0

    async def reach(self, point: str, **labels: str) -> bool:
        """Says that a point is reached, and suffers the faults that match.

        Returns whether the reply to what follows is to be dropped: the caller goes
        on, and once the effect has happened raises `ReplyLostError`.

        Raises: InjectedError, if an `error` fault fires; KeyError, if the point is
        not in `POINTS`.
        """
        self.times_reached[point] += 1
        if not self._in_force and not self._watches:
            return False
        return await self._suffer(point, {**self._own_labels, **labels})

    def inject(self, fault: Fault) -> InjectedFault:
        """Arms a fault.

        Raises: InvalidArgumentError, with the path of the field; nothing is armed.
        """
        check_fault(fault)
        self._last_id += 1
        injected = InjectedFault(self._last_id, fault)
        self._listed[injected.id] = injected
        self._in_force.append(injected)
        if fault.for_s:
            injected.expiry = asyncio.get_running_loop().call_later(
                self._clock.wall_s(fault.for_s), self.end, injected
            )
        return injected

    def listed(self) -> list[InjectedFault]:
        """Returns the faults that were injected and not cleared, oldest first."""
        return list(self._listed.values())

    def clear(self, fault_id: int) -> list[int]:
        """Ends one fault, or all for id 0, and forgets it; returns the ids.

        Raises: UnknownFaultError.
        """
        ids = [fault_id] if fault_id else list(self._listed)
        for each in ids:
            self.end(self._find(each))
            del self._listed[each]
        return ids

    def release(self, fault_id: int) -> int:
        """Lets go on who waits at a pause now; returns how many.

        Raises: UnknownFaultError.
        """
        waiters = self._find(fault_id).waiters
        for waiter in waiters:
            waiter.released.set()
        return len(waiters)

    def end(self, injected: InjectedFault) -> None:
        """Takes a fault out of force: what it holds goes on, its skew is undone."""
        if not injected.in_force:
            return
        injected.in_force = False
        self._in_force.remove(injected)
        self._forget_timers(injected)
        for waiter in injected.waiters:
            waiter.released.set()
        self._clock.skew_s -= injected.skewed_by_s

    def watch(self, selector: Selector) -> Watch:
        """Arms a watch: what is reached after this call cannot be missed.

        Raises: InvalidArgumentError, with the path of the field.
        """
        check_selector(selector, any_point=True)
        watch = Watch(selector)
        self._watches.append(watch)
        return watch

    def unwatch(self, watch: Watch) -> None:
        """Ends a watch; ending it twice is ending it once."""
        watch.close()
        if watch in self._watches:
            self._watches.remove(watch)

    def close(self) -> None:
        """Ends every watch, so that a server can drain.

        A pause still holds: to let a stale batch go on because the service stops
        would make an event that never was.
        """
        for watch in tuple(self._watches):
            self.unwatch(watch)
        for injected in self._in_force:
            self._forget_timers(injected)

    def _find(self, fault_id: int) -> InjectedFault:
        if fault_id not in self._listed:
            raise UnknownFaultError(f"no fault with id {fault_id} is listed")
        return self._listed[fault_id]

    @staticmethod
    def _forget_timers(injected: InjectedFault) -> None:
        """Stops what would end the fault later."""
        if injected.expiry:
            injected.expiry.cancel()
        if injected.unfollow:
            injected.unfollow()

    async def _suffer(self, point: str, labels: Mapping[str, str]) -> bool:
        event = Reached(point, labels, self._clock.now_s(), self.times_reached[point])
        for watch in self._watches:
            if watch.selector.matches(point, labels):
                watch.notify(event)
        self._end_what_waited_for(event)
        drop = False
        # A fault may end while an earlier one holds the caller, so that each is
        # asked only when its turn comes.
        for injected in tuple(self._in_force):
            if self._fires(injected, event):
                drop = drop or isinstance(injected.fault.effect, Drop)
                await self._apply(injected, event)
        return drop

    def _end_what_waited_for(self, event: Reached) -> None:
        """Ends the pauses that wait for this point of this very service."""
        for injected in tuple(self._in_force):
            match injected.fault.effect:
                case Pause(Until(selector, "")) if selector.matches(
                    event.point, event.labels
                ):
                    self.end(injected)

    def _fires(self, injected: InjectedFault, event: Reached) -> bool:
        """Tells whether a fault fires here, and if so counts it."""
        fault = injected.fault
        if not injected.may_fire or not fault.selector.matches(
            event.point, event.labels
        ):
            return False
        if fault.probability < 1 and self._chance.random() >= fault.probability:
            return False
        injected.times_fired += 1
        return True

    async def _apply(self, injected: InjectedFault, event: Reached) -> None:
        """Does to the caller what a fault that fires says; its span shows it."""
        trace.get_current_span().set_attribute(FAULT, event.point)
        effect = injected.fault.effect
        if isinstance(effect, Skew):
            injected.skewed_by_s = effect.seconds
            self._clock.skew_s += effect.seconds
            return
        if isinstance(effect, Pause):
            await self._pause(injected, event)
        if not injected.may_fire and not injected.waiters:
            self.end(injected)
        match effect:
            case Delay(seconds):
                await self._clock.sleep_s(seconds)
            case Error(status):
                raise InjectedError(event.point, status)
            case Crash():
                self._crash()
                # A service that is dead does nothing more, not even in the moment
                # before whoever owns it has cancelled its tasks.
                await asyncio.get_running_loop().create_future()

    async def _pause(self, injected: InjectedFault, event: Reached) -> None:
        waiter = Waiter(event.labels, event.at_s)
        injected.waiters.append(waiter)
        try:
            await waiter.released.wait()
        finally:
            injected.waiters.remove(waiter)


def exit_hard() -> Never:
    """Ends the process as a crash would: no clean-up, no flush, no handlers."""
    os._exit(CRASH_EXIT_CODE)
