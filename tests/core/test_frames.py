"""Frames: whole values out of bytes that arrive in any pieces."""

from __future__ import annotations

import sys
from array import array
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asyncrestore.datomic.frames import FrameBuffer, encode, pack, unpack
from tests.strategies import longs, texts

if TYPE_CHECKING:
    from collections.abc import Iterator

values = st.recursive(
    st.one_of(longs, texts, st.none()), lambda inner: st.lists(inner, max_size=4).map(tuple), max_leaves=20
)


@given(st.lists(values, max_size=5), st.data())
def test_values_come_out_whole_and_in_order(sent: list[object], data: st.DataObject) -> None:
    stream = b"".join(encode(value) for value in sent)
    buffer, got, position = FrameBuffer(), [], 0
    while position < len(stream):
        end = data.draw(st.integers(position + 1, len(stream)))
        got += list(buffer.feed(stream[position:end]))
        position = end
    assert got == sent


@pytest.fixture
def fast_switching() -> Iterator[None]:
    """Threads take turns much more often."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(before)


@given(st.lists(longs))
def test_packed_numbers(numbers: list[int]) -> None:
    assert unpack(pack(numbers)) == array("q", numbers)


@pytest.mark.usefixtures("fast_switching")
def test_frames_of_several_threads_do_not_mix() -> None:
    """Each may have an event loop, with bridges of its own."""

    def mixed(number: int) -> int:
        sent = (number, "x" * 100 * number)
        return sum(list(FrameBuffer().feed(encode(sent))) != [sent] for _ in range(5000))

    with ThreadPoolExecutor(3) as pool:
        assert list(pool.map(mixed, range(3))) == [0, 0, 0]
