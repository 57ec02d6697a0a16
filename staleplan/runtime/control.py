"""The RPCs of a drill: inject faults into a service, and switch its safeguards.

Both are refused unless the service was started with `--drill`, and all that changes
anything is logged.
"""

# gRPC decides what a method is called and what it takes.
# ruff: noqa: ARG002, N802

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any, Self

import grpc

from protos.runtime.v1 import runtime_pb2 as pb
from protos.runtime.v1 import runtime_pb2_grpc
from staleplan.runtime.channel import channel
from staleplan.runtime.errors import (
    InvalidArgumentError,
    PermissionDeniedError,
    ServiceError,
    UnknownNameError,
)
from staleplan.runtime.fault_spec import (
    Crash,
    Delay,
    Drop,
    Effect,
    Error,
    Fault,
    Pause,
    Selector,
    Skew,
    Until,
    check_fault,
)
from staleplan.runtime.faults import Faults, InjectedFault
from staleplan.runtime.safeguards import SafeguardSwitchboard
from staleplan.runtime.telemetry import Telemetry

WATCH_ARMED_TIMEOUT_S = 5.0
"""How long another service may take to say that a watch is armed, wall seconds."""

_Context = grpc.aio.ServicerContext[Any, Any]


class FaultControl(runtime_pb2_grpc.FaultServiceServicer):
    """Serves the faults of one service."""

    def __init__(self, faults: Faults, telemetry: Telemetry, *, drill: bool) -> None:
        self._faults = faults
        self._telemetry = telemetry
        self._drill = drill

    async def Inject(
        self, request: pb.InjectRequest, context: _Context
    ) -> pb.InjectResponse:
        """Arms a fault, and first the watch for an `until` in another process."""
        _require_drill(self._drill)
        fault = fault_from_proto(request.fault)
        check_fault(fault)
        match fault.effect:
            case Pause(Until(_, str(address)) as until) if address:
                follow = await _Follow.armed(until, self._telemetry)
                injected = self._faults.inject(fault)
                follow.begin(self._faults, injected)
            case _:
                injected = self._faults.inject(fault)
        self._telemetry.log.info(
            "fault injected", fault=fault.selector.point, id=injected.id, spec=fault
        )
        return pb.InjectResponse(id=injected.id)

    async def List(self, request: pb.ListRequest, context: _Context) -> pb.ListResponse:
        """Lists the faults that were injected and not cleared."""
        _require_drill(self._drill)
        return pb.ListResponse(
            faults=[_injected_to_proto(injected) for injected in self._faults.listed()]
        )

    async def Clear(
        self, request: pb.ClearRequest, context: _Context
    ) -> pb.ClearResponse:
        """Ends one fault, or all."""
        _require_drill(self._drill)
        ids = self._faults.clear(request.id)
        self._telemetry.log.info("faults cleared", ids=ids)
        return pb.ClearResponse(ids=ids)

    async def Release(
        self, request: pb.ReleaseRequest, context: _Context
    ) -> pb.ReleaseResponse:
        """Lets go on what a pause holds."""
        _require_drill(self._drill)
        released = self._faults.release(request.id)
        self._telemetry.log.info("fault released", id=request.id, released=released)
        return pb.ReleaseResponse(released=released)

    async def Watch(
        self, request: pb.WatchRequest, context: _Context
    ) -> AsyncIterator[pb.WatchResponse]:
        """Streams the points that are reached, once it has said that it watches."""
        _require_drill(self._drill)
        watch = self._faults.watch(Selector(request.point, dict(request.labels)))
        try:
            yield pb.WatchResponse(armed=pb.Armed())
            async for event in watch:
                reached = pb.Reached(
                    point=event.point,
                    labels=event.labels,
                    at_s=event.at_s,
                    times_reached=event.times_reached,
                )
                yield pb.WatchResponse(reached=reached)
        finally:
            self._faults.unwatch(watch)


class SafeguardControl(runtime_pb2_grpc.SafeguardServiceServicer):
    """Serves the safeguards of one service."""

    def __init__(
        self,
        switchboard: SafeguardSwitchboard[Any],
        telemetry: Telemetry,
        *,
        drill: bool,
    ) -> None:
        self._switchboard = switchboard
        self._telemetry = telemetry
        self._drill = drill

    async def Get(self, request: pb.GetRequest, context: _Context) -> pb.GetResponse:
        """Returns the safeguards as requested and in effect."""
        _require_drill(self._drill)
        return pb.GetResponse(
            mode=self._switchboard.mode,
            requested=self._switchboard.requested,
            effective=self._switchboard.effective,
            descriptions=self._switchboard.descriptions,
        )

    async def Set(self, request: pb.SetRequest, context: _Context) -> pb.SetResponse:
        """Switches safeguards from the next pass on."""
        _require_drill(self._drill)
        wanted = dict(request.safeguards)
        self._switchboard.set(wanted)
        self._telemetry.log.info("safeguards requested", safeguards=wanted)
        return pb.SetResponse(requested=self._switchboard.requested)


class UntilUnreachableError(ServiceError):
    """The service that has the `until` of a pause cannot be watched."""

    code = grpc.StatusCode.FAILED_PRECONDITION
    reason = "UNTIL_UNREACHABLE"
    definite = True


class _Follow:
    """A watch in another process that ends a pause of this one."""

    def __init__(self, until: Until, telemetry: Telemetry) -> None:
        self._until = until
        self._log = telemetry.log
        self._channel = channel(until.address, telemetry)
        self._call = runtime_pb2_grpc.FaultServiceStub(self._channel).Watch(
            pb.WatchRequest(point=until.selector.point, labels=until.selector.labels)
        )

    @classmethod
    async def armed(cls, until: Until, telemetry: Telemetry) -> Self:
        """Returns a watch that the other service has said is armed.

        Raises: UntilUnreachableError.
        """
        follow = cls(until, telemetry)
        try:
            async with asyncio.timeout(WATCH_ARMED_TIMEOUT_S):
                await follow._call.read()
        except (TimeoutError, grpc.aio.AioRpcError) as error:
            await follow._channel.close()
            detail = error.details() if isinstance(error, grpc.RpcError) else "timeout"
            raise UntilUnreachableError(
                f"cannot watch {until.selector.point} at {until.address}: {detail}",
                fields={"fault.pause.until.address": str(detail)},
            ) from error
        return follow

    def begin(self, faults: Faults, injected: InjectedFault) -> None:
        """Ends the fault when the point is reached; stops when the fault ends."""
        task = asyncio.create_task(self._run(faults, injected))
        injected.unfollow = task.cancel

    async def _run(self, faults: Faults, injected: InjectedFault) -> None:
        lost = "its service stopped"
        reply: object = grpc.aio.EOF
        try:
            reply = await self._call.read()
        except grpc.aio.AioRpcError as error:
            lost = str(error.details())
        finally:
            await self._channel.close()
        if reply is grpc.aio.EOF:
            # The point will not be reached any more. The pause holds all the same:
            # going on would be another event than the drill asked for.
            self._log.warning("until is lost, the pause holds", reason=lost)
        else:
            injected.unfollow = None
            faults.end(injected)


def fault_from_proto(fault: pb.Fault) -> Fault:
    """Returns the fault that a message describes; `check_fault` judges it.

    Raises: InvalidArgumentError, if no effect is given or its status is unknown.
    """
    return Fault(
        selector=Selector(fault.point, dict(fault.labels)),
        effect=_effect_from_proto(fault),
        count=fault.count,
        probability=fault.probability if fault.HasField("probability") else 1.0,
        for_s=fault.for_s,
    )


def fault_to_proto(fault: Fault) -> pb.Fault:
    """Returns the message that describes a fault."""
    message = pb.Fault(
        point=fault.selector.point,
        labels=fault.selector.labels,
        count=fault.count,
        probability=fault.probability,
        for_s=fault.for_s,
    )
    match fault.effect:
        case Delay(seconds):
            message.delay.seconds = seconds
        case Skew(seconds):
            message.skew.seconds = seconds
        case Error(status):
            message.error.status = status.name
        case Drop():
            message.drop.SetInParent()
        case Crash():
            message.crash.SetInParent()
        case Pause(until):
            message.pause.SetInParent()
            if until:
                message.pause.until.address = until.address
                message.pause.until.point = until.selector.point
                message.pause.until.labels.update(until.selector.labels)
    return message


def _effect_from_proto(fault: pb.Fault) -> Effect:
    match fault.WhichOneof("effect"):
        case "delay":
            return Delay(fault.delay.seconds)
        case "skew":
            return Skew(fault.skew.seconds)
        case "error":
            name = fault.error.status
            if name not in grpc.StatusCode.__members__:
                known = grpc.StatusCode.__members__
                raise UnknownNameError("fault.error.status", name, known)
            return Error(grpc.StatusCode[name])
        case "drop":
            return Drop()
        case "crash":
            return Crash()
        case "pause":
            return Pause(_until_from_proto(fault.pause))
    raise InvalidArgumentError(
        {"fault.effect": "one of delay, pause, error, drop, crash, skew is wanted"}
    )


def _until_from_proto(pause: pb.Pause) -> Until | None:
    if not pause.HasField("until"):
        return None
    until = pause.until
    return Until(Selector(until.point, dict(until.labels)), until.address)


def _injected_to_proto(injected: InjectedFault) -> pb.InjectedFault:
    state = pb.FAULT_STATE_IN_FORCE if injected.in_force else pb.FAULT_STATE_OVER
    return pb.InjectedFault(
        id=injected.id,
        fault=fault_to_proto(injected.fault),
        state=state,
        times_fired=injected.times_fired,
        waiters=[
            pb.Waiter(labels=waiter.labels, since_s=waiter.since_s)
            for waiter in injected.waiters
        ],
    )


def _require_drill(drill: bool) -> None:
    if not drill:
        raise PermissionDeniedError(
            "faults and safeguards are served only by a service started with --drill"
        )
