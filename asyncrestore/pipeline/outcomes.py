"""The possible outcomes of a submission's first transaction that is not known to have committed."""

from __future__ import annotations

from enum import Enum
from typing import TypeAlias

from asyncrestore.errors import AsyncRestoreError, Unavailable
from asyncrestore.model.commit import Anomaly

Failure: TypeAlias = Anomaly | AsyncRestoreError
"""Why a transaction is not known to have committed: the target's answer, or the error instead of one."""


class Outcome(Enum):
    """Whether a transaction is known to have committed; if not, why, and what to do about it."""

    COMMITTED = "it is in the target"
    TOO_EARLY = "its predecessor is not in the target yet: send it again behind that"
    DANGLING = "it refers to an entity that the target lacks: send it again, making that entity"
    OVERTAKEN = "its predecessor has a successor already: read the target"
    FUTURE = "its instant is ahead of the target's clock: send it again later"
    BUSY = "the target says that it did not take it: back off, read the target, send it again"
    UNKNOWN = "no answer, or one that leaves it open: it may be there or still come. Read the target"
    FAILED = "the target cannot write its files: stop"
    REJECTED = "the target refuses its data: stop"
    ERROR = "an error instead of an answer that trying again does not cure: stop"


MAY_HAVE_COMMITTED = frozenset({Outcome.BUSY, Outcome.UNKNOWN})
"""The outcomes of a transaction that may be in the target all the same.

So may what was sent after it: an engine that overlaps commits may have begun all of a batch.
"""

_INDEFINITE = frozenset({"unavailable", "interrupted"})
"""Categories that leave the outcome open. The client API says "unavailable" after its own time-out."""

_INDEFINITE_ERRORS = frozenset({"transaction-timeout", "transactor-unavailable", "connection-released"})
"""Errors of Pro's peer that leave the outcome open, whatever their category."""

_NAMED = {"future-tx-instant": Outcome.FUTURE, "files-failed": Outcome.FAILED}

_FAULT = "fault"


def judge(
    failure: Failure | None, *, previous: int, predecessors_committed: bool = True, ordered: bool = True
) -> Outcome:
    """Returns what a failure means for a transaction; it has committed if there is none.

    Args:
        failure: the answer to it, or the error instead of one.
        previous: source id of the transaction before it.
        predecessors_committed: whether that was in the target when this one was sent.
        ordered: whether the target commits in the order of sending.
    """
    match failure:
        case None:
            return Outcome.COMMITTED
        case Unavailable():
            return Outcome.UNKNOWN
        case AsyncRestoreError():
            return Outcome.ERROR
    outcome = _judge_alone(failure, previous)
    if outcome is Outcome.TOO_EARLY and predecessors_committed:
        return Outcome.REJECTED
    if outcome in {Outcome.DANGLING, Outcome.REJECTED} and not (predecessors_committed or ordered):
        # Its predecessor may not have been there yet. What it lacks may be anything made just before.
        return Outcome.TOO_EARLY
    return outcome


def _judge_alone(anomaly: Anomaly, previous: int) -> Outcome:
    """Returns what an anomaly means, whatever was in flight."""
    if anomaly.category == "busy":
        return Outcome.BUSY
    if anomaly.category in _INDEFINITE or anomaly.error in _INDEFINITE_ERRORS or is_unnamed_fault(anomaly):
        return Outcome.UNKNOWN
    if anomaly.error == "not-an-entity" and anomaly.entity is not None:
        return Outcome.TOO_EARLY if anomaly.entity == previous else Outcome.DANGLING
    if anomaly.error == "cas-failed" and anomaly.entity == previous:
        return Outcome.OVERTAKEN
    return _NAMED.get(anomaly.error or "", Outcome.REJECTED)


def is_unnamed_fault(anomaly: Anomaly) -> bool:
    """Returns whether it is a fault without a name: the connection's, or the target's because of the data."""
    return anomaly.category == _FAULT and anomaly.error is None
