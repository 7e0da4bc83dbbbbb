"""Rewriting over time: what was asserted in one restore is retracted in another, and only that."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from asyncrestore.datomic.uri import LOCAL, PEER
from asyncrestore.errors import RewriteFailed, UsageError
from asyncrestore.jobs.restore import restore
from asyncrestore.jobs.verify import verify
from asyncrestore.model.commit import TxData
from asyncrestore.model.positions import ident
from asyncrestore.model.values import KIND_OF_TYPE, to_raw

if TYPE_CHECKING:
    from tests.support.databases import NewDatabase

pytestmark = pytest.mark.anyio

X = "[{{:db/ident :x/x :db/valueType :db.type/{} :db/cardinality :db.cardinality/{}}} {{:db/ident :e/e}}]"


def upper(_attribute: str, value: str) -> str:
    return value.upper()


class Lying:
    """Says that it can be undone, which holds for small letters only."""

    def __call__(self, attribute: str, value: str) -> str:
        return upper(attribute, value)

    def inverse(self, _attribute: str, value: str) -> str:
        return value.lower()


async def test_function_that_makes_two_values_one_over_time(new_database: NewDatabase) -> None:
    """Refused without an inverse; one that lies is found out at the value, in whichever restore that is."""
    source, target = await new_database(X.format("string", "many")), await new_database()
    await source.transact_edn(['[{:db/ident :e/e :x/x "a"}]'])
    with pytest.raises(UsageError, match=":x/x has or had cardinality many") as refused:
        await restore(source, target, rewrite={"x/x": upper})
    assert "test_rewriting:upper" in refused.value.hint

    options: dict[str, Any] = {"rewrite": {"x/x": Lying()}}
    assert (await restore(source, target, **options)).transactions == 2
    assert (await verify(source, against=target, **options)).problems == []
    await source.transact_edn(['[[:db/add :e/e :x/x "A"]]', '[[:db/retract :e/e :x/x "a"]]'])
    for _ in range(2):
        with pytest.raises(RewriteFailed, match=r"of :x/x of .*Lying: its inverse does not give"):
            await restore(source, target, **options)
    assert await target.query("[:find ?v :where [_ :x/x ?v]]") == [("A",)]


class Half:
    def __call__(self, _attribute: str, value: float) -> float:
        return 0.5 / value if value else value

    inverse = __call__


HASH = "hash", "uri", "http://a/", "HTTP://A/", "http://b/"
FUNCTION = Half(), "double", 0, to_raw("d", -0.0), to_raw("d", 1.0)
SPELLINGS: dict[str, tuple[Any, ...]] = {
    "hash": ("one", *HASH),
    "hash, many": ("many", *HASH),
    "fake": ("one", "fake:uri", "uri", "http://a/%7e", "http://a/%7E", "http://b/"),
    "function": ("one", *FUNCTION),
    "function, many": ("many", *FUNCTION),
}


@pytest.mark.parametrize("engine", [LOCAL, PEER])
@pytest.mark.parametrize(
    ("cardinality", "how", "type_", "held", "said", "other"), SPELLINGS.values(), ids=SPELLINGS
)
async def test_value_retracted_in_another_spelling(
    new_database: NewDatabase, cardinality: str, how: Any, type_: str, held: Any, said: Any, other: Any
) -> None:
    """Datomic takes both for the same, so one new value stands for both, and is found there."""
    source, target = await new_database(X.format(type_, cardinality)), await new_database()
    place = [ident("e/e"), ident("x/x"), KIND_OF_TYPE[f"db.type/{type_}"]]
    changes = [
        TxData(0, [*place, held], []),
        TxData(0, [], [*place, said]),
        TxData(0, [*place, held], []),
        TxData(0, [*place, other], [*place, said]),  # where there is one value, Datomic's own retraction too
    ]
    result = await (await source.submit(changes)).result()  # EDN has no URIs
    assert result.anomaly is None

    options: dict[str, Any] = {"rewrite": {"x/x": how}, "rewrite_key": b"0123456789abcdef"}
    await restore(source, target, **options)

    assert (await verify(source, against=target, **options)).problems == []
    assert len(await target.query("[:find ?v :where [_ :x/x ?v]]")) == 1
