"""The windows, on a simulated network: no clock, no I/O."""

from __future__ import annotations

import heapq
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
class Post:
    """A transaction on its way: when it was sent, and once it is answered, when, and whether it committed."""

    number: int
    sent_s: float
    answered_s: float = 0.0
    committed: bool = False


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
        now = free = 0.0
        committed, following = 0, 0
        # What arrives at the engine, and what comes back from it, by when it does.
        arriving: list[tuple[float, int, Post]] = []
        answers: list[tuple[float, int, Post]] = []
        flying: list[Post] = []
        while committed < transactions or flying:
            due = self._due(now, flying)
            failed = bool(flying and flying[0].answered_s and not flying[0].committed)
            may_send = not failed and following < transactions and len(flying) < self.window.size
            times = [queue[0][0] for queue in (arriving, answers) if queue]
            if may_send and due <= min(times, default=due):
                now = max(now, due)
                flying.append(Post(following, now))
                heapq.heappush(arriving, (now + self._way(), following, flying[-1]))
                following += 1
                self.deepest = max(self.deepest, len(flying))
            elif arriving and (not answers or arriving[0][0] <= answers[0][0]):
                now, _, post = heapq.heappop(arriving)
                post.committed = post.number == committed
                committed += post.committed
                free = max(free, now) + SERVICE_S
                heapq.heappush(answers, (free + self._way(), post.number, post))
            else:
                now, _, post = heapq.heappop(answers)
                post.answered_s = now
                following = self._settle(flying, following)
        return now

    def _due(self, now: float, flying: list[Post]) -> float:
        spacing_s = -(-round(self.window.spacing_s, 6) // TICK_S) * TICK_S
        return max(now, flying[-1].sent_s + spacing_s) if flying else now

    def _settle(self, flying: list[Post], following: int) -> int:
        """Takes what landed in place off the front; goes back once all has landed behind one that did not."""
        while flying and flying[0].committed and flying[0].answered_s:
            post = flying.pop(0)
            self.window.landed(post.answered_s - post.sent_s)
        if flying and all(post.answered_s for post in flying):
            following = flying[0].number
            flying.clear()
            self.lost += 1
            self.window.lost_place()
        return following

    def _way(self) -> float:
        return self.round_trip_s / 2 + self.random.uniform(0, self.jitter_s)


def compare(round_trip_s: float, jitter_s: float, transactions: int = 2000) -> float:
    """Returns how many times faster it is than waiting for each."""
    waiting = Simulation(FixedWindow(1), round_trip_s, jitter_s).seconds(transactions)
    window = AdaptiveWindow(UNORDERED_LIMIT)
    return waiting / Simulation(window, round_trip_s, jitter_s).seconds(transactions)


@pytest.mark.parametrize("jitter_s", [0.005, 0.02, 0.1])
def test_heavy_reordering_is_not_slower_than_waiting_for_each(jitter_s: float) -> None:
    assert compare(0.005, jitter_s) > 0.95


def test_it_opens_where_order_holds() -> None:
    simulation = Simulation(AdaptiveWindow(UNORDERED_LIMIT), 0.02, 0.0)
    simulation.seconds(5000)
    assert simulation.lost == 0
    assert simulation.deepest == UNORDERED_LIMIT


@pytest.mark.parametrize(("round_trip_s", "jitter_s", "least"), [(0.005, 0.0, 3), (0.02, 0.003, 4.5)])
def test_some_jitter_is_outpaced(round_trip_s: float, jitter_s: float, least: float) -> None:
    assert compare(round_trip_s, jitter_s) > least


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


def test_one_out_of_place_widens_the_spacing_and_many_in_place_narrow_it() -> None:
    window = AdaptiveWindow(UNORDERED_LIMIT)
    for number in range(20):
        window.landed(0.01 + number % 2 / 1000)
    size, before = window.size, window.spacing_s
    window.lost_place()
    widened = window.spacing_s
    assert widened > before
    assert window.size == size
    for _ in range(2000):
        window.landed(0.01)
    assert window.spacing_s < widened


def test_it_learns_how_steady_the_way_is_before_it_opens() -> None:
    """The first spacing is as wide as answers differ."""
    steady, unsteady = AdaptiveWindow(UNORDERED_LIMIT), AdaptiveWindow(UNORDERED_LIMIT)
    for number in range(8):
        assert steady.size == unsteady.size == 1
        steady.landed(0.02)
        unsteady.landed(0.02 + number % 2 / 100)
    assert steady.size == unsteady.size == UNORDERED_LIMIT
    assert steady.spacing_s == 0
    assert unsteady.spacing_s > 0.003
