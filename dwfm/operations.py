"""What operators do to a host: a third of the core, beside leases and launches."""

from dwfm import launches
from dwfm.host import Host
from dwfm.model import Abandon, Command, Drained, Outcome, Restarted, Throttled
from dwfm.work_queue import Throttle


def throttled(host: Host, event: Throttled, now_s: float, _: list[Command]) -> None:
    """Limit new work per second, or lift the limit. Source: R29, R30."""
    host.queue.throttle = Throttle(event.per_s, now_s) if event.per_s else None


def restarted(host: Host, _: Restarted, now_s: float, out: list[Command]) -> None:
    """Throw all work away; leases are rows in DynamoDB and stay. Source: R29."""
    thrown = [*host.queue.clear(), *host.running]
    attempts = list(host.attempts)
    host.running.clear()
    host.attempts.clear()
    out.append(Abandon())
    for work in thrown:
        launches.give_up(host, work, Outcome.RESTARTED, out)
    for work in attempts:
        droplet = work.droplet
        if droplet and droplet.attempt is work:
            droplet.attempt = None
            host.want_check(droplet, now_s)


def drained(host: Host, event: Drained, _: float, __: list[Command]) -> None:
    """Refuse launches, or take them again; leases are kept."""
    host.draining = event.draining
