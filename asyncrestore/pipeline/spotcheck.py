"""Spot checks during a restore: whether cached ids are those of the entities that they are taken for.

The chain, lookup refs and unique original ids leave one thing that a restore believes without asking the
target: the target ids in its cache. A wrong one would put datoms on another entity, and only `verify` would
notice.
"""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

from asyncrestore.errors import HistoryDiffers
from asyncrestore.model.log import mentioned, tx_to_t
from asyncrestore.model.schema import ORIGINAL_ID
from asyncrestore.patience import Patience

if TYPE_CHECKING:
    from collections.abc import Sequence

    from asyncrestore.datomic.base import Database
    from asyncrestore.model.commit import TxData
    from asyncrestore.model.ids import IdCache


class SpotCheck:
    """Checks the ids of some committed transactions, those just made included, with one request a batch.

    Args:
        target: the database that is asked.
        cache: the ids that are checked; each look-up counts in its statistics.
        rate: the part of the transactions to check, 0 to 1.
        patience_s: how long the target may be away: a mere sample must not end a restore that would survive
            the outage.

    Attributes:
        checked: how many ids were checked and right so far.
    """

    def __init__(self, target: Database, cache: IdCache, rate: float, patience_s: float) -> None:
        self._target = target
        self._cache = cache
        self._rate = rate
        self._patience_s = patience_s
        self.checked = 0

    async def check(self, batch: Sequence[TxData]) -> None:
        """Checks some of the batch's transactions, picked at random.

        Raises:
            HistoryDiffers: an id is that of another entity than it is taken for.
            Unavailable: the target did not answer for `patience_s`.
        """
        if not self._rate:
            return
        picked = [data.source for data in batch if data.source and random.random() < self._rate]  # noqa: S311 - no secret
        believed = {source: self._cache.get(source) for source in mentioned(picked)}
        sources = [source for source, target in believed.items() if target is not None]
        targets = [target for target in believed.values() if target is not None]
        if not targets:
            return
        found = await Patience(self._patience_s).persist(lambda: self._target.values_of(ORIGINAL_ID, targets))
        for source, target, original in zip(sources, targets, found, strict=True):
            if original != source:
                raise HistoryDiffers(
                    f"{self._target.uri}: entity {target} was taken for the source's {source}, but it has "
                    f"the original id {original}; the target has everything up to source t "
                    f"{tx_to_t(batch[-1].tx)}",
                    hint="Do not use the target: datoms may be on the wrong entity. Restore into a new "
                    "database, without the id cache (size 0), and report this.",
                )
        self.checked += len(targets)
