"""The resolver's two ways, column by column and datom by datom, give the same data."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asyncrestore.model.ids import IdCache, SeenIds
from asyncrestore.model.log import Transaction, t_to_tx
from asyncrestore.model.schema import Attribute, Schema
from asyncrestore.model.state import State
from asyncrestore.pipeline.resolve import Resolver

if TYPE_CHECKING:
    from asyncrestore.model.commit import TxData
    from asyncrestore.model.log import Datom
    from asyncrestore.pipeline.resolve import _Work

TX_INSTANT, NAME, FRIENDS, BOSS, SIZE = 50, 72, 73, 74, 75
FIRST_T = 1000
NAN = 0x7FF8 << 48
BASE = {10: "db/ident", 40: "db/valueType", TX_INSTANT: "db/txInstant"}
KINDS = {NAME: "s", FRIENDS: "r", BOSS: "r"}

entities = st.integers(0, 30).map(lambda n: (17 << 42) + n)
"""Some known from the start, some met for the first time."""
# What is referred to may be anything: base schema, attributes, transactions past and future.
references = st.one_of(entities, st.sampled_from([10, NAME, t_to_tx(FIRST_T + 2), t_to_tx(7)]))
subjects = st.one_of(entities, entities, entities, st.sampled_from([NAME, t_to_tx(7)]))


class DatomByDatom(Resolver):
    """The resolver without its quick way."""

    def _resolve_plain(self, _work: _Work, _transaction: Transaction) -> bool:
        return False


class Counting(Resolver):
    """Counts how often the quick way was taken."""

    quick = 0

    def _resolve_plain(self, work: _Work, transaction: Transaction) -> bool:
        done = super()._resolve_plain(work, transaction)
        self.quick += done
        return done


def resolver(kind: type[Resolver], cached: set[int]) -> Resolver:
    schema = Schema(
        BASE,
        {
            TX_INSTANT: Attribute("db/txInstant", "db.type/instant"),
            NAME: Attribute("name", "db.type/string"),
            FRIENDS: Attribute("friends", "db.type/ref", many=True),
            BOSS: Attribute("boss", "db.type/ref"),
            SIZE: Attribute("size", "db.type/double"),
        },
    )
    cache = IdCache(1000)
    for source in {NAME, FRIENDS, BOSS} & cached | (cached - KINDS.keys()):
        cache.put(source, source + 1000)
    return kind(State(schema, SeenIds((80, FIRST_T - 1, 9))), cache, t_to_tx(FIRST_T - 1), 5)


@st.composite
def logs(draw: st.DrawFn) -> list[Transaction]:
    """Some transactions; most only assert things about entities."""
    log = []
    for t in range(FIRST_T, FIRST_T + draw(st.integers(1, 5))):
        tx = t_to_tx(t)
        datoms: list[Datom] = [(tx, TX_INSTANT, "i", t, True)]
        for _ in range(draw(st.integers(0, 6))):
            e, a = draw(st.one_of(subjects, st.just(tx))), draw(st.sampled_from(sorted(KINDS)))
            raw: Any = draw(references) if KINDS[a] == "r" else draw(st.text(max_size=2))
            datoms.append((e, a, KINDS[a], raw, draw(st.integers(0, 9)) > 0))
            if draw(st.booleans()):  # as Datomic notes a change
                datoms.append((e, a, KINDS[a], draw(entities) if KINDS[a] == "r" else "old", False))
        log.append(Transaction.of(tx, datoms))
    return log


def operations(flat: list[Any]) -> Counter[tuple[Any, ...]]:
    return Counter(tuple(flat[i : i + 4]) for i in range(0, len(flat), 4))


def same(one: TxData, other: TxData) -> bool:
    return (one.tx, one.cas, operations(one.adds), operations(one.retracts)) == (
        other.tx, other.cas, operations(other.adds), operations(other.retracts),
    )  # fmt: skip


@given(logs(), st.sets(st.one_of(st.sampled_from([NAME, FRIENDS, BOSS]), entities)))
def test_columns_and_rows_give_the_same(log: list[Transaction], cached: set[int]) -> None:
    columns, rows = resolver(Resolver, cached), resolver(DatomByDatom, cached)
    for transaction in log:
        assert same(columns.resolve(transaction), rows.resolve(transaction))
        assert columns.seen.largest == rows.seen.largest


def test_the_quick_way_is_taken_where_nothing_is_odd() -> None:
    counting = resolver(Counting, {NAME, FRIENDS, BOSS})
    assert isinstance(counting, Counting)
    entity, other = (17 << 42) + 20, (17 << 42) + 21
    histories: list[tuple[list[Datom], bool, int]] = [
        ([(entity, BOSS, "r", entity, True)], True, 0),
        ([(entity, BOSS, "r", other, True), (entity, BOSS, "r", entity, False)], True, 0),
        ([(entity, NAME, "s", "Ann", False)], False, 1),
        ([(entity, FRIENDS, "r", other, True), (entity, FRIENDS, "r", entity, False)], False, 1),
    ]
    for t, (datoms, quick, retractions) in enumerate(histories, FIRST_T):
        before = counting.quick
        data = counting.resolve(Transaction.of(t_to_tx(t), [(t_to_tx(t), TX_INSTANT, "i", t, True), *datoms]))
        assert (counting.quick > before, len(data.retracts) // 4) == (quick, retractions), datoms


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ([("+", SIZE, "d", 0), ("-", SIZE, "d", NAN), ("+", NAME, "s", "x")], []),
        ([("+", SIZE, "d", 0), ("+", NAME, "s", "x"), ("-", SIZE, "d", NAN)], [NAN]),
        ([("+", SIZE, "d", 0), ("-", SIZE, "d", 1), ("-", SIZE, "d", NAN)], [NAN]),
        ([("-", NAME, "s", "x"), ("+", SIZE, "d", 0), ("+", NAME, "s", "y")], []),
    ],
)
def test_the_engines_own_retraction_follows_the_assertion(
    change: list[tuple[str, int, str, Any]], said: list[Any]
) -> None:
    """Where Local takes values for the same, one elsewhere was said: at times NaN that is not there."""
    entity = 17 << 42
    datoms: list[Datom] = [(entity, a, kind, raw, sign == "+") for sign, a, kind, raw in change]
    data = resolver(Resolver, {NAME, SIZE, entity}).resolve(Transaction.of(t_to_tx(FIRST_T), datoms))
    assert data.retracts[3::4] == said
