"""Assertions with a message of their own: pytest rewrites `assert` in test modules only."""

from __future__ import annotations


def must(holds: bool, promise: str) -> None:
    """Raises `AssertionError` with the promise that does not hold."""
    if not holds:
        raise AssertionError(promise)
