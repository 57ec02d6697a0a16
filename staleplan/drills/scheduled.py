"""Replays a schedule of the model checker on a running stack, event by event.

Every effect of an enactor has a fault point just before it. The enactors are held at
all of them, from their start, and let go one at a time: what is between two points is
theirs to do, as ever. Zones that the schedule does not name are treated as its first,
so that they change nothing.
"""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from dns_store.core import ZoneState
from enactor.safeguards import FIXED, Safeguards
from protos.enactor.v1 import enactor_pb2
from protos.runtime.v1 import runtime_pb2 as pb
from staleplan.check.schedule import (
    LOST,
    TAKEN,
    Action,
    Change,
    Kind,
    Schedule,
    change_of,
)
from staleplan.drills.live import LiveStage
from staleplan.drills.pace import DRILL_PACE, Pace
from staleplan.drills.runner import stage_of
from staleplan.drills.running import join_traces
from staleplan.model import Generation, JournalEntry, ZoneName
from staleplan.runtime.settings import Mode
from staleplan.spec import DNS_PROPERTIES, judge, replay
from staleplan.stack.settings import AZS, StackSettings

STEPS: Mapping[Kind, str] = {
    "pick up": "enactor.before_pass",
    "check": "enactor.before_check",
    "take lock": "enactor.take_lock",
    "flip": "enactor.before_batch",
    "release": "enactor.before_release",
    "look": "enactor.before_clean_up",
    "clean up": "enactor.before_delete",
}
"""The fault point just before each effect of an enactor."""

FIRST_PLAN = Generation(1)
"""The planner publishes it unasked; no enactor has looked for it by then."""

QUIET_S = 1e9
"""A period that never ends, incident seconds: only the schedule makes plans."""

PATIENCE_S = 30.0
"""Wall seconds that one step may take; it takes some 0.05, more on a busy machine."""

ZONES_IN_FLIGHT = 16
"""Zones flipped together: all of the region's, as in the model."""


class LeftSchedule(RuntimeError):
    """The stack did not go on as the schedule says: the model does not tell of it."""


@dataclass(frozen=True, slots=True)
class Replayed:
    """What a schedule led to on a running stack. `left`: why it was not played out."""

    schedule: Schedule
    changes: tuple[Change, ...]
    broken: frozenset[str]
    beginning: Mapping[ZoneName, ZoneState]
    journal: Sequence[JournalEntry]
    left: str
    wall_s: float
    trace_file: Path

    @property
    def is_same(self) -> bool:
        """Whether each zone had the same batches, with the same outcomes."""
        judged = {each.id for each in DNS_PROPERTIES}
        return (
            not self.left
            and _by_zone(self.changes) == _by_zone(self.schedule.changes)
            and self.broken == self.schedule.broken & judged
        )


def _by_zone(changes: Sequence[Change]) -> dict[ZoneName, list[Change]]:
    """Each zone's changes: those of one command are judged in any order."""
    found: dict[ZoneName, list[Change]] = {}
    for change in changes:
        found.setdefault(change.zone, []).append(change)
    return found


async def replay_live(
    schedule: Schedule, database_url: str, state_folder: Path, name: str = "schedule"
) -> Replayed:
    """Replay a schedule on a stack of its own, which ends with it.

    Raises: ValueError, if the schedule has more enactors than a region.
    """
    if schedule.enactors > len(AZS):
        raise ValueError(f"{schedule.enactors} enactors, a region has {len(AZS)}")
    started_s = time.perf_counter()
    pace = Pace(
        DRILL_PACE.planner_period_s,
        DRILL_PACE.speed,
        keep_generations=schedule.keep_generations,
    )
    stack = _stack(schedule, pace, database_url, state_folder, name)
    left = ""
    async with stage_of(stack, pace, schedule.safeguards) as stage:
        try:
            await _play(stage, schedule)
        except LeftSchedule as reason:
            left = str(reason)
        beginning, journal = await stage.beginning(), await stage.journal()
    ours = [entry for entry in journal if entry.batch.zone in schedule.zones]
    changes = (change_of(entry.batch, entry.outcome) for entry in ours)
    judged = judge(DNS_PROPERTIES, replay(beginning, ours))
    return Replayed(
        schedule,
        tuple(change for change in changes if change),
        frozenset(each for each, violation in judged.items() if violation),
        beginning,
        journal,
        left,
        time.perf_counter() - started_s,
        join_traces(stack),
    )


def _stack(
    schedule: Schedule, pace: Pace, database_url: str, state_folder: Path, name: str
) -> StackSettings:
    mode: Mode = "fixed" if Safeguards(**schedule.safeguards) == FIXED else "buggy"
    return StackSettings(
        name=name,
        mode=mode,
        state_folder=state_folder,
        database_url=database_url,
        account_endpoints=0,
        drill=True,
        clock=pace.clock(),
        planner={"period_s": QUIET_S, "look_interval_s": QUIET_S},
        world={"customer": {"call_interval_s": QUIET_S}},
        enactor=pace.enactor()
        | {"held_at": tuple(STEPS.values()), "zones_in_flight": ZONES_IN_FLIGHT},
    )


async def _play(stage: LiveStage, schedule: Schedule) -> None:
    async def has_begun() -> bool:
        return await stage.newest() >= FIRST_PLAN

    await stage.wait_for(has_begun, PATIENCE_S * DRILL_PACE.speed)
    zones = tuple(await stage.beginning())
    held = {f"enactor-{az}": Held(stage, az, schedule.zones, zones) for az in AZS}
    # A pass that was begun before the safeguards were switched has the old ones.
    await stage.restart_enactors()
    for enactor in held.values():
        await enactor.arrive()
    for number, action in enumerate(schedule.events):
        rest = schedule.events[number + 1 :]
        following = next((each for each in rest if each.who == action.who), None)
        try:
            match action.kind:
                case "publish":
                    await _publish(stage, action)
                case "pause" | "resume":
                    paused = action.kind == "pause"
                    await stage.store.set_automation(paused=paused, operator="drill")
                case _:
                    await held[action.who].do(action, following)
        except LeftSchedule as reason:
            told = f"event {number + 1}, {action.who} {action.what}"
            raise LeftSchedule(f"{told}: {reason}") from reason


async def _publish(stage: LiveStage, action: Action) -> None:
    if action.generation > FIRST_PLAN:
        await stage.plan_now()
    newest = await stage.newest()
    if newest != action.generation:
        raise LeftSchedule(f"the newest plan is {newest}")


@dataclass
class Held:
    """An enactor that waits at a fault point for its turn.

    `ours`: the zones that the schedule names; the others follow the first of them.
    """

    stage: LiveStage
    az: str
    ours: tuple[ZoneName, ...]
    zones: tuple[ZoneName, ...]
    fault_id: int = 0
    point: str = ""
    zone: str = ""
    visits: int = 0

    async def do(self, action: Action, following: Action | None) -> None:
        """Let it have one effect, and wait until it is about to have the next.

        Raises: LeftSchedule.
        """
        if action.kind == "crash":
            request = enactor_pb2.RestartRequest(operator="drill")
            await self.stage.enactors[self.az].Restart(request)
            await self.arrive()
            return
        if self.point != STEPS[action.kind]:
            raise LeftSchedule(f"it waits at {self.point}")
        if action.outcomes and TAKEN in action.outcomes.values():
            await self._locks_lapse()
        if following and following.kind == "take lock":
            await self._lose_locks(following)
        if following and following.reply_lost:
            await self._lose_reply(STEPS[following.kind])
        seen: set[str] = set()
        while self.point == STEPS[action.kind] and self.zone not in seen:
            seen.add(self.zone)
            release = pb.ReleaseRequest(id=self.fault_id)
            await self.stage.faults[self.az].Release(release)
            await self.arrive()
        if action.kind == "pick up":
            in_hand = await self.stage.in_hand(self.az)
            if in_hand != action.generation:
                raise LeftSchedule(f"it picked up plan {in_hand}")

    async def arrive(self) -> None:
        """Wait until it waits somewhere anew.

        Raises: LeftSchedule.
        """
        patience_s = PATIENCE_S * DRILL_PACE.speed
        if not await self.stage.wait_for(self._has_arrived, patience_s):
            raise LeftSchedule(f"from {self.point or 'its start'} it came nowhere")

    async def _has_arrived(self) -> bool:
        listed = await self.stage.faults[self.az].List(pb.ListRequest())
        pauses = [each for each in listed.faults if each.fault.HasField("pause")]
        visits = sum(each.times_fired for each in pauses)
        waiting = [each for each in pauses if each.waiters]
        if visits <= self.visits or not waiting:
            return False
        self.visits = visits
        self.fault_id, self.point = waiting[0].id, waiting[0].fault.point
        self.zone = waiting[0].waiters[0].labels.get("zone", "")
        return True

    async def _locks_lapse(self) -> None:
        """Wait until no other's lock is in the way: the schedule has one taken."""

        async def free() -> bool:
            views = await self.stage.views()
            now_s = self.stage.now_s()
            locks = [view.lock for view in views.values() if view.lock]
            return all(
                lock.expires_at_s <= now_s or lock.holder == f"enactor-{self.az}"
                for lock in locks
            )

        await self.stage.wait_for(free, PATIENCE_S * DRILL_PACE.speed)

    async def _lose_locks(self, action: Action) -> None:
        """Make it lose the locks that it loses, by chance or to another."""
        outcomes = action.outcomes or {}
        for zone in self.zones:
            as_ours = zone if zone in self.ours else self.ours[0]
            if outcomes.get(as_ours) == LOST:
                await self.stage.lose_locks(self.az, zone, 1)

    async def _lose_reply(self, point: str) -> None:
        """Make it lose the first reply to what it sends next: it sends it again."""
        fault = pb.Fault(point=point, count=1, drop=pb.Drop())
        await self.stage.faults[self.az].Inject(pb.InjectRequest(fault=fault))
