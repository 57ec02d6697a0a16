"""A recorded trace is of a run of the model, and one changed span is found."""

import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import cache
from typing import Any

import pytest

from enactor.core import Extent
from enactor.model import Result
from enactor.safeguards import BUGGY, FIXED
from staleplan.check.conform import conform
from staleplan.check.spans import PASS, TAKE_LOCK, Span, Trace, read_trace
from staleplan.check.walk import Nonconforming
from staleplan.model import BatchId, JournalEntry, Refused, SetLock
from staleplan.runtime import attributes
from staleplan.runtime.settings import Mode
from tests.model.recorded.record import load, load_trace

PRESETS = {"buggy": BUGGY, "fixed": FIXED}
LIVE = Extent(keep_generations=5, zones_in_flight=320)
"""As the enactor's settings have it."""

BOTH: tuple[Mode, ...] = ("buggy", "fixed")
STALE = "the active plan is as new or newer"

load = cache(load)
load_trace = cache(load_trace)

Chooses = Callable[[Span], bool]
Edits = Callable[[dict[str, Any]], None]


def check(mode: Mode, trace: Trace, entries: list[JournalEntry] | None = None) -> None:
    zones, recorded = load(mode)
    conform(zones, entries or recorded, PRESETS[mode], LIVE, trace=trace)


@cache
def whole(mode: Mode) -> Trace:
    return read_trace(load_trace(mode))


def every(mode: Mode) -> Iterator[Span]:
    trace = whole(mode)
    yield from trace.passes
    journalled = {entry.batch.id for entry in load(mode)[1]}
    yield from (span for each, span in trace.batches.items() if each in journalled)


def chosen(mode: Mode, wanted: Chooses) -> Span:
    """A span in the middle of a recorded run, by what it tells."""
    found = [span for span in every(mode) if wanted(span)]
    return found[len(found) // 2]


def edited(mode: Mode, span: Span, *edits: Edits) -> Trace:
    lines = [json.loads(line) for line in load_trace(mode)]
    (found,) = [
        each
        for line in lines
        for resource in line["resourceSpans"]
        for scope in resource["scopeSpans"]
        for each in scope["spans"]
        if each["spanId"] == span.id
    ]
    for edit in edits:
        edit(found)
    return read_trace(map(json.dumps, lines))


def rejected(mode: Mode, trace: Trace) -> Nonconforming:
    with pytest.raises(Nonconforming) as caught:
        check(mode, trace)
    return caught.value


def found_out(mode: Mode, span: Span, *edits: Edits) -> str:
    """Edit a span: it is the one that is rejected. What is said of it?"""
    found = rejected(mode, edited(mode, span, *edits))
    assert isinstance(found.step, Span), found
    assert found.step.id == span.id, found
    named, _, said = str(found).partition(": recorded ")
    assert named.startswith(f"span {span.id}, ")
    return said


def telling(key: str, value: str | int | None) -> Edits:
    def edit(span: dict[str, Any]) -> None:
        kept = [each for each in span["attributes"] if each["key"] != key]
        kind = "intValue" if isinstance(value, int) else "stringValue"
        if value is not None:
            kept.append({"key": key, "value": {kind: str(value)}})
        span["attributes"] = kept

    return edit


def having(key: str, value: object) -> Edits:
    def edit(span: dict[str, Any]) -> None:
        assert span[key] != value
        span[key] = value

    return edit


hidden = having("name", "nothing of ours")


def at_ns(start_ns: int, end_ns: int) -> tuple[Edits, Edits]:
    return (
        having("startTimeUnixNano", str(start_ns)),
        having("endTimeUnixNano", str(end_ns)),
    )


# --- Choices -------------------------------------------------------------------------


def ended(result: Result, *, silent: bool = False, mode: Mode = "fixed") -> Chooses:
    """A pass that picked up a plan; silent: it sent nothing."""
    sent_in = {span.parent for span in whole(mode).batches.values()}
    return lambda span: (
        span.name == PASS
        and attributes.PLAN_GENERATION in span.told
        and span.told.get(attributes.PASS_RESULT) == result
        and silent == (span.id not in sent_in)
    )


def is_ended(span: Span) -> bool:
    return attributes.PASS_RESULT in span.told


def came(name: str, outcome: str = "applied") -> Chooses:
    return lambda span: (
        span.name == name and span.told[attributes.BATCH_OUTCOME] == outcome
    )


def abandoned(mode: Mode) -> Span:
    """A pass with batches, after which its enactor goes on."""
    passes = whole(mode).passes
    sent_in = {span.parent for span in whole(mode).batches.values()}
    return next(
        span
        for at, span in enumerate(passes)
        if span.id in sent_in
        and not is_ended(span)
        and any(p.service == span.service for p in passes[at + 1 :])
    )


# --- What is allowed -----------------------------------------------------------------


@pytest.mark.parametrize("mode", BOTH)
def test_live_runs_conform(mode: Mode) -> None:
    trace = whole(mode)
    results = {span.told.get(attributes.PASS_RESULT) for span in trace.passes}
    assert results == {*Result, None} - (
        {Result.GAVE_WAY} if mode == "buggy" else set()
    )
    assert sum(span.name != PASS for span in every(mode)) > 200
    check(mode, trace)


def test_what_was_sent_after_the_journal_was_read_is_open() -> None:
    """A journal that ends earlier says less, and nothing else."""
    entries = load("fixed")[1]
    for length in range(0, len(entries), 40):
        check("fixed", whole("fixed"), entries[:length] or entries[:1])


def test_what_an_abandoned_pass_sent_last_needs_no_span() -> None:
    """The enactor was restarted before it heard what became of it."""
    last = max(
        (
            s
            for s in whole("buggy").batches.values()
            if s.parent == abandoned("buggy").id
        ),
        key=lambda span: span.end_ns,
    )
    check("buggy", edited("buggy", last, hidden))


# --- What is not ---------------------------------------------------------------------


def test_a_refusal_that_the_span_calls_applied() -> None:
    span = chosen("fixed", came("flip", STALE))
    said = found_out("fixed", span, telling(attributes.BATCH_OUTCOME, "applied"))
    assert said == (
        "{'batch.outcome': 'applied'}; the model allows "
        "{'batch.outcome': <Reason.STALE: 'the active plan is as new or newer'>}"
    )


@pytest.mark.parametrize("mode", BOTH)
@pytest.mark.parametrize("name", [TAKE_LOCK, "flip", "clean up", "release"])
def test_a_success_that_the_span_calls_refused(mode: Mode, name: str) -> None:
    span = chosen(mode, came(name))
    found_out(mode, span, telling(attributes.BATCH_OUTCOME, STALE))


@pytest.mark.parametrize(
    "edit",
    [
        telling(attributes.PLAN_GENERATION, 1),
        telling(attributes.ZONE, "elsewhere"),
        telling(attributes.PLAN_DELETED, 1),
        having("name", "release"),
    ],
    ids=["generation", "zone", "deleted", "name"],
)
def test_a_span_that_says_something_else(edit: Edits) -> None:
    found_out("fixed", chosen("fixed", came("flip")), edit)


@pytest.mark.parametrize("mode", BOTH)
@pytest.mark.parametrize("name", [TAKE_LOCK, "flip", "clean up"])
def test_a_span_that_is_left_out(mode: Mode, name: str) -> None:
    """Its batch is in the journal: nobody seems to have sent it."""
    span = chosen(mode, came(name))
    found = rejected(mode, edited(mode, span, hidden))
    assert isinstance(found.step, JournalEntry)
    assert found.step.batch.id == span.told[attributes.BATCH_ID]
    assert str(found).endswith(
        "recorded no span; the model allows one, as its pass was not abandoned"
    )


def test_the_first_span_of_a_life_is_left_out() -> None:
    """It was sent after a pass that was abandoned, not in it: its life goes on."""
    before = abandoned("buggy")
    own = [s for s in every("buggy") if s.service == before.service]
    span = next(s for s in own if s.name == TAKE_LOCK and s.start_ns > before.end_ns)
    assert span.told[attributes.BATCH_ID].endswith("/1")
    found = rejected("buggy", edited("buggy", span, hidden))
    assert isinstance(found.step, JournalEntry)
    assert found.step.batch.id == span.told[attributes.BATCH_ID]


def test_the_last_span_of_a_life_is_left_out() -> None:
    """No later batch gives it away; that no pass was abandoned does."""
    ends = {span.id for span in whole("fixed").passes if is_ended(span)}
    last = [span for span in every("fixed") if span.parent in ends][-1]
    trace = edited("fixed", last, hidden)
    passes = tuple(filter(is_ended, trace.passes))
    found = rejected("fixed", replace(trace, passes=passes)).step
    assert isinstance(found, JournalEntry)
    assert found.batch.id == last.told[attributes.BATCH_ID]


@pytest.mark.parametrize("mode", BOTH)
def test_a_span_in_another_pass(mode: Mode) -> None:
    span = chosen(mode, came("flip"))
    other = next(p for p in whole(mode).passes if p.service != span.service)
    said = found_out(mode, span, having("parentSpanId", other.id))
    assert said == (f"no pass; the model allows a pass of {span.service} around it")


def test_a_batch_that_is_not_in_the_journal() -> None:
    span = chosen("fixed", came("flip"))
    invented = BatchId(f"{span.service}/beef/1")
    trace = whole("fixed")
    batches = {**trace.batches, invented: replace(span, id="beef")}
    found = rejected("fixed", replace(trace, batches=batches))
    assert isinstance(found.step, Span)
    assert found.step.id == "beef"
    assert str(found).endswith("none: the journal has none such")


def test_a_batch_that_is_over_before_earlier_ones_begin() -> None:
    span = chosen("fixed", came("flip"))
    began_ns = whole("fixed").passes[0].start_ns
    found_out("fixed", span, *at_ns(began_ns, began_ns + 1))


@pytest.mark.parametrize("mode", BOTH)
@pytest.mark.parametrize("claimed", [Result.NOTHING_TO_DO, Result.GAVE_WAY])
def test_a_pass_that_finished(mode: Mode, claimed: Result) -> None:
    span = chosen(mode, ended(Result.FINISHED, mode=mode))
    said = found_out(mode, span, telling(attributes.PASS_RESULT, claimed))
    assert said == f"the end: {claimed}; the model allows finished"


@pytest.mark.parametrize("claimed", [Result.FINISHED, Result.GAVE_WAY])
def test_a_pass_that_found_nothing_to_do(claimed: Result) -> None:
    """Neither a batch nor the journal tells of it, but the plan that it picked up."""
    span = chosen("fixed", ended(Result.NOTHING_TO_DO, silent=True))
    said = found_out("fixed", span, telling(attributes.PASS_RESULT, claimed))
    assert said == f"the end: {claimed}; the model allows nothing to do"


@pytest.mark.parametrize(
    ("claimed", "silent"),
    [
        (Result.FINISHED, False),
        (Result.FINISHED, True),
        (Result.NOTHING_TO_DO, False),
    ],
)
def test_a_pass_that_gave_way(claimed: Result, silent: bool) -> None:
    span = chosen("fixed", ended(Result.GAVE_WAY, silent=silent))
    found_out("fixed", span, telling(attributes.PASS_RESULT, claimed))


@pytest.mark.parametrize("mode", BOTH)
def test_a_pass_whose_end_is_left_out(mode: Mode) -> None:
    """Its enactor goes on in the same life, and so it did not abandon it."""
    span = chosen(mode, ended(Result.FINISHED, mode=mode))
    said = found_out(mode, span, telling(attributes.PASS_RESULT, None))
    assert said.startswith(f"no end; the model allows one, as {span.service}/")


def test_an_abandoned_pass_that_is_said_to_have_ended() -> None:
    """The wedge: the zone was never done."""
    for claimed in Result:
        edit = telling(attributes.PASS_RESULT, claimed)
        said = found_out("buggy", abandoned("buggy"), edit)
        assert said == f"the end: {claimed}; the model allows no end yet"


@pytest.mark.parametrize("mode", BOTH)
@pytest.mark.parametrize("by", [-1, 1])
def test_a_pass_with_another_plan(mode: Mode, by: int) -> None:
    span = chosen(mode, ended(Result.FINISHED, mode=mode))
    plan = span.told[attributes.PLAN_GENERATION]
    said = found_out(mode, span, telling(attributes.PLAN_GENERATION, plan + by))
    assert said == f"plan {plan + by}; the model allows plan {plan}"


@pytest.mark.parametrize("by", [-2, 2])
def test_a_silent_pass_with_another_plan(by: int) -> None:
    """Before: a newer plan had been published. After: there was work to do."""
    span = chosen("fixed", ended(Result.NOTHING_TO_DO, silent=True))
    plan = span.told[attributes.PLAN_GENERATION]
    found_out("fixed", span, telling(attributes.PLAN_GENERATION, plan + by))


def test_a_pass_that_saw_no_plan_where_there_was_one() -> None:
    span = chosen("fixed", ended(Result.NOTHING_TO_DO, silent=True))
    found_out("fixed", span, telling(attributes.PLAN_GENERATION, None))


def test_a_pass_that_had_nothing_to_do_before_the_work_was_done() -> None:
    """It is moved to the moment at which its plan had just been published."""
    span = chosen("fixed", ended(Result.NOTHING_TO_DO, silent=True))
    plan = span.told[attributes.PLAN_GENERATION]
    published = next(
        p
        for p in whole("fixed").plans
        if p.told.get(attributes.PLAN_GENERATION) == plan
    )
    moved = at_ns(published.end_ns + 1, published.end_ns + 2)
    said = found_out("fixed", span, *moved)
    assert said.startswith("the end: nothing to do; ")


def test_a_pass_that_gave_way_when_the_work_was_done() -> None:
    """It is moved to where another found nothing to do for the same plan."""
    done = chosen("fixed", ended(Result.NOTHING_TO_DO, silent=True))
    plan = done.told[attributes.PLAN_GENERATION]
    span = chosen("fixed", ended(Result.GAVE_WAY, silent=True))
    moved = (
        *at_ns(done.start_ns, done.end_ns),
        telling(attributes.PLAN_GENERATION, plan),
    )
    said = found_out("fixed", span, *moved)
    assert said == "the end: gave way to a newer plan; the model allows nothing to do"


def test_a_lost_lock_that_the_journal_leaves_out() -> None:
    """Its ids mended, the journal alone would be a run of the model."""
    entries = [*load("fixed")[1]]
    at = next(
        at
        for at, entry in reversed([*enumerate(entries)])
        if isinstance(entry.batch.changes[0], SetLock)
        and isinstance(entry.outcome, Refused)
    )
    gone = entries.pop(at).batch.id
    life, _, number = gone.rpartition("/")
    mended = []
    for entry in entries:
        its, _, n = entry.batch.id.rpartition("/")
        if its == life and int(n) > int(number):
            batch = replace(entry.batch, id=BatchId(f"{life}/{int(n) - 1}"))
            mended.append(replace(entry, batch=batch))
        else:
            mended.append(entry)
    conform(load("fixed")[0], mended, FIXED, LIVE)
    with pytest.raises(Nonconforming) as caught:
        check("fixed", whole("fixed"), mended)
    assert isinstance(caught.value.step, Span)
    assert caught.value.step.told[attributes.BATCH_ID] == gone
