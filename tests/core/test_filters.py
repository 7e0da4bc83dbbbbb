"""Leaving out and rewriting, without a database: what is refused, and what datoms and values become."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from asyncrestore.errors import RewriteFailed, UsageError
from asyncrestore.excision.excised import Excisions
from asyncrestore.filters.filter import Filter, describe, goes_on
from asyncrestore.model.ids import IdCache, SeenIds
from asyncrestore.model.log import Transaction, t_to_tx
from asyncrestore.model.positions import ident as position_of
from asyncrestore.model.positions import lookup, tempid
from asyncrestore.model.schema import ORIGINAL_ID, Attribute, Schema
from asyncrestore.model.state import State
from asyncrestore.pipeline.resolve import Resolver
from asyncrestore.pipeline.stages import resolved

if TYPE_CHECKING:
    from collections.abc import Iterable

    from asyncrestore.model.log import Datom

KEY = b"0123456789abcdef"
MANY, ONE = frozenset({"db.cardinality/many"}), frozenset({"db.cardinality/one"})
IDENTITY = ONE | {"db.unique/identity"}

NAME, EMAIL, TAGS, BOSS, CODE, NUMBER, PAIR, PLACE, WAS_MANY, PREDS, INSTALL = range(70, 81)
ATTRIBUTES = {
    10: Attribute("db/ident", "db.type/keyword", ever=ONE),
    NAME: Attribute("p/name", "db.type/string", ever=ONE),
    EMAIL: Attribute("p/email", "db.type/string", unique="db.unique/identity", ever=IDENTITY),
    TAGS: Attribute("p/tags", "db.type/string", many=True, ever=MANY),
    BOSS: Attribute("p/boss", "db.type/ref", ever=ONE),
    CODE: Attribute("p/code", "db.type/long", unique="db.unique/value", ever=ONE | {"db.unique/value"}),
    NUMBER: Attribute("p/number", "db.type/long", ever=ONE),
    PAIR: Attribute("p/pair", "db.type/tuple", components=(NUMBER, BOSS), ever=ONE),
    PLACE: Attribute("p/place", "db.type/tuple", ever=ONE),
    WAS_MANY: Attribute("p/was-many", "db.type/string", ever=ONE | MANY),
    PREDS: Attribute("db.attr/preds", "db.type/symbol", many=True, ever=MANY),
    81: Attribute("p/function", "db.type/fn", ever=ONE),
    90: Attribute("asyncrestore/successor", "db.type/long", ever=ONE),
}
ENTITY, TX = (17 << 42) + 5, t_to_tx(9)


def schema() -> Schema:
    base = {10: "db/ident", PREDS: "db.attr/preds", INSTALL: "db.install/attribute"}
    known = Schema(base, ATTRIBUTES)
    known._named["p/former"] = NAME
    return known


def filtered(filter_: Filter, *datoms: Datom) -> list[Datom]:
    return filter_.apply(Transaction.of(TX, list(datoms))).datoms


def shout(_attribute: str, value: Any) -> Any:
    return value.upper()


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"exclude": ["p/nmae"]}, "no attribute :p/nmae"),
        ({"exclude": "p/name"}, "list of attributes"),
        ({"exclude": [":db/ident"]}, "base schema"),
        ({"rewrite": {"db.attr/preds": "null"}, "exclude": ["db.attr/preds"]}, "both excluded and rewritten"),
        ({"rewrite": {"db.attr/preds": shout}}, "base schema"),
        ({"exclude": ["asyncrestore/successor"]}, "restores write"),
        ({"exclude": ["p/email"]}, "entities are known by it"),
        ({"rewrite": {"p/email": "null"}}, "entities are known by it"),
        ({"exclude": ["p/number"]}, "composite tuple :p/pair"),
        ({"rewrite": {"p/number": "null"}}, "composite tuple :p/pair"),
        ({"rewrite": {"p/number": "hash"}}, "composite tuple :p/pair"),
        ({"exclude": ["p/pair"]}, "computes its values"),
        ({"rewrite": {"p/pair": shout}}, "computes its values"),
        ({"rewrite": {"p/pair": "null"}, "exclude": ["p/name"], "exclude_schema": True}, "computes its"),
        ({"exclude_schema": True}, "without attributes"),
        ({"exclude": ["p/name"], "rewrite": {":p/former": "hash"}}, "both excluded and rewritten"),
        ({"rewrite": {"p/name": "hash", "p/former": "hash"}}, "in two ways"),
        ({"rewrite": {"p/place": shout}}, "db.type/tuple"),
        ({"rewrite": {"p/function": shout}}, "db.type/fn"),
        ({"rewrite": {"p/email": "constant:x"}}, "is or was unique"),
        ({"rewrite": {"p/code": shout}}, "is or was unique"),
        ({"rewrite": {"p/tags": "constant:x"}}, "cardinality many"),
        ({"rewrite": {"p/tags": shout}}, "cardinality many"),
        ({"rewrite": {"p/was-many": shout}}, "cardinality many"),
        ({"rewrite": {"p/was-many": "fake:name"}}, "cardinality many"),
        ({"rewrite": {"p/name": "hash"}, "key": None}, "needs a key"),
        ({"rewrite": {"p/name": "fake:name"}, "key": None}, "needs a key"),
        ({"rewrite": {"p/name": "hash"}, "key": b"secret"}, "shorter than 16 bytes"),
        ({"rewrite": {"p/name": "bogus"}}, "called 'bogus'"),
        ({"rewrite": {"p/name": "no.such:function"}}, "cannot be imported"),
        ({"rewrite": {"p/name": "math:no_such"}}, "cannot be imported"),
        ({"rewrite": {"p/name": "math:pi"}}, "not a function"),
        ({"rewrite": {"p/name": "fake:no_such"}}, "no provider 'no_such'"),
        ({"rewrite": {"p/name": "fake:seed_instance"}}, "no provider"),
        ({"rewrite": {"p/name": "fake:seed"}}, "no provider"),
        ({"rewrite": {"p/name": "fake:passport_gender"}}, "or on chance"),
        ({"rewrite": {"p/name": "fake:random_int"}}, "gives no values"),
        ({"rewrite": {"p/name": "fake:date"}}, "today's date"),
        ({"rewrite": {"p/name": "constant:" + "x" * 1001}}, "more than 1000"),
    ],
)
def test_refused(options: dict[str, Any], says: str) -> None:
    with pytest.raises(UsageError, match=says) as caught:
        Filter(schema(), **{"key": KEY, **options})
    assert "secret" not in str(caught.value) + caught.value.hint


def test_hint_names_the_function_and_what_suits_the_type() -> None:
    instants = Schema({}, {TAGS: Attribute("p/tags", "db.type/instant", many=True, ever=MANY)})
    with pytest.raises(UsageError) as caught:
        Filter(instants, rewrite={"p/tags": shout})
    assert "Let tests.core.test_filters:shout have an attribute inverse" in caught.value.hint
    assert "hash" not in caught.value.hint
    with pytest.raises(UsageError) as caught:
        Filter(schema(), rewrite={"p/tags": shout})
    assert "`rewrite=p/tags=hash`" in caught.value.hint


@pytest.mark.parametrize(
    ("options", "left"),
    [
        ({"exclude": ["p/name"]}, {"b", "c", "d", "e"}),
        ({"exclude": [":p/former"]}, {"b", "c", "d", "e"}),
        ({"rewrite": {"p/name": "null"}}, {"b", "c", "d", "e"}),
        ({"exclude": ["p/name"], "exclude_schema": True}, {"c", "e"}),
        ({"exclude": ["p/code"]}, {"a", "b", "c", "d", "e"}),
        ({"exclude": ["p/pair", "p/number", "p/boss"], "exclude_schema": True}, {"a", "b", "d", "e"}),
        ({"exclude": ["db.attr/preds"], "exclude_schema": True}, {"a", "b", "c", "d"}),
    ],
)
def test_left_out(options: dict[str, Any], left: set[str]) -> None:
    datoms: dict[str, Datom] = {
        "a": (ENTITY, NAME, "s", "Ann", True),
        "b": (NAME, 10, "k", "p/name", True),
        "c": (ENTITY, PAIR, "t", (("l", 1), None), True),
        "d": (0, INSTALL, "r", NAME, True),
        "e": (ENTITY, PREDS, "y", "a/b", True),
    }
    filter_ = Filter(schema(), **options)

    kept = filtered(filter_, *datoms.values())

    assert kept == [datom for name, datom in datoms.items() if name in left]
    assert sum(done.left_out for done in filter_.done) == len(datoms) - len(left)


def test_change_between_values_that_became_equal_cancels_out() -> None:
    filter_ = Filter(schema(), rewrite={"p/name": "constant:x"})
    change: list[Datom] = [(ENTITY, NAME, "s", "Ann", False), (ENTITY, NAME, "s", "Anne", True)]
    other: Datom = (ENTITY + 1, NAME, "s", "Bob", True)
    code: Datom = (ENTITY, CODE, "l", 7, True)

    assert filtered(filter_, *change, code, other) == [code, (ENTITY + 1, NAME, "s", "x", True)]
    assert (filter_.done[0].left_out, filter_.done[0].rewritten) == (2, 1)
    # One alone stays, so what was asserted is also retracted.
    assert filtered(filter_, change[0]) == [(ENTITY, NAME, "s", "x", False)]


class Shouting:
    """Undone by what suits it only where nothing is in capitals already."""

    def __call__(self, _attribute: str, value: str) -> str:
        return value.upper()

    def inverse(self, _attribute: str, value: str) -> str:
        return value.lower()


def test_value_that_an_inverse_does_not_give_back_is_an_error() -> None:
    filter_ = Filter(schema(), rewrite={"p/tags": Shouting(), "p/email": Shouting()})
    assert filtered(filter_, (ENTITY, TAGS, "s", "a", True)) == [(ENTITY, TAGS, "s", "A", True)]
    for attribute, name in ((TAGS, "p/tags"), (EMAIL, "p/email")):
        with pytest.raises(
            RewriteFailed, match=rf"t 9: the value of :{name} of .*Shouting: its inverse"
        ) as caught:
            filtered(filter_, (ENTITY, attribute, "s", "Ann", False))
        assert "Ann" not in str(caught.value) + caught.value.hint


def test_entity_left_with_nothing_is_still_made() -> None:
    """So that a reference to it later is a lookup by its original id, and found at once."""
    state = State(schema(), SeenIds())
    resolver = Resolver(state, IdCache(0), TX - 1, 0)
    hiding = Filter(schema(), exclude=["p/name"])
    transactions = [
        Transaction.of(TX, [(ENTITY, NAME, "s", "Ann", True)]),
        Transaction.of(TX + 1, [(ENTITY + 1, BOSS, "r", ENTITY, True)]),
    ]

    made, referring = [resolved(resolver, Excisions({}), hiding, transaction) for transaction in transactions]

    assert made.adds[4:] == [tempid(ENTITY), position_of(ORIGINAL_ID), "l", ENTITY]
    assert lookup(ENTITY) in referring.adds
    assert tempid(ENTITY) not in referring.adds


def raising(_attribute: str, _value: Any) -> Any:
    raise LookupError(f"{_value} is not in the list")


@pytest.mark.parametrize(
    ("how", "says"),
    [
        (raising, "raising: it raised LookupError$"),
        (lambda _a, _v: 7, "a int instead of a str"),
        (lambda _a, _v: None, "a NoneType instead of a str"),
        (lambda _a, _v: "\ud800", "surrogates not allowed"),
    ],
)
def test_function_that_fails(how: Any, says: str) -> None:
    filter_ = Filter(schema(), rewrite={"p/name": how})
    with pytest.raises(RewriteFailed, match=says) as caught:
        filtered(filter_, (ENTITY, NAME, "s", "Ann", True))
    assert (caught.value.t, caught.value.entity, caught.value.attribute) == (9, ENTITY, "p/name")
    assert caught.value.exit_code == 1
    assert "t 9" in str(caught.value)
    assert "Ann" not in str(caught.value) + caught.value.hint


def test_value_of_another_type_than_the_attribute_is_not_rewritten() -> None:
    filter_ = Filter(schema(), rewrite={"p/number": "hash"}, key=KEY, exclude=["p/pair"], exclude_schema=True)
    with pytest.raises(RewriteFailed, match="it is a bigint, not a long"):
        filtered(filter_, (ENTITY, NUMBER, "n", "5", True))


def test_function_gets_the_attribute_and_the_value() -> None:
    seen: list[tuple[str, Any]] = []

    def note(attribute: str, value: Any) -> Any:
        seen.append((attribute, value))
        return value * 2

    filter_ = Filter(schema(), rewrite={":p/former": note})
    assert filtered(filter_, (ENTITY, NAME, "s", "ab", True)) == [(ENTITY, NAME, "s", "abab", True)]
    assert seen == [("p/name", "ab")]
    assert "test_filters:" in describe(filter_.rules)


def rules(options: dict[str, Any]) -> Iterable[str]:
    return Filter(schema(), **options).rules


def test_rules_tell_filters_apart() -> None:
    options: list[dict[str, Any]] = [
        {},
        {"exclude": ["p/name"]},
        {"exclude": ["p/name"], "exclude_schema": True},
        {"rewrite": {"p/name": "null"}},
        {"rewrite": {"p/name": "hash"}, "key": KEY},
        {"rewrite": {"p/name": "hash"}, "key": KEY[::-1]},
        {"rewrite": {"p/name": "fake:name"}, "key": KEY},
        {"rewrite": {"p/name": "constant:x"}},
        {"rewrite": {"p/name": shout}},
    ]
    for i, some in enumerate(options):
        for j, others in enumerate(options):
            assert goes_on(rules(some), rules(others)) == (i == j)
    assert all(KEY.decode() not in rule for each in options for rule in rules(each))
    assert goes_on(rules({"exclude": [":p/former"]}), rules({"exclude": ["p/name"]}))
    renamed = [rule.replace("p/name", "p/renamed") for rule in rules({"exclude": ["p/name"]})]
    assert goes_on(renamed, rules({"exclude": ["p/name"]}))
    assert describe(renamed) == ":p/renamed exclude"


def test_fitting_to_a_target() -> None:
    """One rule, whatever the target lacks of what it does without; nothing else is left out by it."""
    fitted, empty = Filter(Schema({10: "db/ident"})), Filter(Schema({10: "db/ident"}))
    fitted.fit({44: "db/index", 46: "db/lang", 47: "db/fn", 48: "db.type/bytes"})
    empty.fit({47: "db/fn"})

    assert describe(fitted.rules) == ":db/index fit target; :db/lang fit target"
    assert goes_on(fitted.rules, fitted.rules[:1])
    assert goes_on([], fitted.rules)
    assert not goes_on(fitted.rules, [])
    assert empty.rules == []
    datoms: list[Datom] = [(70, a, "r", 71, True) for a in (44, 45, 46, 47, 48)]
    assert filtered(fitted, *datoms) == [datom for datom in datoms if datom[1] in {45, 47, 48}]
    assert [each.left_out for each in fitted.done] == [1, 1]
