"""Ways of rewriting a value: each gives the same for the same, always, and a value of that type."""

from __future__ import annotations

import base64
import random
import uuid
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import faker
import pytest
from faker.providers import date_time
from hypothesis import given
from hypothesis import strategies as st

from asyncrestore.errors import UsageError
from asyncrestore.filters.rewrites import make_rewriter
from asyncrestore.model.equality import as_compared
from asyncrestore.model.values import KIND_OF_TYPE, Keyword, Symbol, Uri, to_python, to_raw
from tests.strategies import scalars

if TYPE_CHECKING:
    from asyncrestore.filters.rewrites import Rewriter

KEY = b"0123456789abcdef"

HASHED: list[tuple[str, Any]] = [
    ("s", "Ann"),
    ("k", "person/ann"),
    ("y", "a/b"),
    ("u", "7d0162a9-2636-46f2-b0e8-a9336075eee2"),
    ("o", "https://x.example/ann"),
    ("l", 1234567),
    ("n", "1234567"),
    ("x", base64.b64encode(b"ann").decode()),
]


def value_type(kind: str) -> str:
    return next(name for name, letter in KIND_OF_TYPE.items() if letter == kind)


@pytest.mark.parametrize(("kind", "raw"), HASHED)
def test_hash_keeps_the_type_and_equality(kind: str, raw: Any) -> None:
    hashed = make_rewriter("hash", "p/x", value_type(kind), KEY)
    other_key = make_rewriter("hash", "p/x", value_type(kind), KEY[::-1])

    result = hashed.rewrite(raw)

    assert to_raw(kind, to_python(kind, result)) == result, "a value of that type"
    assert result == hashed.rewrite(raw) == make_rewriter("hash", "q/y", value_type(kind), KEY).rewrite(raw)
    assert len({raw, result, other_key.rewrite(raw)}) == 3
    assert str(raw) not in str(result)


def test_hash_of_other_types_is_refused() -> None:
    for kind in "bdfim":
        with pytest.raises(UsageError, match="cannot be hashed"):
            make_rewriter("hash", "p/x", value_type(kind), KEY)


@given(st.sets(st.text(st.characters(exclude_categories=["Cs"])), min_size=2, max_size=50))
def test_hash_keeps_different_values_different(texts: set[str]) -> None:
    hashed = make_rewriter("hash", "p/x", "db.type/string", KEY)
    assert len({hashed.rewrite(text) for text in texts}) == len(texts)


@pytest.mark.parametrize(
    ("kind", "text", "value"),
    [
        ("s", "a:b=c", "a:b=c"),
        ("s", "", ""),
        ("k", ":a/b", Keyword("a/b")),
        ("k", "a", Keyword("a")),
        ("y", "a/b", Symbol("a/b")),
        ("o", "urn:x", Uri("urn:x")),
        ("b", "true", True),
        ("l", "-5", -5),
        ("n", str(1 << 80), 1 << 80),
        ("d", "0.5", 0.5),
        ("f", "0.5", 0.5),
        ("m", "1.10", Decimal("1.10")),
        ("i", "1970-01-01T00:00:01.5+00:00", datetime(1970, 1, 1, 0, 0, 1, 500_000, tzinfo=UTC)),
        ("i", "2026-01-31T12:00:00Z", datetime(2026, 1, 31, 12, tzinfo=UTC)),
        ("u", "7d0162a9-2636-46f2-b0e8-a9336075eee2", uuid.UUID("7d0162a9-2636-46f2-b0e8-a9336075eee2")),
        ("x", "YQ==", b"a"),
    ],
)
def test_constant_of_each_type(kind: str, text: str, value: Any) -> None:
    raw = make_rewriter(f"constant:{text}", "p/x", value_type(kind), None).make("anything")
    assert to_python(kind, raw) == value


@pytest.mark.parametrize(
    ("kind", "text"),
    [
        ("b", "yes"), ("l", "x"), ("l", str(1 << 63)), ("f", "1e39"), ("m", "x"), ("m", "NaN"), ("u", "x"),
        ("i", "2026-01-31"), ("i", "yesterday"), ("x", "?"), ("k", "a b"), ("k", ""), ("o", "no uri"),
    ],
)  # fmt: skip
def test_constant_that_is_no_value(kind: str, text: str) -> None:
    with pytest.raises(UsageError, match=r"not a value of db\.type/"):
        make_rewriter(f"constant:{text}", "p/x", value_type(kind), None)


@given(scalars.filter(lambda value: value[0] not in "rkyuo"))
def test_python_values_go_back_to_their_raw_form(value: tuple[str, Any]) -> None:
    kind, raw = value
    if kind == "m":  # Python and Java write exponents in their own ways
        assert to_python(kind, to_raw(kind, to_python(kind, raw))).compare_total(to_python(kind, raw)) == 0
    elif kind in "df":
        again = to_raw(kind, to_python(kind, raw))
        assert repr(to_python(kind, again)) == repr(to_python(kind, raw))
    else:
        assert to_raw(kind, to_python(kind, raw)) == raw


@given(scalars.filter(lambda value: value[0] not in "ru"))
def test_a_function_may_return_what_the_source_holds(value: tuple[str, Any]) -> None:
    """Also what no text stands for: a keyword without a name, a relative URI; of NaN one stands for all."""
    kind, raw = value
    rewriter = make_rewriter(lambda _, same: same, "p/x", value_type(kind), None)
    assert rewriter.rewrite(raw) == as_compared(kind, raw)


@pytest.mark.parametrize("name", ["", "a/", "/a", "a b", "/"])
def test_a_function_may_make_names_with_blanks(name: str) -> None:
    for kind, named in (("k", Keyword), ("y", Symbol)):
        assert (
            make_rewriter(lambda _, __, of=named: of(name), "p/x", value_type(kind), None).rewrite("b")  # type: ignore[misc]
            == name
        )


def test_a_bigint_has_any_number_of_digits() -> None:
    for raw in ("9" * 6000, "-" + "9" * 6000):
        assert to_raw("n", to_python("n", raw)) == raw


class Undone:
    """A function and its inverse, of values alone."""

    def __init__(self, function: Any, inverse: Any) -> None:
        self.function, self._inverse = function, inverse

    def __call__(self, _attribute: str, value: Any) -> Any:
        return self.function(value)

    def inverse(self, _attribute: str, value: Any) -> Any:
        return self._inverse(value)


YEAR = timedelta(days=365)
LATER = Undone(lambda value: value + YEAR, lambda value: value - YEAR)


@pytest.mark.parametrize(
    ("kind", "raw", "function", "result"),
    [
        ("i", 0, LATER, 365 * 86_400_000),
        ("d", to_raw("d", -0.0), Undone(float.__neg__, float.__neg__), to_raw("d", -0.0)),
        ("f", to_raw("f", float("nan")), Undone(float.__neg__, float.__neg__), to_raw("f", -float("nan"))),
        ("m", "1.00", Undone(lambda value: value + 5, lambda value: value - 5), "6.00"),
        ("m", "0E+9", Undone(lambda value: value, lambda value: value), "0E+9"),
        ("o", "HTTP://A/", Undone(lambda value: Uri(value.text + "x"), lambda value: Uri(value.text[:-1])),
         "http://a/x"),
    ],
)  # fmt: skip
def test_inverse_that_gives_each_value_back(kind: str, raw: Any, function: Any, result: Any) -> None:
    rewriter = make_rewriter(function, "p/x", value_type(kind), None)
    assert rewriter.distinct
    assert rewriter.rewrite(raw) == result


@pytest.mark.parametrize(
    ("kind", "raw", "function", "says"),
    [
        ("s", "Ann", Undone(str.upper, str.lower), "does not give the value back"),
        ("m", "1.00", Undone(lambda value: Decimal(int(value)), Decimal), "does not give"),
        ("i", 0, Undone(lambda value: value, lambda value: value.wrong), "inverse fails: it raised Attr"),
        # An instant has milliseconds.
        ("i", 0, Undone(lambda value: value + YEAR / 7e7, lambda value: value - YEAR / 7e7), "does not give"),
        ("s", "a", Undone(lambda value: value, len), "inverse fails: a int instead of a str"),
        # To Datomic these are one URI.
        ("o", "http://a/", Undone(lambda _: Uri("HTTP://B/"), {Uri("HTTP://B/"): Uri("http://a/")}.get),
         "inverse fails: a NoneType"),
    ],
)  # fmt: skip
def test_inverse_that_does_not(kind: str, raw: Any, function: Any, says: str) -> None:
    with pytest.raises(ValueError, match=says):
        make_rewriter(function, "p/x", value_type(kind), None).rewrite(raw)


def test_inverse_is_a_function() -> None:
    class Wrong:
        inverse = "text"

        def __call__(self, _attribute: str, value: Any) -> Any:
            return value

    with pytest.raises(UsageError, match=r"inverse of tests\.core\..*Wrong is not a function"):
        make_rewriter(Wrong(), "p/x", "db.type/string", None)


def test_fake_is_the_same_for_the_same() -> None:
    first = make_rewriter("fake:name", "p/x", "db.type/string", KEY)
    second = make_rewriter("fake:name", "p/x", "db.type/string", KEY)
    names = [first.rewrite(name) for name in ("Ann", "Bob", "Ann")]

    assert [second.rewrite(name) for name in ("Ann", "Bob", "Ann")] == names
    assert names[0] == names[2] != names[1]
    assert isinstance(make_rewriter("fake:random_int", "p/x", "db.type/long", KEY).rewrite(7), int)
    assert uuid.UUID(str(make_rewriter("fake:uuid4", "p/x", "db.type/uuid", KEY).rewrite("x")))


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        ("o", Uri("my_app:y")),
        ("o", Uri("http://")),
        ("m", Decimal("1E+2147483648")),
        ("m", Decimal("1E-2147483648")),
        ("m", Decimal("12E+2147483647")),
        ("m", Decimal("Infinity")),
    ],
)
def test_what_java_has_not_is_no_value(kind: str, value: Any) -> None:
    with pytest.raises(ValueError, match=r"it is not a|does not fit"):
        to_raw(kind, value)


def fakes() -> dict[str, Rewriter]:
    """All providers that are taken for strings."""
    taken = {}
    for provider in sorted(name for name in dir(faker.Faker()) if not name.startswith("_")):
        with suppress(UsageError):
            taken[provider] = make_rewriter(f"fake:{provider}", "p/x", "db.type/string", KEY)
    return taken


def test_no_fake_asks_for_the_date(monkeypatch: pytest.MonkeyPatch) -> None:
    taken = set(fakes())
    assert len(taken) > 150
    for name in [name for name in vars(date_time.Provider) if name.startswith(("date", "time", "unix"))]:
        monkeypatch.setattr(date_time.Provider, name, _dated)
    without = fakes()
    assert set(without) == taken
    for fake in without.values():
        for raw in map(str, range(100)):
            with suppress(TypeError):  # a few give no string, now and then
                fake.rewrite(raw)


def _dated(*_: Any, **__: Any) -> None:
    raise AssertionError("asks for the date")


def test_no_fake_draws_from_another_generator() -> None:
    for (provider, first), again in zip(fakes().items(), fakes().values(), strict=True):
        for raw in map(str, range(20)):
            with suppress(TypeError):
                random.seed(1)
                made = first.rewrite(raw)
                random.seed(2)
                assert again.rewrite(raw) == made, provider
