"""The droplets' RPCs, called without a network."""

import random
from typing import Any

import pytest

from protos.droplet.v1 import droplet_pb2 as pb
from staleplan.runtime.clock import INCIDENT_START_S, ScaledClock, SkewedClock
from staleplan.runtime.errors import (
    InvalidArgumentError,
    ReplyLostError,
    ServiceError,
    UnknownNameError,
)
from staleplan.runtime.fault_spec import Drop, Fault, Selector
from staleplan.runtime.faults import Faults
from staleplan.world import droplet_service
from staleplan.world.droplet_service import DropletService
from staleplan.world.droplets import lay_out_droplets
from staleplan.world.errors import (
    DropletFullError,
    NotRunningError,
    UnknownDropletError,
)

CONTEXT: Any = None
FIRST = "droplet-a-0001"
REQUESTS: dict[str, Any] = {
    "CheckState": pb.CheckStateRequest,
    "LaunchInstance": pb.LaunchInstanceRequest,
    "TerminateInstance": pb.TerminateInstanceRequest,
    "RebootInstance": pb.RebootInstanceRequest,
}
ACTIONS = [name for name in REQUESTS if name != "CheckState"]


class Region:
    """Two droplets with two slots in each AZ."""

    def __init__(self) -> None:
        self.clock = SkewedClock(ScaledClock(speed=1e-6))
        self.faults = Faults(self.clock, random.Random(0))
        droplets = lay_out_droplets("abc", 2, 2)
        self.service = DropletService(droplets, self.clock, self.faults)

    async def call(self, method: str, **asked: Any) -> Any:
        if method == "CheckState":
            asked.pop("instance", None)
        return await getattr(self.service, method)(REQUESTS[method](**asked), CONTEXT)

    async def actions(self, after: int = 0) -> list[pb.Action]:
        request = pb.ReadActionsRequest(after_sequence=after)
        return list((await self.service.ReadActions(request, CONTEXT)).actions)

    async def droplets(self, az: str = "a") -> list[pb.Droplet]:
        request = pb.ListDropletsRequest(az=az)
        return list((await self.service.ListDroplets(request, CONTEXT)).droplets)


def ask(droplet: str = FIRST, term: int = 5, instance: str = "i-1") -> dict[str, Any]:
    return {"droplet": droplet, "term": term, "instance": instance}


async def test_the_droplets_of_an_az_are_listed_as_they_are() -> None:
    region = Region()
    await region.call("LaunchInstance", **ask())
    first, second = await region.droplets()
    assert first == pb.Droplet(name=FIRST, az="a", slots=2, running=1, term=5)
    assert second == pb.Droplet(name="droplet-a-0002", az="a", slots=2)
    assert [each.name for each in await region.droplets("c")] == [
        "droplet-c-0001",
        "droplet-c-0002",
    ]


@pytest.mark.parametrize("az", ["", "d", "A", "ab"])
async def test_an_unknown_az_is_refused(az: str) -> None:
    with pytest.raises(UnknownNameError, match=rf"az: unknown name '{az}'"):
        await Region().droplets(az)


async def test_a_state_check_tells_what_runs_and_teaches_the_term() -> None:
    region = Region()
    await region.call("LaunchInstance", **ask(instance="i-2"))
    await region.call("LaunchInstance", **ask(instance="i-1"))
    reply = await region.call("CheckState", droplet=FIRST, term=6)
    assert list(reply.state.instances) == ["i-2", "i-1"]
    stale = await region.call("LaunchInstance", **ask(term=5, instance="i-3"))
    assert stale.stale_term == pb.StaleTerm(attempted_term=5, current_term=6)


@pytest.mark.parametrize("method", REQUESTS)
async def test_a_stale_term_is_answered_with_both_sides_and_does_nothing(
    method: str,
) -> None:
    region = Region()
    await region.call("LaunchInstance", **ask(term=7))
    before = await region.droplets()
    reply = await region.call(method, **ask(term=6))
    assert reply.stale_term == pb.StaleTerm(attempted_term=6, current_term=7)
    assert not (method == "CheckState" and reply.HasField("state"))
    assert await region.droplets() == before


@pytest.mark.parametrize("method", ACTIONS)
async def test_an_action_that_was_done_has_no_stale_term(method: str) -> None:
    region = Region()
    await region.call("LaunchInstance", **ask())
    assert not (await region.call(method, **ask())).HasField("stale_term")


async def test_a_full_droplet_says_so() -> None:
    region = Region()
    for instance in ("i-1", "i-2"):
        await region.call("LaunchInstance", **ask(instance=instance))
    with pytest.raises(DropletFullError) as raised:
        await region.call("LaunchInstance", **ask(instance="i-3"))
    assert str(raised.value) == f"droplet {FIRST} is full: all of its 2 slots are taken"
    assert raised.value.code.name == "RESOURCE_EXHAUSTED"
    assert raised.value.definite
    assert (await region.droplets())[0].running == 2


async def test_what_does_not_run_cannot_be_rebooted() -> None:
    region = Region()
    with pytest.raises(NotRunningError) as raised:
        await region.call("RebootInstance", **ask())
    assert str(raised.value) == f"instance i-1 does not run on droplet {FIRST}"
    assert (await region.droplets())[0].running == 0


BAD: list[tuple[dict[str, Any], type[ServiceError], str]] = [
    (ask(term=0), InvalidArgumentError, "term: must be at least 1, got 0"),
    (ask(term=-3), InvalidArgumentError, "term: must be at least 1, got -3"),
    (ask(droplet=""), InvalidArgumentError, "droplet: must be 1 to 63 of"),
    (ask(droplet="Droplet A"), InvalidArgumentError, "got 'Droplet A'"),
    (ask(droplet="d" * 5000), InvalidArgumentError, f"got '{'d' * 80}'"),
    (
        ask(droplet="droplet-a-1"),
        UnknownDropletError,
        f"unknown name 'droplet-a-1'; did you mean '{FIRST}'?",
    ),
    ({**ask(), "holder": "dwfm a"}, InvalidArgumentError, "holder: must be 1 to 63"),
]


@pytest.mark.parametrize("method", REQUESTS)
@pytest.mark.parametrize(("asked", "error", "says"), BAD)
async def test_a_request_that_makes_no_sense_is_refused_and_leaves_no_trace(
    method: str, asked: dict[str, Any], error: type[ServiceError], says: str
) -> None:
    region = Region()
    with pytest.raises(error) as raised:
        await region.call(method, **asked)
    assert says in str(raised.value)
    assert raised.value.definite
    assert raised.value.code.name == (
        "NOT_FOUND" if error is UnknownDropletError else "INVALID_ARGUMENT"
    )
    assert await region.actions() == []
    assert (await region.droplets())[0].term == 0


@pytest.mark.parametrize("method", ACTIONS)
@pytest.mark.parametrize("instance", ["", "I-1", "i_1", "-i", "i" * 64, "i\n"])
async def test_a_malformed_instance_is_refused(method: str, instance: str) -> None:
    region = Region()
    with pytest.raises(InvalidArgumentError, match="instance: must be 1 to 63 of"):
        await region.call(method, **ask(instance=instance))
    assert await region.actions() == []


async def test_every_action_is_noted_with_its_result() -> None:
    region = Region()
    await region.call("CheckState", droplet=FIRST, term=5, holder="dwfm-a")
    await region.call("LaunchInstance", **ask(), holder="dwfm-a")
    await region.call("LaunchInstance", **ask(instance="i-2"))
    await region.call("LaunchInstance", **ask())
    with pytest.raises(DropletFullError):
        await region.call("LaunchInstance", **ask(instance="i-3"))
    region.clock.skew_s = 600.0
    await region.call("CheckState", droplet=FIRST, term=9)
    await region.call("TerminateInstance", **ask(), holder="dwfm-b")
    with pytest.raises(NotRunningError):
        await region.call("RebootInstance", **ask(term=9, instance="i-9"))
    noted = await region.actions()
    assert [
        (each.kind, each.term, each.instance, each.result, each.current_term)
        for each in noted
    ] == [
        ("check", 5, "", "done", 5),
        ("launch", 5, "i-1", "done", 5),
        ("launch", 5, "i-2", "done", 5),
        ("launch", 5, "i-1", "nothing to do", 5),
        ("launch", 5, "i-3", "full", 5),
        ("check", 9, "", "done", 9),
        ("terminate", 5, "i-1", "stale term", 9),
        ("reboot", 9, "i-9", "not running", 9),
    ]
    assert [each.sequence for each in noted] == list(range(1, 9))
    assert [noted[n].holder for n in (0, 1, 2, 6)] == ["dwfm-a", "dwfm-a", "", "dwfm-b"]
    assert {each.droplet for each in noted} == {FIRST}
    assert noted[4].at_s == pytest.approx(INCIDENT_START_S, abs=1.0)
    assert noted[5].at_s == pytest.approx(INCIDENT_START_S + 600.0, abs=1.0)
    assert await region.actions(6) == noted[6:]


async def test_only_the_newest_actions_are_kept(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(droplet_service, "MAX_ACTIONS", 3)
    monkeypatch.setattr(droplet_service, "ACTIONS_A_REPLY", 2)
    region = Region()
    for term in range(1, 6):
        await region.call("CheckState", droplet=FIRST, term=term)
    assert [each.term for each in await region.actions()] == [3, 4]
    assert [each.term for each in await region.actions(4)] == [5]
    with pytest.raises(InvalidArgumentError, match="after_sequence: must be at least"):
        await region.actions(-1)


async def test_a_dropped_reply_is_lost_after_the_act_and_only_where_it_is_meant() -> (
    None
):
    region = Region()
    here = Selector("droplet.call", {"droplet": "droplet-b-0002", "az": "b"})
    region.faults.inject(Fault(here, Drop()))
    await region.call("LaunchInstance", **ask())
    with pytest.raises(ReplyLostError, match=r"droplet\.call: the reply is lost"):
        await region.call("LaunchInstance", **ask(droplet="droplet-b-0002"))
    assert [each.running for each in await region.droplets("b")] == [0, 1]
    assert [each.result for each in await region.actions()] == ["done", "done"]
