"""The state of one DWFM host. `core` and `launches` change it, nobody else."""

import heapq
import itertools
from collections import OrderedDict, deque
from collections.abc import Sequence
from dataclasses import dataclass

from dwfm.model import (
    ESTABLISH,
    NEVER,
    RENEW,
    Droplet,
    DropletName,
    HostName,
    InstanceId,
    Limits,
    Row,
    Work,
)
from dwfm.safeguards import Safeguards
from dwfm.work_queue import WorkQueue

MAX_ENDED = 10_000
"""Ended instances that are remembered, so that a late retry does not launch again."""

At = tuple[float, int, Droplet]
"""When something is due for a droplet; the number keeps the order of equals."""


@dataclass(slots=True)
class Counts:
    """What became of work since the host began; see the protocol for each."""

    leases_expired: int = 0
    in_time: int = 0
    late: int = 0
    timed_out: int = 0
    launches_asked: int = 0
    launched: int = 0
    terminated: int = 0
    refused_capacity: int = 0
    refused_limit: int = 0
    failed: int = 0


class Host:
    """One host and the droplets of its AZ. Source: R25.

    Every droplet begins without a lease, and is first checked in its own slot of the
    interval: a host that has just started is no storm by itself.
    """

    def __init__(
        self,
        name: HostName,
        limits: Limits,
        safeguards: Safeguards,
        droplets: Sequence[Droplet],
        now_s: float,
    ) -> None:
        self.name = name
        self.limits = limits
        self.safeguards = safeguards
        self.droplets: dict[DropletName, Droplet] = {d.name: d for d in droplets}
        self.counts = Counts()
        self.queue = WorkQueue(limits)
        self.running: set[Work] = set()
        self.attempts: deque[Work] = deque()
        """Checks in the order of their deadlines."""
        self.overdue: deque[Droplet] = deque()
        """Without a lease, and not yet let into the queue."""
        self.parked: deque[Droplet] = deque()
        """To be checked once DynamoDB answers again."""
        self.probe_s = now_s
        """When one of those is tried."""
        self.store_is_away = False
        self.leases = 0
        self.draining = False
        self.candidates: list[Droplet] = []
        """Droplets with a lease and room. Source: R27."""
        self.launching: dict[InstanceId, Work] = {}
        self.instances: dict[InstanceId, Droplet] = {}
        self.ending: dict[InstanceId, Work] = {}
        self.undoing: dict[InstanceId, Droplet] = {}
        """Launches of unknown outcome, which may run and must end."""
        self.ended: OrderedDict[InstanceId, None] = OrderedDict()
        self.due: list[At] = []
        self.lease_ends: list[At] = []
        self._order = itertools.count()
        for droplet in droplets:
            droplet.due_s = self.slot_after(droplet, now_s)
            self.push(self.due, droplet.due_s, droplet)

    def know(self, droplet: Droplet, row: Row) -> None:
        """Take over what DynamoDB says of a droplet, before the first event.

        Not the version of another's row: a write that expects it would take its lease.
        """
        droplet.term = row.term
        if row.holder == self.name:
            droplet.version = row.version

    def may_take(self, row: Row, now_s: float) -> bool:
        """Tell a row to go on from: its own, by a lost reply, or one that has ended."""
        return row.holder == self.name or row.until_s <= now_s

    def slot_after(self, droplet: Droplet, now_s: float) -> float:
        """Say when the droplet's slot of the interval comes next."""
        interval_s = self.limits.check_interval_s
        return now_s + interval_s - (now_s - droplet.phase_s) % interval_s

    def next_slot(self, droplet: Droplet, now_s: float) -> float:
        """Say when to check again; a slot that comes too soon is passed over.

        What has been checked just now is not checked again while others wait for a
        lease; unless its own would not last.
        """
        slot_s = self.slot_after(droplet, now_s)
        interval_s = self.limits.check_interval_s
        is_soon = slot_s < now_s + interval_s / 2
        enough_s = slot_s + interval_s + self.limits.timeout_s
        return slot_s + interval_s * (is_soon and droplet.until_s > enough_s)

    def push(self, heap: list[At], at_s: float, droplet: Droplet) -> None:
        """Note that something is due for a droplet at a time."""
        heapq.heappush(heap, (at_s, next(self._order), droplet))

    def schedule(self, droplet: Droplet, now_s: float, usual_s: float) -> None:
        """Set the time of the next check: the droplet's own slot, or the usual time."""
        spread = self.safeguards.spread_renewals
        droplet.due_s = self.next_slot(droplet, now_s) if spread else usual_s
        self.push(self.due, droplet.due_s, droplet)

    def want_check(self, droplet: Droplet, now_s: float) -> None:
        """Check a held lease now; one that is lost waits for room in the queue."""
        if droplet.leased:
            self.queue_check(droplet, now_s)
        else:
            self.overdue.append(droplet)

    def queue_check(self, droplet: Droplet, now_s: float, *, new: bool = False) -> None:
        """Put a check into the queue."""
        kind = RENEW if droplet.leased else ESTABLISH
        work = Work(kind, now_s, now_s + self.limits.timeout_s, droplet)
        droplet.attempt = work
        self.attempts.append(work)
        put = self.queue.put_new if new else self.queue.put
        put(work, self.safeguards)

    def extend_lease(self, droplet: Droplet, started_s: float, now_s: float) -> None:
        """Trust a lease, from when the attempt began: slow success cannot stretch it.

        Nothing is trusted that would have run out by now.
        """
        until_s = started_s + droplet.lease_ttl_s - self.limits.margin_s
        if until_s <= now_s:
            return
        droplet.until_s = until_s
        self.watch_lease(droplet)
        if not droplet.leased:
            droplet.leased = True
            self.leases += 1
            self.offer(droplet)

    def watch_lease(self, droplet: Droplet) -> None:
        """See to it that the end of the lease is noticed; it may move either way."""
        if droplet.until_s < droplet.ends_s:
            droplet.ends_s = droplet.until_s
            self.push(self.lease_ends, droplet.until_s, droplet)

    def lose_lease(self, droplet: Droplet) -> None:
        """Trust the lease no more, and want a new one. Source: R27.

        Unless a check is on its way, the next one is wanted now.
        """
        if droplet.leased:
            droplet.leased = False
            droplet.until_s = -NEVER
            self.leases -= 1
            self.withdraw(droplet)
            if droplet.due_s < NEVER:
                droplet.due_s = NEVER
                self.overdue.append(droplet)

    def offer(self, droplet: Droplet) -> None:
        """Make a droplet a candidate, if it has a lease and room."""
        if droplet.place < 0 and droplet.leased and droplet.room > 0:
            droplet.place = len(self.candidates)
            self.candidates.append(droplet)

    def withdraw(self, droplet: Droplet) -> None:
        """Make a droplet a candidate no more; the last takes its place."""
        if droplet.place >= 0:
            last = self.candidates.pop()
            if last is not droplet:
                self.candidates[droplet.place] = last
                last.place = droplet.place
            droplet.place = -1

    def remember_ended(self, instance: InstanceId) -> None:
        """Remember an ended instance, and forget the oldest of too many."""
        self.ended[instance] = None
        if len(self.ended) > MAX_ENDED:
            self.ended.popitem(last=False)
