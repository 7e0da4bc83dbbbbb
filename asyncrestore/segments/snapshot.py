"""The exact shape of a schema as plain data (`Schema.to_json`), for those who read it from a file."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from asyncrestore.errors import SegmentDamaged
from asyncrestore.model.values import is_unicode

if TYPE_CHECKING:
    from collections.abc import Callable

_ID = re.compile("0|[1-9][0-9]{0,18}")
_IDS = 1 << 62
"""Entity ids are below this (see `positions`)."""

_NEEDED = frozenset({"db/ident", "db/txInstant"})
_NEEDED_TO_ALTER = frozenset({"db/unique", "db.unique/identity", "db.unique/value"})
_UNIQUE = (None, "db.unique/identity", "db.unique/value")
_FIELDS_OF_ATTRIBUTE = 5


def check_snapshot(snapshot: object) -> None:
    """Checks that plain data is what `Schema.to_json` returns, or only the base of that.

    Raises:
        SegmentDamaged: it is not.
    """
    if not isinstance(snapshot, dict) or "base" not in snapshot:
        raise _wrong("base")
    # Only the base, or all that there always is.
    least = {"base", "attributes", "names"} if len(snapshot) > 1 else {"base"}
    if not least <= snapshot.keys() <= _PARTS.keys():
        raise SegmentDamaged("its schema has not the parts of a schema")
    for part, value in snapshot.items():
        if not _PARTS[part](value):
            raise _wrong(part)
    base = set(snapshot["base"].values())
    needed = _NEEDED | _NEEDED_TO_ALTER if "db.alter/attribute" in base else _NEEDED
    if not needed <= base:
        raise _wrong("base")
    attributes = snapshot.get("attributes", {})
    if not all(str(entity) in attributes for entity in snapshot.get("names", {}).values()):
        raise _wrong("names")
    for part in ("past", "predicates"):
        if not snapshot.get(part, {}).keys() <= attributes.keys():
            raise _wrong(part)


def _wrong(part: str) -> SegmentDamaged:
    return SegmentDamaged(f"its schema has an impossible part: {part}")


def _is_key(key: str) -> bool:
    return _ID.fullmatch(key) is not None and int(key) < _IDS


def _is_id(value: object) -> bool:
    return type(value) is int and 0 <= value < _IDS


def _is_text(value: object) -> bool:
    return isinstance(value, str) and is_unicode(value)


def _by_id(good: Callable[[Any], bool]) -> Callable[[Any], bool]:
    return lambda part: isinstance(part, dict) and all(map(_is_key, part)) and all(map(good, part.values()))


def _is_names(part: object) -> bool:
    return isinstance(part, dict) and all(map(_is_text, part)) and all(map(_is_id, part.values()))


def _is_attribute(fields: object) -> bool:
    if not isinstance(fields, list) or len(fields) != _FIELDS_OF_ATTRIBUTE:
        return False
    ident, value_type, many, unique, components = fields
    return (
        all(text is None or _is_text(text) for text in (ident, value_type))
        and isinstance(many, bool)
        and unique in _UNIQUE
        and (components is None or (_is_list(components, _is_id) and bool(components)))
    )


def _is_list(value: object, good: Callable[[Any], bool]) -> bool:
    return isinstance(value, list) and all(map(good, value))


def _is_texts(value: object) -> bool:
    return _is_list(value, _is_text)


_PARTS: dict[str, Callable[[Any], bool]] = {
    "base": _by_id(_is_text),
    "attributes": _by_id(_is_attribute),
    "names": _is_names,
    "past": _by_id(_is_texts),
    "predicates": _by_id(_is_texts),
}
"""The parts of a schema; segments without its attributes have only the first."""
