"""Tries each promise of a store that backups depend on."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING

import anyio

from asyncrestore.errors import NotFound, SegmentDamaged, StoreFailed
from asyncrestore.stores.base import Authenticates, ChecksUploads
from asyncrestore.tasks import task_group

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable

    from asyncrestore.stores.base import Store

WRITERS = 16
ROUNDS = 4
LISTED = 1_010
"""A little more than one page of S3's listings."""
LARGE_BYTES = 32 * 1024 * 1024
_AT_ONCE = 16
UPLOADS_CHECKED = "an object that does not match its SHA-256 is refused"
"""The only promise that the server alone keeps; tried only on a store that has a server."""


@dataclass(frozen=True, slots=True)
class Promise:
    """A promise, and whether a store kept it.

    Attributes:
        text: what is promised.
        kept: whether it was kept; None if it was not tried, because an earlier one showed the store unusable.
        problem: what happened instead.
    """

    text: str
    kept: bool | None
    problem: str = ""


async def check_promises(store: Store, name: str) -> list[Promise]:
    """Tries a store's promises, with objects of a backup that it does not have yet; they are left there.

    Args:
        store: the store to try.
        name: of the backup.

    Raises:
        NotFound: the store does not exist.
        NotAuthorized: the store refuses the credentials.
        Unavailable: the store does not answer.
    """
    checks = [*_CHECKS, (UPLOADS_CHECKED, _check_uploads)] if isinstance(store, ChecksUploads) else _CHECKS
    promises: list[Promise] = []
    unusable = False
    for text, check in checks:
        if unusable:
            promises.append(Promise(text, None))
            continue
        try:
            problem = await check(store, name)
        except (StoreFailed, SegmentDamaged) as exc:
            problem, unusable = str(exc), True
        promises.append(Promise(text, not problem, problem))
    return promises


async def _check_created_once(store: Store, name: str) -> str:
    if not await store.publish(name, "once", b"first"):
        return "an object that was not there was not created"
    for content in (b"other", b"first"):
        again = await store.publish(name, "once", content)
        if await _content(store, name, "once") != b"first":
            return "it was replaced"
        if again:
            return "creating it again was reported as a success"
    return ""


async def _check_one_of_many(store: Store, name: str) -> str:
    for number in range(ROUNDS):
        problem = await _race(store, name, f"race-{number}")
        if problem:
            return problem
    return ""


async def _race(store: Store, name: str, key: str) -> str:
    created: list[bytes] = []

    async def write(number: int) -> None:
        content = bytes([number]) * 100_000
        if await store.publish(name, key, content):
            created.append(content)

    async with task_group() as tasks:
        for number in range(WRITERS):
            tasks.start_soon(write, number)
    if len(created) != 1:
        return f"of {WRITERS} writers of one object, {len(created)} were told that they had created it"
    return "" if await _content(store, name, key) == created[0] else "it is not what its creator wrote"


async def _check_missing(store: Store, name: str) -> str:
    return "" if await _content(store, name, "missing") is None else "something was read"


async def _check_read(store: Store, name: str) -> str:
    for size in (0, 1, 1_000_000):
        content = os.urandom(size)
        await store.publish(name, f"size-{size}", content)
        if await _content(store, name, f"size-{size}") != content:
            return f"{size} bytes were not read back"
    return ""


async def _check_large(store: Store, name: str) -> str:
    content = os.urandom(LARGE_BYTES)
    await store.publish(name, "large", content)
    return (
        "" if await _content(store, name, "large") == content else f"{LARGE_BYTES} bytes were not read back"
    )


async def _check_listing(store: Store, name: str) -> str:
    before = await store.list(name)
    wanted = {f"listed-{number:04d}": number % 3 for number in range(LISTED)}
    places = anyio.Semaphore(_AT_ONCE)

    async def write(key: str, size: int) -> None:
        async with places:
            await store.publish(name, key, b"x" * size)

    async with task_group() as tasks:
        for key, size in wanted.items():
            tasks.start_soon(write, key, size)
    listed = await store.list(name)
    if listed != sorted(listed):
        return "the keys are not in order"
    sizes = {each.key: each.size for each in listed}
    missing = len(wanted.keys() - sizes.keys())
    if missing or len(listed) != len(before) + len(wanted):
        return f"of {len(wanted)} new objects, {missing} are missing; {len(listed)} are listed in all"
    return "" if sizes_fit(store, ((sizes[key], size) for key, size in wanted.items())) else "sizes are wrong"


def sizes_fit(store: Store, pairs: Iterable[tuple[int, int]]) -> bool:
    """Returns whether listed sizes are those of the contents.

    A store that encrypts or signs may list more: the same number of bytes for each object of a backup.

    Args:
        store: the store.
        pairs: of objects of one backup, the size that is listed and that of the content.
    """
    added = {listed - content for listed, content in pairs}
    return added == {0} or (isinstance(store, Authenticates) and len(added) == 1 and min(added) > 0)


async def _check_uploads(store: Store, name: str) -> str:
    assert isinstance(store, ChecksUploads)
    return "" if await store.refuses_damage(name, "damaged") else "it was stored"


async def _content(store: Store, name: str, key: str) -> bytes | None:
    try:
        return await store.read(name, key)
    except NotFound:
        return None


_CHECKS: list[tuple[str, Callable[[Store, str], Awaitable[str]]]] = [
    ("an object that is there is never created again", _check_created_once),
    ("of several writers of one object exactly one creates it", _check_one_of_many),
    ("an object that is not there is not read", _check_missing),
    ("what was written is read at once, and is the same", _check_read),
    ("so is a large object", _check_large),
    (f"a listing has all that was written, also more than {LISTED - 10:,} objects", _check_listing),
]
