"""The possible outcomes of a submission's first transaction that is not known to have committed."""

from __future__ import annotations

from enum import Enum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from asyncrestore.model.commit import Anomaly


class Outcome(Enum):
    """Why a transaction is not known to have committed, and what to do about it."""

    TOO_EARLY = "its predecessor is not in the target yet: send it again behind that"
    DANGLING = "it refers to an entity that the target lacks: send it again, making that entity"
    OVERTAKEN = "its predecessor has a successor already: read the target"
    FUTURE = "its instant is ahead of the target's clock: send it again later"
    BUSY = "the target says that it did not take it: back off, read the target, send it again"
    UNKNOWN = "no answer, or one that leaves it open: it may be there or still come. Read the target"
    FAILED = "the target cannot write its files: stop"
    REJECTED = "the target refuses its data: stop"


_INDEFINITE = frozenset({"unavailable", "interrupted"})
"""Categories that leave the outcome open. The client API says "unavailable" after its own time-out."""

_INDEFINITE_ERRORS = frozenset({"transaction-timeout", "transactor-unavailable", "connection-released"})
"""Errors of Pro's peer that leave the outcome open, whatever their category."""

_NAMED = {"future-tx-instant": Outcome.FUTURE, "files-failed": Outcome.FAILED}

_FAULT = "fault"


def judge(anomaly: Anomaly, previous: int) -> Outcome:
    """Returns what an anomaly means for a transaction.

    Args:
        anomaly: the answer to it.
        previous: source id of the transaction before it.
    """
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
