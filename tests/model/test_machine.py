"""A core becomes a machine only if it is a function of what it is sent."""

import itertools
import random
import time
from collections.abc import Callable, Generator
from typing import Any

import pytest

from staleplan.check.machine import START, Machine, NotAFunction

Begin = Callable[[], Generator[Any, Any, Any]]


def machine(begin: Begin, **more: Any) -> Machine:
    return Machine(begin, lambda command: command == "skip", **more)


def explored(begin: Begin, *replies: Any) -> Machine:
    """A machine of which every node was sent every reply."""
    found = machine(begin)
    seen = 0
    while seen < len(found.nodes):
        for reply in replies:
            found.move(seen, reply)
        seen += 1
    return found


def walked(found: Machine, *replies: Any) -> int:
    node = START
    for reply in replies:
        node = found.move(node, reply).node
    return node


# --- What is no function -----------------------------------------------------------

COUNTER = itertools.count()
MEMORY = [0]


def reads_a_clock() -> Generator[str, int]:
    yield "first"
    started_s = time.time()
    yield f"since {started_s}"


def draws_chance() -> Generator[str, int]:
    yield "first"
    if random.random() < 0.5:
        yield "heads"


def draws_a_number() -> Generator[str, int]:
    chance = random.random()
    yield "first"
    yield f"wait {chance}"


def counts_in_its_module() -> Generator[str, int]:
    yield "first"
    yield f"number {next(COUNTER)}"


def counts_its_passes() -> Generator[str, int]:
    yield f"pass {next(COUNTER)}"


def remembers_a_reply_beyond_its_pass() -> Generator[str, int]:
    reply = yield f"last was {MEMORY[0]}"
    MEMORY[0] = reply


def remembers_unseen() -> Generator[str, int]:
    """Its memory shows in no frame, and only a pass later."""
    yield "first"
    before, MEMORY[0] = MEMORY[0], (yield "second")
    if before:
        del before
        yield "third"


def keeps_what_has_no_value() -> Generator[str, int]:
    kept = bytearray(b"mine")
    yield "first"
    kept.clear()


def keeps_what_is_open() -> Generator[str, int]:
    with open(__file__) as file:  # noqa: PTH123  a builtin iterator is the point
        yield "first"
        del file


def keeps_a_changing_object() -> Generator[str, int]:
    class Box:
        content = 0

    box = Box()
    box.content = yield "first"
    yield "second"


class Alike:
    """Two of these are equal, whatever they were told."""

    told = 0

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Alike)

    def __hash__(self) -> int:
        return 0


def keeps_what_seems_equal() -> Generator[str, int]:
    """No frame shows what it was told: only the other way to the same node does."""
    kept = Alike()
    kept.told = yield "first"
    yield "second"
    yield f"told {kept.told}"


@pytest.fixture(autouse=True)
def memory(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing here depends on luck, nor on the test before."""
    monkeypatch.setattr(time, "time", itertools.count().__next__)
    monkeypatch.setattr(random, "random", itertools.cycle([0.1, 0.9, 0.2]).__next__)
    MEMORY[0] = 0


@pytest.mark.parametrize(
    "begin",
    [
        reads_a_clock,
        draws_chance,
        draws_a_number,
        counts_in_its_module,
        counts_its_passes,
        remembers_a_reply_beyond_its_pass,
        remembers_unseen,
        keeps_a_changing_object,
        keeps_what_seems_equal,
    ],
)
def test_what_is_no_function_is_reported(begin: Begin) -> None:
    with pytest.raises(NotAFunction, match="keeps what nobody"):
        explored(begin, 0, 1)


@pytest.mark.parametrize("begin", [keeps_what_has_no_value, keeps_what_is_open])
def test_what_cannot_be_compared_is_reported(begin: Begin) -> None:
    with pytest.raises(NotAFunction, match=r"a core keeps .*, which has no value"):
        machine(begin)


def test_the_report_says_after_what() -> None:
    with pytest.raises(NotAFunction, match="after 1 replies, the last 'yes'"):
        machine(reads_a_clock).move(START, "yes")


# --- What is a node ----------------------------------------------------------------


def tries_until_it_may() -> Generator[str, str, str]:
    plan = yield "plan?"
    while True:
        if (yield f"may I apply {plan}?") == "yes":
            return f"applied {plan}"
        yield "skip"
        yield "wait"


def test_two_ways_to_the_same_frames_are_one_node() -> None:
    found = machine(tries_until_it_may)
    asks = walked(found, "a")
    assert found.nodes[asks].command == "may I apply a?"
    waits = walked(found, "a", "no")
    assert found.nodes[waits].command == "wait"
    assert walked(found, "a", "no", None) == asks
    assert walked(found, "a", "no", None, "no", None, "no") == waits
    assert len(found.nodes) == 3


def test_other_variables_are_another_node() -> None:
    found = machine(tries_until_it_may)
    assert walked(found, "a") != walked(found, "b")


def test_a_finished_pass_leads_to_the_start_with_its_result() -> None:
    found = machine(tries_until_it_may)
    last = found.move(walked(found, "a"), "yes")
    assert (last.node, last.result) == (START, "applied a")
    assert found.nodes[START].command == "plan?"


def test_a_pass_under_way_has_no_result() -> None:
    assert machine(tries_until_it_may).move(START, "a").result is None


def test_an_ended_pass_is_not_the_same_as_one_that_begins() -> None:
    """A pass that ends at once and one that goes on are told apart by the reply."""

    def ends_with(_: str = "") -> Generator[str, str, str]:
        return (yield "how?")

    found = machine(ends_with)
    assert found.move(START, "well").result == "well"
    assert found.move(START, "badly").result == "badly"
    assert len(found.nodes) == 1


@pytest.mark.parametrize(
    "items",
    [
        lambda: (1, 2, 3),
        lambda: [1, 2, 3],
        lambda: range(3),
        {1: 2, 3: 4, 5: 6}.items,
        lambda: zip((1, 2, 3), (4, 5, 6), strict=True),
        lambda: (one for one in (1, 2, 3)),
    ],
)
def test_how_far_a_loop_is_distinguishes_nodes(items: Callable[[], Any]) -> None:
    def loops() -> Generator[str]:
        for one in items():
            del one  # nothing but the loop itself tells the rounds apart
            yield "again"

    found = machine(loops)
    rounds = [walked(found, *[None] * count) for count in range(3)]
    assert len(set(rounds)) == 3
    assert {found.nodes[one].command for one in rounds} == {"again"}
    assert walked(found, None, None, None) == START


def test_where_an_inner_core_is_distinguishes_nodes() -> None:
    def inner() -> Generator[str]:
        yield "again"
        yield "again"

    def outer() -> Generator[str]:
        yield from inner()

    assert len(explored(outer, None).nodes) == 2


# --- What the core does not see ----------------------------------------------------


def test_a_change_is_seen_by_all_but_the_core() -> None:
    found = machine(tries_until_it_may, change=str.upper)
    asks = walked(found, "a")
    assert found.nodes[asks].command == "MAY I APPLY A?"
    assert found.move(asks, "yes").result == "applied a"


def test_what_is_skipped_is_no_node() -> None:
    found = explored(tries_until_it_may, "no")
    assert "skip" not in {node.command for node in found.nodes}
