"""What every store promises, checked."""

from __future__ import annotations

from typing import TYPE_CHECKING

from asyncrestore.errors import NotFound
from asyncrestore.stores.promises import UPLOADS_CHECKED, check_promises
from asyncrestore.testing.promise import must

if TYPE_CHECKING:
    from asyncrestore.stores.base import Store


async def check_store(store: Store) -> None:
    """Checks that an empty store keeps the promises of `Store`; leaves objects behind.

    Raises:
        AssertionError: it breaks one, which the message names.
    """
    await _check_names(store)
    for promise in await check_promises(store, "promises"):
        kept = (
            promise.kept or promise.text == UPLOADS_CHECKED
        )  # that is the server's to keep, not the store's
        must(kept, f"{promise.text}: {promise.problem}")


async def _check_names(store: Store) -> None:
    odd = ["b c", "d.e", "..", ".f", "é/ü", "%2E", "A", "CON:", "x" * 80]
    must(await store.list("A") == [], "a backup that is not there has no objects")
    for name in odd:
        must(await store.publish(name, "1.parquet", name.encode()), f"a backup may be named {name!r}")
    must(await store.names() == sorted(odd), "all names are listed, and no other")
    for name in odd:
        must(await store.read(name, "1.parquet") == name.encode(), f"{name!r} has its own objects")
        listed = [(item.key, item.size) for item in await store.list(name)]
        must(listed == [("1.parquet", len(name.encode()))], f"{name!r} lists its own objects")
    try:
        await store.read("none", "1.parquet")
    except NotFound:
        return
    must(holds=False, promise="reading what is not there raises NotFound")
