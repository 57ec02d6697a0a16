"""Launches and terminations: half of the core, beside `core` with its leases.

An instance is launched once, however often it is asked for: the row in DynamoDB says
on which droplet, and the droplet starts an instance that it has only once. A launch
whose outcome nobody knows is ended again, so that what runs is what was answered.
"""

from dwfm.host import Host
from dwfm.model import (
    AWAY,
    LAUNCH,
    OBEYED,
    TERMINATE,
    WRITTEN,
    Answer,
    Command,
    Droplet,
    InstanceId,
    Kind,
    LaunchAsked,
    Outcome,
    Ran,
    Run,
    Stale,
    TerminateAsked,
    Work,
)


def asked(host: Host, event: LaunchAsked, now_s: float, out: list[Command]) -> None:
    """Take a launch in, or refuse it at once. Source: R27, R30."""
    instance = event.instance
    waiting = host.launching.get(instance)
    if waiting:
        waiting.deadline_s = max(waiting.deadline_s, event.deadline_s)
    elif instance in host.instances:
        droplet = host.instances[instance]
        out.append(Answer(instance, Outcome.RUNNING, droplet.name))
    elif instance in host.ended:
        out.append(Answer(instance, Outcome.TERMINATED))
    else:
        host.counts.launches_asked += 1
        refusal = _refusal(host, instance, now_s)
        if refusal:
            out.append(refusal)
            return
        work = Work(LAUNCH, now_s, event.deadline_s, instance=instance)
        host.launching[instance] = work
        host.queue.put_new(work, host.safeguards)


def end_asked(
    host: Host, event: TerminateAsked, now_s: float, out: list[Command]
) -> None:
    """Take a termination in, or refuse it at once; an ended instance stays ended."""
    instance = event.instance
    waiting = host.ending.get(instance)
    droplet = host.instances.get(instance)
    if waiting:
        waiting.deadline_s = max(waiting.deadline_s, event.deadline_s)
    elif droplet is None:
        known = instance in host.ended
        outcome = Outcome.TERMINATED if known else Outcome.UNKNOWN
        out.append(Answer(instance, outcome, kind=TERMINATE))
    elif not host.queue.has_room(host.safeguards, now_s):
        out.append(_limit_exceeded(host, instance, TERMINATE, now_s))
    else:
        work = Work(TERMINATE, now_s, event.deadline_s, droplet, instance)
        host.ending[instance] = work
        host.queue.put_new(work, host.safeguards)


def start(host: Host, work: Work, out: list[Command]) -> None:
    """Hand work to a worker, if there is a droplet with a lease to do it on."""
    if work.kind is TERMINATE:
        if work.droplet and work.droplet.leased:
            _run(host, work, work.droplet, out)
        else:
            give_up(host, work, Outcome.NO_LEASE, out)
    elif host.candidates:
        _start_on(host, work, host.candidates[-1], out)
    else:
        give_up(host, work, Outcome.INSUFFICIENT_CAPACITY, out)


def ran(host: Host, event: Ran, now_s: float, out: list[Command]) -> None:
    """Note what came of a launch or a termination."""
    work, droplet = event.work, event.work.droplet
    if work not in host.running or droplet is None or work.instance is None:
        return
    host.running.remove(work)
    done = event.store is WRITTEN and event.droplet is OBEYED
    if done and now_s <= work.deadline_s:
        host.counts.in_time += 1
    elif done:
        host.counts.late += 1
    if isinstance(event.droplet, Stale):
        host.lose_lease(droplet)
    if work.kind is LAUNCH:
        _launch_ran(host, event, droplet, work.instance, out)
    else:
        _end_ran(host, event, droplet, work.instance, out)


def give_up(host: Host, work: Work, outcome: Outcome, out: list[Command]) -> None:
    """Tell whoever asked that work will not be done; nobody asks for a check."""
    instance, droplet = work.instance, work.droplet
    if instance is None:
        return
    if work.kind is LAUNCH:
        if droplet:
            droplet.starting -= 1
            _undo(host, droplet, instance)
        _launch_failed(host, instance, outcome, out)
    elif host.ending.pop(instance, None):
        out.append(Answer(instance, outcome, kind=TERMINATE))


def end_leftovers(host: Host, droplet: Droplet, now_s: float) -> None:
    """End what launches of unknown outcome may have left; its droplet answers again."""
    for instance in droplet.leftovers:
        deadline_s = now_s + host.limits.timeout_s
        work = Work(TERMINATE, now_s, deadline_s, droplet, instance)
        host.queue.put(work, host.safeguards)


def adopt(host: Host, droplet: Droplet, instances: frozenset[InstanceId]) -> None:
    """Learn what runs on a droplet from its first answer to this process."""
    droplet.is_known = True
    for instance in instances - droplet.instances:
        droplet.instances.add(instance)
        host.instances[instance] = droplet
    if droplet.room <= 0:
        host.withdraw(droplet)


def _refusal(host: Host, instance: InstanceId, now_s: float) -> Answer | None:
    if host.draining:
        host.counts.failed += 1
        return Answer(instance, Outcome.DRAINING)
    if instance in host.undoing:
        host.counts.failed += 1
        return Answer(instance, Outcome.DROPLET_FAILED)
    if not host.candidates:
        host.counts.refused_capacity += 1
        return Answer(instance, Outcome.INSUFFICIENT_CAPACITY)
    if not host.queue.has_room(host.safeguards, now_s):
        host.counts.refused_limit += 1
        return _limit_exceeded(host, instance, LAUNCH, now_s)
    return None


def _limit_exceeded(
    host: Host, instance: InstanceId, kind: Kind, now_s: float
) -> Answer:
    retry_after_s = host.queue.retry_after_s(now_s)
    outcome = Outcome.REQUEST_LIMIT_EXCEEDED
    return Answer(instance, outcome, retry_after_s=retry_after_s, kind=kind)


def _start_on(host: Host, work: Work, droplet: Droplet, out: list[Command]) -> None:
    work.droplet = droplet
    droplet.starting += 1
    if droplet.room <= 0:
        host.withdraw(droplet)
    _run(host, work, droplet, out)


def _run(host: Host, work: Work, droplet: Droplet, out: list[Command]) -> None:
    work.term = droplet.term
    host.running.add(work)
    out.append(Run(work, droplet))


def _launch_ran(
    host: Host, event: Ran, droplet: Droplet, instance: InstanceId, out: list[Command]
) -> None:
    droplet.starting -= 1
    if event.found:
        # An earlier attempt, of this or another process, was to run it elsewhere.
        # Enforced by: tests/unit/dwfm/test_launches.py::test_a_token_keeps_its_droplet
        host.offer(droplet)
        there = host.droplets.get(event.found)
        if there and there.leased:
            _start_on(host, event.work, there, out)
        else:
            _launch_failed(host, instance, Outcome.NO_LEASE, out)
    elif event.store is WRITTEN and event.droplet is OBEYED:
        droplet.instances.add(instance)
        del host.launching[instance]
        host.instances[instance] = droplet
        host.counts.launched += 1
        out.append(Answer(instance, Outcome.RUNNING, droplet.name))
    elif event.store is AWAY:
        host.offer(droplet)
        _launch_failed(host, instance, Outcome.STORE_AWAY, out)
    else:
        _undo(host, droplet, instance)
        _launch_failed(host, instance, _why(event), out)


def _end_ran(
    host: Host, event: Ran, droplet: Droplet, instance: InstanceId, out: list[Command]
) -> None:
    asked_for = host.ending.pop(instance, None)
    if event.store is WRITTEN and event.droplet is OBEYED:
        droplet.instances.discard(instance)
        droplet.leftovers.discard(instance)
        host.undoing.pop(instance, None)
        host.remember_ended(instance)
        host.offer(droplet)
        if asked_for:
            del host.instances[instance]
            host.counts.terminated += 1
            out.append(Answer(instance, Outcome.TERMINATED, kind=TERMINATE))
    elif asked_for:
        out.append(Answer(instance, _why(event), kind=TERMINATE))


def _launch_failed(
    host: Host, instance: InstanceId, outcome: Outcome, out: list[Command]
) -> None:
    del host.launching[instance]
    if outcome is Outcome.INSUFFICIENT_CAPACITY:
        host.counts.refused_capacity += 1
    else:
        host.counts.failed += 1
    out.append(Answer(instance, outcome))


def _undo(host: Host, droplet: Droplet, instance: InstanceId) -> None:
    """Take a slot for what may run, until it is known to have ended."""
    droplet.instances.add(instance)
    droplet.leftovers.add(instance)
    host.undoing[instance] = droplet


def _why(event: Ran) -> Outcome:
    if event.store is not WRITTEN:
        return Outcome.STORE_AWAY
    if isinstance(event.droplet, Stale):
        return Outcome.NO_LEASE
    return Outcome.DROPLET_FAILED
