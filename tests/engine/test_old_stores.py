"""Backups that the last version wrote: without ids, and encrypted without their place."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from asyncrestore.jobs.backup import backup
from asyncrestore.jobs.compact import compact
from asyncrestore.jobs.copy import copy
from asyncrestore.jobs.info import StoreInfo, info
from asyncrestore.jobs.query import query
from asyncrestore.jobs.repair import repair
from asyncrestore.jobs.restore import restore
from asyncrestore.jobs.verify import verify
from asyncrestore.stores.memory import MemoryStore
from asyncrestore.stores.signed import SigningKey
from tests.support import format_1
from tests.support.format_1 import NAME, RANGES, make_source

if TYPE_CHECKING:
    from pathlib import Path

    from asyncrestore.datomic.database import Connector
    from tests.support.databases import NewDatabase

pytestmark = pytest.mark.anyio

KEY = bytes(range(32))
OLDER = "encrypted by an older version"


@pytest.mark.parametrize("folder", ["format-1", "format-2", "encrypted-1"])
async def test_from_first_to_last(
    connector: Connector, new_database: NewDatabase, tmp_path: Path, folder: str
) -> None:
    source, target = await make_source(connector, tmp_path), await new_database()
    encryption = KEY if folder == "encrypted-1" else None
    objects = format_1.OBJECTS.parents[1] / folder / NAME
    store, damaged, spare = MemoryStore(), MemoryStore(), MemoryStore()
    for path in objects.iterdir():
        await store.publish(NAME, path.name, path.read_bytes())
        wrong = path.name == RANGES[1].key
        await damaged.publish(NAME, path.name, path.read_bytes()[: -1 if wrong else None])

    found = await verify(store, live=source, encryption=encryption)
    assert found.problems == []
    assert (f"4 objects were {OLDER}" in str(found.notes)) == bool(encryption)
    described = await info(store, encryption=encryption)
    assert isinstance(described, StoreInfo)
    assert (described.backups[0].id, described.backups[0].problem) == (None, "")
    assert len(await query(store, "FROM transactions", encryption=encryption)) == 8
    await restore(store, target, until_t=9, encryption=encryption)

    repaired = await repair(source, damaged, encryption=encryption)
    assert (repaired.ok, [each.key for each in repaired.aside]) == (True, [RANGES[1].key])

    done = await backup(source, store, encryption=encryption)
    assert [range_.start for range_ in done.segments] == [RANGES[-1].end]
    assert (await backup(source, store, encryption=encryption)).segments == []
    assert (await verify(store, live=source, encryption=encryption)).problems == []
    await restore(store, target, encryption=encryption)
    assert (await verify(store, against=target, encryption=encryption)).problems == []
    copied = await copy(store, spare, encryption=encryption)
    assert copied.ok
    assert copied.verified is not None
    assert OLDER not in str(copied.verified.notes)
    assert (await compact(store, segment_size=14, encryption=encryption)).segments
    assert (await verify(store, live=source, encryption=encryption)).problems == []
    assert (await copy(store, spare, encryption=encryption)).ok

    if encryption is None:
        signed, key = MemoryStore(), SigningKey(KEY)
        assert (await copy(spare, signed, encryption=key)).ok
        assert (await verify(signed, live=source, encryption=key)).problems == []
        assert (await verify(signed, live=source)).problems == [], "it is plain Parquet all the same"
        assert (await copy(signed, MemoryStore(), encryption=key, as_name="other")).ok
