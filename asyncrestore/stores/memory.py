"""A store in this process's memory, for trying things out and for tests."""

from __future__ import annotations

from asyncrestore.errors import NotFound
from asyncrestore.limits import check_object_size
from asyncrestore.stores.base import StoredObject


class MemoryStore:
    """A `Store` that keeps objects in a dictionary."""

    uri = "memory:"

    def __init__(self) -> None:
        self._objects: dict[tuple[str, str], bytes] = {}

    async def names(self) -> list[str]:
        """See `Store`."""
        return sorted({name for name, _ in self._objects})

    async def list(self, name: str) -> list[StoredObject]:
        """See `Store`."""
        return sorted(
            StoredObject(key, len(data)) for (owner, key), data in self._objects.items() if owner == name
        )

    async def read(self, name: str, key: str) -> bytes:
        """See `Store`."""
        try:
            data = self._objects[name, key]
        except KeyError:
            raise NotFound(f"{self.uri} has no object {name}/{key}") from None
        check_object_size(f"{self.uri}{name}/{key}", len(data))
        return data

    async def publish(self, name: str, key: str, data: bytes) -> bool:
        """See `Store`."""
        if (name, key) in self._objects:
            return False
        self._objects[name, key] = data
        return True

    async def delete(self, name: str, key: str) -> None:
        """See `Deletes`."""
        self._objects.pop((name, key), None)
