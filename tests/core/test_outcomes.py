"""What an answer means."""

from __future__ import annotations

import pytest

from asyncrestore.model import Anomaly
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
        (Anomaly("unavailable", ""), Outcome.BUSY),
        (Anomaly("interrupted", ""), Outcome.BUSY),
        (Anomaly("fault", ""), Outcome.REJECTED),
    ],
)
def test_anomalies(anomaly: Anomaly, outcome: Outcome) -> None:
    assert judge(anomaly, PREVIOUS) is outcome
