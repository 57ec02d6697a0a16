"""Incident time: what the clock on the wall showed during the event, scaled.

Every service measures in incident seconds and reads them from a `Clock` that it was
handed. All processes of a stack are given the same three figures (wall origin,
incident origin, speed), so that they agree on the time without talking.
"""

from __future__ import annotations

import asyncio
import time
from typing import Protocol

INCIDENT_START_S = 1_760_942_880.0
"""Start of the event: 19 Oct 2025 23:48 PDT, 06:48 UTC on the 20th, epoch seconds.

Source: R14-R18.
"""

PDT_OFFSET_S = -7 * 3600
"""What to add to UTC for Pacific Daylight Time, in force all through the event."""

DAY_S = 86_400


class Clock(Protocol):
    """Tells incident time and waits in it."""

    def now_s(self) -> float:
        """Returns the incident time.

        Units: epoch seconds.
        """
        ...

    async def sleep_s(self, seconds: float) -> None:
        """Waits.

        Units: incident seconds.
        """
        ...

    def wall_s(self, incident_seconds: float) -> float:
        """Returns how long a stretch of incident time lasts for who is watching.

        Units: wall seconds.
        """
        ...


class ScaledClock:
    """Incident time that passes `speed` times as fast as the time on the wall.

    The wall is read once, here, to find the place in incident time; from then on a
    monotonic clock counts, so that a wall clock that is set back moves nothing.

    Not guaranteed: two processes agree only as well as their wall clocks did when
    each made its clock. On one machine that is microseconds of wall time, times
    `speed`.
    """

    def __init__(
        self,
        speed: float = 1.0,
        start_s: float = INCIDENT_START_S,
        wall_origin_s: float | None = None,
    ) -> None:
        """Starts at `start_s` when the wall shows `wall_origin_s`, by default now."""
        if not speed > 0:
            raise ValueError(f"speed must be above 0, got {speed}")
        self.speed = speed
        wall_now_s = time.time()
        origin_s = wall_now_s if wall_origin_s is None else wall_origin_s
        self._start_s = start_s + (wall_now_s - origin_s) * speed
        self._monotonic_origin_s = time.monotonic()

    def now_s(self) -> float:
        """Returns the incident time, epoch seconds."""
        elapsed_s = time.monotonic() - self._monotonic_origin_s
        return self._start_s + elapsed_s * self.speed

    async def sleep_s(self, seconds: float) -> None:
        """Waits for a number of incident seconds."""
        await asyncio.sleep(seconds / self.speed)

    def wall_s(self, incident_seconds: float) -> float:
        """Returns incident seconds as wall seconds."""
        return incident_seconds / self.speed


class SkewedClock:
    """A clock that a `skew` fault may move; it waits as the true clock does."""

    def __init__(self, true_clock: Clock) -> None:
        self._true_clock = true_clock
        self.skew_s = 0.0
        """How far the clock is off, incident seconds; negative is late."""

    def now_s(self) -> float:
        """Returns the incident time that this service believes in, epoch seconds."""
        return self._true_clock.now_s() + self.skew_s

    async def sleep_s(self, seconds: float) -> None:
        """Waits for a number of incident seconds."""
        await self._true_clock.sleep_s(seconds)

    def wall_s(self, incident_seconds: float) -> float:
        """Returns incident seconds as wall seconds."""
        return self._true_clock.wall_s(incident_seconds)


def local_time(epoch_s: float) -> str:
    """Returns an incident time as the clocks on the wall showed it: "23:48:07"."""
    seconds = int(epoch_s + PDT_OFFSET_S) % DAY_S
    return f"{seconds // 3600:02d}:{seconds // 60 % 60:02d}:{seconds % 60:02d}"
