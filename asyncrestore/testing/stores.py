"""Checks what every store promises."""

from __future__ import annotations

from typing import TYPE_CHECKING

from asyncrestore.errors import NotAuthorized, NotFound, SegmentDamaged
from asyncrestore.limits import max_segment_bytes
from asyncrestore.stores.base import Deletes
from asyncrestore.stores.promises import UPLOADS_CHECKED, check_promises, sizes_fit
from asyncrestore.testing.assertions import must

if TYPE_CHECKING:
    from asyncrestore.stores.base import Store


async def check_store(store: Store) -> None:
    """Checks that an empty store keeps the promises of `Store`; leaves objects behind.

    Raises:
        AssertionError: it breaks a promise, which the message names.
    """
    await _check_names(store)
    await _check_deletion(store)
    await _check_sizes(store)
    for promise in await check_promises(store, "promises"):
        # The server alone keeps that last one, not the store.
        kept = promise.kept or promise.text == UPLOADS_CHECKED
        must(kept, f"{promise.text}: {promise.problem}")


async def _check_names(store: Store) -> None:
    odd = ["b c", "d.e", "..", ".f", "é/ü", "%2E", "A", "CON:", "x" * 80]
    must(await store.list("A") == [], "a backup that is not there has no objects")
    for name in odd:
        must(await store.publish(name, "1.parquet", name.encode()), f"a backup may be named {name!r}")
    must(await store.names() == sorted(odd), "all names are listed, and no other")
    for name in odd:
        must(await store.read(name, "1.parquet") == name.encode(), f"{name!r} has its own objects")
        listed = await store.list(name)
        must([each.key for each in listed] == ["1.parquet"], f"{name!r} lists its own objects")
        must(sizes_fit(store, [(listed[0].size, len(name.encode()))]), "a listing has the sizes of objects")
    must(await _is_missing(store, "none", "1.parquet"), "reading what is not there raises NotFound")


async def _check_deletion(store: Store) -> None:
    """Checks a store that can delete, if its credentials may."""
    if not isinstance(store, Deletes):
        return
    for key in ("1.parquet", "2.parquet"):
        await store.publish("deletions", key, b"old")
    try:
        await store.delete("deletions", "1.parquet")
    except NotAuthorized:
        return
    must(await _is_missing(store, "deletions", "1.parquet"), "what was deleted is not read")
    await store.delete("deletions", "1.parquet")
    must([each.key for each in await store.list("deletions")] == ["2.parquet"], "only that was deleted")
    must(await store.publish("deletions", "1.parquet", b"new"), "what was deleted can be created again")
    must(await store.read("deletions", "1.parquet") == b"new", "and is what was written then")
    for key in ("1.parquet", "2.parquet"):
        await store.delete("deletions", key)
    must("deletions" not in await store.names(), "a backup without objects has no name")


async def _check_sizes(store: Store) -> None:
    """Checks that what is too large for a segment is not read."""
    await store.publish("sizes", "1.parquet", b"x" * 200_000)
    with max_segment_bytes(1):
        try:
            await store.read("sizes", "1.parquet")
        except SegmentDamaged:
            return
    must(False, "an object that is larger than a segment may be is refused")


async def _is_missing(store: Store, name: str, key: str) -> bool:
    try:
        await store.read(name, key)
    except NotFound:
        return True
    return False
