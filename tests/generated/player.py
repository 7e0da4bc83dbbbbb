"""Plays a script: commits it to a database, step by step, and learns the ids that it gives."""

from __future__ import annotations

import json
from collections import Counter
from typing import TYPE_CHECKING, Any

from asyncrestore.datomic.engines import parse_uri
from asyncrestore.datomic.uri import PEER
from asyncrestore.errors import AsyncRestoreError
from asyncrestore.model import positions
from asyncrestore.model.commit import TxData
from asyncrestore.model.log import INDEX_MASK, TX_PARTITION, t_to_tx
from asyncrestore.model.schema import ORIGINAL_ID
from asyncrestore.model.values import to_python
from tests.generated.script import TX, Place

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from asyncrestore.datomic.base import Database
    from tests.generated.script import Operation, Step

_EDN: dict[str, Callable[[Any], str]] = {
    "l": str,
    "m": "{}M".format,
    "k": ":{}".format,
    "u": '#uuid "{}"'.format,
    "s": lambda text: json.dumps(text, ensure_ascii=False),
}


class Player:
    """Commits the steps of one script to one database.

    A step that the engine does not take is the end: what follows was drawn for another state.

    Attributes:
        refused: what the engine said of the step that it did not take.
        features: how many steps, of those that it took, show each kind of history.
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        self._on_pro = parse_uri(database.uri).engine == PEER
        self._ids: dict[Place, int] = {}
        self._largest = (1 << 42) - 1
        self._hoped: set[int] = set()
        self._steps = 0
        self._last_tx = TX_PARTITION << 42
        self.refused: str | None = None
        self.features: Counter[str] = Counter()

    def id_of(self, place: Place) -> int:
        """The entity that a place became."""
        return self._ids[place]

    async def move(self, copy: Database) -> None:
        """Goes on in a copy, with the entities that are there for those of the source."""
        places = list(self._ids)
        found = await copy.entities_with(ORIGINAL_ID, [self._ids[place] for place in places])
        self._database = copy
        self._on_pro = copy.uri.startswith("datomic:mem:")
        self._ids, self._largest, self._hoped = {}, (1 << 42) - 1, set()
        self._know({place: ids[0] for place, ids in zip(places, found, strict=True) if ids})
        self._last_tx = t_to_tx(await copy.basis_t())

    async def play(self, steps: Sequence[Step]) -> None:
        """Commits the steps, one transaction each."""
        for step in steps:
            if self.refused is not None:
                return
            tempids = self._tempids(step)
            # Retracting an entity is a function of Datomic's, which only EDN can call; so is a partition.
            as_edn = step.erased or (step.partitions and self._on_pro)
            try:
                tx, made = await (self._transact_edn if as_edn else self._submit)(step, tempids)
            except _RefusedError as refusal:
                self.refused = f"{refusal} {step}"
            else:
                self._learn(step, tx, made)
            self._steps += 1

    def _tempids(self, step: Step) -> dict[Place, int]:
        """Numbers for what the step makes."""
        wanted = dict.fromkeys(place for operation in step.operations for place in operation.places())
        made = [p for p in wanted if p.what in {"entity", "attribute", "upsert"} and p not in self._ids]
        return {place: place.number for place in made}

    def _position(self, place: Place, tempids: dict[Place, int]) -> int:
        if place == TX:
            return positions.TX
        if place.what == "ident":
            return positions.ident(place.name)
        if place.what == "raw":
            return place.number
        if place.what in {"later", "later-tx"}:
            later = (self._largest if place.what == "later" else self._last_tx) + place.number
            self._hoped.add(later)
            return later
        return self._ids[place] if place in self._ids else positions.tempid(tempids[place])

    def _raw(self, kind: str, raw: Any, tempids: dict[Place, int]) -> Any:
        if kind == "r":
            return self._position(raw, tempids)
        if kind == "t":
            return tuple(
                None if slot is None else (slot[0], self._raw(slot[0], slot[1], tempids)) for slot in raw
            )
        return raw

    def _flat(self, operations: Sequence[Operation], added: bool, tempids: dict[Place, int]) -> list[Any]:
        return [
            part
            for o in operations
            if o.added is added
            for part in (
                self._position(o.e, tempids), self._position(o.a, tempids), o.kind,
                self._raw(o.kind, o.raw, tempids),
            )
        ]  # fmt: skip

    async def _submit(self, step: Step, tempids: dict[Place, int]) -> tuple[int, dict[Place, int]]:
        adds, retracts = (self._flat(step.operations, added, tempids) for added in (True, False))
        if step.instant is not None:
            adds += (positions.TX, positions.ident("db/txInstant"), "i", step.instant)
        result = await (await self._database.submit([TxData(0, adds, retracts)])).result()
        if result.anomaly is not None:
            raise _RefusedError(f"{result.anomaly.error}: {result.anomaly.message}")
        (committed,) = result.committed
        ids = dict(zip(committed.ids[0::2], committed.ids[1::2], strict=True))
        return committed.tx, {place: ids[number] for place, number in tempids.items()}

    async def _transact_edn(self, step: Step, tempids: dict[Place, int]) -> tuple[int, dict[Place, int]]:
        data = [f"[:db/retractEntity {self._ids[e]}]" for e in step.erased if e in self._ids]
        for o in step.operations:
            e, a = self._entity_edn(o.e, tempids), self._entity_edn(o.a, tempids)
            words = e, a, self._entity_edn(o.raw, tempids) if o.kind == "r" else _EDN[o.kind](o.raw)
            data.append(f"[:db/{'add' if o.added else 'retract'} {' '.join(words)}]")
        if step.instant is not None:
            moment = to_python("i", step.instant).isoformat(timespec="milliseconds")
            data.append(f'[:db/add "datomic.tx" :db/txInstant #inst "{moment}"]')
        if step.partitions:
            wishes = (
                f'"{tempids[entity]}" {self._position(partition, tempids)}'
                for entity, partition in step.partitions.items()
            )
            data.append(f"{{:db/force-partition {{{' '.join(wishes)}}}}}")
        try:
            ((tx, ids),) = await self._database.transact_edn([f"[{' '.join(data)}]"])
        except AsyncRestoreError as refusal:
            raise _RefusedError(str(refusal)) from refusal
        return tx, {place: ids[str(number)] for place, number in tempids.items()}

    def _entity_edn(self, place: Place, tempids: dict[Place, int]) -> str:
        if place.what == "ident":
            return f":{place.name}"
        if place in tempids:
            return f'"{tempids[place]}"'
        position = self._position(place, tempids)
        return '"datomic.tx"' if position == positions.TX else str(position)

    def _learn(self, step: Step, tx: int, made: dict[Place, int]) -> None:
        self._know({**made, Place("past", self._steps): tx})
        self._last_tx = tx
        if tx in self._hoped:
            self.features["later transaction came"] += 1
        self.features["later entity came"] += len(self._hoped.intersection(made.values()))
        self.features.update(step.features)

    def _know(self, made: dict[Place, int]) -> None:
        self._ids.update(made)
        for id_ in made.values():
            if id_ >> 42 not in {0, TX_PARTITION}:
                self._largest = max(self._largest & INDEX_MASK, id_ & INDEX_MASK) | (id_ >> 42) << 42


class _RefusedError(Exception):
    """The engine does not take a step."""
