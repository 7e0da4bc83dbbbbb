"""Ways in which a backup's objects can be wrong, each with what was done to them."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeAlias

from asyncrestore.history.catalog import BACKUP_JSON
from asyncrestore.segments.lineage import Lineage
from asyncrestore.stores.encrypted import encrypted
from asyncrestore.stores.memory import MemoryStore

if TYPE_CHECKING:
    from collections.abc import Callable

    from asyncrestore.stores.base import Store
    from asyncrestore.stores.encrypted import Encryption

Objects: TypeAlias = "dict[str, bytes]"
NAME = "db"
LINEAGE = Lineage("6fa459ea-ee8a-4ca4-894e-db77e160355e", 0)


async def load(store: Store, name: str = NAME) -> Objects:
    """A backup's objects by key, without the one that says which backup it is: segments say so, too."""
    return {
        each.key: await store.read(name, each.key)
        for each in await store.list(name)
        if each.key != BACKUP_JSON
    }


async def begin(store: Store, name: str = NAME, encryption: Encryption | None = None) -> None:
    """Begins a backup whose id is known, so that several are of one."""
    async with encrypted(store, encryption) as opened:
        await opened.publish(name, BACKUP_JSON, LINEAGE.to_json())


async def store_of(objects: Objects) -> MemoryStore:
    """A store with just these."""
    store = MemoryStore()
    for key, data in objects.items():
        await store.publish(NAME, key, data)
    return store


def _nth(objects: Objects, number: int) -> str:
    return sorted(objects)[number]


def first_flipped(objects: Objects, _: Objects) -> None:
    _flip(objects, 0)


def middle_flipped(objects: Objects, _: Objects) -> None:
    _flip(objects, 1)


def last_flipped(objects: Objects, _: Objects) -> None:
    _flip(objects, -1)


def _flip(objects: Objects, number: int) -> None:
    key = _nth(objects, number)
    data = bytearray(objects[key])
    data[len(data) // 2] ^= 1
    objects[key] = bytes(data)


def all_flipped(objects: Objects, _: Objects) -> None:
    for number in range(len(objects)):
        _flip(objects, number)


def truncated(objects: Objects, _: Objects) -> None:
    key = _nth(objects, 1)
    objects[key] = objects[key][:-9]


def emptied(objects: Objects, _: Objects) -> None:
    objects[_nth(objects, 1)] = b""


def lengthened(objects: Objects, _: Objects) -> None:
    objects[_nth(objects, 1)] += b"\0"


def first_deleted(objects: Objects, _: Objects) -> None:
    del objects[_nth(objects, 0)]


def middle_deleted(objects: Objects, _: Objects) -> None:
    del objects[_nth(objects, 1)]


def last_deleted(objects: Objects, _: Objects) -> None:
    del objects[_nth(objects, -1)]


def swapped(objects: Objects, _: Objects) -> None:
    one, other = _nth(objects, 0), _nth(objects, 2)
    objects[one], objects[other] = objects[other], objects[one]


def renamed_longer(objects: Objects, _: Objects) -> None:
    objects["0000000000005-9999999999999.parquet"] = objects.pop(_nth(objects, 1))


def renamed_shorter(objects: Objects, _: Objects) -> None:
    key = _nth(objects, 1)
    objects[key[:14] + f"{int(key[14:27]) - 1:013d}.parquet"] = objects.pop(key)


def renamed_to_no_segment(objects: Objects, _: Objects) -> None:
    objects["old.parquet"] = objects.pop(_nth(objects, 1))


def copied_to_another_name(objects: Objects, _: Objects) -> None:
    objects["0000000001000-0000000002000.parquet"] = objects[_nth(objects, 1)]


def first_foreign(objects: Objects, other: Objects) -> None:
    objects[_nth(objects, 0)] = other[_nth(other, 0)]


def middle_foreign(objects: Objects, other: Objects) -> None:
    objects[_nth(objects, 1)] = other[_nth(other, 1)]


def foreign_longer(objects: Objects, other: Objects) -> None:
    """Another database's segment that covers more, so that it would be read in the place of ours."""
    longer = max(other, key=lambda key: int(key[14:27]) - int(key[:13]))
    objects[longer] = other[longer]


def no_segment_at_all(objects: Objects, _: Objects) -> None:
    objects[_nth(objects, 1)] = b"PAR1 not a segment PAR1"


KINDS: list[Callable[[Objects, Objects], None]] = [
    first_flipped, middle_flipped, last_flipped, all_flipped, truncated, emptied, lengthened, first_deleted,
    middle_deleted, last_deleted, swapped, renamed_longer, renamed_shorter, renamed_to_no_segment,
    copied_to_another_name, first_foreign, middle_foreign, foreign_longer, no_segment_at_all,
]  # fmt: skip
