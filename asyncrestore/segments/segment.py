"""Segments: the transactions with source t in [start, end), as one lossless Parquet file.

Each row is a datom, in the log's order; a row group holds whole transactions. Typed value columns make a
backup readable in place by DuckDB, Spark, Athena or pandas. docs/format.md has the columns, the metadata and
the digest, and the differences between formats 1 and 2.

The schema in the metadata has the attributes only where the segment begins at t 0, or holds at least as many
datoms as there are attributes: so the size of a small segment does not grow with the schema (`stored_schema`
finds the attributes of the others). The base schema is always there.
"""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.compute as pc

from asyncrestore.errors import DamageError, SegmentDamaged
from asyncrestore.model.log import LogChunk, t_to_tx
from asyncrestore.model.schema import Schema, snapshot_digest
from asyncrestore.model.values import KINDS
from asyncrestore.segments import arrow
from asyncrestore.segments.document import (
    FORMAT,
    NOT_IN_ALL,
    NOT_IN_FORMAT_1,
    read_document,
)
from asyncrestore.segments.file import decoding, open_parquet, plain, read_group, write_file
from asyncrestore.segments.rows import RowCheck
from asyncrestore.segments.seal import (
    DIGEST_KEY,
    NO_DIGEST,
    NO_MAC,
    digest,
    digits_of,
    mac_in,
)

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator

    from asyncrestore.model.log import Transaction


_REPAIR = "Run repair with the source: it puts the damaged segment aside and reads the rest again."


class Segment:
    """A segment read from its bytes; the digest is checked at once, before anything of it is used.

    Args:
        data: the bytes.
        where: display name of the object, for errors.

    Attributes:
        data: the bytes.
        info: the metadata.
        snapshot: the schema as of before the segment as plain data; without its attributes in most segments
            of few datoms (see `schema`).
        base: the base schema, without any attributes: it knows the base idents, and what `touches` a schema.

    Raises:
        SegmentDamaged: the bytes are not what was written.
    """

    def __init__(self, data: bytes, where: str = "") -> None:
        self.data = data
        self._where = where
        self._checked = False
        self._attributes: list[tuple[int, int]] = []
        with self._errors():
            self._open(data)

    def _open(self, data: bytes) -> None:
        place = digits_of(data, DIGEST_KEY, len(NO_DIGEST))
        if place is None:
            raise SegmentDamaged("it has no digest")
        expected, actual = data[place], digest(data, place)
        if expected != actual:
            raise SegmentDamaged(
                f"its SHA-256 is {actual.decode()}, it should be {expected.decode(errors='replace')}"
            )
        self._file, self._document = open_parquet(data)
        self.info, self.snapshot = read_document(self._document)
        self.base = Schema.from_json({"base": self.snapshot["base"]})

    @contextmanager
    def _errors(self) -> Iterator[None]:
        """Names the segment in errors."""
        try:
            yield
        except SegmentDamaged as exc:
            if not self._where:
                raise
            place, _, key = self._where.rpartition("/")
            named = type(exc)(f"{self._where} is damaged: {exc}", hint=exc.hint or _REPAIR)
            raise named.about(place=place, segment=key) from exc

    def schema(self) -> Schema | None:
        """Returns the schema as of before the segment, None if the segment holds only its base."""
        return Schema.from_json(self.snapshot) if "attributes" in self.snapshot else None

    @property
    def signed(self) -> bool:
        """Whether it has a MAC, which was checked if the store was opened with the key."""
        return mac_in(self.data) not in {None, NO_MAC}

    @property
    def groups(self) -> int:
        """How many row groups it has."""
        return int(self._file.num_row_groups)

    def chunk(self, group: int) -> LogChunk:
        """Returns the transactions of one row group; raises what `check_rows` raises."""
        self.check_rows()
        return arrow.from_table(self._read(group))

    def chunks(self) -> Iterator[LogChunk]:
        """Yields all transactions in order, a row group at a time; raises what `check_rows` raises."""
        for table in self._tables():
            yield arrow.from_table(table)

    def some(self, attributes: Collection[int]) -> LogChunk:
        """Returns the datoms of a few attributes, in order; row groups that have none are not decoded.

        Raises:
            SegmentDamaged: they cannot be decoded.
        """
        self.check_rows()
        wanted = pa.array(attributes, pa.int64())
        found = []
        for group, (least, most) in enumerate(self._attributes):
            if any(least <= a <= most for a in attributes):
                table = self._read(group)
                rows = table.filter(pc.is_in(table.column("a"), wanted))
                found += [arrow.from_table(rows)] if len(rows) else []
        return LogChunk.join(found)

    def code(self, attributes: Collection[int]) -> LogChunk:
        """Returns the datoms of a few attributes and all functions, in order.

        Other rows are not checked, so that a look ahead costs little. Whatever they hide is found when it is
        restored.

        Raises:
            SegmentDamaged: they cannot be decoded.
        """
        wanted, function = pa.array(attributes, pa.int64()), KINDS["c"]
        found = []
        for group in range(self.groups):
            with self._errors(), decoding(f"row group {group}"):
                looked = read_group(self._file, group, ["a", "type"])
                there = pc.is_in(looked.column("a"), wanted)
                if function in looked.column("type").unique().to_pylist():
                    there = pc.or_(there, pc.equal(looked.column("type").cast(pa.string()), function))
                if pc.any(there).as_py():
                    self.check_rows()
                    found.append(arrow.from_table(self._read(group).filter(there)))
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
        for table in self._tables():
            if touches(table.column("a").unique().to_pylist()):
                own = arrow.from_table(table).after(t_to_tx(self.info.bootstrap_t)).transactions()
                changes += [transaction for transaction in own if touches(transaction.a)]
        return changes

    def last_before(self, t: int) -> Transaction | None:
        """Returns the last transaction before a t, None if there is none.

        Raises:
            SegmentDamaged: the rows cannot be decoded.
        """
        return last_before((self.chunk(group) for group in reversed(range(self.groups))), t)

    def with_place_for_mac(self) -> bytes:
        """Returns its bytes, written anew if they have no place for a MAC: older segments have none."""
        if mac_in(self.data) is not None:
            return self.data
        written = write_file(map(plain, self._tables()), self._document)
        if not self.same_rows(Segment(written)):
            raise DamageError(f"{self.info.range.key} does not read back as it was written")
        return written

    def table(self) -> pa.Table:
        """Returns all rows and columns, as they are stored.

        Raises:
            SegmentDamaged: they cannot be decoded.
        """
        tables = list(map(plain, self._tables())) or [plain(arrow.STORED.empty_table())]
        return pa.concat_tables(tables).unify_dictionaries()

    def check_rows(self) -> None:
        """Decodes and checks all transactions, and the schema if there is one, unless that was done.

        Everything that gives rows does this first. So nothing of a segment is used that `verify` refuses.

        Raises:
            SegmentDamaged: they cannot be decoded, are out of order or out of range, or are not what the
                metadata says; or the schema is not the one that the metadata says.
        """
        if not self._checked:
            for _ in self._tables():
                pass

    def _tables(self) -> Iterator[pa.Table]:
        """Yields the rows of each row group, checked; at the end all of them together are."""
        with self._errors():
            self._check_schema()
            check = RowCheck(self.info, self.base.base, self.schema())
        for group in range(self.groups):
            with self._errors(), decoding(f"row group {group}"):
                table = read_group(self._file, group)
                check.add(table)
            yield table
        with self._errors():
            check.finish()
        self._attributes = check.attributes
        self._checked = True

    def _read(self, group: int) -> pa.Table:
        """Returns what `arrow.from_table` needs of the rows of one row group, which were checked."""
        return read_group(self._file, group, arrow.NEEDED)

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
            ours, theirs = (replace(info, format=FORMAT, **NOT_IN_FORMAT_1) for info in (ours, theirs))
        if None in {ours.last_excision_t, theirs.last_excision_t}:
            ours, theirs = (replace(info, last_excision_t=None) for info in (ours, theirs))
        if None in {ours.backup, theirs.backup}:
            ours, theirs = (replace(info, **NOT_IN_ALL) for info in (ours, theirs))
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
