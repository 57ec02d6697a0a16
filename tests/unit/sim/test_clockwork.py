"""Virtual time: who goes when, who waits where, and who stops."""

from staleplan.sim.clockwork import Clockwork, Gate, Process

Log = list[str]


def ticking(clock: Clockwork, name: str, log: Log, *waits: float) -> Process:
    log.append(f"{name} at {clock.now_s:g}")
    for wait in waits:
        yield wait
        log.append(f"{name} at {clock.now_s:g}")


def run(clock: Clockwork, end_s: float) -> None:
    while clock.run_until(end_s):
        pass


def test_processes_go_in_the_order_of_time() -> None:
    clock, log = Clockwork(100.0), Log()
    clock.start(ticking(clock, "slow", log, 5.0, 5.0))
    clock.start(ticking(clock, "swift", log, 2.0, 2.0))
    run(clock, 200.0)
    assert log == [
        "slow at 100",
        "swift at 100",
        "swift at 102",
        "swift at 104",
        "slow at 105",
        "slow at 110",
    ]


def test_ties_go_to_who_was_first() -> None:
    clock, log = Clockwork(0.0), Log()
    for name in "cab":
        clock.start(ticking(clock, name, log, 1.0))
    run(clock, 1.0)
    assert log == ["c at 0", "a at 0", "b at 0", "c at 1", "a at 1", "b at 1"]


def test_one_step_at_a_time_up_to_the_end_and_no_further() -> None:
    clock, log = Clockwork(0.0), Log()
    clock.start(ticking(clock, "a", log, 3.0, 3.0))
    assert clock.run_until(4.0)
    assert clock.run_until(4.0)
    assert clock.now_s == 3.0
    assert not clock.run_until(4.0)
    assert (clock.now_s, log) == (4.0, ["a at 0", "a at 3"])
    run(clock, 6.0)
    assert log[2:] == ["a at 6"]


def test_time_never_goes_back() -> None:
    clock = Clockwork(10.0)
    assert not clock.run_until(5.0)
    assert clock.now_s == 10.0


def waiting(gate: Gate, name: str, log: Log) -> Process:
    yield gate
    log.append(name)
    yield gate
    log.append(f"{name} again")


def test_a_gate_holds_everybody_until_it_is_opened_and_nobody_after() -> None:
    clock, gate, log = Clockwork(0.0), Gate(), Log()
    clock.start(waiting(gate, "a", log))
    clock.start(waiting(gate, "b", log))
    run(clock, 50.0)
    assert (log, len(gate.waiting)) == ([], 2)
    clock.open(gate)
    assert log == []
    run(clock, 50.0)
    assert sorted(log) == ["a", "a again", "b", "b again"]
    assert log[:2] == ["a", "b"]
    assert (clock.now_s, gate.waiting) == (50.0, [])


def test_who_is_stopped_does_nothing_more() -> None:
    clock, log = Clockwork(0.0), Log()
    stopped = clock.start(ticking(clock, "a", log, 1.0, 1.0))
    clock.start(ticking(clock, "b", log, 1.0))
    run(clock, 0.5)
    stopped.stop()
    run(clock, 9.0)
    assert log == ["a at 0", "b at 0", "b at 1"]


def test_who_is_stopped_at_a_gate_does_not_go_on_when_it_opens() -> None:
    clock, gate, log = Clockwork(0.0), Gate(), Log()
    stopped = clock.start(waiting(gate, "a", log))
    clock.start(waiting(gate, "b", log))
    run(clock, 1.0)
    stopped.stop()
    clock.open(gate)
    run(clock, 2.0)
    assert log == ["b", "b again"]


def test_a_process_that_ends_is_stopped() -> None:
    clock, log = Clockwork(0.0), Log()
    running = clock.start(ticking(clock, "a", log))
    assert not running.stopped
    run(clock, 1.0)
    assert running.stopped
