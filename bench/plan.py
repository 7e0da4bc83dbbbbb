"""How much is measured."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Plan:
    """How much is measured.

    Attributes:
        repeats: runs of each side.
        first: number of transactions for the sides that wait for each: with all they would take very long.
        first_on_disk: the same for the predecessor's algorithm on disk: it slows down with each transaction.
        round_trips_ms: milliseconds from a request to its answer.
        sizes: of the generated histories, in datoms, in ascending order.
        cache_sizes: ids remembered.
        attributes: of the database that is backed up frequently.
        increments: how often.
        large: datoms of the large database.
    """

    repeats: int = 3
    first: int = 1_000
    first_on_disk: int = 2_000
    round_trips_ms: tuple[int, ...] = (0, 1, 5, 20)
    sizes: tuple[int, ...] = (10_000, 100_000, 1_000_000)
    cache_sizes: tuple[int, ...] = (0, 10_000, 100_000, 2_000_000)
    attributes: int = 5_000
    increments: int = 1_000
    large: int = 10_000_000


QUICK = Plan(
    repeats=1,
    first=60,
    first_on_disk=60,
    round_trips_ms=(0, 5),
    sizes=(1_000, 10_000, 20_000),
    cache_sizes=(0, 2_000_000),
    attributes=300,
    increments=20,
    large=40_000,
)
"""A smoke run."""
