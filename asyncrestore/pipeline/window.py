"""Bounds how much is in flight and how close together it is sent. Nothing here waits or reads a clock."""

from __future__ import annotations

from typing import Protocol

UNORDERED_LIMIT = 64
"""Most transactions in flight to an engine that promises no order: one out of place fails all after it."""

_FIRST_SPACING = 1 / 16
"""Spacing of transactions after the first one landed out of place, as a part of a round trip."""

_EASING = 0.995
"""Factor of the spacing for each transaction that lands in place: it halves with about 140."""


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

    Its size begins at 1, which means waiting for each transaction, and grows by one a round trip while
    transactions land in place. One out of place costs a round trip, because nothing sent after it can commit:
    the size halves and the spacing doubles. Transactions that are sent further apart than the connection's
    jitter keep their order. The spacing shrinks slowly, so that about one in some hundred transactions is
    lost, and never grows beyond a round trip, where it is the same as waiting for each.
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
