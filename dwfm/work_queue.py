"""Work that waits for a worker, and whether more of it is let in.

The queue itself never refuses anything: `has_room` is asked before new work is put in,
renewals are put in regardless. What waits and can no longer be done in time is either
thrown away when its turn comes, or done for nobody.
"""

from collections import deque

from dwfm.model import Kind, Limits, Work
from dwfm.safeguards import Safeguards


class Throttle:
    """New work per second that an operator allows, as a bucket of tokens."""

    def __init__(self, per_s: float, now_s: float) -> None:
        self.per_s = per_s
        self._tokens = 1.0
        self._at_s = now_s

    def has_token(self, now_s: float) -> bool:
        """Tell whether new work may come in now; a second's worth is saved up."""
        most = max(1.0, self.per_s)
        passed_s = max(0.0, now_s - self._at_s)  # a clock may be set back
        self._tokens = min(most, self._tokens + passed_s * self.per_s)
        self._at_s = now_s
        return self._tokens >= 1

    def spend(self) -> None:
        """Take the token of what came in."""
        self._tokens -= 1


class WorkQueue:
    """One lane for each kind of work; they are one lane unless renewals go first."""

    def __init__(self, limits: Limits) -> None:
        self.limits = limits
        self._limit = limits.queue_limit
        self.throttle: Throttle | None = None
        self.dropped = 0
        """Work that was thrown away because its time was up."""
        self._lanes: tuple[deque[Work], ...] = tuple(deque() for _ in Kind)
        self._length = 0

    def __len__(self) -> int:
        return self._length

    def oldest_wanted_s(self, now_s: float) -> float:
        """Say since when the oldest work has waited; now, if none does."""
        return min((lane[0].wanted_s for lane in self._lanes if lane), default=now_s)

    def has_room(self, safeguards: Safeguards, now_s: float) -> bool:
        """Tell whether new work may come in. Source: R29, R34."""
        if self.throttle and not self.throttle.has_token(now_s):
            return False
        if safeguards.admit_by_queue_size:
            return self._length < self._limit
        return True

    def retry_after_s(self, now_s: float) -> float:
        """Say when it is worth to ask again after a refusal."""
        if self.throttle and not self.throttle.has_token(now_s):
            return 1 / self.throttle.per_s
        return len(self) / self.limits.capacity_per_s

    def put_new(self, work: Work, safeguards: Safeguards) -> None:
        """Let new work in, after `has_room`."""
        if self.throttle:
            self.throttle.spend()
        self.put(work, safeguards)

    def put(self, work: Work, safeguards: Safeguards) -> None:
        """Let work in, room or not."""
        lane = work.kind if safeguards.prioritise_renewals else 0
        self._lanes[lane].append(work)
        self._length += 1

    def take(
        self, safeguards: Safeguards, now_s: float
    ) -> tuple[Work | None, list[Work]]:
        """Take the next work, and what was thrown away before it."""
        thrown: list[Work] = []
        # What would end after its deadline is as dead as what is already past it.
        latest_s = now_s + self.limits.service_s
        for lane in self._lanes:
            while lane:
                work = lane.popleft()
                self._length -= 1
                if not safeguards.drop_expired_work or work.deadline_s >= latest_s:
                    return work, thrown
                thrown.append(work)
                self.dropped += 1
        return None, thrown

    def clear(self) -> list[Work]:
        """Throw everything away. Source: R29."""
        thrown = [work for lane in self._lanes for work in lane]
        for lane in self._lanes:
            lane.clear()
        self._length = 0
        return thrown
