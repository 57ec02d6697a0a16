"""The decisions of one DWFM host: whose lease to check when, and what to launch where.

`step(host, event, now_s)` is told what happened and says what to do. The host's state
changes in place, and nobody else changes it: a fleet of 100,000 is not copied for each
event. Every other effect is a command.

One droplet is always at one of four places: due at a time, in the queue or with a
worker (`attempt`), outside the queue and waiting for room (`overdue`), or waiting for
DynamoDB (`parked`).
"""

import heapq
from collections.abc import Callable
from typing import Any

from dwfm import launches, operations
from dwfm.host import Host
from dwfm.model import (
    AWAY,
    NEVER,
    OBEYED,
    UNKNOWN,
    WRITTEN,
    Check,
    Checked,
    Command,
    Drained,
    Droplet,
    Event,
    LaunchAsked,
    Outcome,
    Ran,
    Restarted,
    Row,
    Stale,
    Term,
    TerminateAsked,
    Throttled,
    Tick,
)

PAUSE_S = 5.0
"""A host that looks at its clock no sooner than this was paused, or its clock was put
forward, incident seconds: ticks come every second."""


def step(host: Host, event: Event, now_s: float) -> list[Command]:
    """Tell a host what happened; returns what to do, in order."""
    out: list[Command] = []
    _HANDLERS[type(event)](host, event, now_s, out)
    if host.overdue:
        _take_in(host, now_s)
    if host.queue:
        _start_work(host, now_s, out)
    return out


def _tick(host: Host, _: Tick, now_s: float, __: list[Command]) -> None:
    _expire_leases(host, now_s)
    _give_up_attempts(host, now_s)
    due, interval_s = host.due, host.limits.check_interval_s
    while due and due[0][0] <= now_s:
        due_s, _order, droplet = heapq.heappop(due)
        if due_s != droplet.due_s:
            continue
        droplet.due_s = NEVER
        if now_s - due_s > PAUSE_S and droplet.until_s > now_s + interval_s:
            # What fell due while the host slept has one cause: not all at once.
            host.schedule(droplet, now_s, now_s)
        else:
            host.want_check(droplet, now_s)
    if host.parked and now_s >= host.probe_s:
        host.probe_s = now_s + host.limits.probe_interval_s
        host.queue_check(host.parked.popleft(), now_s)


def _expire_leases(host: Host, now_s: float) -> None:
    ends = host.lease_ends
    while ends and ends[0][0] <= now_s:
        ends_s, _order, droplet = heapq.heappop(ends)
        if ends_s != droplet.ends_s:
            continue
        droplet.ends_s = NEVER
        if droplet.until_s > now_s:
            host.watch_lease(droplet)
        elif droplet.leased:
            host.counts.leases_expired += 1
            host.lose_lease(droplet)


def _give_up_attempts(host: Host, now_s: float) -> None:
    """Each check whose time is up is queued again; the old one stays where it is.

    That is what fills the queue with work that nobody waits for. Source: R28.
    """
    attempts = host.attempts
    while attempts and attempts[0].deadline_s < now_s:
        work = attempts.popleft()
        droplet = work.droplet
        if droplet and droplet.attempt is work:
            droplet.attempt = None
            host.counts.timed_out += 1
            host.want_check(droplet, now_s)


def _take_in(host: Host, now_s: float) -> None:
    """Let droplets without a lease into the queue while there is room."""
    overdue = host.overdue
    while overdue and host.queue.has_room(host.safeguards, now_s):
        host.queue_check(overdue.popleft(), now_s, new=True)


def _start_work(host: Host, now_s: float, out: list[Command]) -> None:
    while len(host.running) < host.limits.workers:
        work, thrown = host.queue.take(host.safeguards, now_s)
        for each in thrown:
            launches.give_up(host, each, Outcome.EXPIRED, out)
        if work is None:
            return
        work.started_s = now_s
        droplet = work.droplet
        if work.instance or droplet is None:
            launches.start(host, work, out)
        else:
            renews = droplet.leased
            work.term = droplet.term if renews else Term(droplet.term + 1)
            work.version = droplet.version
            host.running.add(work)
            out.append(Check(work, droplet, now_s + droplet.lease_ttl_s, renews))


def _checked(host: Host, event: Checked, now_s: float, _: list[Command]) -> None:
    work = event.work
    droplet = work.droplet
    if work not in host.running or droplet is None:
        return
    host.running.remove(work)
    renews = _learn(host, droplet, event, now_s)
    if droplet.attempt is not work:
        host.counts.late += 1
        return
    droplet.attempt = None
    if now_s > work.deadline_s:
        host.counts.late += 1
        host.counts.timed_out += 1
        host.want_check(droplet, now_s)
    elif event.store is AWAY or event.store is UNKNOWN:
        host.store_is_away = True
        _go_on_without_store(host, event, droplet, renews, now_s)
    else:
        _store_answered(host, now_s)
        _judge(host, event, droplet, now_s)


def _learn(host: Host, droplet: Droplet, event: Checked, now_s: float) -> bool:
    """Note what a check tells even when it is late; tells whether it was a renewal.

    So late that a newer one has been heard before: versions and terms only rise.
    """
    work = event.work
    renews = droplet.leased and work.term == droplet.term
    found = event.store
    if found is WRITTEN:
        droplet.version = max(droplet.version, work.version + 1)
        droplet.term = max(droplet.term, work.term)
    elif isinstance(found, Row):
        # With the version it could overwrite a lease of another, still in force.
        # Enforced by:
        # tests/unit/dwfm/test_leases.py::test_the_lease_of_another_is_kept
        droplet.version = found.version if host.may_take(found, now_s) else 0
        droplet.term = max(droplet.term, found.term)
    if isinstance(event.droplet, Stale):
        droplet.term = max(droplet.term, event.droplet.current)
    return renews


def _go_on_without_store(
    host: Host, event: Checked, droplet: Droplet, renews: bool, now_s: float
) -> None:
    """A lease that the droplet confirms is held, or else waits for DynamoDB."""
    if renews and host.safeguards.hold_leases_when_store_is_down:
        # Whoever wants to take the lease over must write its row first, and cannot;
        # once it can, the droplet has seen its higher term before it trusts the lease.
        # Enforced by: tests/unit/dwfm/test_leases.py::test_a_held_lease_has_one_holder
        if event.droplet is OBEYED:
            host.extend_lease(droplet, event.work.started_s, now_s)
        host.schedule(droplet, now_s, now_s + host.limits.check_interval_s)
    else:
        host.parked.append(droplet)


def _store_answered(host: Host, now_s: float) -> None:
    """DynamoDB is there: whoever waited for it is checked. Source: R28."""
    host.store_is_away = False
    while host.parked:
        droplet = host.parked.popleft()
        if droplet.leased:
            host.schedule(droplet, now_s, now_s)
        else:
            host.overdue.append(droplet)


def _judge(host: Host, event: Checked, droplet: Droplet, now_s: float) -> None:
    """Extend the lease, or not: DynamoDB has answered, in time."""
    found = event.store
    usual_s = now_s + host.limits.check_interval_s
    if isinstance(found, Row):
        if host.may_take(found, now_s):
            host.want_check(droplet, now_s)
            return
        host.lose_lease(droplet)
    elif isinstance(event.droplet, Stale):
        host.lose_lease(droplet)
        host.overdue.append(droplet)
        return
    elif event.droplet is OBEYED:
        host.counts.in_time += 1
        host.extend_lease(droplet, event.work.started_s, now_s)
        if event.instances is not None and not droplet.is_known:
            launches.adopt(host, droplet, event.instances)
        if droplet.leftovers:
            launches.end_leftovers(host, droplet, now_s)
    host.schedule(droplet, now_s, usual_s)


_HANDLERS: dict[type[Any], Callable[[Host, Any, float, list[Command]], None]] = {
    Tick: _tick,
    Checked: _checked,
    LaunchAsked: launches.asked,
    TerminateAsked: launches.end_asked,
    Ran: launches.ran,
    Throttled: operations.throttled,
    Restarted: operations.restarted,
    Drained: operations.drained,
}
