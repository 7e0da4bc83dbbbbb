"""What is in flight and what waits: no engine, no event loop, no clock."""

from __future__ import annotations

from array import array
from itertools import count
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asyncrestore.errors import AsyncRestoreError, OutcomeUnknown
from asyncrestore.model.commit import Anomaly, BatchResult, Committed, TxData
from asyncrestore.pipeline.flights import WEIGHT_IN_FLIGHT, Flight, Flights
from asyncrestore.pipeline.window import AdaptiveWindow, FixedWindow

if TYPE_CHECKING:
    from collections.abc import Sequence

REFUSED = Anomaly("incorrect", "refused")
HEAVY = "x" * 64 * WEIGHT_IN_FLIGHT


def transactions(*numbers: int, text: str = "") -> list[TxData]:
    """Transactions with these source ids and an assertion each."""
    return [TxData(number, [1, 2, "s", text], []) for number in numbers]


def numbers(batch: Sequence[TxData]) -> list[int]:
    """The source ids of transactions."""
    return [data.tx for data in batch]


def answer(committed: int, anomaly: Anomaly | None = None) -> BatchResult:
    """The answer by which that many transactions committed."""
    return BatchResult([Committed(0, 0, array("q")) for _ in range(committed)], anomaly)


def test_it_is_sent_in_order_as_far_as_the_window_is_open() -> None:
    flights = Flights(FixedWindow(2), singly=False)
    assert flights.due_in_s(0) is None, "there is nothing to send"
    for number in range(0, 9, 3):
        flights.add(transactions(number, number + 1, number + 2))
    sent = []
    while flights.due_in_s(0) == 0:
        sent.append(numbers(flights.send(0).batch))

    assert sent == [[0, 1, 2], [3, 4, 5]]
    assert numbers(flights.queued()) == [6, 7, 8]


def test_what_is_sent_singly() -> None:
    flights = Flights(AdaptiveWindow(64), singly=True)
    flights.add(transactions(1, 2, 3))
    assert numbers(flights.send(0).batch) == [1]
    assert flights.due_in_s(0) is None, "the window begins by waiting for each"


def test_two_may_be_in_flight_however_heavy() -> None:
    flights = Flights(FixedWindow(16), singly=False)
    for number in range(3):
        flights.add(transactions(number, text=HEAVY))
    flights.send(0)
    assert flights.due_in_s(0) == 0
    flights.send(0)
    assert flights.due_in_s(0) is None


def test_spacing_counts_from_the_last_one_that_was_sent() -> None:
    window = FixedWindow(16)
    window.spacing_s = 0.5
    flights = Flights(window, singly=False)
    for number in range(2):
        flights.add(transactions(number))
    flights.send(10.0)

    assert flights.due_in_s(10.125) == pytest.approx(0.375)
    assert flights.due_in_s(11) == 0


def test_only_the_first_is_settled_whichever_lands_first() -> None:
    flights = Flights(FixedWindow(2), singly=False)
    for number in range(2):
        flights.add(transactions(number))
    first, second = flights.send(0), flights.send(0)
    second.answered(answer(1), 1)
    assert flights.landed() is None
    assert not flights.all_landed
    first.answered(answer(1), 2)
    assert flights.landed() is first
    flights.settle(first)
    assert flights.landed() is second
    flights.settle(second)
    assert flights.idle


def test_all_is_sent_again_from_the_first_that_did_not_commit() -> None:
    flights = Flights(FixedWindow(3), singly=False)
    for number in range(0, 8, 2):
        flights.add(transactions(number, number + 1))
    first, second, third = (flights.send(0) for _ in range(3))
    first.answered(answer(1, REFUSED), 1)
    second.failed(OutcomeUnknown("no answer"), 1)
    third.answered(answer(0, REFUSED), 1)
    assert numbers(first.take_committed()) == [0]

    assert flights.recall() == [first, second, third]
    assert flights.next.tx == 1
    flights.replace_next(TxData(1, [], []))
    flights.drop(4)
    again = flights.send(2)
    assert numbers(again.batch) == [5]
    assert again.predecessors_committed
    assert not flights.send(2).predecessors_committed


def test_what_commits_stands_before_the_rest_of_its_batch() -> None:
    """So a refusal of the next one is not for want of its predecessor."""
    flight = Flight(transactions(1, 2), 2, predecessors_committed=False, sent_s=0)
    flight.answered(answer(1, REFUSED), 1)
    flight.take_committed()
    assert flight.predecessors_committed


def test_the_window_learns_what_became_of_it() -> None:
    """How long each took that landed in place, and that one did not."""
    window = AdaptiveWindow(64)
    flights = Flights(window, singly=True)
    flights.add(transactions(*range(1, 9)))
    for sent_s in range(8):
        flight = flights.send(sent_s)
        flight.answered(answer(1), sent_s + 0.5)
        flights.settle(flight)
    assert (window.size, window.spacing_s) == (64, 0)
    flights.lost_place()
    assert 0 < window.spacing_s < 0.5


def test_an_answer_for_too_few_transactions_without_a_reason_is_a_failure() -> None:
    """An engine's mistake, by which the rest would be taken for committed."""
    flight = Flight(transactions(1, 2, 3), 3, predecessors_committed=True, sent_s=0)
    flight.answered(answer(2), 1)
    assert isinstance(flight.failure, AsyncRestoreError)
    assert "2 of 3 transactions" in str(flight.failure)


@given(st.integers(1, 4), st.booleans(), st.lists(st.tuples(st.sampled_from("asflr"), st.integers(0, 5))))
def test_nothing_is_lost_doubled_or_out_of_order(
    size: int, singly: bool, events: list[tuple[str, int]]
) -> None:
    """Batches come, are sent, land, fail and are recalled in any order."""
    flights, ids, committed, added = Flights(FixedWindow(size), singly=singly), count(), 0, 0
    up: list[Flight] = []
    for now_s, (event, number) in enumerate(events):
        flying = [flight for flight in up if not flight.landed]
        first = flights.landed()
        if event == "a":
            flights.add(transactions(*(next(ids) for _ in range(number + 1))))
            added += number + 1
        elif event == "s" and flights.due_in_s(now_s) == 0:
            up.append(flights.send(now_s))
        elif event == "l" and flying:
            flight = flying[number % len(flying)]
            part = min(number, len(flight.batch))
            flight.answered(answer(part, None if part == len(flight.batch) else REFUSED), now_s)
        elif event == "f" and flying:
            flying[number % len(flying)].failed(OutcomeUnknown("no answer"), now_s)
        elif event == "r" and first is not None:
            committed += len(first.take_committed())
            if first.failure is None:
                flights.settle(up.pop(0))
            else:
                assert flights.recall() == up
                up.clear()
        assert len(up) <= size
        left = [data for flight in up for data in flight.batch] + flights.queued()
        assert numbers(left) == list(range(committed, added))
        assert flights.idle is (not left)
