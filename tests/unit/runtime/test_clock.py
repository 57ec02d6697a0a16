import time
from datetime import UTC, datetime

import pytest

from staleplan.runtime.clock import (
    INCIDENT_START_S,
    ScaledClock,
    SkewedClock,
    local_time,
)


def test_the_incident_starts_when_the_record_says() -> None:
    start = datetime(2025, 10, 20, 6, 48, tzinfo=UTC)
    assert start.timestamp() == INCIDENT_START_S


@pytest.mark.parametrize(
    ("after_s", "shown"),
    [
        (0, "23:48:00"),
        (7.9, "23:48:07"),
        (12 * 60, "00:00:00"),
        (3 * 3600 - 1, "02:47:59"),
    ],
)
def test_local_time_is_what_the_wall_showed(after_s: float, shown: str) -> None:
    assert local_time(INCIDENT_START_S + after_s) == shown


def test_clocks_with_the_same_origins_agree() -> None:
    wall_origin_s = time.time() - 10
    one = ScaledClock(600, 1_000.0, wall_origin_s)
    other = ScaledClock(600, 1_000.0, wall_origin_s)
    before_s, between_s, after_s = one.now_s(), other.now_s(), one.now_s()
    # Each anchors once: they may differ by what the two readings are apart.
    assert before_s - 60 <= between_s <= after_s + 60
    assert before_s >= 1_000 + 10 * 600


def test_a_clock_without_a_wall_origin_starts_now() -> None:
    clock = ScaledClock(1e-6, 500.0)
    assert 500.0 <= clock.now_s() < 501.0


def test_wall_s_divides_by_the_speed() -> None:
    assert ScaledClock(600).wall_s(1_200) == 2


async def test_sleep_s_lasts_at_least_what_was_asked() -> None:
    clock = ScaledClock(10_000)
    before_s = clock.now_s()
    await clock.sleep_s(100)
    assert clock.now_s() - before_s >= 99


@pytest.mark.parametrize("speed", [0, -1, float("nan")])
def test_a_speed_that_does_not_advance_is_refused(speed: float) -> None:
    with pytest.raises(ValueError, match="speed must be above 0"):
        ScaledClock(speed)


async def test_a_skewed_clock_is_off_but_waits_as_ever() -> None:
    true_clock = ScaledClock(1e-6, 500.0)
    clock = SkewedClock(true_clock)
    clock.skew_s = -30.0
    assert 470.0 <= clock.now_s() < 471.0
    assert clock.wall_s(7) == true_clock.wall_s(7)
    await clock.sleep_s(0)
