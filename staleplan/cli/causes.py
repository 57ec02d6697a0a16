"""What is wrong with a stack, the cause first. Source: R20.

In the event hundreds of alarms fired, and the one that named the cause was lost among
them. So there is one cause for a group of zones, however many they are, and it ends
with the command that mends it.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum

from staleplan.cli.resolve import NO_ANSWER
from staleplan.cli.status_read import (
    PRESETS,
    EnactorStatus,
    GroupStatus,
    StackStatus,
)

WORTH_TELLING = 3
"""Retries in a row that are told: one or two are how enactors share. Source: R10."""


WORTH_WAITING_S = 30.0
"""Incident seconds in the queue that are told: as long as an attempt lasts, unless
told otherwise. Whoever waits longer waits in vain. Source: R28."""


class Severity(StrEnum):
    """Whether customers or operators are without something, or may soon be."""

    RED = "red"
    YELLOW = "yellow"


@dataclass(frozen=True, slots=True)
class Cause:
    """One thing that is wrong, and the command that mends it; empty: none does."""

    severity: Severity
    text: str
    repair: str = ""

    def __str__(self) -> str:
        """Say both in one line."""
        return f"{self.text}. Repair: {self.repair}" if self.repair else self.text


def find_causes(status: StackStatus) -> list[Cause]:
    """Find what is wrong, what hurts customers first."""
    causes = (
        *_empty_groups(status),
        *(Cause(Severity.RED, error) for error in status.errors),
        *_dead_services(status),
        *_held_back(status),
        *_retries(status),
        *_fleet(status),
    )
    return sorted(causes, key=lambda cause: cause.severity is not Severity.RED)


def _empty_groups(status: StackStatus) -> Iterator[Cause]:
    for group in status.groups:
        if group.empty:
            yield Cause(Severity.RED, _why_empty(group, status), _repair(group, status))
        elif group.answer and group.answer.status == NO_ANSWER:
            yield Cause(Severity.RED, f"{group.group}: DNS gives no answer at all")
        elif group.answer and not group.answer.answers and group.newest_active:
            yield Cause(
                Severity.RED,
                f"{group.group}: {group.answer.status} with 0 answers, although plan "
                f"{group.newest_active} has its tree",
            )


def _repair(group: GroupStatus, status: StackStatus) -> str:
    """Restore; but first take their old plans from enactors that wait with them.

    Where nothing stops them they would overwrite what is restored, and another one
    would clean up behind them: the race of R16 and R17 once more.
    """
    restore = f"staleplan ops restore {group.group} --generation newest"
    newest = status.newest_plan or 0
    if any(e.refused and e.generation_in_hand < newest for e in _busy(status)):
        return f"{_at(status, 'staleplan ops restart')} && {_at(status, restore)}"
    return _at(status, restore)


def _busy(status: StackStatus) -> list[EnactorStatus]:
    return [each for each in status.enactors.values() if each.generation_in_hand]


def _why_empty(group: GroupStatus, status: StackStatus) -> str:
    answer = group.answer
    heard = f"{answer.status} with {answer.answers} answers: " if answer else ""
    gone = sorted({each for missing in group.empty.values() for each in missing})
    plans = f"active plan {gone[0]} has no tree"
    if len(gone) > 1:
        plans = f"active plans {', '.join(map(str, gone))} have no trees"
    some = list(group.empty)
    where = some[0] if len(some) == 1 else f"{group.group} ({len(some)} zones)"
    return f"{where}: {heard}{plans}; {_who_is_refused(status, some)}"


def _who_is_refused(status: StackStatus, zones: list[str]) -> str:
    """Say which enactors cannot help, and why."""
    refused: dict[str, list[str]] = {}
    for az, enactor in status.enactors.items():
        if enactor.refused and set(enactor.stuck_zones) & set(zones):
            refused.setdefault(enactor.refused, []).append(az)
    said = (
        f"enactor{'s' * (len(azs) > 1)} {', '.join(azs)} "
        f"{'are' if len(azs) > 1 else 'is'} refused: {reason}"
        for reason, azs in refused.items()
    )
    return "; ".join(said) or "no enactor is known to be refused"


def _dead_services(status: StackStatus) -> Iterator[Cause]:
    dead = [each for each in status.services if each.health != "SERVING"]
    if not status.supervised:
        yield Cause(
            Severity.RED,
            "the supervisor is dead: what crashes stays down",
            f"staleplan down --stack {status.name}, then up again",
        )
    for each in dead:
        health = each.health.lower().replace("_", " ")
        hint = ": the supervisor starts it again" if status.supervised else ""
        yield Cause(Severity.RED, f"{each.service}: {health} at {each.address}{hint}")


def _held_back(status: StackStatus) -> Iterator[Cause]:
    """What waits for a plan, or for an operator."""
    if status.newest_plan == 0:
        yield Cause(Severity.YELLOW, "no plan has been published yet")
    if status.held:
        yield Cause(
            Severity.YELLOW,
            f"planner: holds plan {status.held.digest}, in which "
            f"{status.held.endpoint} loses {status.held.removed:.0%} of its weight",
            _at(status, f"staleplan ops force {status.held.digest}"),
        )
    if status.paused:
        deaf = [az for az in status.enactors if not _obeys_pause(status, az)]
        but = f"; enactors {', '.join(deaf)} go on: pause_switch is off" if deaf else ""
        yield Cause(
            Severity.YELLOW,
            f"automation is paused by an operator, answers go on{but}",
            _at(status, "staleplan ops resume"),
        )


def _obeys_pause(status: StackStatus, az: str) -> bool:
    preset = PRESETS["enactor"][status.mode]["pause_switch"]
    return status.switched.get(f"enactor-{az}.pause_switch", preset)


def _retries(status: StackStatus) -> Iterator[Cause]:
    """Enactors that try in vain, unless the reason has been told above."""
    told = {zone for group in status.groups for zone in group.empty}
    behind = {zone for group in status.groups for zone in group.behind} - told
    for az, enactor in status.enactors.items():
        stuck = [zone for zone in enactor.stuck_zones if zone in behind]
        if enactor.retries_in_a_row < WORTH_TELLING or not stuck or status.paused:
            continue
        why = enactor.refused or "another one has the lock"
        more = f" and {len(stuck) - 1} more" if len(stuck) > 1 else ""
        yield Cause(
            Severity.YELLOW,
            f"enactor-{az}: tried {stuck[0]}{more} {enactor.retries_in_a_row} times in "
            f"a row, with plan {enactor.generation_in_hand}: {why}",
        )


def _fleet(status: StackStatus) -> Iterator[Cause]:
    """Why launches fail, and what operators did about it. Source: R26-R30."""
    for az, host in status.fleet.items():
        lost = f"dwfm-{az}: {host.leases} of {host.droplets} droplets have a lease"
        short = host.leases < host.droplets
        if host.store_is_away:
            yield Cause(
                Severity.RED if short else Severity.YELLOW,
                f"{lost}, and DynamoDB is away"
                + ("" if short else ": they are held until it is back"),
            )
        elif short and host.oldest_wait_s > WORTH_WAITING_S:
            yield Cause(
                Severity.RED,
                f"{lost}, and {host.queued} pieces of work wait, the oldest for "
                f"{host.oldest_wait_s:.0f} s; {host.late} were done too late",
                f"{_at(status, f'staleplan ops throttle 0.1 --az {az}')} && "
                f"{_at(status, f'staleplan ops restart dwfm --az {az}')}",
            )
        elif short and host.leases_expired:
            yield Cause(Severity.YELLOW, f"{lost}; it is taking the others")
        if host.throttle_per_s or host.draining:
            done = "drained" if host.draining else f"{host.throttle_per_s:g} a second"
            lift = "drain --end" if host.draining else "throttle 0"
            yield Cause(
                Severity.YELLOW,
                f"dwfm-{az}: an operator limits new work: {done}",
                _at(status, f"staleplan ops {lift} --az {az}"),
            )


def _at(status: StackStatus, command: str) -> str:
    """A command that works also where several stacks run."""
    return command if status.name == "default" else f"{command} --stack {status.name}"
