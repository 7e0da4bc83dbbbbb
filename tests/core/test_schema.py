"""The schema as segments keep it: what comes later finds in it what it would find in the whole history."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from asyncrestore.errors import DamageError
from asyncrestore.model.schema import Schema

if TYPE_CHECKING:
    from asyncrestore.model.log import Datom

IDENT, VALUE_TYPE, CARDINALITY, TUPLE_ATTRS = 10, 40, 41, 43
BASE = {
    IDENT: "db/ident",
    VALUE_TYPE: "db/valueType",
    CARDINALITY: "db/cardinality",
    TUPLE_ATTRS: "db/tupleAttrs",
    23: "db.type/string",
    25: "db.type/tuple",
    35: "db.cardinality/one",
    36: "db.cardinality/many",
}
NAMED: list[Datom] = [
    (80, IDENT, "k", "x/first", True),
    (80, CARDINALITY, "r", 36, True),
    (4 << 42 | 81, IDENT, "k", "colour/red", True),
]
MADE: list[Datom] = [(80, VALUE_TYPE, "r", 23, True)]
COMPOSITE: list[Datom] = [
    (82, IDENT, "k", "x/both", True),
    (82, VALUE_TYPE, "r", 25, True),
    (82, CARDINALITY, "r", 35, True),
    (82, TUPLE_ATTRS, "t", (("k", "x/first"), ("k", "x/first")), True),
]


def kept(schema: Schema) -> Schema:
    return Schema.from_json(json.loads(json.dumps(schema.to_json())))


@pytest.mark.parametrize("cut", range(4))
def test_a_snapshot_goes_on_as_the_whole(cut: int) -> None:
    """Pro's entities may have their ident long before they become attributes."""
    whole, again = Schema(dict(BASE)), Schema(dict(BASE))
    for number, datoms in enumerate((NAMED, MADE, COMPOSITE)):
        if number == cut:
            again = kept(again)
        whole.apply(datoms)
        again.apply(datoms)

    again = kept(again)
    assert again.attributes == {e: a for e, a in whole.attributes.items() if e >> 42 == 0}
    assert again.attributes[82].components == (80, 80)
    assert again.find("x/first") == 80
    assert again.find("colour/red") is None, "there may be any number of those"


def test_a_composite_of_what_is_not_known_is_damage() -> None:
    with pytest.raises(DamageError, match="x/both has the unknown attribute x/first"):
        Schema(dict(BASE)).apply(COMPOSITE)
