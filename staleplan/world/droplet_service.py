"""The droplets over gRPC; they need nothing but themselves: no store, no name."""

# gRPC decides what a method is called and what it takes.
# ruff: noqa: ARG002, N802

import re
from collections.abc import Callable
from typing import Any

from protos.droplet.v1 import droplet_pb2 as pb
from protos.droplet.v1 import droplet_pb2_grpc
from staleplan.runtime.clock import Clock
from staleplan.runtime.errors import InvalidArgumentError, UnknownNameError
from staleplan.runtime.faults import Faults
from staleplan.runtime.recent import Recent
from staleplan.world.core import AZS
from staleplan.world.droplets import Droplet, Effect
from staleplan.world.errors import (
    DropletFullError,
    NotRunningError,
    UnknownDropletError,
)
from staleplan.world.faulted import faulted
from staleplan.world.model import Action, StaleTerm, Term

MAX_ACTIONS = 100_000
"""Actions that are remembered: a day of 48 droplets with a check every two minutes and
twice as many launches and terminations; some 25 MB."""

ACTIONS_A_REPLY = 5_000
"""Most actions in one reply: 1 MB, a quarter of gRPC's limit for a message."""

_NAME = re.compile(r"[a-z0-9][a-z0-9-]{0,62}")

_Request = (
    pb.CheckStateRequest
    | pb.LaunchInstanceRequest
    | pb.TerminateInstanceRequest
    | pb.RebootInstanceRequest
)
_Act = Callable[[Droplet, Term, str], Effect | StaleTerm]


class DropletService(droplet_pb2_grpc.DropletServiceServicer):
    """Checks what is asked, passes the fault point, and has a droplet act."""

    def __init__(
        self, droplets: dict[str, Droplet], clock: Clock, faults: Faults
    ) -> None:
        """Serves droplets, by name."""
        self._droplets = droplets
        self._clock = clock
        self._faults = faults
        self._actions: Recent[Action] = Recent(MAX_ACTIONS)

    async def ListDroplets(
        self, request: pb.ListDropletsRequest, context: Any
    ) -> pb.ListDropletsResponse:
        """Returns the droplets of one AZ, in the order of their names."""
        if request.az not in AZS:
            raise UnknownNameError("az", request.az, AZS)
        return pb.ListDropletsResponse(
            droplets=[
                _droplet_to_message(each)
                for each in self._droplets.values()
                if each.az == request.az
            ]
        )

    async def CheckState(
        self, request: pb.CheckStateRequest, context: Any
    ) -> pb.CheckStateResponse:
        """Has a droplet learn a term, and says what runs on it."""
        droplet, result = await self._act("check", _check, request)
        if isinstance(result, StaleTerm):
            return pb.CheckStateResponse(stale_term=_stale_to_message(result))
        return pb.CheckStateResponse(state=pb.State(instances=droplet.running))

    async def LaunchInstance(
        self, request: pb.LaunchInstanceRequest, context: Any
    ) -> pb.LaunchInstanceResponse:
        """Starts an instance; one that runs already is left as it is."""
        droplet, result = await self._act(
            "launch", Droplet.launch, request, request.instance
        )
        if result is Effect.FULL:
            raise DropletFullError(droplet.name, droplet.slots)
        return pb.LaunchInstanceResponse(stale_term=_stale_to_message(result))

    async def TerminateInstance(
        self, request: pb.TerminateInstanceRequest, context: Any
    ) -> pb.TerminateInstanceResponse:
        """Ends an instance; one that does not run stays so."""
        _, result = await self._act(
            "terminate", Droplet.terminate, request, request.instance
        )
        return pb.TerminateInstanceResponse(stale_term=_stale_to_message(result))

    async def RebootInstance(
        self, request: pb.RebootInstanceRequest, context: Any
    ) -> pb.RebootInstanceResponse:
        """Starts a running instance anew."""
        droplet, result = await self._act(
            "reboot", Droplet.reboot, request, request.instance
        )
        if result is Effect.NOT_RUNNING:
            raise NotRunningError(droplet.name, request.instance)
        return pb.RebootInstanceResponse(stale_term=_stale_to_message(result))

    async def ReadActions(
        self, request: pb.ReadActionsRequest, context: Any
    ) -> pb.ReadActionsResponse:
        """Returns what droplets were told and what they did, oldest first."""
        if request.after_sequence < 0:
            problem = f"must be at least 0, got {request.after_sequence}"
            raise InvalidArgumentError({"after_sequence": problem})
        actions = self._actions.after(request.after_sequence, ACTIONS_A_REPLY)
        return pb.ReadActionsResponse(actions=map(_action_to_message, actions))

    async def _act(
        self, kind: str, act: _Act, request: _Request, instance: str | None = None
    ) -> tuple[Droplet, Effect | StaleTerm]:
        """Has the droplet that a request names act, and notes what came of it.

        Raises: InvalidArgumentError; UnknownDropletError.
        """
        _refuse(request, instance)
        droplet = self._droplets.get(request.droplet)
        if droplet is None:
            raise UnknownDropletError("droplet", request.droplet, self._droplets)
        term, instance = Term(request.term), instance or ""
        async with faulted(
            self._faults, "droplet.call", droplet=droplet.name, az=droplet.az
        ):
            result = act(droplet, term, instance)
            self._actions.add(
                Action(
                    self._actions.next_sequence,
                    self._clock.now_s(),
                    droplet.name,
                    kind,
                    term,
                    request.holder,
                    instance,
                    "stale term" if isinstance(result, StaleTerm) else result,
                    droplet.term,
                )
            )
        return droplet, result


def _check(droplet: Droplet, term: Term, _: str) -> Effect | StaleTerm:
    return droplet.obey(term) or Effect.DONE


def _refuse(request: _Request, instance: str | None) -> None:
    """Raises `InvalidArgumentError`, if anything is wrong with a request in itself."""
    names = {"droplet": request.droplet}
    if instance is not None:
        names["instance"] = instance
    if request.holder:
        names["holder"] = request.holder
    fields = {
        path: f"must be 1 to 63 of a-z, 0-9 and -, got {name[:80]!r}"
        for path, name in names.items()
        if not _NAME.fullmatch(name)
    }
    if request.term < 1:
        fields["term"] = f"must be at least 1, got {request.term}"
    if fields:
        raise InvalidArgumentError(fields)


def _stale_to_message(result: Effect | StaleTerm) -> pb.StaleTerm | None:
    if not isinstance(result, StaleTerm):
        return None
    return pb.StaleTerm(attempted_term=result.attempted, current_term=result.current)


def _droplet_to_message(droplet: Droplet) -> pb.Droplet:
    return pb.Droplet(
        name=droplet.name,
        az=droplet.az,
        slots=droplet.slots,
        running=len(droplet.running),
        term=droplet.term,
    )


def _action_to_message(action: Action) -> pb.Action:
    return pb.Action(
        sequence=action.sequence,
        at_s=action.at_s,
        droplet=action.droplet,
        kind=action.kind,
        term=action.term,
        holder=action.holder,
        instance=action.instance,
        result=action.result,
        current_term=action.current_term,
    )
