"""Which texts are values: those that Java takes. (40,000 made-up URIs were compared with `java.net.URI`.)"""

from __future__ import annotations

import pyarrow as pa
import pytest

from asyncrestore.errors import SegmentDamaged
from asyncrestore.segments.texts import check_texts

GOOD = {
    "o": ["", "a", "a/b:c", "//?q", "http://?q", "http://[::1]:80/x", "http://a_b:x/", "urn:é", "file:///a",
          "?[]", "#"],
    "m": ["0E-10", "1" * 1_000_000 + ".0E1", "1.23E+2147483649", "-1.50", "1E-2147483647"],
    "n": ["-12", "9" * 5000],
    "x": ["", "AA==", "AAA=", "AAAA"],
}  # fmt: skip
BAD = {
    "o": ["//", "http://", "a b", "%2", "1a:b", ":", "http://[1]", "http://[::1", "a\u00a0", "a\u2028",
          "##", "[", "a\n"],
    "m": ["", "1.", ".5", "1E", "1E+2147483649", "NaN", "1_0", "1\n"],
    "n": ["", "+1", "1.0", "\u0661", "1\n"],
    "x": ["A", "AB==", "AAB=", "A A=", "AAAA\n"],
}  # fmt: skip


@pytest.mark.parametrize("kind", GOOD)
def test_values(kind: str) -> None:
    check_texts(kind, pa.array(GOOD[kind]))
    for text in BAD[kind]:
        with pytest.raises(SegmentDamaged, match="is not the text of a"):
            check_texts(kind, pa.array([text]))
