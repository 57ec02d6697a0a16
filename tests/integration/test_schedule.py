"""What the model checker finds happens on a running stack, batch for batch."""

import json
import random
from collections.abc import Iterator
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from enactor.core import Extent
from enactor.safeguards import BUGGY, FIXED, Safeguards
from staleplan.check.conform import conform
from staleplan.check.question import Question
from staleplan.check.saved import save
from staleplan.check.schedule import Schedule, schedule_of
from staleplan.check.search import Search
from staleplan.check.spans import BATCHES, read_trace
from staleplan.check.story import events
from staleplan.drills.scheduled import ZONES_IN_FLIGHT, Replayed, replay_live
from staleplan.model import Reason
from staleplan.runtime.postgres import postgres, remove
from tests.commands import Commands

SERVER = 2
"""The kind of a span that serves a call, as OTLP numbers it."""

STEPS = 60
"""Events of a walk: every enactor makes some passes."""


@pytest.fixture(scope="module")
def where(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, str]]:
    """A state folder and a server that the runs of this module share."""
    state = tmp_path_factory.mktemp("schedule")
    with postgres(None, state) as url:
        yield state, url
    remove(state)


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What a search of the enactor as it failed leaves of each violation."""
    folder = tmp_path_factory.mktemp("saved")
    search = Search(Question(BUGGY))
    found = search.run()
    save(search, dict.fromkeys(found.paths, "a story"), "buggy", folder)
    return folder


async def replayed(where: tuple[Path, str], schedule: Schedule) -> Replayed:
    state, url = where
    found = await replay_live(schedule, url, state)
    extent = Extent(schedule.keep_generations, ZONES_IN_FLIGHT)
    safeguards = Safeguards(**schedule.safeguards)
    trace = read_trace(found.trace_file.read_text().splitlines())
    conform(
        found.beginning, found.journal, safeguards, extent, trace=trace, pauses=True
    )
    return found


def spans_in(trace_file: Path) -> list[tuple[Any, Any]]:
    """Each span of a trace, after the resource that it is of."""
    return [
        (resource["resource"], span)
        for line in trace_file.read_text().splitlines()
        for resource in json.loads(line)["resourceSpans"]
        for scope in resource["scopeSpans"]
        for span in scope["spans"]
    ]


def read(saved: Path, which: str) -> Schedule:
    return Schedule.from_json((saved / f"buggy_{which}.json").read_text())


@pytest.mark.parametrize(
    ("which", "broken"), [("P1", "P1 P2 P3"), ("P3", "P3"), ("P4", "P1 P2 P3 P4")]
)
async def test_a_violation_of_the_model_happens_live(
    where: tuple[Path, str], saved: Path, which: str, broken: str
) -> None:
    found = await replayed(where, read(saved, which))
    assert found.is_same, (found.left, found.changes)
    assert sorted(found.broken) == broken.split()
    assert not replace(found, broken=frozenset({"P5"})).is_same
    assert not replace(found, changes=found.changes[:-1]).is_same
    assert not replace(found, left="event 1: it waits").is_same


def walk(question: Question, seed: int) -> Schedule:
    """Wander through the model's region by chance, faults and all."""
    chance, search = random.Random(seed), Search(question)
    path = [search.space.beginning]
    for _ in range(STEPS):
        path.append(chance.choice(search.space.next_states(path[-1]))[0])
    assert len({*pairwise(path)}) > STEPS / 2
    return schedule_of(question, list(events(search, tuple(path))))


@pytest.mark.parametrize(
    ("question", "seed"),
    [
        (Question(BUGGY, enactors=3, zones=2, plans=8, crashes=1), 1),
        (Question(FIXED, enactors=3, zones=3, plans=8, lost_replies=1), 2),
        (Question(FIXED, zones=2, plans=6, crashes=1, pauses=1), 2),
    ],
    ids=["buggy", "fixed", "paused"],
)
async def test_any_walk_of_the_model_happens_live(
    where: tuple[Path, str], question: Question, seed: int
) -> None:
    schedule = walk(question, seed)
    assert len(schedule.changes) > 3
    found = await replayed(where, schedule)
    assert found.is_same, (found.left, found.changes)


def shortest(question: Question, leads_to: str) -> Schedule:
    """What must happen sometimes, as soon as it can."""
    search = Search(question)
    path = search.run(converging=False).happened[leads_to]
    return schedule_of(question, list(events(search, path)))


@pytest.mark.parametrize(
    ("question", "leads_to", "outcome"),
    [
        (
            Question(replace(BUGGY, pause_switch=True), pauses=1),
            "a pause refused a batch",
            Reason.PAUSED,
        ),
        (
            Question(BUGGY),
            "a flip came after its lock had lapsed",
            Reason.LOCK_CHANGED_HANDS,
        ),
    ],
    ids=["pause", "lapse"],
)
async def test_what_is_refused_is_refused_live(
    where: tuple[Path, str], question: Question, leads_to: str, outcome: Reason
) -> None:
    """A pause with the one safeguard that answers it, which is no preset."""
    found = await replayed(where, shortest(question, leads_to))
    assert found.is_same, (found.left, found.changes)
    assert found.changes[-1].outcome == outcome


async def test_a_schedule_out_of_order_is_left(
    where: tuple[Path, str], saved: Path
) -> None:
    schedule = read(saved, "P2")
    kinds = [event.kind for event in schedule.events]
    early = kinds.index("take lock")
    assert kinds[early + 1] == "flip"
    events = [*schedule.events]
    events.insert(early, events.pop(early + 1))
    found = await replayed(where, replace(schedule, events=tuple(events)))
    assert not found.is_same
    assert found.left.startswith(f"event {early + 1}, {events[early].who} flips ")
    assert found.left.endswith(": it waits at enactor.take_lock")


async def test_a_lost_reply_is_lost_live(where: tuple[Path, str]) -> None:
    """The same batches are sent again, and the journal has them once."""
    schedule = shortest(Question(FIXED, lost_replies=1), "a reply was lost")
    assert [event.kind for event in schedule.events if event.reply_lost] == ["flip"]
    found = await replayed(where, schedule)
    assert found.is_same, (found.left, found.changes)
    spans = [span for _, span in spans_in(found.trace_file)]
    ids = {str(span["attributes"]) for span in spans if span["name"] in BATCHES}
    journalled = [entry.batch.id for entry in found.journal]
    assert len(ids) == len(journalled) == len({*journalled})
    sent = [span for span in spans if span["name"].endswith("/ChangeZones")]
    received = [span for span in sent if span["kind"] == SERVER]
    messages = {
        (s["name"], s["startTimeUnixNano"]) for s in spans if s["name"] in BATCHES
    }
    assert len(received) == len(messages) + 1


async def test_another_outcome_is_not_the_same(
    where: tuple[Path, str], saved: Path
) -> None:
    """The hardened enactor does not follow the story of the other to its end."""
    on = dict.fromkeys(read(saved, "P2").safeguards, True)
    found = await replayed(where, replace(read(saved, "P2"), safeguards=on))
    assert not found.is_same
    assert found.broken == frozenset()
    assert found.changes[-1].outcome == Reason.STALE


def test_a_saved_schedule_is_replayed_by_the_command(
    where: tuple[Path, str], saved: Path
) -> None:
    state, url = where
    story = str(saved / "buggy_P2.json")
    run = ("drill", "run", "dns-race", "--schedule", story, "--database-url", url)
    told = Commands(state).ask(*run)
    assert told["same"]
    assert told["broken"] == ["P2"]
    assert [each["generations"] for each in told["changes"]] == [[2], [1]]


def test_what_is_no_schedule_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "no.json"
    path.write_text(json.dumps({"events": 1}))
    run = ("drill", "run", "dns-race", "--schedule", str(path))
    assert f"no schedule in {path}" in Commands(tmp_path).refused(*run)


def test_a_saved_trace_is_red_where_a_property_broke(saved: Path) -> None:
    spans = spans_in(saved / "buggy_P1.trace.jsonl")
    assert len({span["traceId"] for _, span in spans}) == 1
    services = {
        attribute["value"]["stringValue"]
        for resource, _ in spans
        for attribute in resource["attributes"]
        if attribute["key"] == "service.name"
    }
    assert services == {"check", "planner", "enactor-a", "enactor-b"}
    red = [span for _, span in spans if span.get("status", {}).get("code") == 2]
    assert [(span["name"], span["status"]["message"]) for span in red] == [
        ("flip", "P2"),
        ("clean up", "P1, P3"),
    ]
    (published,) = [
        span["spanId"]
        for _, span in spans
        if span["name"] == "publish" and "plan 1" in str(span["attributes"])
    ]
    late = red[0]["links"]
    assert [link["spanId"] for link in late] == [published]
