"""The errors with which committing ends, each with what to do next."""

from __future__ import annotations

from typing import TYPE_CHECKING

from asyncrestore.errors import (
    DatabaseFailed,
    OutcomeUnknown,
    Overtaken,
    TransactionRejected,
    Unavailable,
)
from asyncrestore.model.log import tx_to_t
from asyncrestore.pipeline.outcomes import Outcome

if TYPE_CHECKING:
    from asyncrestore.datomic.base import Database
    from asyncrestore.history.copies import Restored
    from asyncrestore.model.commit import Anomaly, TxData


def not_taken(target: Database, transaction: TxData, anomaly: Anomaly, outcome: Outcome) -> Unavailable:
    """Makes the error for a transaction that the target did not take, or may not have taken."""
    kind, says = (
        (Unavailable, "did not take") if outcome is Outcome.BUSY else (OutcomeUnknown, "may have taken")
    )
    return kind(
        f"{target.uri} {says} source t {tx_to_t(transaction.tx)}: {anomaly.message}",
        hint="Run the same command again: it asks the target how far it came and continues there.",
    )


def not_written(target: Database, transaction: TxData, anomaly: Anomaly) -> DatabaseFailed:
    """Makes the error for a transaction that the target could not write to its files."""
    t = tx_to_t(transaction.tx)
    return DatabaseFailed(
        f"{target.uri} could not write source t {t}: {anomaly.message}",
        hint=f"Everything before t {t} is restored. Make room there, or raise the quota or limit; then run "
        "the same command again: it continues.",
    )


def overtaken(target: Database, newest: Restored | None) -> Overtaken:
    """Makes the error for another restore, which wrote `newest` if that is known."""
    how_far = f": it committed t {tx_to_t(newest.source_tx)} first" if newest else ""
    return Overtaken(
        f"Another restore writes to {target.uri}{how_far}",
        hint="Let the other one finish, or run this again when it has ended.",
    )


def ahead_of_clock(target: Database, transaction: TxData, anomaly: Anomaly) -> TransactionRejected:
    """Makes the error for a transaction dated after the target's own clock."""
    t = tx_to_t(transaction.tx)
    return TransactionRejected(
        f"{target.uri} refused source t {t}, dated after the target's own clock: {anomaly.message}",
        t=t,
        hint=f"Everything before t {t} is restored. Compare the clocks of both machines; run this again "
        "when the target's has passed that time.",
    )


def rejected(
    target: Database, transaction: TxData, anomaly: Anomaly, *, cause: str, help_: str
) -> TransactionRejected:
    """Makes the error for a transaction that the target refused for good.

    Args:
        target: the database that refused it.
        transaction: what was refused.
        anomaly: the engine's reason.
        cause: the datom that is the cause, in words, or an empty text.
        help_: what helps, or an empty text.
    """
    t = tx_to_t(transaction.tx)
    return TransactionRejected(
        f"{target.uri} refused source t {t}: {anomaly.message}" + (f". {cause}" if cause else ""),
        t=t,
        hint=f"Everything before t {t} is restored, nothing after it. {help_}".strip(),
    )
