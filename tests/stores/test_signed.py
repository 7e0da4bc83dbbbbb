"""Signed objects: readable without the key, and made by nobody without it."""

from __future__ import annotations

import io

import pyarrow.parquet as pq
import pytest

from asyncrestore.errors import Conflict, NotAuthorized, SegmentDamaged, UsageError
from asyncrestore.segments.seal import NO_MAC, mac_in, sealed
from asyncrestore.segments.segment import Segment
from asyncrestore.stores.memory import MemoryStore
from asyncrestore.stores.signed import SignedStore, SigningKey
from tests.support import small_backup
from tests.support.damage import LINEAGE

pytestmark = pytest.mark.anyio

KEY, OTHER = SigningKey(bytes(range(32))), SigningKey(bytes(range(1, 33)))
RANGE = small_backup.RANGES[0]
CONTENT = small_backup.segment(RANGE, lineage=LINEAGE)
TEXT = b'{"id": "x"}'


async def signed(content: bytes, key: str = RANGE.key) -> bytes:
    store = MemoryStore()
    await SignedStore(store, KEY).publish("db", key, content)
    return await store.read("db", key)


async def read(data: bytes, key: str = RANGE.key, *, name: str = "db", by: SigningKey = KEY) -> bytes:
    store = MemoryStore()
    await store.publish(name, key, data)
    return await SignedStore(store, by).read(name, key)


async def used(data: bytes, key: str) -> None:
    """Reads an object, and uses it: the digits of the digest are not signed, but checked then."""
    found = await read(data, key)
    if key == RANGE.key:
        Segment(found)


async def test_a_segment_stays_plain_parquet() -> None:
    data = await signed(CONTENT)
    assert len(data) == len(CONTENT)
    assert await read(data) == data == await signed(data), "the same for the same content"
    assert Segment(data).same_content(Segment(CONTENT))
    assert pq.read_table(io.BytesIO(data)).equals(pq.read_table(io.BytesIO(CONTENT)))
    assert await read(await signed(TEXT, "backup.json"), "backup.json") == TEXT


async def test_any_change_shows() -> None:
    for content, key in ((CONTENT, RANGE.key), (TEXT, "backup.json"), (b"", "x.aside")):
        data = await signed(content, key)
        for position in range(len(data)):
            changed = bytearray(data)
            changed[position] ^= 1
            with pytest.raises((SegmentDamaged, Conflict, NotAuthorized)) as raised:
                await used(bytes(changed), key)
            if key == RANGE.key:
                assert isinstance(raised.value, SegmentDamaged), "so that repair mends it"
        for place in (("other", key), ("db", small_backup.RANGES[1].key), ("db", key + ".aside")):
            with pytest.raises((SegmentDamaged, Conflict)):
                await read(data, place[1], name=place[0])


async def test_whoever_has_no_key_makes_nothing() -> None:
    data = await signed(CONTENT)
    honest = mac_in(data)
    assert honest is not None
    forged = small_backup.segment(RANGE, name="forged", lineage=LINEAGE)
    for mac in (honest, b"f" * 80, honest[:16] + b"0" * 64):
        with pytest.raises((SegmentDamaged, NotAuthorized)):
            await read(sealed(forged, mac))
    for unsigned in (forged, sealed(data, NO_MAC)):
        with pytest.raises(Conflict, match="not signed, and a signing key was given"):
            await read(unsigned)
    with pytest.raises(Conflict, match="not signed"):
        await read(TEXT, "backup.json")
    with pytest.raises(NotAuthorized, match="another key") as raised:
        await read(data, by=OTHER)
    assert KEY.key.hex() not in str(raised.value) + repr(KEY)
    with pytest.raises(UsageError, match="not 32"):
        SigningKey(b"short")
