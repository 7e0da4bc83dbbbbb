"""Which names of code can be allowed."""

from __future__ import annotations

import pytest

from asyncrestore.errors import UsageError
from asyncrestore.model.code import AllowedCode, is_never_allowed
from asyncrestore.model.commit import TxData
from asyncrestore.model.positions import TX, ident, lookup, tempid
from asyncrestore.model.schema import Schema
from asyncrestore.pipeline.code_guard import GUARDED, CodeGuard

NEVER = [
    "clojure.core/load-string", "clojure.string/blank?", "clojure/x", "java.lang.Runtime/exit",
    "datomic.api/q", "cognitect.transit/reader", "com.cognitect.x/y", "asyncrestore.bridge/main",
    "jio/delete-file", "load-string", "/", "", "/clojure.core/eval", "clojure.core/", "clojure..core/eval",
]  # fmt: skip
USERS = ["my.app/valid?", "clojurescript.app/f", "javanese/f", "my.clojure/f", ":clojure/f", "17592186045418"]


@pytest.mark.parametrize("name", NEVER)
def test_what_every_jvm_has_is_never_allowed(name: str) -> None:
    assert is_never_allowed(name)
    assert not AllowedCode(["all"]).allows(name)
    with pytest.raises(UsageError, match="cannot be allowed"):
        AllowedCode([name])


@pytest.mark.parametrize("name", USERS)
def test_what_is_named_is_allowed_and_nothing_else(name: str) -> None:
    assert AllowedCode([name]).allows(name)
    assert AllowedCode("all").allows(name)
    assert not any(AllowedCode([name]).allows(other) for other in USERS if other != name)


NAME, PREDS = tempid(5), ident("db.attr/preds")


@pytest.mark.parametrize(
    ("adds", "retracts"),
    [
        ([NAME, PREDS, "y", "my.app/other?"], []),
        ([NAME, PREDS, "s", "my.app/valid?"], []),
        ([NAME, 71, "y", "my.app/other?"], []),
        ([NAME, lookup(9), "y", "my.app/other?"], []),
        ([NAME, ident("db/ident"), "k", "db/fn", NAME, lookup(5), "c", "{}"], []),
        ([lookup(5), ident("db/ident"), "k", "db/fn"], []),
        ([NAME, ident("db/ident"), "s", ":db/ident"], []),
        ([NAME, ident("db/ensure"), "r", NAME], []),
        ([ident("db/fn"), lookup(6), "l", 7], []),
        ([10, lookup(6), "l", 7], []),
        ([NAME, lookup(6), "c", "{}"], []),
        ([NAME, lookup(6), "t", (None, ("t", (("c", "{}"),)))], []),
        ([], [NAME, lookup(6), "c", "{}"]),
    ],
)
def test_the_guard_knows_all_names_of_an_attribute(adds: list[object], retracts: list[object]) -> None:
    """By ident, id, original id, and that of an entity that took its ident before or takes it now."""
    schema = Schema({10: "db/ident"})
    schema.apply([(9, 10, "k", "db.attr/preds", True)])
    ids = {"db/ident": 10, "db.attr/preds": 71}
    assert ids.keys() <= GUARDED
    guard = CodeGuard(AllowedCode(["my.app/valid?"]), [], schema, ids)
    harmless = [TX, lookup(6), "y", "my.app/other?", NAME, PREDS, "y", "my.app/valid?"]
    harmless += [NAME, ident("db/ident"), "k", "my/name", NAME, lookup(6), "k", "db.attr/preds"]
    guard.check(TxData(4, harmless, [NAME, PREDS, "y", "my.app/other?"]))
    with pytest.raises(UsageError, match="t 4 has code that is not allowed"):
        guard.check(TxData(4, [*harmless, *adds], retracts))
