"""The windows, on a simulated network: no clock, no I/O."""

from __future__ import annotations

from dataclasses import dataclass, field
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asyncrestore.pipeline.window import UNORDERED_LIMIT, AdaptiveWindow, FixedWindow, Window

SERVICE_S = 0.0005
TICK_S = 0.001
"""What an event loop's timers can tell apart."""


@dataclass
class Simulation:
    """An engine behind a network that reorders; transactions commit in order or not at all.

    Attributes:
        lost: how often one landed before its predecessor.
        deepest: how many were in flight at most.
    """

    window: Window
    round_trip_s: float
    jitter_s: float
    random: Random = field(default_factory=lambda: Random(1))  # noqa: S311 - repeatable, and no secret
    lost: int = 0
    deepest: int = 0

    def seconds(self, transactions: int) -> float:
        """Returns the seconds that the transactions take."""
        now = engine_free = 0.0
        done = committed = 0
        while done < transactions:
            flights = self._send(now, done, transactions)
            results: dict[int, tuple[bool, float]] = {}
            for lands, number in sorted((lands, number) for number, (_, lands) in flights.items()):
                engine_free = max(engine_free, lands) + SERVICE_S
                in_place = number == committed
                committed += in_place
                results[number] = in_place, engine_free + self._way()
            for number, (sent, _) in flights.items():
                in_place, answered = results[number]
                if not in_place:
                    # Go back: all that is in flight lands first.
                    now = max(answer for _, answer in results.values())
                    self.lost += 1
                    self.window.lost_place()
                    break
                now = max(now, answered)
                done += 1
                self.window.landed(answered - sent)
        return now

    def _send(self, now: float, first: int, end: int) -> dict[int, tuple[float, float]]:
        """A window full: when each is sent, and when it lands. (A real window slides; this one is slower.)"""
        flights = {}
        for number in range(first, min(first + self.window.size, end)):
            flights[number] = now, now + self._way()
            now += max(SERVICE_S, -(-self.window.spacing_s // TICK_S) * TICK_S)
        self.deepest = max(self.deepest, len(flights))
        return flights

    def _way(self) -> float:
        return self.round_trip_s / 2 + self.random.uniform(0, self.jitter_s)


def compare(round_trip_s: float, jitter_s: float, transactions: int = 2000) -> float:
    """Returns how many times faster it is than waiting for each."""
    waiting = Simulation(FixedWindow(1), round_trip_s, jitter_s).seconds(transactions)
    window = AdaptiveWindow(UNORDERED_LIMIT)
    return waiting / Simulation(window, round_trip_s, jitter_s).seconds(transactions)


def test_little_jitter_is_outpaced() -> None:
    assert compare(0.005, 0.0005) > 3


@pytest.mark.parametrize("jitter_s", [0.005, 0.02, 0.1])
def test_heavy_reordering_is_not_slower_than_waiting_for_each(jitter_s: float) -> None:
    assert compare(0.005, jitter_s) > 0.95


def test_it_opens_where_order_holds() -> None:
    simulation = Simulation(AdaptiveWindow(UNORDERED_LIMIT), 0.02, 0.0)
    simulation.seconds(5000)
    assert simulation.lost == 0
    assert simulation.deepest == UNORDERED_LIMIT


def test_it_starts_by_waiting_for_each() -> None:
    assert AdaptiveWindow(UNORDERED_LIMIT).size == 1


@given(
    st.integers(1, 100),
    st.lists(st.one_of(st.none(), st.floats(0, 300, allow_nan=False)), max_size=300),
)
def test_bounds_hold_whatever_happens(limit: int, events: list[float | None]) -> None:
    """From 1 to its limit; spaced at most as far as the longest answer took."""
    window = AdaptiveWindow(limit)
    for seconds in events:
        if seconds is None:
            window.lost_place()
        else:
            window.landed(seconds)
        assert 1 <= window.size <= limit
        assert 0 <= window.spacing_s <= max((s for s in events if s is not None), default=0)


def test_one_out_of_place_halves_the_window_and_doubles_the_spacing() -> None:
    window = AdaptiveWindow(UNORDERED_LIMIT)
    for _ in range(200):
        window.landed(0.01)
    size = window.size
    window.lost_place()
    spacing_s = window.spacing_s
    window.lost_place()
    assert window.size == size // 4
    assert window.spacing_s == pytest.approx(2 * spacing_s)
