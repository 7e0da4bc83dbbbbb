"""Which values Datomic takes for the same, asked of the engines."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, Any

import pytest

from asyncrestore.datomic.uri import LOCAL, PEER
from asyncrestore.model.commit import TxData
from asyncrestore.model.equality import as_compared
from asyncrestore.model.positions import ident
from asyncrestore.model.values import KINDS

if TYPE_CHECKING:
    from tests.support.databases import NewDatabase

pytestmark = pytest.mark.anyio

MINUS_ZERO = struct.unpack("<q", struct.pack("<d", -0.0))[0]
PAIRS: list[tuple[str, Any, Any]] = [
    ("o", "HTTP://A/b", "http://a/b"),
    ("o", "http://a/B", "http://a/b"),
    ("o", "http://u@A.b./", "http://u@a.B./"),
    ("o", "http://U@a/", "http://u@a/"),
    ("o", "http://A_b/", "http://a_b/"),
    ("o", "http://1.B2/", "http://1.b2/"),
    ("o", "http://1.2B/", "http://1.2b/"),
    ("o", "http://A-/", "http://a-/"),
    ("o", "http://[FE80::1]:08/", "http://[fe80::1]:8/"),
    ("o", "http://1.2.3.4:080", "http://1.2.3.4:80"),
    ("o", "http://a:/", "http://a/"),
    ("o", "http://a:0/", "http://a/"),
    ("o", "http://a", "http://a/"),
    ("o", "//A/b", "//a/b"),
    ("o", "/A/b", "/a/b"),
    ("o", "A:b", "a:b"),
    ("o", "urn:A:b", "urn:a:b"),
    ("o", "urn:a%7e", "urn:a%7E"),
    ("o", "urn:a%7e", "urn:a~"),
    ("o", "http://a/%7e?b=%7e#%7e", "http://a/%7E?b=%7E#%7E"),
    ("o", "http://a?B#c", "http://A?b#c"),
    ("o", "http://a?b#C", "http://A?b#c"),
    ("o", "http://A?b", "http://a?b"),
    ("o", "http://A#b", "http://a#b"),
    ("d", 0, MINUS_ZERO),
    ("m", "1.0", "1.00"),
    ("m", "1000", "1E+3"),
    ("n", "1", "2"),
    ("s", "A", "a"),
]


@pytest.mark.parametrize("engine", [LOCAL, PEER])
async def test_datomic_takes_the_same_for_the_same(new_database: NewDatabase) -> None:
    """What is asserted beside a value that Datomic takes for the same is not in the log."""
    attributes = [
        f"{{:db/ident :x/{kind} :db/valueType :db.type/{KINDS[kind]} :db/cardinality :db.cardinality/many}}"
        for kind in {kind for kind, *_ in PAIRS}
    ]
    entities = [f"{{:db/ident :e/e{i}}}" for i in range(len(PAIRS))]
    database = await new_database(f"[{' '.join(attributes)}]", f"[{' '.join(entities)}]")
    places = [(ident(f"e/e{i}"), ident(f"x/{kind}"), kind) for i, (kind, *_) in enumerate(PAIRS)]
    changes = [
        TxData(
            0, [part for place, pair in zip(places, PAIRS, strict=True) for part in (*place, pair[which])], []
        )
        for which in (1, 2)
    ]
    result = await (await database.submit(changes)).result()
    assert result.anomaly is None

    last = await database.basis_t()
    _, log = await database.read_log(last, last + 1, size=1_000_000)
    noted = sorted(str(raw) for _, (_, _, kind, raw, _) in log.rows() if kind != "i")
    assert noted == sorted(str(b) for kind, a, b in PAIRS if as_compared(kind, a) != as_compared(kind, b))
