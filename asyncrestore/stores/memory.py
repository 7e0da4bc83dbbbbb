"""A store in this process's memory, for trying things out and for tests."""

from __future__ import annotations

from typing_extensions import override

from asyncrestore.errors import NotFound
from asyncrestore.limits import check_object_size
from asyncrestore.stores.base import Deletes, StoredObject


class MemoryStore(Deletes):
    """A store that keeps objects in a dictionary."""

    uri = "memory:"

    def __init__(self) -> None:
        self._objects: dict[tuple[str, str], bytes] = {}

    @override
    async def names(self) -> list[str]:
        return sorted({name for name, _ in self._objects})

    @override
    async def list(self, name: str) -> list[StoredObject]:
        return sorted(
            StoredObject(key, len(data)) for (owner, key), data in self._objects.items() if owner == name
        )

    @override
    async def read(self, name: str, key: str) -> bytes:
        try:
            data = self._objects[name, key]
        except KeyError:
            raise NotFound(f"{self.uri} has no object {name}/{key}") from None
        check_object_size(f"{self.uri}{name}/{key}", len(data))
        return data

    @override
    async def publish(self, name: str, key: str, data: bytes) -> bool:
        if (name, key) in self._objects:
            return False
        self._objects[name, key] = data
        return True

    @override
    async def delete(self, name: str, key: str) -> None:
        self._objects.pop((name, key), None)
