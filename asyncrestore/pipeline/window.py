"""Bounds how much is in flight and how close together it is sent. Nothing here waits or reads a clock."""

from __future__ import annotations

from typing import Protocol

UNORDERED_LIMIT = 64
"""Most transactions in flight to an engine that promises no order: one out of place fails all after it."""

_ROUND_TRIPS = 8
"""So many transactions are waited for one by one, to learn how long a round trip takes and how steadily."""

_WIDENING = 1.3
"""Factor of the spacing for each transaction that landed out of place."""

_SHARE = 1 / 8
"""How much of the time may go into round trips that were lost, compared with the spacing."""

_LEAST_LOST, _MOST_LOST = 0.002, 0.1
"""Bounds of the part of the transactions that may land out of place."""


class Window(Protocol):
    """What bounds the sending of requests.

    Attributes:
        size: how many requests may be in flight.
        spacing_s: seconds from one request to the next; it does not matter while nothing is in flight.
    """

    size: int
    spacing_s: float

    def landed(self, seconds: float) -> None:
        """Takes note of a request that committed in its place and was answered after `seconds`."""
        ...

    def lost_place(self) -> None:
        """Takes note of a request that landed before the one that it follows."""
        ...


class FixedWindow:
    """A fixed window, for an engine that commits in the order of sending. It has the methods of `Window`."""

    def __init__(self, size: int) -> None:
        self.size = size
        self.spacing_s = 0.0

    def landed(self, seconds: float) -> None:
        """See `Window`."""

    def lost_place(self) -> None:
        """See `Window`."""


class AdaptiveWindow:
    """An adaptive window, for an engine that promises no order. It has the methods of `Window`.

    Transactions that are sent further apart than the way's jitter keep their order. One out of place costs
    a round trip, because nothing that was sent after it can commit. So the spacing follows the jitter: it
    begins at what the first round trips, waited for one by one, show of it. It widens with each transaction
    out of place, and shrinks so slowly with each in place that as many are lost as pays: the rarer, the
    longer a round trip is beside the spacing. It never grows beyond a round trip, which is the same as
    waiting for each.
    """

    def __init__(self, limit: int) -> None:
        self.size = 1
        self.spacing_s = 0.0
        self._limit = limit
        self._landed = 0
        self._round_trip_s = self._deviation_s = 0.0

    def landed(self, seconds: float) -> None:
        """See `Window`."""
        if self._landed == 0:
            self._round_trip_s = seconds
        self._landed += 1
        self._deviation_s += (abs(seconds - self._round_trip_s) - self._deviation_s) / 8
        self._round_trip_s += (seconds - self._round_trip_s) / 8
        if self._landed == _ROUND_TRIPS:
            self.size = self._limit
            self.spacing_s = min(2 * self._deviation_s, self._round_trip_s)
        elif self.spacing_s:
            share = _SHARE * self.spacing_s / self._round_trip_s
            self.spacing_s *= _WIDENING ** -min(max(share, _LEAST_LOST), _MOST_LOST)

    def lost_place(self) -> None:
        """See `Window`."""
        least = self._round_trip_s / self._limit
        self.spacing_s = min(max(self.spacing_s, least) * _WIDENING, self._round_trip_s)
