"""What can become of the first transaction of a submission that did not commit whole, as a value."""

from __future__ import annotations

from enum import Enum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from asyncrestore.model import Anomaly


class Outcome(Enum):
    """Why a transaction is not known to have committed, and so what is to be done."""

    TOO_EARLY = "its predecessor is not in the target yet: send it again behind that"
    DANGLING = "it refers to an entity that the target lacks: send it again, making that entity"
    OVERTAKEN = "its predecessor has a successor already: read the target"
    FUTURE = "its instant is ahead of the target's clock: send it again later"
    BUSY = "the target did not take it, or says so: back off, read the target, send it again"
    UNKNOWN = "no answer came: read the target"
    REJECTED = "the target refuses its data: stop"


_BUSY = frozenset({"busy", "unavailable", "interrupted"})


def judge(anomaly: Anomaly, previous: int) -> Outcome:
    """What an anomaly means for a transaction.

    Args:
        anomaly: the answer to it.
        previous: source id of the transaction before it.
    """
    if anomaly.category in _BUSY:
        return Outcome.BUSY
    if anomaly.error == "not-an-entity" and anomaly.entity is not None:
        return Outcome.TOO_EARLY if anomaly.entity == previous else Outcome.DANGLING
    if anomaly.error == "cas-failed" and anomaly.entity == previous:
        return Outcome.OVERTAKEN
    if anomaly.error == "future-tx-instant":
        return Outcome.FUTURE
    return Outcome.REJECTED
