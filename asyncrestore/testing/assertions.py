"""Promises that are checked by hand: outside of pytest there are no rewritten asserts."""

from __future__ import annotations


def must(holds: bool, promise: str) -> None:
    """Raises `AssertionError` with the promise that does not hold."""
    if not holds:
        raise AssertionError(promise)
