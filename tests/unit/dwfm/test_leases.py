"""When a lease begins and ends, and what may not stretch it. Source: R25-R28."""

import pytest

from dwfm.core import PAUSE_S
from dwfm.host import Host
from dwfm.model import (
    NEVER,
    Check,
    Checked,
    HostName,
    Kind,
    Limits,
    Reached,
    Restarted,
    Row,
    Stale,
    Store,
    Term,
    Tick,
    Work,
)
from dwfm.safeguards import BUGGY, FIXED, Safeguards
from tests.unit.dwfm.fleets import (
    FEW,
    FLEET,
    LIMITS,
    START_S,
    A,
    Fleet,
    droplets_of,
    name_of,
    only,
    without,
)

B = HostName("dwfm-b")
THREE_HOURS_S = 10_800.0


def small(safeguards: Safeguards = FIXED, droplets: int = 1) -> Fleet:
    """A fleet with its leases; the first droplet's is the shortest."""
    fleet = Fleet(safeguards, droplets_of(droplets), FEW)
    fleet.steady()
    return fleet


# --- A lease ------------------------------------------------------------------------


def test_trust_begins_with_the_attempt_and_ends_before_the_row_does() -> None:
    fleet = small()
    (droplet,) = fleet.droplets
    started_s = fleet.checks_of(droplet)[-1].started_s
    row = fleet.world.rows[droplet.name]
    assert row.until_s == started_s + droplet.lease_ttl_s
    assert droplet.until_s == row.until_s - FEW.margin_s
    assert (row.holder, row.term) == (A, Term(1))


def test_a_slow_success_stretches_nothing() -> None:
    fleet = small()
    (droplet,) = fleet.droplets
    fleet.service_s = 29.0
    fleet.run(2 * FEW.check_interval_s + 40.0)
    started_s = fleet.checks_of(droplet)[-1].started_s
    assert droplet.until_s == started_s + droplet.lease_ttl_s - FEW.margin_s


def test_a_success_slower_than_the_lease_gives_none() -> None:
    limits = Limits(workers=1, timeout_s=1_000.0)
    fleet = Fleet(FIXED, droplets_of(1), limits)
    fleet.service_s = 596.0
    fleet.run(898.0)
    assert fleet.world.rows[name_of(0)].term == Term(1), "it was written"
    assert fleet.host.leases == 0
    assert fleet.host.counts.in_time > 0


def test_a_renewal_keeps_the_term_and_a_new_lease_raises_it() -> None:
    fleet = small()
    fleet.run(2_000.0)
    assert fleet.world.terms == {name_of(0): Term(1)}
    fleet.world.silent.add(name_of(0))
    fleet.run(2_000.0)
    assert fleet.host.leases == 0
    fleet.world.silent.clear()
    fleet.run(400.0)
    assert fleet.host.leases == 1
    assert fleet.world.terms[name_of(0)] > Term(1)


def test_a_silent_droplet_loses_its_lease_at_its_end_and_is_no_candidate() -> None:
    fleet = small()
    (droplet,) = fleet.droplets
    until_s = droplet.until_s
    fleet.world.silent.add(droplet.name)
    fleet.run(until_s - fleet.now_s - 2.0)
    assert fleet.host.candidates == [droplet]
    fleet.run(4.0)
    assert fleet.host.candidates == []
    assert fleet.host.counts.leases_expired == 1


# --- DynamoDB is away ---------------------------------------------------------------


def test_leases_time_out_slowly_when_dynamodb_is_away() -> None:
    """R26: between 23:48 and 02:24, one after the other."""
    fleet = Fleet(without("hold_leases_when_store_is_down"))
    fleet.steady()
    fleet.world.is_away = True
    left = []
    for _ in range(12):
        fleet.run(900.0)
        left.append(fleet.host.leases)
    assert left == sorted(left, reverse=True)
    assert left[-1] == 0
    assert len(set(left)) > 8, "not all at once"


def test_an_outage_expires_nothing_if_held() -> None:
    fleet = Fleet(only("hold_leases_when_store_is_down"))
    fleet.steady()
    fleet.world.is_away = True
    fleet.run(THREE_HOURS_S)
    assert fleet.host.store_is_away
    assert fleet.host.leases == FLEET
    assert fleet.host.counts.leases_expired == 0
    fleet.world.is_away = False
    fleet.run(THREE_HOURS_S)
    assert fleet.host.leases == FLEET
    assert fleet.host.counts.leases_expired == 0


def test_what_is_held_is_confirmed_by_its_droplet() -> None:
    """A droplet that is gone as well keeps no lease, however DynamoDB is."""
    fleet = small(droplets=4)
    fleet.world.is_away = True
    fleet.world.silent.add(name_of(0))
    fleet.run(THREE_HOURS_S)
    assert fleet.host.leases == 3
    assert not fleet.host.droplets[name_of(0)].leased


def test_a_held_lease_has_one_holder() -> None:
    """Nobody can take over what is held: that needs the same DynamoDB."""
    held = small(droplets=4)
    other = Fleet(FIXED, droplets_of(4), FEW, held.world, B, held.now_s)
    held.world.is_away = True

    def both(seconds: float) -> None:
        for _ in range(int(seconds / 10)):
            held.run(10.0)
            other.run(10.0)
            for name in held.host.droplets:
                seen = held.world.terms[name]
                here = [f.host.droplets[name] for f in (held, other)]
                trusting = [each for each in here if each.leased]
                obeyed = [each for each in trusting if each.term >= seen]
                assert len(obeyed) <= 1, name
                assert len(trusting) <= 1 or not held.world.is_away, name

    both(THREE_HOURS_S)
    assert (held.host.leases, other.host.leases) == (4, 0)
    held.world.is_away = False
    both(FEW.check_interval_s)
    for _ in range(30):
        both(FEW.check_interval_s)
        assert held.host.leases + other.host.leases == 4, "nobody is mistaken for long"


def test_checks_keep_to_their_slots() -> None:
    """R28: what failed together is not tried again together."""

    def checks_in_first_minute(safeguards: Safeguards) -> int:
        # A short outage: every lease is still held, every droplet waits.
        fleet = Fleet(safeguards, droplets_of(FLEET, shortest_s=2_000.0))
        fleet.steady()
        fleet.world.is_away = True
        fleet.run(900.0)
        assert len(fleet.host.parked) > FLEET / 2
        fleet.world.is_away = False
        fleet.run(10.0)
        now_s = fleet.now_s
        fleet.run(60.0)
        assert fleet.host.leases == FLEET
        queued = [work for work in fleet.host.attempts if work.wanted_s >= now_s - 10]
        begun = [at for at, c in fleet.commands if at >= now_s and isinstance(c, Check)]
        return max(len(queued), len(begun))

    slots_a_minute = FLEET * 60.0 / LIMITS.check_interval_s
    assert checks_in_first_minute(only("spread_renewals")) <= 1.5 * slots_a_minute
    assert checks_in_first_minute(BUGGY) > 1.9 * slots_a_minute


def test_without_dynamodb_a_new_host_waits_and_knocks() -> None:
    fleet = Fleet(FIXED, droplets_of(4), FEW)
    fleet.world.is_away = True
    fleet.run(1_000.0)
    assert fleet.host.leases == 0
    assert fleet.world.terms == {}, "no droplet is shown a term that is not written"
    fleet.world.is_away = False
    assert fleet.run_until_leased(4, 100.0) <= 40.0


# --- Others, and times gone by ------------------------------------------------------


def test_the_lease_of_another_is_kept() -> None:
    fleet = Fleet(FIXED, droplets_of(1), FEW)
    name = name_of(0)
    fleet.world.rows[name] = Row(B, Term(7), START_S + 1_000.0, 3)
    fleet.world.terms[name] = Term(7)
    fleet.run(990.0)
    assert fleet.host.leases == 0
    assert fleet.world.rows[name].holder == B
    fleet.run(400.0)
    assert fleet.host.leases == 1
    assert fleet.world.rows[name].holder == A
    assert fleet.world.terms[name] == Term(8)


def test_a_lease_that_another_took_is_lost_at_once() -> None:
    fleet = small()
    name = name_of(0)
    row = fleet.world.rows[name]
    fleet.world.rows[name] = Row(B, Term(2), NEVER, row.version + 1)
    fleet.run(320.0)
    assert fleet.host.leases == 0
    assert fleet.host.candidates == []


def test_a_stale_term_loses_the_lease_and_wants_a_higher_one() -> None:
    fleet = small()
    fleet.world.terms[name_of(0)] = Term(40)
    fleet.run(330.0)
    assert fleet.host.leases == 1
    assert fleet.world.terms[name_of(0)] == Term(41)


def test_a_restarted_process_takes_up_what_dynamodb_knows() -> None:
    old = small(droplets=4)
    droplets = droplets_of(4)
    new = Fleet(FIXED, droplets, FEW, old.world, A, old.now_s)
    for droplet in droplets:
        new.host.know(droplet, old.world.rows[droplet.name])
    new.run(310.0)
    assert new.host.leases == 4
    assert {each.term for each in droplets} == {Term(2)}
    assert [len(new.checks_of(each)) for each in droplets] == [1, 1, 1, 1]


def test_a_new_process_takes_no_lease_by_knowing_its_row() -> None:
    fleet = Fleet(FIXED, droplets_of(1), FEW)
    (droplet,) = fleet.droplets
    row = Row(B, Term(7), START_S + 5_000.0, 3)
    fleet.world.rows[droplet.name] = row
    fleet.host.know(droplet, row)
    assert (droplet.term, droplet.version) == (Term(7), 0)
    fleet.run(1_000.0)
    assert fleet.host.leases == 0
    assert fleet.world.rows[droplet.name] == row


def test_its_own_write_whose_reply_was_lost_is_found_and_gone_on_from() -> None:
    fleet = Fleet(FIXED, droplets_of(1), FEW)
    fleet.world.rows[name_of(0)] = Row(A, Term(1), START_S + 600.0, 1)
    fleet.run(310.0)
    assert fleet.host.leases == 1
    assert [work.version for work in fleet.checks_of(fleet.droplets[0])] == [0, 1]


def test_a_written_reply_that_comes_late_turns_nothing_back() -> None:
    """Of two checks of one droplet, the older one's success is heard last."""
    (droplet,) = droplets_of(1)
    host = Host(A, FEW, BUGGY, [droplet], START_S)
    fleet = Fleet(BUGGY, [droplet], FEW)
    fleet.host = host
    old = Work(Kind.ESTABLISH, START_S, START_S, droplet)
    old.term, old.version = Term(3), 4
    droplet.term, droplet.version = Term(6), 8
    host.running.add(old)
    fleet.tell(Checked(old, Store.WRITTEN, Stale(Term(5))))
    assert (droplet.term, droplet.version) == (Term(6), 8)
    assert host.counts.late == 1
    fleet.tell(Checked(old, Store.WRITTEN, Reached.OBEYED))
    assert host.counts.late == 1, "it has ended, and ends once"


# --- The queue, the operator, the clock ---------------------------------------------


@pytest.mark.parametrize("safeguards", [BUGGY, FIXED])
def test_a_restart_keeps_leases_and_loses_no_droplet(safeguards: Safeguards) -> None:
    fleet = Fleet(safeguards, droplets_of(FLEET))
    fleet.steady()
    fleet.world.is_away = True
    fleet.run(9_500.0)
    fleet.world.is_away = False
    fleet.run(20.0)
    leases = fleet.host.leases
    fleet.tell(Restarted())
    assert fleet.host.leases == leases
    fleet.run(9_500.0)
    assert all(
        fleet.checks_of(d)[-1].started_s > fleet.now_s - 700 for d in fleet.droplets
    )


def test_a_restart_finds_what_was_thrown_away_before_its_time() -> None:
    """Between being dropped and being given up an attempt is in no queue."""
    droplets = droplets_of(40)
    for droplet in droplets:
        droplet.phase_s = droplets[0].phase_s
    fleet = Fleet(only("drop_expired_work"), droplets, Limits(workers=1))
    fleet.run(330.0)
    thrown = [w for w in fleet.host.attempts if w.deadline_s < fleet.now_s + 7.5]
    assert fleet.host.queue.dropped > 0
    assert thrown
    fleet.tell(Restarted())
    waiting = {d.attempt for d in fleet.droplets if d.attempt}
    queued = set(fleet.host.queue.clear()) | fleet.host.running
    assert waiting <= queued


def test_a_clock_that_is_set_back_lets_no_lease_outlast_its_time() -> None:
    fleet = small()
    (droplet,) = fleet.droplets
    fleet.now_s -= 600.0
    fleet.host.schedule(droplet, fleet.now_s, fleet.now_s)
    fleet.run(310.0)
    assert droplet.until_s < fleet.now_s + 600.0
    fleet.world.silent.add(droplet.name)
    fleet.run(droplet.until_s - fleet.now_s + 1.0)
    assert not droplet.leased
    fleet.run(700.0)
    assert fleet.host.counts.leases_expired == 1, "it ends once"


def test_a_clock_that_is_put_forward_ends_what_it_says() -> None:
    fleet = small(droplets=4)
    fleet.now_s += 600.0
    fleet.tell(Tick())
    assert fleet.host.counts.leases_expired == 1
    fleet.run(60.0)
    assert fleet.host.leases == 4


def test_what_fell_due_in_a_pause_is_not_checked_at_once() -> None:
    fleet = Fleet(FIXED, droplets_of(FLEET, shortest_s=2_000.0))
    fleet.steady()
    fleet.run(300.0)
    fleet.now_s += 60.0 + PAUSE_S
    fleet.tell(Tick())
    assert len(fleet.host.queue) <= 3, "those of the last seconds, of 22"
    assert fleet.host.leases == FLEET
    fleet.run(600.0)
    assert fleet.host.counts.leases_expired == 0
