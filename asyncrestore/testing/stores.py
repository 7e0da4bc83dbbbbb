"""What every store promises, checked."""

from __future__ import annotations

from typing import TYPE_CHECKING

import anyio

from asyncrestore.errors import NotFound
from asyncrestore.testing.promise import must

if TYPE_CHECKING:
    from asyncrestore.stores.base import Store

WRITERS = 8


async def check_store(store: Store) -> None:
    """Checks that an empty store keeps the promises of `Store`; leaves objects behind.

    Raises:
        AssertionError: it breaks one, which the message names.
    """
    await _check_publishing(store)
    await _check_names(store)
    await _check_writers(store)


async def _check_publishing(store: Store) -> None:
    must(await store.list("a") == [], "a backup that is not there has no objects")
    must(await store.publish("a", "2.parquet", b"two"), "a new object is created")
    must(await store.publish("a", "1.parquet", b""), "an empty object is created")
    must(not await store.publish("a", "2.parquet", b"other"), "an object that is there is not created again")
    must(await store.read("a", "2.parquet") == b"two", "an object keeps its first content")
    listed = [(item.key, item.size) for item in await store.list("a")]
    must(listed == [("1.parquet", 0), ("2.parquet", 3)], "a listing has all keys in order, with sizes")
    for name, key in (("a", "3.parquet"), ("none", "1.parquet")):
        try:
            await store.read(name, key)
        except NotFound:
            continue
        must(holds=False, promise="reading what is not there raises NotFound")


async def _check_names(store: Store) -> None:
    odd = ["b c", "d.e", "..", "é/ü", "%2E", "A", "CON:"]
    for name in odd:
        must(await store.publish(name, "1.parquet", name.encode()), f"a backup may be named {name!r}")
    must(await store.names() == sorted(["a", *odd]), "all names are listed, and no other")
    for name in odd:
        must(await store.read(name, "1.parquet") == name.encode(), f"{name!r} has its own objects")


async def _check_writers(store: Store) -> None:
    created: list[int] = []

    async def write(number: int) -> None:
        if await store.publish("writers", "1.parquet", bytes([number]) * 100_000):
            created.append(number)

    async with anyio.create_task_group() as tasks:
        for number in range(WRITERS):
            tasks.start_soon(write, number)
    must(len(created) == 1, "of several writers of one object exactly one creates it")
    must(
        await store.read("writers", "1.parquet") == bytes(created) * 100_000, "and it is the one that is kept"
    )
