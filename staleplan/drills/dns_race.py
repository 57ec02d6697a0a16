"""The drill `dns-race`: 23:48 on 19 October 2025, step by step.

One enactor loses the lock of the regional endpoint again and again and falls behind,
its one-time check long past (R14). The planner goes on (R15). Another enactor applies
a newer plan everywhere; as it starts to clean up, the late one gets the lock and flips
the endpoint to its old plan (R16), which the clean-up then deletes (R17). What happens
then is up to the enactors: the script only chooses who waits for whom.
"""

import random
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

from staleplan.drills.stage import Asked, Hold, Place, Stage
from staleplan.model import NOTHING, Generation, ZoneName

REGIONAL = ZoneName("regional")
LATE, SWIFT, IDLE = "a", "b", "c"
"""The late enactor, the one that overtakes it, and the one that stands by."""

STEADY_PLANS = 2
"""Plans that must be applied everywhere before the fault: the load's floor."""

PLANS_AFTER = 10
"""Plans that are published after the race, to see whether any applies unaided."""

BETWEEN_PLANS = 0.25
"""Planner periods between plans while capacity changes fast: enough for a pass."""

STEADY_PERIODS = 40
HELD_PERIODS = 40
"""Planner periods that a phase may take before the run is called void: a machine that
is busy with other things is slow."""

FINISH_PERIODS = 2
"""Planner periods that the late flip and the clean-up may take."""


class Void(Exception):
    """The run did not come to the point: it proves nothing, either way."""


@dataclass(slots=True)
class Race:
    """What the script did and saw. Units: seconds are epoch, incident time."""

    timeline: list[tuple[float, str]] = field(default_factory=list)
    held: Generation = NOTHING
    fault_ended_s: float = 0.0
    converged_s: float | None = None
    after_race: Asked | None = None
    after_plans: Asked | None = None
    after_repair: Asked | None = None


@dataclass(frozen=True, slots=True)
class Script:
    """How a run goes. Units: times are epoch seconds of incident time.

    `natural`: starve only, and let chance decide about the rest. With times given, the
    late flip, the repair and the end wait for theirs, as on the night itself;
    without, everything follows at once.
    """

    seed: int
    natural: bool = False
    fault: bool = True
    flip_at_s: float | None = None
    repair_at_s: float | None = None
    end_at_s: float | None = None

    @property
    def is_the_night(self) -> bool:
        """Whether the run keeps the record's own times, so that impacts compare."""
        return self.flip_at_s is not None


async def run_race(stage: Stage, script: Script) -> Race:
    """Play the drill on a stage.

    Raises: Void, if the region never became steady or nobody fell behind.
    """
    race = Race()
    chance = random.Random(script.seed)
    await _become_steady(stage, race)
    if script.fault and script.natural:
        await _starve(stage, race, chance)
    elif script.fault:
        await _hold_in_the_window(stage, race, chance, script.flip_at_s)
    race.fault_ended_s = stage.now_s()
    _note(stage, race, "the fault is over")
    await _see_plans_applied(stage, race, script)
    race.after_plans = await stage.ask()
    if race.converged_s is None:
        await _repair(stage, race)
        race.after_repair = await stage.ask()
    if script.end_at_s:
        await _sleep_until(stage, script.end_at_s)
    return race


async def _become_steady(stage: Stage, race: Race) -> None:
    steady = Generation(STEADY_PLANS)

    async def active() -> bool:
        return await _active_everywhere(stage, steady)

    if not await stage.wait_for(active, STEADY_PERIODS * stage.planner_period_s):
        raise Void(f"plan {steady} was never active everywhere")
    _note(stage, race, f"steady: plan {steady} is active everywhere")


async def _hold_in_the_window(
    stage: Stage, race: Race, chance: random.Random, flip_at_s: float | None
) -> None:
    """Order the events as the record has them."""

    async def only_regional() -> bool:
        return list(await stage.retrying(LATE)) == [REGIONAL]

    others = [
        await stage.hold(Place(az, "enactor.before_pass")) for az in (SWIFT, IDLE)
    ]
    starved = await stage.lose_locks(LATE, REGIONAL, 0)
    await _must(stage, only_regional, "nobody fell behind")
    await stage.sleep_s(chance.random() * stage.planner_period_s / 2)
    late = await stage.hold(Place(LATE, "enactor.take_lock", REGIONAL))
    await starved.release()
    await _must(stage, late.has_caught, "nobody fell behind")
    race.held = await stage.in_hand(LATE)
    _note(
        stage,
        race,
        f"enactor-{LATE} lost the lock of {REGIONAL} several times in a row and holds "
        f"plan {race.held} (R14)",
    )
    for other in others:
        await other.release()
    await _fall_behind(stage, race)
    if flip_at_s:
        await _sleep_until(stage, flip_at_s - stage.planner_period_s)
    idle = await stage.hold(Place(IDLE, "enactor.before_pass"))
    swift = await stage.hold(
        Place(SWIFT, "enactor.before_clean_up", REGIONAL),
        until=Place(LATE, "enactor.after_batch", REGIONAL),
    )
    await _must(stage, swift.has_caught, f"enactor-{SWIFT} never cleaned up")
    await _must(stage, idle.has_caught, f"enactor-{IDLE} never ended its pass")
    if flip_at_s:
        await _sleep_until(stage, flip_at_s)
    active = (await stage.views())[REGIONAL].newest_active
    _note(
        stage,
        race,
        f"enactor-{SWIFT} has applied plan {active} everywhere and starts to clean up "
        f"as enactor-{LATE} gets the lock (R16)",
    )
    await late.release()
    await _let_finish(stage, swift, Generation(active - stage.keep_generations))
    await idle.release()


async def _let_finish(stage: Stage, swift: Hold, kept: Generation) -> None:
    """Wait until the late one has tried to flip and the other has cleaned up."""

    async def cleaned_up() -> bool:
        trees = (await stage.views())[REGIONAL].trees
        return not any(tree < kept for tree in trees)

    # A late one that loses this lock too may find nothing to flip afterwards: then only
    # time ends the other one's wait.
    patience_s = FINISH_PERIODS * stage.planner_period_s
    await stage.wait_for(swift.has_ended, patience_s)
    await swift.release()
    await stage.wait_for(cleaned_up, patience_s)


async def _starve(stage: Stage, race: Race, chance: random.Random) -> None:
    """Only starve the late one of the lock, until a moment that chance chooses."""
    starved = await stage.lose_locks(LATE, REGIONAL, 0)
    await _must(stage, starved.has_caught, "nobody fell behind")
    race.held = await stage.in_hand(LATE)
    _note(stage, race, f"enactor-{LATE} loses every lock of {REGIONAL} (R14)")
    await _fall_behind(stage, race)
    await stage.sleep_s(chance.random() * stage.planner_period_s)
    await starved.release()
    await stage.sleep_s(stage.planner_period_s)


async def _fall_behind(stage: Stage, race: Race) -> None:
    """Wait until the plan that the late one holds is old enough to be deleted."""
    enough = race.held + stage.keep_generations + 1

    async def far_behind() -> bool:
        return (await stage.views())[REGIONAL].newest_active >= enough

    await _publish(stage, stage.keep_generations, apart=BETWEEN_PLANS)
    await _must(stage, far_behind, "the other enactors did not go on")
    _note(stage, race, f"the planner went on: plan {await stage.newest()} (R15)")


async def _publish(stage: Stage, plans: int, *, apart: float) -> None:
    """Let plans come in quick succession, as when capacity changes fast. R15."""
    for _ in range(plans):
        await stage.plan_now()
        await stage.sleep_s(apart * stage.planner_period_s)


async def _see_plans_applied(stage: Stage, race: Race, script: Script) -> None:
    """Note when the newest plan is active everywhere, and let ten more come."""
    first = await stage.newest()

    async def converged() -> bool:
        return await _active_everywhere(stage, first)

    async def ten_more() -> bool:
        return await stage.newest() >= first + PLANS_AFTER

    if await stage.wait_for(converged, stage.planner_period_s):
        race.converged_s = stage.now_s()
    race.after_race = await stage.ask()
    if script.fault and not script.repair_at_s:
        await _publish(stage, PLANS_AFTER, apart=BETWEEN_PLANS)
    await stage.wait_for(ten_more, 2 * PLANS_AFTER * stage.planner_period_s)
    if script.repair_at_s:
        await _sleep_until(stage, script.repair_at_s)
    if race.converged_s is None and await converged():
        race.converged_s = stage.now_s()
    applied = "active everywhere" if race.converged_s else "none could be applied"
    more = await stage.newest() - first
    _note(stage, race, f"{more} more plans: {applied} (R19)")


async def _repair(stage: Stage, race: Race) -> None:
    """What the operators did: first the enactors' old plans, then the endpoint."""
    await stage.restart_enactors()
    newest = await stage.newest()
    await stage.restore(REGIONAL, newest)
    _note(stage, race, f"operators restored {REGIONAL} to plan {newest} (R19, R21)")

    async def healed() -> bool:
        if not await _active_everywhere(stage, newest):
            return False
        return (await stage.ask()).answers > 0

    await stage.wait_for(healed, FINISH_PERIODS * stage.planner_period_s)


async def _active_everywhere(stage: Stage, generation: Generation) -> bool:
    views = await stage.views()
    return bool(views) and all(
        view.oldest_active >= generation and view.newest_active in view.trees
        for view in views.values()
    )


async def _must(
    stage: Stage, condition: Callable[[], Awaitable[bool]], otherwise: str
) -> None:
    if not await stage.wait_for(condition, HELD_PERIODS * stage.planner_period_s):
        raise Void(otherwise)


async def _sleep_until(stage: Stage, at_s: float) -> None:
    await stage.sleep_s(max(0.0, at_s - stage.now_s()))


def _note(stage: Stage, race: Race, event: str) -> None:
    race.timeline.append((stage.now_s(), event))
