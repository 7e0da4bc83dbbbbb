"""Segments: the transactions with source t in [start, end), as one lossless Parquet file.

Each row is a datom, in the log's order; a row group holds whole transactions. Typed value columns make a
backup readable in place by DuckDB, Spark, Athena or pandas:

    t, tx, e, a, attribute, type, added,
    value_ref, value_long, value_double, value_float, value_boolean, value_instant, value_text

`value_text` holds strings, keywords (without colon), symbols, uuids, uris, bigints, bigdecs, bytes (base64)
and tuples (JSON: a list of [kind, value] or null). The file's metadata holds a JSON document under
`asyncrestore`, and the digest. The document has what `SegmentInfo` has, and `schema`: the schema as of the
segment's start in JSON (`Schema.to_json`), with zlib and in base64. It has the attributes only where the
segment begins at t 0, or holds at least as many datoms as there are attributes: so the size of a small
segment does not grow with the schema (`stored_schema` finds the attributes of the others). The base schema is
always there.

`backup`, `since` and `previous` say whose segment it is (see `lineage`): the id of the backup, from which t
on its segments have it, and the digest of the last transaction before `start`. Segments that were written
before there was an id lack the three.

In format 1 `schema` is a JSON object, has the attributes in every segment, and there is no `schema_sha256`.

The digest is the SHA-256 of the whole file with the digest's own digits set to 0, so that a change of any
byte shows. Beside it is a place for a MAC, which a signed store fills in (see `seal`).
"""

from __future__ import annotations

import base64
import json
import re
import zlib
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from asyncrestore import arrow
from asyncrestore.errors import DamageError, NewerFormat, SegmentDamaged
from asyncrestore.ids import SeenIds
from asyncrestore.model import LogChunk, t_to_tx, tx_to_t
from asyncrestore.schema import Schema, snapshot_digest, snapshot_text
from asyncrestore.seal import DIGEST_KEY, MAC_KEY, NO_DIGEST, NO_MAC, digest, digits_of, mac_in, sealed
from asyncrestore.values import KINDS

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Sequence

    from asyncrestore.lineage import Lineage
    from asyncrestore.model import Transaction

FORMAT = 2
_INFO_KEY = b"asyncrestore"
_KEY = re.compile(r"(\d{13})-(\d{13})\.parquet")


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


_NOT_IN_FORMAT_1: dict[str, Any] = {"schema_sha256": None, "last_excision_t": None}
"""The fields of `SegmentInfo` that came later, with the values that they get where format 1 is read."""

_NOT_IN_ALL: dict[str, Any] = {"backup": None, "since": None, "previous": None}
"""The fields that segments of format 1 lack, and the first ones of format 2."""


def encode(
    chunks: Sequence[LogChunk],
    range_: SegmentRange,
    *,
    source: str,
    name: str,
    bootstrap_t: int,
    schema: Schema,
    last_excision_t: int | None = -1,
    lineage: Lineage | None = None,
    previous: str | None = None,
) -> bytes:
    """Makes a segment's bytes, and reads them back to prove that nothing is lost.

    Args:
        chunks: the transactions in order; each chunk has whole transactions.
        range_: what the segment covers.
        source: identity of the source database.
        name: name of the source database.
        bootstrap_t: t of the source's last bootstrap transaction.
        schema: as of before the range, and moved on to after it.
        last_excision_t: see `SegmentInfo`.
        lineage: the backup that it belongs to.
        previous: see `SegmentInfo`.

    Raises:
        DamageError: what was read back differs from `chunks`, or these are not in order or not in the range.
    """
    snapshot = schema.to_json()
    schema_sha256 = snapshot_digest(snapshot)
    seen = SeenIds()
    txs: list[int] = []
    tables = []
    for chunk in chunks:
        for entity in chunk.e:
            seen.add(entity)
        txs += chunk.txs()
        tables.append(arrow.to_table(chunk, schema))
    _check_order(txs, range_)
    info = SegmentInfo(
        format=FORMAT,
        source=source,
        name=name,
        start=range_.start,
        end=range_.end,
        first_t=tx_to_t(txs[0]) if txs else None,
        last_t=tx_to_t(txs[-1]) if txs else None,
        bootstrap_t=bootstrap_t,
        transactions=len(txs),
        datoms=sum(map(len, chunks)),
        largest=seen.largest,
        schema_sha256=schema_sha256,
        last_excision_t=last_excision_t,
        backup=lineage.backup if lineage else None,
        since=lineage.since if lineage else None,
        previous=previous,
    )
    if info.start > 0 and info.datoms < len(snapshot["attributes"]):
        snapshot = {"base": snapshot["base"]}
    document = {**asdict(info), "schema": _pack(snapshot)}
    data = _write(tables, json.dumps(document, separators=(",", ":")))
    written = Segment(data)
    if (written.info, written.snapshot, list(written.chunks())) != (
        info,
        snapshot,
        [chunk for chunk in chunks if len(chunk)],
    ):
        raise DamageError(
            f"Segment {range_.key} of {name} does not read back as it was written; it was not published"
        )
    return data


def _check_order(txs: list[int], range_: SegmentRange) -> None:
    ts = [tx_to_t(tx) for tx in txs]
    if any(a >= b for a, b in pairwise(ts)) or any(not range_.start <= t < range_.end for t in ts):
        raise DamageError(
            f"The log has transactions out of order or outside of t {range_.start} to {range_.end - 1}",
            hint="Run the backup again; if this persists, the source itself needs attention.",
        )


def _write(tables: Iterable[pa.Table], document: str | bytes) -> bytes:
    sink = pa.BufferOutputStream()
    # Statistics would put pieces of the data into the footer for every column; only t and a help queries.
    with pq.ParquetWriter(
        sink,
        arrow.SCHEMA,
        compression="zstd",
        store_schema=False,
        write_page_checksum=True,
        write_statistics=["t", "e", "a"],
        use_dictionary=["attribute", "type", "value_text"],
    ) as writer:
        for table in tables:
            writer.write_table(table, row_group_size=max(1, len(table)))
        writer.add_key_value_metadata({_INFO_KEY: document})
        writer.add_key_value_metadata({DIGEST_KEY: NO_DIGEST})
        writer.add_key_value_metadata({MAC_KEY: NO_MAC})
    return sealed(sink.getvalue().to_pybytes())


class Segment:
    """A segment read from its bytes; the digest is checked at once, before anything of it is used.

    Attributes:
        data: the bytes.
        info: the metadata.
        snapshot: the schema as of before the segment as plain data; without its attributes in most segments
            of few datoms (see `schema`).
        base: the base schema, without any attributes: it knows the base idents, and what `touches` a schema.

    Raises:
        SegmentDamaged: the bytes are not what was written.
    """

    def __init__(self, data: bytes) -> None:
        self.data = data
        place = digits_of(data, DIGEST_KEY, len(NO_DIGEST))
        if place is None:
            raise SegmentDamaged("it has no digest")
        expected, actual = data[place], digest(data, place)
        if expected != actual:
            raise SegmentDamaged(
                f"its SHA-256 is {actual.decode()}, it should be {expected.decode(errors='replace')}"
            )
        try:
            self._file = pq.ParquetFile(pa.BufferReader(data), read_dictionary=["attribute", "type"])
            self.info, self.snapshot = _read_document(self._file.metadata.metadata[_INFO_KEY])
            self.base = Schema.from_json({"base": dict(self.snapshot["base"])})
        except (pa.ArrowException, KeyError, OSError, TypeError, ValueError, zlib.error) as exc:
            raise SegmentDamaged(f"it is not a segment: {exc}") from exc

    def schema(self) -> Schema | None:
        """Returns the schema as of before the segment, None if the segment holds only its base."""
        return Schema.from_json(self.snapshot) if "attributes" in self.snapshot else None

    @property
    def groups(self) -> int:
        """How many row groups it has."""
        return int(self._file.num_row_groups)

    def chunk(self, group: int) -> LogChunk:
        """Returns the transactions of one row group.

        Raises:
            SegmentDamaged: they cannot be decoded.
        """
        with _decoding(f"row group {group}"):
            return arrow.from_table(self._file.read_row_group(group, columns=arrow.NEEDED))

    def chunks(self) -> Iterator[LogChunk]:
        """Yields all transactions in order, a row group at a time."""
        for group in range(self.groups):
            yield self.chunk(group)

    def some(self, attributes: Collection[int]) -> LogChunk:
        """Returns the datoms of a few attributes, in order; row groups that have none are not decoded.

        Raises:
            SegmentDamaged: they cannot be decoded.
        """
        wanted, column = pa.array(attributes, pa.int64()), arrow.SCHEMA.get_field_index("a")
        found = []
        with _decoding("it"):
            for group in range(self.groups):
                there = self._file.metadata.row_group(group).column(column).statistics
                if there is None or any(there.min <= a <= there.max for a in attributes):
                    table = self._file.read_row_group(group, columns=arrow.NEEDED)
                    rows = table.filter(pc.is_in(table.column("a"), wanted))
                    found += [arrow.from_table(rows)] if len(rows) else []
        return LogChunk.join(found)

    def code(self, attributes: Collection[int]) -> LogChunk:
        """Returns the datoms of a few attributes and all functions, in order.

        It looks at each row: whoever made a file may have made its statistics, too.

        Raises:
            SegmentDamaged: they cannot be decoded.
        """
        wanted, function = pa.array(attributes, pa.int64()), KINDS["c"]
        found = []
        with _decoding("it"):
            for group in range(self.groups):
                looked = self._file.read_row_group(group, columns=["a", "type"])
                there = pc.is_in(looked.column("a"), wanted)
                if function in looked.column("type").unique().to_pylist():
                    there = pc.or_(there, pc.equal(looked.column("type").cast(pa.string()), function))
                if pc.any(there).as_py():
                    table = self._file.read_row_group(group, columns=arrow.NEEDED).filter(there)
                    found.append(arrow.from_table(table))
        return LogChunk.join(found)

    def schema_changes(self) -> list[Transaction]:
        """Returns the transactions that change the schema, without those of the bootstrap.

        What the bootstrap made is in the schema as of any t. Row groups without such a transaction, which are
        most, are not decoded.

        Raises:
            SegmentDamaged: they cannot be decoded.
        """
        touches = self.base.touches
        changes: list[Transaction] = []
        for group in range(self.groups):
            with _decoding(f"row group {group}"):
                attributes = self._file.read_row_group(group, columns=["a"]).column("a").unique().to_pylist()
            if touches(attributes):
                own = self.chunk(group).after(t_to_tx(self.info.bootstrap_t)).transactions()
                changes += [transaction for transaction in own if touches(transaction.a)]
        return changes

    def last_before(self, t: int) -> Transaction | None:
        """Returns the last transaction before a t, None if there is none. It decodes one row group, mostly.

        Raises:
            SegmentDamaged: a row group cannot be decoded.
        """
        return last_before((self.chunk(group) for group in reversed(range(self.groups))), t)

    def with_place_for_mac(self) -> bytes:
        """Returns its bytes, written anew if they have no place for a MAC: older segments have none."""
        if mac_in(self.data) is not None:
            return self.data
        with _decoding("it"):
            groups = [self._file.read_row_group(group) for group in range(self.groups)]
            written = _write(groups, self._file.metadata.metadata[_INFO_KEY])
        if not self.same_rows(Segment(written)):
            raise DamageError(f"{self.info.range.key} does not read back as it was written")
        return written

    def table(self) -> pa.Table:
        """Returns all rows and columns, as they are stored.

        Raises:
            SegmentDamaged: they cannot be decoded.
        """
        with _decoding("it"):
            return self._file.read()

    def check_rows(self, before: int | None = None) -> Transaction | None:
        """Decodes and checks all transactions, and the schema if there is one.

        Args:
            before: a t. Default: the end.

        Returns:
            What `last_before` returns for it.

        Raises:
            SegmentDamaged: they cannot be decoded, are out of order or out of range, or are not as many as
                the metadata says; or the schema is not the one that the metadata says.
        """
        transactions = datoms = 0
        last_t = self.info.start - 1
        found = LogChunk()
        until = self.info.end if before is None else before
        for chunk in self.chunks():
            datoms += len(chunk)
            if chunk and tx_to_t(chunk.tx[0]) < until:
                found = chunk
            for tx in chunk.txs():
                if not last_t < tx_to_t(tx) < self.info.end:
                    raise SegmentDamaged(f"t {tx_to_t(tx)} is out of order or out of range")
                last_t = tx_to_t(tx)
                transactions += 1
        if (transactions, datoms) != (self.info.transactions, self.info.datoms):
            raise SegmentDamaged(f"it has {transactions} transactions and {datoms} datoms, not what it says")
        self._check_schema()
        return last_before([found], until)

    def _check_schema(self) -> None:
        expected = self.info.schema_sha256
        if expected is not None and "attributes" in self.snapshot:
            actual = snapshot_digest(self.snapshot)
            if actual != expected:
                raise SegmentDamaged(f"its schema's SHA-256 is {actual}, it should be {expected}")

    def same_content(self, other: Segment) -> bool:
        """Returns whether both are of the same transactions of the same database.

        A program may find what an older one wrote: then it counts what both know.
        """
        ours, theirs = self.info, other.info
        if ours.format != theirs.format:
            ours, theirs = (replace(info, format=FORMAT, **_NOT_IN_FORMAT_1) for info in (ours, theirs))
        if None in {ours.last_excision_t, theirs.last_excision_t}:
            ours, theirs = (replace(info, last_excision_t=None) for info in (ours, theirs))
        if None in {ours.backup, theirs.backup}:
            ours, theirs = (replace(info, **_NOT_IN_ALL) for info in (ours, theirs))
        return ours == theirs and self.same_rows(other)

    def same_rows(self, other: Segment) -> bool:
        """Returns whether both hold the same datoms in the same order, however they are grouped."""
        return LogChunk.join(list(self.chunks())) == LogChunk.join(list(other.chunks()))


def last_before(chunks: Iterable[LogChunk], t: int) -> Transaction | None:
    """Returns the last transaction before a t, None if there is none.

    Args:
        chunks: of a log, the newest first.
        t: of a transaction after it.
    """
    for chunk in chunks:
        wanted = chunk.until(t_to_tx(t) - 1)
        if wanted:
            return next(wanted.after(wanted.tx[-1] - 1).transactions())
    return None


def last_in(table: pa.Table, t: int) -> Transaction | None:
    """Returns the last transaction before a t in a segment's `table`, None if there is none."""
    rows = table.filter(pc.less(table.column("tx"), t_to_tx(t)))
    if not len(rows):
        return None
    rows = rows.filter(pc.equal(rows.column("tx"), rows.column("tx")[-1]))
    return next(arrow.from_table(rows).transactions())


@contextmanager
def _decoding(what: str) -> Iterator[None]:
    try:
        yield
    except (pa.ArrowException, OSError) as exc:
        raise SegmentDamaged(f"{what} cannot be decoded: {exc}") from exc


def _read_document(text: bytes) -> tuple[SegmentInfo, dict[str, Any]]:
    """Reads the document in the metadata of any format: what it says, and the schema as plain data."""
    document = json.loads(text)
    if document["format"] > FORMAT:
        raise NewerFormat(
            f"its format is version {document['format']}, this program knows those up to {FORMAT}",
            hint="Use a newer asyncrestore.",
        )
    snapshot = document.pop("schema")
    if document["format"] == 1:
        document |= _NOT_IN_FORMAT_1
    else:
        snapshot = _unpack(snapshot)
    document = {**_NOT_IN_ALL, **document}
    kinds: dict[str, Any] = {"backup": str | None, "since": int | None, "previous": str | None}
    if not all(isinstance(document[name], kind) for name, kind in kinds.items()):
        raise TypeError("it does not say which backup it is of")
    return SegmentInfo(**{**document, "largest": tuple(document["largest"])}), snapshot


def _pack(snapshot: dict[str, Any]) -> str:
    return base64.b64encode(zlib.compress(snapshot_text(snapshot).encode(), 9)).decode()


def _unpack(packed: str) -> dict[str, Any]:
    snapshot: dict[str, Any] = json.loads(zlib.decompress(base64.b64decode(packed, validate=True)))
    return snapshot
