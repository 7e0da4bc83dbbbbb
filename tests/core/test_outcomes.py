"""What an answer means."""

from __future__ import annotations

import pytest

from asyncrestore.errors import NotAuthorized, OutcomeUnknown, Unavailable
from asyncrestore.model.commit import Anomaly
from asyncrestore.pipeline.outcomes import Failure, Outcome, judge

PREVIOUS = 17
PREDECESSOR_MISSING = Anomaly("incorrect", "", "not-an-entity", entity=PREVIOUS)
OTHER_MISSING = Anomaly("incorrect", "", "not-an-entity", entity=5)


@pytest.mark.parametrize(
    ("failure", "outcome"),
    [
        (None, Outcome.COMMITTED),
        (PREDECESSOR_MISSING, Outcome.REJECTED),
        (OTHER_MISSING, Outcome.DANGLING),
        (Anomaly("incorrect", "", "not-an-entity"), Outcome.REJECTED),
        (Anomaly("conflict", "", "cas-failed", entity=PREVIOUS, present=18), Outcome.OVERTAKEN),
        (Anomaly("conflict", "", "cas-failed", entity=5), Outcome.REJECTED),
        (Anomaly("incorrect", "", "future-tx-instant"), Outcome.FUTURE),
        (Anomaly("busy", ""), Outcome.BUSY),
        # What leaves open whether it committed: by category, by Pro's own name in any category, by neither.
        (Anomaly("unavailable", "Total timeout elapsed"), Outcome.UNKNOWN),
        (Anomaly("interrupted", ""), Outcome.UNKNOWN),
        (Anomaly("fault", "", "transaction-timeout"), Outcome.UNKNOWN),
        (Anomaly("incorrect", "", "transactor-unavailable"), Outcome.UNKNOWN),
        (Anomaly("conflict", "", "connection-released"), Outcome.UNKNOWN),
        (Anomaly("fault", "java.util.concurrent.ExecutionException"), Outcome.UNKNOWN),
        (Anomaly("fault", "No space left on device", "files-failed"), Outcome.FAILED),
        # A definite no has a name, or a category that says so.
        (Anomaly("fault", "", "unresolvable"), Outcome.REJECTED),
        (Anomaly("incorrect", "Item too large"), Outcome.REJECTED),
        (Anomaly("not-found", "Unable to load namespace"), Outcome.REJECTED),
        (OutcomeUnknown("no answer"), Outcome.UNKNOWN),
        (Unavailable("not sent"), Outcome.UNKNOWN),
        (NotAuthorized("no"), Outcome.ERROR),
    ],
)
def test_of_one_whose_predecessor_was_there(failure: Failure | None, outcome: Outcome) -> None:
    for ordered in (True, False):
        assert judge(failure, previous=PREVIOUS, ordered=ordered) is outcome


@pytest.mark.parametrize(
    ("anomaly", "ordered", "outcome"),
    [
        (PREDECESSOR_MISSING, True, Outcome.TOO_EARLY),
        (PREDECESSOR_MISSING, False, Outcome.TOO_EARLY),
        # Where order may be lost, anything that it lacks may have been made just before.
        (OTHER_MISSING, True, Outcome.DANGLING),
        (OTHER_MISSING, False, Outcome.TOO_EARLY),
        (Anomaly("incorrect", "Item too large"), True, Outcome.REJECTED),
        (Anomaly("incorrect", "Item too large"), False, Outcome.TOO_EARLY),
        (Anomaly("busy", ""), False, Outcome.BUSY),
    ],
)
def test_of_one_whose_predecessor_was_under_way(anomaly: Anomaly, ordered: bool, outcome: Outcome) -> None:
    assert judge(anomaly, previous=PREVIOUS, predecessors_committed=False, ordered=ordered) is outcome
