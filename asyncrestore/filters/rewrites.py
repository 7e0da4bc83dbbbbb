"""Rewriting of values: `hash`, `constant:TEXT`, `fake:PROVIDER`, or any function.

Every way always gives the same new value for the same value: a value is asserted in one transaction and
retracted in another, which may be restored on another day.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import importlib
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from functools import reduce
from typing import Any, TypeAlias

from asyncrestore.errors import UsageError
from asyncrestore.model.equality import as_compared
from asyncrestore.model.values import KIND_OF_TYPE, KINDS, Raw, parse, to_python, to_raw

Rewrite: TypeAlias = str | Callable[[str, Any], Any]
"""``hash``, ``null``, ``constant:TEXT``, ``fake:PROVIDER``, ``module:function``, or a function.

A function takes the attribute's ident (without the colon) and a value as `values.to_python` returns it, and
returns a value of the same type. It must always return the same for the same value, and at once, because it
is called within the event loop. If it has an attribute ``inverse``, that is a function of the ident and the
new value that returns the old one: then no two values become one, and each value shows it.
"""

_UNSTEADY_FAKES = frozenset({
    "credit_card_expire", "credit_card_full", "firefox", "passport_dates", "passport_dob", "passport_full",
    "passport_gender", "profile", "simple_profile", "user_agent", "xml", "zip",
})  # fmt: skip
"""Providers of Faker that read the clock, or draw from a generator that is not the seeded one."""

KEY_BYTES = 16
_WAYS_WITH_ARGUMENT = frozenset({"constant", "fake"})
CONSTANT_CHARACTERS = 1000


@dataclass(frozen=True, slots=True)
class Rewriter:
    """How the values of one attribute are rewritten.

    Attributes:
        kind: of the values, before and after.
        way: ``hash``, ``constant``, ``fake`` or ``function``.
        depends: all that the new values depend on, as the target records it.
        make: returns the new raw value for a raw value in the form of `as_compared`.
        distinct: whether different values stay different.
    """

    kind: str
    way: str
    depends: dict[str, str]
    make: Callable[[Any], Raw]
    distinct: bool

    def rewrite(self, raw: Raw) -> Raw:
        """Returns the new value for a value: the same one for all that Datomic takes for the same value.

        Raises:
            TypeError: a function returned something else than a value of that type.
            ValueError: it raised, or its inverse does not give the value back. The text of either does not
                contain the value.
        """
        return self.make(as_compared(self.kind, raw))


def make_rewriter(how: Rewrite, ident: str, value_type: str, key: bytes | None) -> Rewriter:
    """Makes the rewriter of an attribute.

    Args:
        how: the way that was asked for.
        ident: of the attribute, without the colon.
        value_type: ident of the attribute's value type.
        key: the secret for `hash` and `fake`.

    Raises:
        UsageError: the way is unknown, lacks something, or does not fit values of that type.
    """
    kind = KIND_OF_TYPE.get(value_type, "")
    if kind in ("", "r", "t", "c"):
        raise UsageError(
            f"Values of :{ident} cannot be rewritten: they are of {value_type}",
            hint=f"Leave them out: `exclude={ident}` (or `rewrite={ident}=null`).",
        )
    if not isinstance(how, str):
        return _function(how, ident, kind)
    way, colon, argument = how.partition(":")
    if how == "hash":
        return _hash(ident, kind, key)
    if way == "constant" and colon:
        return _constant(argument, ident, kind)
    if way == "fake" and colon:
        return _fake(argument, ident, kind, key)
    if names_function(how):
        return _function(load_function(how), ident, kind)
    raise UsageError(
        f"No way to rewrite :{ident} is called {how!r}",
        hint="The ways are hash, null, constant:TEXT, fake:PROVIDER and module:function.",
    )


def names_function(how: str) -> bool:
    """Returns whether a way to rewrite is ``module:function``, which is imported."""
    way, colon, argument = how.partition(":")
    return bool(way and colon and argument) and way not in _WAYS_WITH_ARGUMENT


def load_function(name: str) -> Callable[[str, Any], Any]:
    """Imports ``module:function``.

    Raises:
        UsageError: it cannot be imported, or is not a function.
    """
    module, _, path = name.partition(":")
    try:
        function = reduce(getattr, path.split("."), importlib.import_module(module))
    except Exception as exc:  # whatever the module does when it is imported
        raise UsageError(f"{name} cannot be imported: {type(exc).__name__}: {exc}") from exc
    if not callable(function):
        raise UsageError(f"{name} is not a function")
    return function


def _function(function: Callable[[str, Any], Any], ident: str, kind: str) -> Rewriter:
    module = getattr(function, "__module__", "?")
    name = f"{module}:{getattr(function, '__qualname__', type(function).__qualname__)}"
    inverse = getattr(function, "inverse", None)
    if inverse is not None and not callable(inverse):
        raise UsageError(f"The inverse of {name} is not a function")

    def make(raw: Any) -> Raw:
        new = _called(function, ident, kind, raw)
        if inverse is not None:
            try:
                again = _called(inverse, ident, kind, as_compared(kind, new))
            except (TypeError, ValueError) as exc:
                raise ValueError(f"its inverse fails: {exc}") from exc
            if as_compared(kind, again) != raw:
                raise ValueError("its inverse does not give the value back")
        return new

    # The ident is an argument of it, so it might rewrite otherwise once the attribute is renamed.
    depends = {"how": name, "called_with": ident}
    return Rewriter(kind, "function", depends, make, distinct=inverse is not None)


def _called(function: Callable[[str, Any], Any], ident: str, kind: str, raw: Raw) -> Raw:
    value = to_python(kind, raw)
    try:
        made = function(ident, value)
    except Exception as exc:  # whatever somebody's function raises
        # Its text is left out, because it may be the value itself, as a KeyError's is.
        raise ValueError(f"it raised {type(exc).__name__}") from exc
    # What the source holds may be returned, also where the check of what somebody makes is stricter.
    return raw if made is value else to_raw(kind, made)


def _keyed(ident: str, how: str, key: bytes | None) -> bytes:
    if key is None:
        raise UsageError(
            f"Rewriting :{ident} with {how} needs a key",
            hint="Give `rewrite_key`.",
        )
    if len(key) < KEY_BYTES:
        raise UsageError(
            f"The key for rewriting is shorter than {KEY_BYTES} bytes: values could be found by trying keys",
            hint="Make one: openssl rand -hex 32",
        )
    return key


def _fingerprint(key: bytes) -> str:
    """Returns a text that tells keys apart and discloses nothing else of them."""
    return hmac.digest(key, b"fingerprint", hashlib.sha256).hex()[:16]


def _digest(key: bytes, use: str, kind: str, raw: Any) -> bytes:
    return hmac.digest(key, f"{use} {kind} {raw}".encode(), hashlib.sha256)


# What a digest looks like as a value of each kind: as many of its 256 bits as the kind has room for.
_FROM_DIGEST: dict[str, Callable[[bytes], Raw]] = {
    "s": bytes.hex,
    "k": lambda digest: "h" + digest.hex(),  # a name of a keyword or symbol begins with a letter
    "y": lambda digest: "h" + digest.hex(),
    "u": lambda digest: str(uuid.UUID(bytes=digest[:16], version=4)),
    "o": lambda digest: "hash:" + digest.hex(),
    "l": lambda digest: int.from_bytes(digest[:8], signed=True),
    "n": lambda digest: str(int.from_bytes(digest[:16], signed=True)),
    "x": lambda digest: base64.b64encode(digest).decode(),
}
HASHED_KINDS = frozenset(_FROM_DIGEST)


def _hash(ident: str, kind: str, key: bytes | None) -> Rewriter:
    present = _FROM_DIGEST.get(kind)
    if present is None:
        known = ", ".join(KINDS[each] for each in _FROM_DIGEST)
        raise UsageError(
            f"Values of :{ident} cannot be hashed: they are of db.type/{KINDS[kind]}",
            hint=f"hash is for {known}. Rewrite it with constant:VALUE or a function, or leave it out.",
        )
    secret = _keyed(ident, "hash", key)
    return Rewriter(
        kind,
        "hash",
        {"how": "hash", "key": _fingerprint(secret)},
        lambda raw: present(_digest(secret, "hash", kind, raw)),
        distinct=True,
    )


def _constant(text: str, ident: str, kind: str) -> Rewriter:
    if len(text) > CONSTANT_CHARACTERS:
        raise UsageError(f"The constant for :{ident} has more than {CONSTANT_CHARACTERS} characters")
    try:
        raw = to_raw(kind, parse(kind, text))
    except ValueError as exc:
        raise UsageError(f"The constant for :{ident} is not a value of db.type/{KINDS[kind]}: {exc}") from exc
    return Rewriter(kind, "constant", {"how": f"constant:{text}"}, lambda _: raw, distinct=False)


def _fake(provider: str, ident: str, kind: str, key: bytes | None) -> Rewriter:
    try:
        import faker  # noqa: PLC0415 - an extra
        from faker.providers import BaseProvider, date_time  # noqa: PLC0415
    except ModuleNotFoundError as exc:
        raise UsageError(
            f"Rewriting :{ident} with fake needs the package Faker", hint="pip install 'asyncrestore[fake]'"
        ) from exc
    secret = _keyed(ident, "fake", key)
    generator = faker.Faker()
    method = None if provider == "seed" else getattr(generator, provider, None)  # asking for seed raises
    maker = getattr(method, "__self__", None)
    if method is None or not isinstance(maker, BaseProvider):
        raise UsageError(
            f"Faker has no provider {provider!r}, which was requested for :{ident}",
            hint="Such as name, email or address; Faker's documentation lists all under standard providers.",
        )
    if isinstance(maker, date_time.Provider) or provider in _UNSTEADY_FAKES:
        raise UsageError(
            f"Faker's {provider} depends on today's date or on chance: another day it would give :{ident} "
            "other values",
            hint="Use constant:VALUE or a function.",
        )

    def make(raw: Any) -> Raw:
        generator.seed_instance(int.from_bytes(_digest(secret, "fake", kind, raw)))
        made = method()
        return to_raw(kind, parse(kind, made) if isinstance(made, str) else made)

    try:
        make("")
    except Exception as exc:  # providers that need arguments, or give something else
        raise UsageError(
            f"Faker's {provider} gives no values for :{ident}, which are of db.type/{KINDS[kind]}: {exc}"
        ) from exc
    # Another version of Faker may give other values.
    depends = {"how": f"fake:{provider}", "key": _fingerprint(secret), "faker": faker.VERSION}
    return Rewriter(kind, "fake", depends, make, distinct=False)
