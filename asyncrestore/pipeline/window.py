"""How much may be in flight, and how close together it is sent. Nothing here waits or reads a clock."""

from __future__ import annotations

from typing import Protocol

UNORDERED_LIMIT = 64
"""Transactions in flight to an engine that promises no order: what one out of place can make fail in vain."""

_FIRST_SPACING = 1 / 16
"""Of a round trip: how far apart transactions are sent once one has landed out of place."""

_EASING = 0.995
"""What the spacing shrinks to with each transaction in place: about half of it in 140."""


class Window(Protocol):
    """What bounds the sending of requests.

    Attributes:
        size: how many may be in flight.
        spacing_s: seconds from one sending to the next; it does not matter while nothing is in flight.
    """

    size: int
    spacing_s: float

    def landed(self, seconds: float) -> None:
        """A request committed in its place, and was answered after so long."""
        ...

    def lost_place(self) -> None:
        """A request landed before the one that it follows."""
        ...


class FixedWindow:
    """For an engine that commits in the order of sending: always as deep. It has the methods of `Window`."""

    def __init__(self, size: int) -> None:
        self.size = size
        self.spacing_s = 0.0

    def landed(self, seconds: float) -> None:
        """See `Window`."""

    def lost_place(self) -> None:
        """See `Window`."""


class AdaptiveWindow:
    """For an engine that promises no order. It has the methods of `Window`.

    It starts at 1, which is waiting for each, and grows by one a round trip while transactions land in
    place. One out of place costs a round trip, for nothing sent after it can commit: then the window halves,
    and the spacing doubles. Spaced wider than the way's jitter, transactions keep their order. The spacing
    shrinks slowly, so that of some hundred transactions about one is lost, and never grows beyond a round
    trip, where it is the same as waiting for each.
    """

    def __init__(self, limit: int) -> None:
        self.size = 1
        self.spacing_s = 0.0
        self._limit = limit
        self._wanted = 1.0
        self._round_trip_s = 0.0

    def landed(self, seconds: float) -> None:
        """See `Window`."""
        self._round_trip_s += (seconds - self._round_trip_s) / 8 if self._round_trip_s else seconds
        self._resize(self._wanted + 1 / self._wanted)
        self.spacing_s *= _EASING

    def lost_place(self) -> None:
        """See `Window`."""
        self._resize(self._wanted / 2)
        widened = max(2 * self.spacing_s, _FIRST_SPACING * self._round_trip_s)
        self.spacing_s = min(widened, self._round_trip_s)

    def _resize(self, wanted: float) -> None:
        self._wanted = min(max(wanted, 1.0), float(self._limit))
        self.size = int(self._wanted)
