"""What people do to a zone while no enactor works. Source: R20, R21.

Every action is one change batch, compare-and-set on the lock as found, so that an
enactor in the middle of its own batch loses it rather than undoing the repair. The
store audits it.
"""

import itertools
import secrets
from collections.abc import Sequence

from staleplan.model import (
    NOTHING,
    Batch,
    BatchId,
    BuildTree,
    Change,
    EnactorName,
    EndpointName,
    Generation,
    LockIs,
    Outcome,
    PointActive,
    PointRollback,
    Reason,
    SetLock,
    ZoneName,
    is_refused,
)
from staleplan.store_client import StoreClient

TRIES = 5
"""Times that an action is tried while the lock changes hands under it."""


class Operator:
    """A person with a name, who acts through the store alone."""

    def __init__(self, store: StoreClient, name: str) -> None:
        self._store = store
        self._who = EnactorName(f"operator.{name}")
        born = secrets.token_hex(3)
        self._ids = (BatchId(f"{self._who}/{born}/{n}") for n in itertools.count(1))

    async def restore(
        self,
        zone: ZoneName,
        generation: Generation,
        endpoints: Sequence[EndpointName] = (),
    ) -> Outcome:
        """Point a zone, or some of its endpoints, at a plan, and free its lock.

        Not guaranteed: a running enactor moves the zone on to the newest plan again;
        pause the automation first to keep an older one.
        """
        if endpoints:
            built = await self._act("restore", zone, generation, BuildTree(generation))
            if is_refused(built, *Reason):
                return built
        build = () if endpoints else (BuildTree(generation),)
        changes = (
            *build,
            PointRollback(or_newest_tree=True),
            PointActive(generation),
            SetLock(None),
        )
        return await self._act(
            "restore", zone, generation, *changes, endpoints=tuple(endpoints)
        )

    async def unlock(self, zone: ZoneName) -> Outcome:
        """Take a zone's lock away from whoever holds it. Source: R9."""
        return await self._act("unlock", zone, NOTHING, SetLock(None))

    async def _act(
        self,
        action: str,
        zone: ZoneName,
        generation: Generation,
        *changes: Change,
        endpoints: tuple[EndpointName, ...] = (),
    ) -> Outcome:
        for _ in range(TRIES):
            (found,) = await self._store.zones((zone,))
            batch = Batch(
                next(self._ids),
                self._who,
                zone,
                generation,
                (LockIs(found.lock),),
                changes,
                endpoints,
            )
            outcome = await self._store.operate(action, batch)
            if not is_refused(outcome, Reason.LOCK_CHANGED_HANDS):
                break
        return outcome
