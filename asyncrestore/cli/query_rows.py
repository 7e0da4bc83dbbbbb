"""The rows of a query, as JSON values and as a table of text."""

from __future__ import annotations

import base64
import math
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from asyncrestore.cli.text import line
from asyncrestore.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Sequence

    import pyarrow as pa

_CELL_WIDTH = 80


def json_rows(table: pa.Table) -> list[list[Any]]:
    """Returns the rows as JSON values.

    Raises:
        UsageError: a value does not exist in Python, such as a date after the year 9999 in a list.
    """
    columns = []
    for name, column in zip(table.column_names, table.columns, strict=True):
        try:
            columns.append([_plain(value) for value in _python(column)])
        except (OverflowError, ValueError) as exc:  # within a list or struct
            raise UsageError(
                f"Column {name!r} has a value that cannot be shown: {exc}",
                hint="Cast it to VARCHAR in the SQL.",
            ) from exc
    return [list(row) for row in zip(*columns, strict=True)]


def _python(column: pa.ChunkedArray) -> list[Any]:
    import pyarrow as pa  # noqa: PLC0415 - so that --version need not wait for it
    import pyarrow.compute as pc  # noqa: PLC0415

    if pa.types.is_map(column.type):
        return [None if pairs is None else dict(pairs) for pairs in column.to_pylist()]
    # Python's dates and times end at the year 9999.
    if pa.types.is_date(column.type):
        return column.cast(pa.string()).to_pylist()  # type: ignore[no-any-return]
    if not pa.types.is_timestamp(column.type):
        return column.to_pylist()  # type: ignore[no-any-return]
    text = pc.replace_substring(column.cast(pa.string()), " ", "T", max_replacements=1)
    return pc.replace_substring_regex(text, r"(\.\d{3})000", r"\1").to_pylist()  # type: ignore[no-any-return]


def _plain(value: Any) -> Any:
    plain = value
    match value:
        case None | bool() | int() | str():
            pass
        case float() if math.isfinite(value):
            pass
        case Decimal() if value == value.to_integral_value():
            plain = int(value)
        case bytes():
            plain = base64.b64encode(value).decode()
        case dict():
            plain = {str(name): _plain(each) for name, each in value.items()}
        case [(_, _), *_] if all(isinstance(each, tuple) for each in value):  # a map within
            plain = {str(key): _plain(each) for key, each in value}
        case list():
            plain = [_plain(each) for each in value]
        case _:
            plain = str(value)
    return plain


def grid(names: Sequence[str], rows: Sequence[Sequence[Any]]) -> str:
    """Returns rows under the names of their columns as aligned text, in which long values are cut."""
    cells = [list(map(_cell, names)), *([_cell(value) for value in row] for row in rows)]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    cells.insert(1, ["-" * width for width in widths])
    lines = ("  ".join(map(str.ljust, line, widths)).rstrip() for line in cells)
    return "\n".join([*lines, f"({len(rows):,} row{'' if len(rows) == 1 else 's'})"])


def _cell(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, dict):
        value = ", ".join(f"{key}: {_cell(each)}" for key, each in value.items())
    elif isinstance(value, list):
        value = ", ".join(map(_cell, value))
    # Values in a database must not control the terminal.
    text = line(str(value))
    return text if len(text) <= _CELL_WIDTH else text[: _CELL_WIDTH - 1] + "…"
