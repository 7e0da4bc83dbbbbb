"""The Parquet file of a segment: written, and opened for decoding once its structure was checked."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.parquet as pq

from asyncrestore.errors import SegmentDamaged
from asyncrestore.limits import metadata_limit
from asyncrestore.segments import arrow
from asyncrestore.segments.parquet import INFO_KEY, LONGEST_LIST, check_file
from asyncrestore.segments.seal import DIGEST_KEY, MAC_KEY, NO_DIGEST, NO_MAC, sealed

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

_TEXTS = [field.name for field in arrow.STORED if pa.types.is_dictionary(field.type)]


def write_file(tables: Iterable[pa.Table], document: str | bytes) -> bytes:
    """Returns the bytes of a segment: a row group for each table, the document and the digest."""
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
        writer.add_key_value_metadata({INFO_KEY: document})
        writer.add_key_value_metadata({DIGEST_KEY: NO_DIGEST})
        writer.add_key_value_metadata({MAC_KEY: NO_MAC})
    return sealed(sink.getvalue().to_pybytes())


def open_parquet(data: bytes) -> tuple[pq.ParquetFile, bytes]:
    """Opens a segment's file; returns it, and the document in its metadata.

    Raises:
        SegmentDamaged: it is not such a file, or would take more memory than the limit allows.
    """
    document = check_file(data)
    with decoding("its footer"):
        file = pq.ParquetFile(
            pa.BufferReader(data),
            read_dictionary=_TEXTS,
            thrift_string_size_limit=metadata_limit(),
            thrift_container_size_limit=LONGEST_LIST,
            page_checksum_verification=False,  # the digest is of all bytes
        )
        for field, right in zip(file.schema_arrow, arrow.STORED, strict=True):
            if not field.remove_metadata().equals(right):
                raise SegmentDamaged(f"column {right.name} is of another type")
    return file, document


def read_group(file: pq.ParquetFile, group: int, columns: list[str] | None = None) -> pa.Table:
    """Returns the rows of a row group, with texts as dictionaries; raises what Arrow raises.

    Args:
        file: what `open_parquet` returned.
        group: number of the row group.
        columns: names of those to read. Default: all.
    """
    return file.read_row_group(group, columns=columns, use_threads=False)


def plain(table: pa.Table) -> pa.Table:
    """Returns rows with the texts of their values as plain strings; `read_group` has them as a dictionary."""
    position = table.schema.get_field_index("value_text")
    return table.set_column(position, "value_text", table.column(position).cast(pa.string()))


@contextmanager
def decoding(what: str) -> Iterator[None]:
    """Turns what Arrow raises about bytes that are not what it expects into `SegmentDamaged`.

    A size may not be one (an OverflowError), a text not be UTF-8 (a ValueError). What is decoded was compared
    with the limit before, so a MemoryError is not the doing of the bytes.
    """
    try:
        yield
    except (pa.ArrowException, OSError, ValueError, OverflowError) as exc:
        raise SegmentDamaged(f"{what} cannot be decoded: {exc}") from exc
