"""What a host does in DynamoDB and on its droplets, and what became of it.

Whatever fails becomes an outcome of the model: the core decides what it means.
"""

import math
from typing import TYPE_CHECKING

import grpc

from dwfm.model import (
    DropletName,
    HostName,
    InstanceId,
    Reached,
    Row,
    Stale,
    Store,
    Term,
)
from protos.droplet.v1 import droplet_pb2 as pb
from protos.droplet.v1.droplet_pb2_grpc import DropletServiceStub
from staleplan.runtime.errors import ServiceError
from staleplan.tables import ABSENT, Conflict, Item, Tables, Version

if TYPE_CHECKING:
    from protos.droplet.v1.droplet_pb2_grpc import DropletServiceAsyncStub

LEASES = "droplets"
"""Table of leases: holder, term and until_s under a droplet's name."""

INSTANCES = "instances"
"""Table of instances: the droplet on which one runs, or was to run."""

NOBODY = Row(HostName(""), Term(0), -math.inf, 0)
"""What a droplet without a row has: a lease of nobody that has run out."""


class Rows:
    """The two tables of a host. Source: R26."""

    def __init__(self, tables: Tables, holder: HostName) -> None:
        self._tables = tables
        self._holder = holder

    async def leases_of(self, az: str) -> dict[DropletName, Row]:
        """Read the leases of an AZ.

        Raises: ServiceError, if DynamoDB is away.
        """
        rows: dict[DropletName, Row] = {}
        after, more = "", True
        while more:
            page = await self._tables.query(LEASES, f"droplet-{az}-", after)
            for item in page.items:
                rows[DropletName(item.key)] = row_of(item)
                after = item.key
            more = page.more
        return rows

    async def take_lease(
        self, droplet: DropletName, term: Term, until_s: float, version: int
    ) -> Store | Row:
        """Write a lease, if its row has the version; else return what was found."""
        attributes = {
            "holder": self._holder,
            "term": str(term),
            "until_s": repr(until_s),
        }
        try:
            outcome = await self._tables.put(
                LEASES, droplet, attributes, Version(version)
            )
        except ServiceError as error:
            return _how(error)
        if isinstance(outcome, Conflict):
            return row_of(outcome.found) if outcome.found else NOBODY
        return Store.WRITTEN

    async def note_instance(
        self, instance: InstanceId, droplet: DropletName
    ) -> Store | DropletName:
        """Write where an instance is to run, once; else return where it was to."""
        attributes = {"droplet": droplet}
        try:
            outcome = await self._tables.put(INSTANCES, instance, attributes, ABSENT)
        except ServiceError as error:
            return _how(error)
        if isinstance(outcome, Conflict) and outcome.found:
            found = DropletName(outcome.found.attributes.get("droplet", ""))
            return Store.WRITTEN if found == droplet else found
        return Store.WRITTEN

    async def forget_instance(self, instance: InstanceId) -> Store:
        """Delete the row of an instance, if there is one."""
        try:
            await self._tables.delete(INSTANCES, instance)
        except ServiceError as error:
            return _how(error)
        return Store.WRITTEN


def row_of(item: Item) -> Row:
    """Read a lease; a row that makes no sense is a lease that has run out."""
    try:
        holder = HostName(item.attributes["holder"])
        term = Term(int(item.attributes["term"]))
        until_s = float(item.attributes["until_s"])
    except (KeyError, ValueError):
        holder, term, until_s = NOBODY.holder, NOBODY.term, NOBODY.until_s
    if not math.isfinite(until_s):
        until_s = NOBODY.until_s
    return Row(holder, term, until_s, item.version)


def _how(error: ServiceError) -> Store:
    return Store.AWAY if error.definite else Store.UNKNOWN


class Droplets:
    """The droplets as a host calls them; each call names the lease's term."""

    def __init__(
        self, to_world: grpc.aio.Channel, holder: HostName, timeout_s: float
    ) -> None:
        """Units: `timeout_s` is wall seconds for each call."""
        self._stub: DropletServiceAsyncStub = DropletServiceStub(to_world)
        self._holder = holder
        self._timeout_s = timeout_s

    async def slots_in(self, az: str) -> dict[DropletName, int]:
        """Read the droplets of an AZ, in order, with their slots."""
        reply = await self._stub.ListDroplets(pb.ListDropletsRequest(az=az))
        return {DropletName(each.name): each.slots for each in reply.droplets}

    async def check(
        self, droplet: DropletName, term: Term
    ) -> tuple[Reached | Stale, frozenset[InstanceId] | None]:
        """Show a droplet the term; returns what runs there, too."""
        request = pb.CheckStateRequest(droplet=droplet, term=term, holder=self._holder)
        try:
            reply = await self._stub.CheckState(request, timeout=self._timeout_s)
        except grpc.aio.AioRpcError:
            return Reached.SILENT, None
        if reply.HasField("stale_term"):
            return Stale(Term(reply.stale_term.current_term)), None
        return Reached.OBEYED, frozenset(map(InstanceId, reply.state.instances))

    async def launch(
        self, droplet: DropletName, term: Term, instance: InstanceId
    ) -> Reached | Stale:
        """Have a droplet start an instance, once."""
        request = pb.LaunchInstanceRequest(
            droplet=droplet, term=term, instance=instance, holder=self._holder
        )
        try:
            reply = await self._stub.LaunchInstance(request, timeout=self._timeout_s)
        except grpc.aio.AioRpcError:
            return Reached.SILENT
        return _obeyed(reply)

    async def terminate(
        self, droplet: DropletName, term: Term, instance: InstanceId
    ) -> Reached | Stale:
        """Have a droplet end an instance, if it runs."""
        request = pb.TerminateInstanceRequest(
            droplet=droplet, term=term, instance=instance, holder=self._holder
        )
        try:
            reply = await self._stub.TerminateInstance(request, timeout=self._timeout_s)
        except grpc.aio.AioRpcError:
            return Reached.SILENT
        return _obeyed(reply)


def _obeyed(
    reply: pb.LaunchInstanceResponse | pb.TerminateInstanceResponse,
) -> Reached | Stale:
    if reply.HasField("stale_term"):
        return Stale(Term(reply.stale_term.current_term))
    return Reached.OBEYED
