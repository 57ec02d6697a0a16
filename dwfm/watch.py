"""Names the cause of a host's trouble, in metrics and in the log.

In the event hundreds of alarms fired. Here a change is one line: DynamoDB is away,
leases run out, more work waits than can be done in time; and each has its end.
"""

from collections.abc import Iterable

from opentelemetry.metrics import CallbackOptions, Observation

from dwfm.host import Host
from staleplan.runtime.clock import Clock
from staleplan.runtime.telemetry import Telemetry


class Watch:
    """Looks at a host, and says what has changed."""

    def __init__(self, host: Host, telemetry: Telemetry, clock: Clock) -> None:
        """Begins to measure; `look` is to be called again and again."""
        self._host = host
        self._log = telemetry.log
        self._clock = clock
        self._store_is_away = False
        self._expired = 0
        self._is_short = False
        self._is_congested = False
        telemetry.meter.create_observable_gauge(
            "dwfm.fleet", [self._fleet], description="droplets, leases, instances"
        )
        telemetry.meter.create_observable_gauge(
            "dwfm.queue", [self._queue], description="work that waits or is done"
        )
        telemetry.meter.create_observable_gauge(
            "dwfm.queue.oldest_wait",
            [self._oldest_wait],
            unit="s",
            description="how long the oldest work has waited, incident seconds",
        )
        telemetry.meter.create_observable_gauge(
            "dwfm.dynamodb.away", [self._away], description="1: it did not answer"
        )
        telemetry.meter.create_observable_counter(
            "dwfm.work", [self._work], description="what became of work"
        )

    @property
    def oldest_wait_s(self) -> float:
        """How long the oldest work has waited, incident seconds."""
        now_s = self._clock.now_s()
        return max(0.0, now_s - self._host.queue.oldest_wanted_s(now_s))

    def look(self) -> None:
        """Log what is another than it was at the last look."""
        self._look_at_store()
        self._look_at_leases()
        self._look_at_queue()

    def _look_at_store(self) -> None:
        host = self._host
        if host.store_is_away == self._store_is_away:
            return
        self._store_is_away = host.store_is_away
        if host.store_is_away:
            self._log.warning(
                "DynamoDB is away", leases=host.leases, droplets=len(host.droplets)
            )
        else:
            self._log.info("DynamoDB is back", leases=host.leases)

    def _look_at_leases(self) -> None:
        host = self._host
        if host.counts.leases_expired > self._expired and not self._is_short:
            self._is_short = True
            self._log.warning(
                "leases run out: launches find fewer droplets",
                leases=host.leases,
                droplets=len(host.droplets),
                because="DynamoDB is away" if host.store_is_away else "checks are late",
            )
        elif self._is_short and host.leases == len(host.droplets):
            self._is_short = False
            self._log.info("all leases are back", expired=host.counts.leases_expired)
        self._expired = host.counts.leases_expired

    def _look_at_queue(self) -> None:
        host = self._host
        limits = host.limits
        served_in_time = limits.capacity_per_s * limits.timeout_s
        is_congested = len(host.queue) > served_in_time
        if is_congested == self._is_congested:
            return
        self._is_congested = is_congested
        if is_congested:
            self._log.warning(
                "more work waits than can be done in time",
                queued=len(host.queue),
                served_in_time=int(served_in_time),
                oldest_wait_s=round(self.oldest_wait_s, 1),
                leases=host.leases,
                timed_out=host.counts.timed_out,
            )
        else:
            self._log.info("the queue is short again", leases=host.leases)

    def _fleet(self, _: CallbackOptions) -> Iterable[Observation]:
        host = self._host
        yield Observation(len(host.droplets), {"what": "droplets"})
        yield Observation(host.leases, {"what": "leases"})
        yield Observation(len(host.instances), {"what": "instances"})

    def _queue(self, _: CallbackOptions) -> Iterable[Observation]:
        yield Observation(len(self._host.queue), {"what": "waits"})
        yield Observation(len(self._host.running), {"what": "is done"})

    def _oldest_wait(self, _: CallbackOptions) -> Iterable[Observation]:
        yield Observation(self.oldest_wait_s)

    def _away(self, _: CallbackOptions) -> Iterable[Observation]:
        yield Observation(int(self._host.store_is_away))

    def _work(self, _: CallbackOptions) -> Iterable[Observation]:
        for outcome, count in counts_of(self._host).items():
            yield Observation(count, {"outcome": outcome})


def counts_of(host: Host) -> dict[str, int]:
    """Return what became of work, by the protocol's names."""
    counts = host.counts
    return {
        "leases_expired": counts.leases_expired,
        "in_time": counts.in_time,
        "late": counts.late,
        "timed_out": counts.timed_out,
        "dropped": host.queue.dropped,
        "launches_asked": counts.launches_asked,
        "launched": counts.launched,
        "terminated": counts.terminated,
        "refused_capacity": counts.refused_capacity,
        "refused_limit": counts.refused_limit,
        "failed": counts.failed,
    }
