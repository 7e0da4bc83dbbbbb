"""What a run of generated histories has shown: it must not be little."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from tests.generated.values import EDGES, PRO_EDGES

if TYPE_CHECKING:
    from asyncrestore.model.log import LogChunk
    from tests.generated.journeys import Travel

REFERENCES = (
    "new", "an old entity", "itself", "tx", "past", "enum", "attribute", "base", "never", "later",
    "later transaction",
)  # fmt: skip
UNIQUE_VALUES = ("unique value", "one of several unique values")
MOVES = ("moved", "moved to a new entity", "swapped", "passed on in a circle")
FEATURES = frozenset({
    "homogeneous tuple", "heterogeneous tuple", "empty slot", "reference in a tuple",
    "composite", "composite made with its components", "composite newer than data",
    "composite over a reference", "unique composite", "component of a composite", "component asserted again",
    *(f"{unique}reference to {what}" for unique in ("", "unique ") for what in REFERENCES),
    "later transaction came", "unique component", "unique reference moved", "unique references swapped",
    "unique references in a circle", "unique value of a transaction", "unique value of a retracted entity",
    *(f"{value} {what}" for value in UNIQUE_VALUES for what in MOVES), "unique value moved onto another",
    "several unique values", "upsert", "upsert by a reference", "upsert by one of several values",
    "upsert by two values", "upsert that adds an identity", "upsert of a transaction",
    "upsert in the transaction's name",
    "entity retracted", "entity retracted with a component", "component on or off",
    "change", "change, both said", "change to an equal value", "retraction",
    "ident changed", "ident used again", "ident taken over in one transaction", "ident retracted",
    "ident with a blank part", "enum",
    "cardinality one", "cardinality many", "uniqueness on", "uniqueness off", "noHistory",
    "alteration that changes nothing", "component that the engine drops",
    "doc of an attribute", "attribute on an attribute",
    "metadata on the transaction", "metadata on an earlier transaction", "empty transaction",
    "explicit instant", "equal instant", "the engine's own instant",
    "backup in pieces", "restored from the live source", "stopped", "killed", "small segments",
    "ids looked up", "source on disk", "copy on disk", "copy of a copy", "copy backed up", "copy continued",
    "filtered copy without attributes", "filtered copy without datoms", "filtered copy with hashes",
    "filtered copy with a function", "copy made again", "filtered copy made again", "source made again",
})  # fmt: skip
"""The kinds of history, and of journey, that every run must show."""

ONLY_LOCAL = frozenset(
    {"reference to later transaction", "unique reference to later transaction", "later transaction came"}
)
ONLY_PRO = frozenset(
    {
        *("index", "index left out"),
        *("named partition", "entity in a named partition", "entity in an implicit partition"),
    }
)

ENOUGH_FOR_EDGES = 1000
"""From this many histories on, every edge value must have occurred."""

MOST_REFUSED = 0.03
"""The largest part of all drawn transactions that the engine may refuse: those show nothing."""


@dataclass
class Variety:
    """Counts over a run; `on_pro` of one in which Pro takes part in each history."""

    on_pro: bool = False
    histories: int = 0
    transactions: int = 0
    datoms: int = 0
    refused: int = 0
    features: Counter[str] = field(default_factory=Counter)
    values: Counter[tuple[str, object]] = field(default_factory=Counter)

    def add(self, other: Variety) -> None:
        """Counts what another run of the same engine has shown."""
        self.histories += other.histories
        self.transactions += other.transactions
        self.datoms += other.datoms
        self.refused += other.refused
        self.features.update(other.features)
        self.values.update(other.values)

    def take(self, travel: Travel, log: LogChunk) -> None:
        """Counts one history, by its journey and its log."""
        self.histories += 1
        self.transactions += len(log.txs())
        self.datoms += len(log)
        self.refused += travel.player.refused is not None
        for features in (travel.player.features, travel.journey.features(), travel.features):
            self.features.update(features)
        self.values.update({(kind, raw) for _, (_, _, kind, raw, _) in log.rows() if kind != "t"})

    def lacking(self) -> list[str]:
        """What is missing in this run, in words."""
        # The rarest kinds are in one of 75 histories: fewer than this is not bad luck.
        least = max(1, self.histories // 300)
        wanted = FEATURES - ONLY_LOCAL | ONLY_PRO if self.on_pro else FEATURES
        missing = [f"{name}: {self.features[name]}" for name in sorted(wanted) if self.features[name] < least]
        all_edges = EDGES | PRO_EDGES if self.on_pro else EDGES
        for type_, (kind, edges) in all_edges.items() if self.histories >= ENOUGH_FOR_EDGES else ():
            missing += [f"{type_} {str(raw)[:40]}: never" for raw in edges if not self.values[kind, raw]]
        if self.refused > MOST_REFUSED * (self.transactions + self.refused):
            missing.append(f"{self.refused} transactions were refused")
        return missing

    def __str__(self) -> str:
        features = "".join(f"\n{self.features[name]:>8}  {name}" for name in sorted(self.features))
        return (
            f"{self.histories} histories, {self.transactions} transactions, {self.datoms} datoms, "
            f"{self.refused} transactions refused{features}"
        )
