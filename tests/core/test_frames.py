"""Frames: whole values out of bytes that arrive in any pieces."""

from __future__ import annotations

from array import array

from hypothesis import given
from hypothesis import strategies as st

from asyncrestore.datomic.frames import FrameBuffer, encode, pack, unpack
from tests.strategies import longs, texts

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


@given(st.lists(longs))
def test_packed_numbers(numbers: list[int]) -> None:
    assert unpack(pack(numbers)) == array("q", numbers)
