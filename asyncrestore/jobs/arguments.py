"""Checks what a job is called with: an error names the argument, what it must be and what it is.

The command line checks its options by itself. This is for programs, where `until_t="5"` is found only here.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from datetime import datetime

from asyncrestore.errors import UsageError
from asyncrestore.redact import redacted_uri


def integers(*, least: int = 0, most: int | None = None, or_none: bool = False, **given: object) -> None:
    """Checks that arguments are integers in a range.

    Args:
        least: the least one.
        most: the largest one, if there is one.
        or_none: None is right, too.
        **given: the arguments.

    Raises:
        UsageError: one is not.
    """
    for name, value in given.items():
        if type(value) is int and least <= value and (most is None or value <= most):
            continue
        if value is None and or_none:
            continue
        range_ = f"at least {least}" if most is None else f"from {least} to {most}"
        raise wrong(name, f"an integer, {range_}", value)


def texts(**given: object) -> None:
    """Checks that arguments are texts, or None; raises `UsageError`."""
    for name, value in given.items():
        if value is not None and not isinstance(value, str):
            raise wrong(name, "a text", value)


def lists(**given: object) -> None:
    """Checks that arguments are collections of texts, and no text themselves; raises `UsageError`."""
    for name, value in given.items():
        if isinstance(value, str | Mapping) or not isinstance(value, Collection):
            raise wrong(name, "a list of texts", value)
        for each in value:
            if not isinstance(each, str):
                raise wrong(name, "a list of texts", each)


def times(**given: object) -> None:
    """Checks that arguments are times, or None; raises `UsageError`."""
    for name, value in given.items():
        if value is not None and not isinstance(value, datetime):
            raise wrong(name, "a datetime with a time zone", value)


def wrong(name: str, right: str, value: object) -> UsageError:
    """Returns the error about an argument.

    Args:
        name: of the argument.
        right: describes what it must be.
        value: what it is.
    """
    if isinstance(value, str):
        shown = repr(redacted_uri(value))
    else:
        shown = repr(value) if isinstance(value, int | float | None) else f"a {type(value).__name__}"
    return UsageError(f"{name} must be {right}, and is {shown}")
