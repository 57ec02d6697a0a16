"""The world's RPCs, called without a network."""

import random
from typing import Any

import grpc
import pytest

from protos.world.v1 import world_pb2 as pb
from staleplan.runtime.clock import INCIDENT_START_S, ScaledClock, SkewedClock
from staleplan.runtime.errors import (
    InvalidArgumentError,
    PermissionDeniedError,
    ReplyLostError,
    UnknownNameError,
)
from staleplan.runtime.fault_spec import Drop, Error, Fault, Selector
from staleplan.runtime.faults import Faults, InjectedError
from staleplan.world.core import lay_out_fleet
from staleplan.world.load_balancers import FleetNow
from staleplan.world.service import WorldService

REQUEST = pb.ReportLoadBalancersRequest()
CONTEXT: Any = None


class World:
    """A world service, its clock and its faults."""

    def __init__(self, *, drill: bool = True) -> None:
        self.clock = SkewedClock(ScaledClock(speed=1e-6))
        self.faults = Faults(self.clock, random.Random(0))
        fleet = FleetNow(lay_out_fleet(24, 6), 1, self.clock)
        self.service = WorldService(fleet, self.faults, drill=drill)

    async def report(self) -> dict[str, pb.LoadBalancer]:
        reply = await self.service.ReportLoadBalancers(REQUEST, CONTEXT)
        return {each.name: each for each in reply.load_balancers}

    async def set(self, **state: Any) -> None:
        await self.service.SetLoadBalancer(pb.SetLoadBalancerRequest(**state), CONTEXT)


async def test_a_report_has_every_load_balancer_and_its_reading() -> None:
    report = await World().report()
    assert len(report) == 24
    first = report["lb-a-01"]
    assert (first.az, first.ipv4, first.ipv6) == ("a", "127.0.1.1", "")
    assert list(first.pools) == ["regional"]
    assert first.reading.healthy
    assert first.reading.capacity in (39, 40, 41)
    dualstack = [each for each in report.values() if "dualstack" in each.pools]
    assert all(each.ipv6.startswith("2001:db8::") for each in dualstack)


async def test_readings_follow_the_clock() -> None:
    world = World()
    now = await world.report()
    world.clock.skew_s = 1800.0
    later = await world.report()
    assert any(now[name].reading != later[name].reading for name in now)


async def test_a_fixed_reading_stays_until_it_is_freed() -> None:
    world = World()
    free = (await world.report())["lb-a-01"].reading
    await world.set(name="lb-a-01", reading=pb.Reading(healthy=False, capacity=255))
    fixed = (await world.report())["lb-a-01"].reading
    assert (fixed.healthy, fixed.capacity) == (False, 255)
    await world.set(name="lb-a-01", free=True)
    assert (await world.report())["lb-a-01"].reading == free


async def test_a_missing_load_balancer_is_listed_without_a_reading() -> None:
    world = World()
    await world.set(name="lb-b-02", missing=True)
    report = await world.report()
    assert not report["lb-b-02"].HasField("reading")
    assert sum(each.HasField("reading") for each in report.values()) == 23


@pytest.mark.parametrize(
    ("state", "error", "says"),
    [
        (
            {"name": "lb-a-1", "missing": True},
            UnknownNameError,
            "name: unknown name 'lb-a-1'; did you mean 'lb-a-01'?",
        ),
        (
            {"name": "lb-a-01", "reading": pb.Reading(healthy=True, capacity=256)},
            InvalidArgumentError,
            "reading.capacity: must be at most 255, got 256",
        ),
        (
            {"name": "lb-a-01", "missing": False},
            InvalidArgumentError,
            "missing: must be true",
        ),
        (
            {"name": "lb-a-01", "free": False},
            InvalidArgumentError,
            "free: must be true",
        ),
        (
            {"name": "lb-a-01"},
            InvalidArgumentError,
            "state: one of reading, missing, free is wanted",
        ),
    ],
)
async def test_a_request_that_makes_no_sense_changes_nothing(
    state: dict[str, Any], error: type[Exception], says: str
) -> None:
    world = World()
    await world.set(name="lb-a-01", reading=pb.Reading(healthy=False, capacity=3))
    before = await world.report()
    with pytest.raises(error) as raised:
        await world.set(**state)
    assert str(raised.value) == says
    assert await world.report() == before


async def test_nobody_interferes_outside_a_drill() -> None:
    world = World(drill=False)
    before = await world.report()
    with pytest.raises(PermissionDeniedError, match=r"only where .* --drill"):
        await world.set(name="lb-a-01", missing=True)
    assert await world.report() == before


async def test_a_report_passes_its_fault_point() -> None:
    world = World()
    world.faults.inject(
        Fault(Selector("world.report"), Error(grpc.StatusCode.UNAVAILABLE), count=1)
    )
    world.faults.inject(Fault(Selector("world.report"), Drop(), count=1))
    with pytest.raises(InjectedError, match=r"world\.report: UNAVAILABLE"):
        await world.report()
    with pytest.raises(ReplyLostError, match=r"world\.report: the reply is lost"):
        await world.report()
    assert len(await world.report()) == 24
    assert world.faults.times_reached["world.report"] == 3


async def test_experience_before_the_start_is_none_and_never_before_zero() -> None:
    world = World()
    reply = await world.service.ReadExperience(pb.ReadExperienceRequest(), CONTEXT)
    assert list(reply.calls) == []
    with pytest.raises(InvalidArgumentError) as raised:
        await world.service.ReadExperience(
            pb.ReadExperienceRequest(after_sequence=-1), CONTEXT
        )
    assert str(raised.value) == "after_sequence: must be at least 0, got -1"


def test_the_clock_of_these_tests_stands_nearly_still() -> None:
    assert World().clock.now_s() == pytest.approx(INCIDENT_START_S, abs=1.0)
