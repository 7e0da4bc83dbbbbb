"""A real store behind a network with faults."""

from __future__ import annotations

from typing import TYPE_CHECKING

import anyio
from typing_extensions import override

from asyncrestore.errors import Unavailable
from asyncrestore.stores.base import Store
from asyncrestore.testing.faults import Chance

if TYPE_CHECKING:
    from asyncrestore.stores.base import StoredObject
    from asyncrestore.testing.faults import Faults


class FaultyStore(Store):
    """A store behind a network with faults: some of its requests fail.

    It has only the faults ``unavailable``, ``lost-before`` and ``lost-after``. A request that is lost raises
    `Unavailable`, as after a time-out.

    Args:
        store: a real one.
        faults: what goes wrong.

    Attributes:
        happened: how often each fault has happened so far.
    """

    def __init__(self, store: Store, faults: Faults) -> None:
        self._store = store
        self._chance = Chance(faults)
        self.uri = store.uri
        self.happened = self._chance.happened

    @override
    async def names(self) -> list[str]:
        await self._arrive()
        return await self._store.names()

    @override
    async def list(self, name: str) -> list[StoredObject]:
        await self._arrive()
        return await self._store.list(name)

    @override
    async def read(self, name: str, key: str) -> bytes:
        self._chance.passes("before-read")
        fault = await self._arrive_numbered()
        data = await self._store.read(name, key)
        await self._answer(fault)
        return data

    @override
    async def publish(self, name: str, key: str, data: bytes) -> bool:
        self._chance.passes("before-publish")
        fault = await self._arrive_numbered()
        created = await self._store.publish(name, key, data)
        self._chance.passes("after-publish")
        await self._answer(fault)
        return created

    async def _arrive(self) -> None:
        await anyio.sleep(self._chance.way_s())
        if self._chance.pick("unavailable", "lost-before"):
            raise self._lost()

    async def _arrive_numbered(self) -> str | None:
        """Lets a numbered request arrive, or raises. Returns the fault that its answer will have, if any."""
        await anyio.sleep(self._chance.way_s())
        fault = self._chance.pick_numbered("unavailable", "lost-before", "lost-after")
        if fault in {"unavailable", "lost-before"}:
            raise self._lost()
        return fault

    async def _answer(self, fault: str | None) -> None:
        await anyio.sleep(self._chance.way_s())
        if fault == "lost-after":
            raise self._lost()

    def _lost(self) -> Unavailable:
        return Unavailable(f"{self.uri} did not answer (an injected fault)")
