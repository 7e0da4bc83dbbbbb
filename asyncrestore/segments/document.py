"""The document in a segment's metadata: what it says of the segment, and the schema as of its start.

Both are read strictly: a field too many, of another type or out of its range is damage, and so are two fields
that cannot both be true.
"""

from __future__ import annotations

import base64
import json
import re
import zlib
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from asyncrestore.errors import NewerFormat, SegmentDamaged
from asyncrestore.limits import schema_limit, too_large
from asyncrestore.model.log import INDEX_MASK
from asyncrestore.model.schema import snapshot_text
from asyncrestore.model.values import is_unicode
from asyncrestore.segments.snapshot import check_snapshot

if TYPE_CHECKING:
    from collections.abc import Callable

FORMAT = 2
_LONGEST_NAME = 4096
_KEY = re.compile("([0-9]{13})-([0-9]{13})[.]parquet")


@dataclass(frozen=True, slots=True, order=True)
class SegmentRange:
    """The transactions that a segment holds: those with start <= t < end.

    It is a range and not a list, because t is sparse on some editions: only ranges show by arithmetic that a
    head or middle is missing.
    """

    start: int
    end: int

    @property
    def key(self) -> str:
        """The segment's file name."""
        return f"{self.start:013d}-{self.end:013d}.parquet"

    @classmethod
    def from_key(cls, key: str) -> SegmentRange | None:
        """Returns the range in a file name, None if it is not the name of a segment."""
        match = _KEY.fullmatch(key)
        return cls(int(match[1]), int(match[2])) if match and int(match[1]) < int(match[2]) else None


@dataclass(frozen=True, slots=True)
class SegmentInfo:
    """A segment's metadata.

    Attributes:
        format: version of the format.
        source: identity of the source database.
        name: name of the source database.
        start: first t that the segment covers.
        end: first t that it does not cover any more.
        first_t: t of its first transaction, None if it has none.
        last_t: t of its last transaction, None if it has none.
        bootstrap_t: t of the source's last bootstrap transaction.
        transactions: how many it holds.
        datoms: how many it holds.
        largest: largest index of schema elements, transactions and other entities in entity position; -1 for
            none.
        schema_sha256: `Schema.digest` of the schema as of before `start`; None in format 1.
        last_excision_t: t of the last request for excision before `start`, -1 if there was none; None where
            nobody knows: in format 1, and in what was compacted of it.
        backup: id of the backup; None where it had none yet.
        since: segments of this backup that end after this t have its id (see `Lineage`); None without id.
        previous: digest of the last transaction before `start` (`lineage.digest_of`), None if there is none,
            and where nobody knows.
    """

    format: int
    source: str
    name: str
    start: int
    end: int
    first_t: int | None
    last_t: int | None
    bootstrap_t: int
    transactions: int
    datoms: int
    largest: tuple[int, int, int]
    schema_sha256: str | None
    last_excision_t: int | None
    backup: str | None
    since: int | None
    previous: str | None

    @property
    def range(self) -> SegmentRange:
        """The transactions that the segment covers."""
        return SegmentRange(self.start, self.end)


NOT_IN_FORMAT_1: dict[str, Any] = {"schema_sha256": None, "last_excision_t": None}
"""The fields of `SegmentInfo` that came later, with the values that they get where format 1 is read."""

NOT_IN_ALL: dict[str, Any] = {"backup": None, "since": None, "previous": None}
"""The fields that segments of format 1 lack, and the first ones of format 2."""


def _is(*types: type) -> Callable[[Any], bool]:
    return lambda value: type(value) in types


def _in(least: int, most: int = INDEX_MASK + 1) -> Callable[[Any], bool]:
    return lambda value: type(value) is int and least <= value <= most


def _or_none(good: Callable[[Any], bool]) -> Callable[[Any], bool]:
    return lambda value: value is None or good(value)


def _is_text(value: object) -> bool:
    return (
        isinstance(value, str) and 0 < len(value) <= _LONGEST_NAME and "\0" not in value and is_unicode(value)
    )


def _is_digest(value: object) -> bool:
    return isinstance(value, str) and re.fullmatch("[0-9a-f]{64}", value) is not None


def _is_largest(value: object) -> bool:
    return isinstance(value, list) and len(value) == 3 and all(map(_in(-1), value))


_FIELDS: dict[str, Callable[[Any], bool]] = {
    "format": _in(1, FORMAT),
    "source": _is_text,
    "name": _is_text,
    "start": _in(0),
    "end": _in(1),
    "first_t": _or_none(_in(0)),
    "last_t": _or_none(_in(0)),
    "bootstrap_t": _in(-1),
    "transactions": _in(0),
    "datoms": _in(0),
    "largest": _is_largest,
    "schema_sha256": _is_digest,
    "last_excision_t": _or_none(_in(-1)),
    "backup": _or_none(_is_text),
    "since": _or_none(_in(0)),
    "previous": _or_none(_is_digest),
    "schema": _is(str),
}
"""The fields of the document, each with what its value must be."""

_FIELDS_1 = {name: good for name, good in _FIELDS.items() if name not in NOT_IN_FORMAT_1 | NOT_IN_ALL} | {
    "schema": _is(dict)
}


def write_document(info: SegmentInfo, snapshot: dict[str, Any]) -> str:
    """Returns the document of a segment as JSON."""
    packed = base64.b64encode(zlib.compress(snapshot_text(snapshot).encode(), 9)).decode()
    return json.dumps({**asdict(info), "schema": packed}, separators=(",", ":"))


def read_document(text: bytes) -> tuple[SegmentInfo, dict[str, Any]]:
    """Reads the document of any format: what it says, and the schema as plain data (`Schema.to_json`).

    Raises:
        SegmentDamaged: it is not as this program, or an older one, writes it.
        NewerFormat: a newer one wrote it.
    """
    document = _json(text)
    if type(document) is not dict:
        raise SegmentDamaged("its metadata is not an object in JSON")
    _check_format(document.get("format"))
    fields = _FIELDS_1 if document["format"] == 1 else _FIELDS
    if document.keys() not in (fields.keys(), fields.keys() - NOT_IN_ALL.keys()):
        raise SegmentDamaged(f"its metadata has not the fields of format {document['format']}")
    for name, value in document.items():
        if not fields[name](value):
            raise SegmentDamaged(f"its metadata has an impossible {name}")
    snapshot = document.pop("schema")
    if document["format"] == 1:
        document |= NOT_IN_FORMAT_1
    else:
        snapshot = _json(_unpack(snapshot))
    info = SegmentInfo(**{**NOT_IN_ALL, **document, "largest": tuple(document["largest"])})
    _check_info(info)
    check_snapshot(snapshot)
    if info.start == 0 and "attributes" not in snapshot:
        raise SegmentDamaged("its metadata lacks the attributes")
    return info, snapshot


def refuse_newer(text: bytes) -> None:
    """Refuses a document of a newer format, of which nothing else can be told.

    Raises:
        NewerFormat: it is one.
    """
    try:
        document = _json(text)
    except SegmentDamaged:
        return
    if type(document) is dict:
        _refuse_newer_version(document.get("format"))


def _check_format(version: object) -> None:
    _refuse_newer_version(version)
    if not _FIELDS["format"](version):
        raise SegmentDamaged("its metadata has an impossible format")


def _refuse_newer_version(version: object) -> None:
    if type(version) is int and version > FORMAT:
        raise NewerFormat(
            f"its format is version {version}, this program knows those up to {FORMAT}",
            hint="Use a newer asyncrestore.",
        )


def _check_info(info: SegmentInfo) -> None:
    """Checks that what the metadata says can all be true."""
    if info.first_t is None or info.last_t is None:
        empty = (info.first_t, info.last_t, info.transactions, info.datoms) == (None, None, 0, 0)
        possible = info.start < info.end and empty and info.largest == (-1, -1, -1)
    else:
        possible = info.start <= info.first_t <= info.last_t < info.end
        possible = possible and 0 < info.transactions <= info.last_t - info.first_t + 1
        possible = possible and info.transactions <= info.datoms
    possible = possible and (info.backup is None) == (info.since is None)
    if not possible or (info.last_excision_t or 0) >= max(info.start, 1):
        raise SegmentDamaged("its metadata contradicts itself")


def _json(text: bytes) -> Any:
    try:
        return json.loads(text.decode(), object_pairs_hook=_object, parse_constant=_no_number)
    except (ValueError, RecursionError) as exc:
        raise SegmentDamaged(f"its metadata is not JSON: {exc}") from exc


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise ValueError("a name is there twice")
    return found


def _no_number(text: str) -> Any:
    raise ValueError(f"{text} is not a number of JSON")


def _unpack(packed: str) -> bytes:
    """Returns the text that is packed, and no more of it than the limit allows."""
    try:
        data = base64.b64decode(packed, validate=True)
        inflating = zlib.decompressobj()
        text = inflating.decompress(data, schema_limit())
        if inflating.unconsumed_tail:
            raise too_large(f"its schema takes more than {schema_limit():,} bytes")
        if not inflating.eof or inflating.unused_data:
            raise SegmentDamaged("its metadata has no whole schema")
    except (ValueError, zlib.error) as exc:
        raise SegmentDamaged(f"its metadata has no whole schema: {exc}") from exc
    return text
