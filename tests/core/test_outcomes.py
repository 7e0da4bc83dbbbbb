"""What an answer means."""

from __future__ import annotations

import pytest

from asyncrestore.model.commit import Anomaly
from asyncrestore.pipeline.outcomes import Outcome, judge

PREVIOUS = 17


@pytest.mark.parametrize(
    ("anomaly", "outcome"),
    [
        (Anomaly("incorrect", "", "not-an-entity", entity=PREVIOUS), Outcome.TOO_EARLY),
        (Anomaly("incorrect", "", "not-an-entity", entity=5), Outcome.DANGLING),
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
    ],
)
def test_anomalies(anomaly: Anomaly, outcome: Outcome) -> None:
    assert judge(anomaly, PREVIOUS) is outcome
