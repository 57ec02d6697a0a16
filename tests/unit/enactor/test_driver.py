"""How long an enactor waits between attempts, and when its life ends. Source: R10."""

import random
from types import SimpleNamespace
from typing import Any

import pytest
from opentelemetry.trace import NoOpTracer

from enactor.driver import Driver
from enactor.model import Pass, ReadNewestPlan, Result
from enactor.settings import EnactorSettings
from staleplan.model import ZoneName

SETTINGS = EnactorSettings(first_backoff_s=0.5, max_backoff_s=8.0)


class Idle:
    """A clock, and fault points that nobody minds: what was waited is written down."""

    def __init__(self) -> None:
        self.waited: list[float] = []

    def now_s(self) -> float:
        return 0.0

    async def sleep_s(self, seconds: float) -> None:
        self.waited.append(seconds)

    async def reach(self, _point: str, **_labels: str) -> bool:
        return False


def driver_with(idle: Idle, seed: int = 1, **hands: Any) -> Driver:
    hand: Any = idle
    store: Any = SimpleNamespace(**hands)
    telemetry: Any = SimpleNamespace(tracer=NoOpTracer())
    return Driver(SETTINGS, store, hand, hand, telemetry, random.Random(seed))


async def waits(losses: int, seed: int = 1) -> list[float]:
    idle = Idle()
    driver = driver_with(idle, seed)
    for _ in range(losses):
        await driver._back_off((ZoneName("regional"),))
    return idle.waited


async def test_each_loss_in_a_row_waits_longer_up_to_a_bound() -> None:
    bounds = [0.5, 1.0, 2.0, 4.0, 8.0, 8.0]
    for waited, most in zip(await waits(6), bounds, strict=True):
        assert most / 2 <= waited <= most


async def test_two_enactors_do_not_wait_in_step() -> None:
    assert await waits(3, seed=1) != await waits(3, seed=2)


async def test_a_wedge_of_hours_is_waited_out() -> None:
    # R19: some 1,500 losses in a row; doubled each time, they outgrow a float.
    *_, last = await waits(1_500)
    assert last <= SETTINGS.max_backoff_s


def one_look() -> Pass:
    yield ReadNewestPlan()
    return Result.NOTHING_TO_DO


async def test_an_abandoned_pass_ends_a_life() -> None:
    """Who reads the journal sees by the ids that a pass was not played to its end."""
    away = False

    async def head() -> None:
        if away:
            raise ConnectionError

    def life() -> str:
        return next(driver._ids).rpartition("/")[0]

    driver = driver_with(Idle(), head=head)
    first = life()
    await driver.perform(one_look())
    assert life() == first
    away = True
    with pytest.raises(ConnectionError):
        await driver.perform(one_look())
    assert life() != first
