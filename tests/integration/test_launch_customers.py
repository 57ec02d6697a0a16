"""Customers that launch: what they ask of DWFM, what they make of its answers."""

import asyncio
import json
import os
import sys
from collections import Counter
from collections.abc import AsyncIterator
from itertools import pairwise
from typing import Any

import grpc
import pytest
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from protos.world.v1 import world_pb2 as pb
from protos.world.v1.world_pb2_grpc import CustomersServiceStub
from staleplan.runtime.errors import ServiceError, error_from_rpc
from staleplan.runtime.telemetry import Exporters
from staleplan.world.launches import customers
from staleplan.world.launches.core import ATTEMPTS, gap_s
from tests.integration.launch_scene import (
    AWAY,
    NO_CAPACITY,
    SILENCE,
    SPEED,
    Scene,
    answer,
)
from tests.integration.world_stage import PATIENCE_S


@pytest.fixture
async def scene() -> AsyncIterator[Scene]:
    spans = InMemorySpanExporter()
    async with Exporters(span_exporters=[spans]) as exporters:
        yield Scene(exporters, spans)


# --- Launches ----------------------------------------------------------------------


async def test_every_arrival_is_launched_once_and_remembered(scene: Scene) -> None:
    async with scene.playing():
        await scene.arrive()
        launched = await scene.ended(20)
        totals = (await scene.read()).totals
    assert [each.sequence for each in launched] == list(range(1, len(launched) + 1))
    assert {
        (each.outcome, each.attempts, each.detail, each.az) for each in launched
    } == {("launched", 1, "", "a")}
    tokens = [each.client_token for each in launched]
    assert sorted(tokens) == sorted(token for _, token in scene.dwfm.launches)
    assert len(set(tokens)) == len(tokens)
    assert all(each.instance == f"i-{each.client_token}" for each in launched)
    assert all(each.took_s > 0 for each in launched)
    assert totals.arrived == totals.launched == totals.kept == len(launched)


OUTCOMES = [
    (NO_CAPACITY, "insufficient capacity"),
    (answer("RESOURCE_EXHAUSTED", "REQUEST_LIMIT_EXCEEDED"), "request limit exceeded"),
    (AWAY, "unavailable"),
    (answer("DEADLINE_EXCEEDED", "X"), "deadline exceeded"),
]


@pytest.mark.parametrize(("error", "outcome"), OUTCOMES)
async def test_who_is_sent_away_tries_three_times_with_one_token(
    scene: Scene, error: ServiceError, outcome: str
) -> None:
    scene.dwfm.launch = lambda _: error
    async with scene.playing():
        await scene.arrive()
        launched = await scene.ended(5)
        totals = (await scene.read()).totals
    assert {(each.outcome, each.attempts, each.detail) for each in launched} == {
        (outcome, ATTEMPTS, str(error))
    }
    assert {each.instance for each in launched} == {""}
    sent = scene.dwfm.attempts()
    assert sorted(sent) == sorted(each.client_token for each in launched)
    assert {len(times) for times in sent.values()} == {ATTEMPTS}
    assert (totals.launched, totals.ended) == (0, len(launched))


async def test_a_later_attempt_may_help(scene: Scene) -> None:
    scene.dwfm.launch = lambda n: AWAY if n <= 2 else None
    async with scene.playing():
        await scene.arrive(0.001)
        first, *_ = await scene.ended(1)
    assert (first.outcome, first.attempts) == ("launched", 3)


async def test_what_is_refused_for_good_is_not_tried_again(scene: Scene) -> None:
    scene.dwfm.launch = lambda _: answer("INVALID_ARGUMENT", "INVALID_ARGUMENT")
    async with scene.playing():
        await scene.arrive()
        launched = await scene.ended(3)
    assert {(each.outcome, each.attempts) for each in launched} == {("failed", 1)}


async def test_nobody_comes_back_sooner_than_dwfm_asked(scene: Scene) -> None:
    wait_s = 100.0
    limit = answer("RESOURCE_EXHAUSTED", "REQUEST_LIMIT_EXCEEDED", wait_s)
    scene.dwfm.launch = lambda _: limit
    async with scene.playing():
        await scene.arrive()
        await scene.ended(5)
    for sent in scene.dwfm.attempts().values():
        waits = [after - before for before, after in pairwise(sent)]
        assert len(waits) == 2
        assert all(wait * SPEED >= wait_s for wait in waits)


async def test_each_attempt_has_a_deadline(scene: Scene) -> None:
    scene.dwfm.launch = lambda _: SILENCE
    async with scene.playing(launch_timeout_s=1.0):
        await scene.arrive()
        launched = await scene.ended(2)
    assert {(each.outcome, each.attempts) for each in launched} == {
        ("deadline exceeded", ATTEMPTS)
    }
    assert all(left < 2 * customers.LEAST_TIMEOUT_S for left in scene.dwfm.allowed_s)


async def test_a_dwfm_that_is_not_there_is_unavailable(scene: Scene) -> None:
    async with scene.playing():
        await scene.arrive(az="b")
        await scene.until(lambda totals: totals.ended >= 3)
        launched = (await scene.read()).launches
    assert {(each.az, each.outcome, each.attempts) for each in launched} == {
        ("b", "unavailable", ATTEMPTS)
    }
    assert "failed to connect" in launched[0].detail


async def test_a_slow_dwfm_gets_no_fewer_launches_up_to_the_bound(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(customers, "MAX_UNDER_WAY", 10)
    scene.dwfm.launch = lambda _: SILENCE
    async with scene.playing(launch_timeout_s=PATIENCE_S * SPEED):
        await scene.arrive()
        totals = await scene.until(lambda totals: totals.ended >= 5)
        unsent = (await scene.read()).launches[0]
    assert totals.under_way == 10
    assert len(scene.dwfm.launches) == 10
    assert (unsent.outcome, unsent.attempts) == ("failed", 0)
    assert unsent.detail == "not sent: 10 launches are under way"


async def test_a_launch_is_one_trace_with_all_its_attempts(scene: Scene) -> None:
    scene.dwfm.launch = lambda n: AWAY if n == 1 else None
    async with scene.playing():
        await scene.arrive(0.001)
        await scene.ended(1)
    scene.exporters.span_processors[0].force_flush()
    spans = scene.spans.get_finished_spans()
    root = next(span for span in spans if span.name == "customer.launch")
    assert root.context
    assert root.attributes
    assert root.attributes["client.token"] == scene.dwfm.launches[0][1]
    trace = [
        s for s in spans if s.context and s.context.trace_id == root.context.trace_id
    ]
    kinds = Counter(
        (span.kind.name, span.status.is_ok) for span in trace if span is not root
    )
    assert kinds == {
        (kind, ok): 1 for kind in ("CLIENT", "SERVER") for ok in (True, False)
    }
    assert root.status.is_ok


async def test_arrivals_are_the_seeds_and_nobody_elses(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However often customers have to try, the same gaps lie between arrivals."""
    gaps: list[float] = []

    def noted(per_s: float, draw: float) -> float:
        gap = gap_s(per_s, draw)
        gaps.append(gap)
        return gap

    monkeypatch.setattr(customers, gap_s.__name__, noted)
    stories = []
    for failing, seed in ((False, 1), (True, 1), (True, 2)):
        gaps.clear()
        scene.dwfm.launch = lambda n, failing=failing: (  # type: ignore[misc]
            AWAY if failing and n % 2 else None
        )
        async with scene.playing(arrivals_per_s=0.1, seed=seed, azs="a"):
            await scene.until(lambda totals: totals.arrived >= 10)
        stories.append(gaps[:10])
    assert stories[0] == stories[1]
    assert stories[1] != stories[2]


# --- Terminations ------------------------------------------------------------------


async def test_an_instance_is_kept_for_its_lifetime_and_then_ended(
    scene: Scene,
) -> None:
    async with scene.playing(lifetime_s=20.0):
        await scene.arrive()
        launched = await scene.ended(10)
        await scene.until(lambda totals: totals.kept == 0)
        asked = await scene.stub.ReadEndings(pb.ReadEndingsRequest())
        last = asked.endings[-1].sequence
        none = await scene.stub.ReadEndings(pb.ReadEndingsRequest(after_sequence=last))
        with pytest.raises(grpc.aio.AioRpcError, match="after_sequence: must be"):
            await scene.stub.ReadEndings(pb.ReadEndingsRequest(after_sequence=-1))
    ended = scene.dwfm.terminations
    assert sorted(ended) == sorted(each.instance for each in launched)
    assert sorted(each.instance for each in asked.endings) == sorted(ended)
    assert [each.sequence for each in asked.endings] == list(range(1, len(ended) + 1))
    assert not none.endings


async def test_a_termination_is_tried_again_and_again_after_another_lifetime(
    scene: Scene,
) -> None:
    scene.dwfm.terminate = lambda n: AWAY if n <= 2 * ATTEMPTS + 1 else None
    async with scene.playing(lifetime_s=5.0):
        await scene.arrive(0.001)
        first, *_ = await scene.ended(1)
        await scene.until(lambda totals: totals.kept == 0)
        asked = await scene.stub.ReadEndings(pb.ReadEndingsRequest())
    wishes = [each.instance for each in asked.endings]
    assert len(set(wishes)) == len(wishes), "a wish is noted once"
    tried = [each for each in scene.dwfm.terminations if each == first.instance]
    assert 1 <= len(tried) <= 2 * ATTEMPTS + 2
    assert len(scene.dwfm.terminations) > 2 * ATTEMPTS + 1


async def test_an_instance_that_is_not_there_any_more_is_ended(scene: Scene) -> None:
    """An earlier attempt ended it, and its reply was lost."""
    scene.dwfm.terminate = lambda _: answer("NOT_FOUND", "UNKNOWN_INSTANCE")
    async with scene.playing(lifetime_s=1.0):
        await scene.arrive()
        launched = await scene.ended(3)
        await scene.until(lambda totals: totals.kept == 0)
    assert len(scene.dwfm.terminations) == len(launched)


# --- What a drill asks -------------------------------------------------------------


async def test_a_new_rate_holds_at_once(scene: Scene) -> None:
    async with scene.playing(arrivals_per_s=1e-9):
        assert (await scene.read()).totals.arrived == 0
        await scene.arrive(0.5)
        await scene.ended(10)
        before = (await scene.read()).totals
        # Nobody arrives any more; who would have arrived soon does not.
        await scene.arrive(0.1)
        await scene.until(lambda totals: totals.ended > before.ended)


REFUSALS: list[tuple[dict[str, Any], str, str]] = [
    ({"az": "d", "per_s": 1.0}, "az", "did you mean"),
    ({"az": "", "per_s": 1.0}, "az", "unknown name ''"),
    ({"az": "c", "per_s": 1.0}, "az", "unknown name 'c'"),
    ({"az": "a", "per_s": -0.1}, "per_s", "must be at least 0"),
    ({"az": "a", "per_s": float("nan")}, "per_s", "finite"),
    ({"az": "a", "per_s": float("inf")}, "per_s", "finite"),
    ({"az": "a", "per_s": 0.51}, "per_s", "at most 0.5 at this speed, got 0.51"),
]


@pytest.mark.parametrize(("asked", "path", "problem"), REFUSALS)
async def test_a_rate_that_makes_no_sense_is_refused_and_changes_nothing(
    scene: Scene, asked: dict[str, Any], path: str, problem: str
) -> None:
    async with scene.playing():
        with pytest.raises(grpc.aio.AioRpcError) as raised:
            await scene.stub.SetArrivals(pb.SetArrivalsRequest(**asked))
        error = error_from_rpc(raised.value)
        assert error.code is grpc.StatusCode.INVALID_ARGUMENT
        assert problem in error.fields[path]
        assert (await scene.read()).totals.arrived == 0


async def test_nobody_sets_rates_outside_a_drill(scene: Scene) -> None:
    async with scene.playing(drill=False):
        with pytest.raises(grpc.aio.AioRpcError, match="--drill") as raised:
            await scene.arrive()
        assert raised.value.code() is grpc.StatusCode.PERMISSION_DENIED


async def test_launches_are_read_in_pages(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("staleplan.world.launches.service.LAUNCHES_A_REPLY", 4)
    async with scene.playing():
        await scene.arrive()
        await scene.ended(10)
        first = (await scene.read()).launches
        second = (await scene.read(first[-1].sequence)).launches
        with pytest.raises(grpc.aio.AioRpcError, match="after_sequence: must be"):
            await scene.read(-1)
    assert [each.sequence for each in (*first, *second)] == list(range(1, 9))


async def test_customers_run_as_a_process_of_their_own_and_drain(scene: Scene) -> None:
    async with scene.playing():
        told = {
            "STALEPLAN_DWFM": json.dumps({"a": f"127.0.0.1:{scene.port}"}),
            "STALEPLAN_ARRIVALS_PER_S": "0.1",
            "STALEPLAN_CLOCK__SPEED": str(SPEED),
        }
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "staleplan.world.launches"),
            env={**os.environ, **told},
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.DEVNULL,
        )
        assert process.stdout
        async with asyncio.timeout(PATIENCE_S):
            ready = json.loads(await process.stdout.readline())
            assert ready["service"] == "customers"
            address = f"127.0.0.1:{ready['port']}"
            async with grpc.aio.insecure_channel(address) as to_customers:
                scene.stub = CustomersServiceStub(to_customers)
                await scene.until(lambda totals: totals.launched >= 5)
            process.terminate()
            assert await process.wait() == 0
