"""Encrypted objects: the same for the same content, unreadable without the key, any change shows."""

from __future__ import annotations

import hashlib
import sys

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from asyncrestore.errors import NewerFormat, NotAuthorized, SegmentDamaged, UsageError
from asyncrestore.stores.cipher import Cipher, read_header, refuse_encrypted

KEY, OTHER = bytes(range(32)), bytes(range(1, 33))
PLACE = "db", "0000000000000-0000000000010.parquet"
CONTENT = b"Pink Floyd " * 20


def decrypt(cipher: Cipher, data: bytes) -> bytes:
    header = read_header(data)
    assert header is not None
    return cipher.decrypt(data, header, *PLACE)


@settings(deadline=None)
@given(st.binary(), st.binary(min_size=32, max_size=32), st.binary(max_size=300))
def test_what_is_decrypted_is_what_was_encrypted(content: bytes, key: bytes, wrapped: bytes) -> None:
    data = Cipher(key, wrapped).encrypt(content, *PLACE)
    assert Cipher(key, wrapped).encrypt(content, *PLACE) == data
    assert decrypt(Cipher(key), data) == content
    header = read_header(data)
    assert header is not None
    assert header.wrapped == wrapped


def test_nothing_of_content_or_key_is_in_it() -> None:
    data = Cipher(KEY).encrypt(CONTENT, *PLACE)
    assert not any(CONTENT[i : i + 4] in data for i in range(len(CONTENT) - 4))
    assert not any(KEY[i : i + 4] in data for i in range(len(KEY) - 4))
    assert len(data) - len(CONTENT) == 25 + 2 + 8 + 16 + 32


def test_format() -> None:
    """What was written once is read for ever."""
    old = bytes.fromhex(
        "6173796e63726573746f726520656e6372797074656420310a0001778a7d5cc2b6f2d0780b7da35ba83592cb552fc09f5aafac3a"
        "74f4871339fa08113637cce5ac2b08bc77d9eada48a4ea1b6e5dfda9177a118337ba7056f1bda4"
    )
    assert decrypt(Cipher(KEY), old) == b"content"
    data = bytes.fromhex(
        "6173796e63726573746f726520656e6372797074656420320a0001778a7d5cc2b6f2d078d8dc74deed8e06f7d7171e487fe0"
        "0b0b133ebf30340a4e2c5c6b6371ba7518610f8e86cafd6395fa0b5276c9e5638cd0db7671fefcd2db"
    )
    assert decrypt(Cipher(KEY), data) == b"content"
    assert Cipher(KEY, b"w").encrypt(b"content", *PLACE) == data


def test_what_lies_elsewhere_is_refused() -> None:
    data = Cipher(KEY).encrypt(CONTENT, *PLACE)
    header = read_header(data)
    assert header is not None
    for place in (("other", PLACE[1]), ("db", "0000000000010-0000000000020.parquet"), ("", ""), PLACE[::-1]):
        with pytest.raises(SegmentDamaged, match="not for this place") as raised:
            Cipher(KEY).decrypt(data, header, *place)
        assert "`as_name`" in raised.value.hint


@pytest.mark.parametrize("wrapped", [b"", b"wrapped"])
def test_every_changed_byte_and_length(wrapped: bytes) -> None:
    cipher = Cipher(KEY, wrapped)
    data = cipher.encrypt(CONTENT, *PLACE)
    magic = 23  # what an encrypted object begins with, whatever its version
    for position in range(len(data)):
        changed = bytearray(data)
        changed[position] ^= 1 + position % 255
        if position < magic:
            assert read_header(bytes(changed)) is None, "no encrypted object"
        else:
            with pytest.raises(SegmentDamaged, match="its SHA-256 is"):
                decrypt(cipher, bytes(changed))
            with pytest.raises(SegmentDamaged, match="its SHA-256 is"):
                refuse_encrypted(bytes(changed), "here")
    for length in range(magic, len(data)):
        with pytest.raises(SegmentDamaged, match="its SHA-256 is"):
            decrypt(cipher, data[:length])
    with pytest.raises(SegmentDamaged):
        decrypt(cipher, data + b"\0")


@pytest.mark.parametrize("header", [b"", b"\0\0", b"\xff\xff" + bytes(40)])
def test_a_header_that_is_cut_off_is_damage(header: bytes) -> None:
    """Anybody can make such an object, with its digest."""
    data = b"asyncrestore encrypted 2\n" + header
    with pytest.raises(SegmentDamaged, match="header is cut off"):
        read_header(data + hashlib.sha256(data).digest())


def test_a_newer_version_is_not_damaged() -> None:
    data = Cipher(KEY).encrypt(CONTENT, *PLACE)[:-32].replace(b"encrypted 2", b"encrypted 3")
    with pytest.raises(NewerFormat, match="its encryption is of a version") as raised:
        read_header(data + hashlib.sha256(data).digest())
    assert raised.value.hint == "Use a newer asyncrestore."


def test_another_key() -> None:
    data = Cipher(KEY).encrypt(CONTENT, *PLACE)
    with pytest.raises(NotAuthorized, match="another key") as raised:
        decrypt(Cipher(OTHER), data)
    assert KEY.hex() not in str(raised.value)
    with pytest.raises(NotAuthorized, match="no key was given"):
        refuse_encrypted(data, "here")
    refuse_encrypted(CONTENT, "here")


def test_one_who_has_no_key_cannot_make_an_object(monkeypatch: pytest.MonkeyPatch) -> None:
    """A right digest and a right key's name are no proof: the content is authenticated by the key."""
    forger = Cipher(OTHER)
    honest = Cipher(KEY)
    monkeypatch.setattr(forger, "_header", honest._header)
    with pytest.raises(SegmentDamaged, match="not written with the key"):
        decrypt(honest, forger.encrypt(CONTENT, *PLACE))


@pytest.mark.parametrize("key", [b"", bytes(31), bytes(64)], ids=len)
def test_a_key_has_32_bytes(key: bytes) -> None:
    with pytest.raises(UsageError, match=f"has {len(key)} bytes, not 32"):
        Cipher(key)


def test_without_the_package(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in sys.modules if name.startswith("cryptography")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "cryptography", None)
    with pytest.raises(UsageError, match="needs the package cryptography") as raised:
        Cipher(KEY)
    assert raised.value.hint == "pip install 'asyncrestore[encrypt]'"
