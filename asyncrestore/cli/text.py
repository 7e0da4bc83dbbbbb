"""Parts of reports as text: sizes, times, ranges and tables, for a human reader."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from asyncrestore.model.code import describe

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from datetime import datetime

    from asyncrestore.excision.excised import Excised
    from asyncrestore.filters.filter import FilteredAttribute
    from asyncrestore.model.code import Code
    from asyncrestore.segments.document import SegmentRange

_NOTES_SHOWN = 10
_ARGUMENT = re.compile(r"`(?P<name>[A-Za-z_]+)(?:=(?P<value>[^`]+))?`")
_ARGUMENTS = frozenset({
    "against", "allow_code", "as_name", "debug", "end_t", "exclude", "exclude_schema", "fit_target", "live",
    "name", "rewrite", "start_t", "until_t",
})  # fmt: skip
_OPTIONS = {
    "encryption": "--encryption-key-file or --encryption-key-command",
    "KmsKey": "--encryption-kms-key",
    "max_segment_bytes": "--max-segment-size",
    "rewrite_key": "--rewrite-key-file or ASYNCRESTORE_REWRITE_KEY",
    "SigningKey": "--signing-key-file",
}
"""What is given otherwise on the command line."""


def cleaned(text: str, kept: str = "\n\t") -> str:
    """Returns a text that does nothing to a terminal: escapes in the place of control characters.

    Names and messages come from stores and servers, which may be hostile. Marks that turn the direction of a
    text, or have no width, are replaced too. The characters of `kept` stay.
    """
    if text.isprintable():
        return text
    return "".join(each if each.isprintable() or each in kept else repr(each)[1:-1] for each in text)


def line(text: str) -> str:
    """Returns a text as one line, cleaned."""
    return cleaned(text, "")


def listed(texts: Iterable[str], label: str = "") -> list[str]:
    """Returns the lines of a list, each of one text."""
    return [f"  - {label}{line(text)}" for text in texts]


def as_options(text: str) -> str:
    """Returns a text with options in the place of the library's arguments, which it has in backticks.

    `until_t=7` becomes --until-t 7. Whatever else is in backticks stays.
    """
    return _ARGUMENT.sub(_option, text)


def _option(argument: re.Match[str]) -> str:
    name, value = argument["name"], argument["value"]
    if name in _OPTIONS:
        return _OPTIONS[name]
    if name not in _ARGUMENTS:
        return argument[0]
    option = f"--{name.replace('_', '-')}"
    return option if value is None else f"{option} {value}"


def size(count: float) -> str:
    """Returns a number of bytes in a readable unit: `1.5 MB`."""
    for unit in ("B", "kB", "MB", "GB"):
        if count < 1000:
            return f"{count:.0f} B" if unit == "B" else f"{count:.1f} {unit}"
        count /= 1000
    return f"{count:.1f} TB"


def duration(seconds: float) -> str:
    """Returns a number of seconds in readable units: `2 min 5 s`."""
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest} s"
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min"


def instant(value: datetime | None) -> str:
    """Returns an instant in RFC 3339, to the second."""
    return "none" if value is None else value.strftime("%Y-%m-%dT%H:%M:%SZ")


def count(number: int, noun: str) -> str:
    """Returns a number of things: `1 segment`, `2,000 segments`."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def took(seconds: float, transactions: int) -> str:
    """Returns a duration, with the rate if there is one."""
    rate = f", {transactions / seconds:,.0f} transactions/s" if transactions and seconds else ""
    return f"{duration(seconds)}{rate}"


def table(title: str, rows: Iterable[tuple[str, str]]) -> str:
    """Returns a title and labelled lines below it."""
    return "\n".join([line(title), *(f"  {label:<13} {line(value)}" for label, value in rows)])


def ranges(found: Sequence[SegmentRange]) -> str:
    """Returns the first ten ranges, and how many more there are."""
    shown = ", ".join(f"{each.start:,} to {each.end - 1:,}" for each in found[:10])
    return shown + (f" and {len(found) - 10} more" if len(found) > 10 else "")


def names(keys: Sequence[str]) -> str:
    """Returns the first ten names, and how many more there are."""
    return ", ".join(keys[:10]) + (f" and {len(keys) - 10} more" if len(keys) > 10 else "")


def filtered_rows(filtered: Iterable[FilteredAttribute]) -> list[tuple[str, str]]:
    """Returns rows of a table: how many datoms were left out and rewritten, by attribute."""
    counts = {
        "left out": [f":{each.attribute} {each.left_out:,}" for each in filtered if each.left_out],
        "rewritten": [f":{each.attribute} {each.rewritten:,}" for each in filtered if each.rewritten],
    }
    return [(label, ", ".join(found)) for label, found in counts.items() if found]


def excised_rows(excised: Excised) -> list[tuple[str, str]]:
    """Returns a row of a table, if there were requests for excision: how many datoms were left out."""
    if not excised.requests:
        return []
    asked = count(excised.requests, "request")
    return [("excised", f"{asked}, not replayed; {count(excised.left_out, 'assertion')} left out")]


def code_rows(code: Iterable[Code]) -> list[tuple[str, str]]:
    """Returns a row of a table, if a history has code: what it is."""
    found = describe(code)
    return [("code", found)] if found else []


def noted(notes: Sequence[str]) -> list[str]:
    """Returns the first ten notes as lines, and how many more there are."""
    lines = [f"  note: {line(note)}" for note in notes[:_NOTES_SHOWN]]
    more = len(notes) - _NOTES_SHOWN
    return [*lines, f"  and {count(more, 'more note')}"] if more > 0 else lines
