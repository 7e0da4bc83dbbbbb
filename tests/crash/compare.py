"""Whether a target has its source's history, told with nothing of what the library compares with."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from asyncrestore.datomic.base import Database
    from asyncrestore.model import Datom, Transaction

IDENT, INSTALLING = 10, 2
"""The entity id of :db/ident in both editions; how many transactions install."""

_LOCAL_BOOTSTRAP_T, _PRO_BOOTSTRAP_T = 5, 999
"""The last t that a database is born with."""


async def _log(database: Database) -> list[Transaction]:
    local = database.uri.startswith("datomic:local:")
    start = (_LOCAL_BOOTSTRAP_T if local else _PRO_BOOTSTRAP_T) + 1
    _, chunk = await database.read_log(start, await database.basis_t() + 1, size=1 << 40)
    return list(chunk.transactions())


async def check_same(source: Database, target: Database) -> int:
    """Compares each transaction of two databases of one edition; answers how many there are.

    Raises:
        AssertionError: they differ.
    """
    theirs, ours = await _log(source), await _log(target)
    names = {raw: e for t in ours for e, a, kind, raw, _ in t.datoms if a == IDENT and kind == "k"}
    bookkeeping = {e for name, e in names.items() if str(name).startswith("asyncrestore/")}
    pairs = [(e, raw) for t in ours for e, a, _, raw, _ in t.datoms if a == names["asyncrestore/original-id"]]
    originals: dict[int, Any] = dict(pairs)
    assert len(originals) == len(pairs) == len({raw for _, raw in pairs}), "ids are not one to one"

    def renamed(kind: str, raw: Any) -> Any:
        if kind == "t":
            return tuple(None if slot is None else (slot[0], renamed(*slot)) for slot in raw)
        return originals.get(raw, raw) if kind == "r" else raw

    def counted(datoms: list[Datom]) -> Counter[Datom]:
        return Counter(
            (originals.get(e, e), originals.get(a, a), kind, renamed(kind, raw), added)
            for e, a, kind, raw, added in datoms
            if a not in bookkeeping
        )

    restored = ours[INSTALLING:]
    assert [originals.get(t.tx) for t in restored] == [t.tx for t in theirs], "the transactions differ"
    for their, our in zip(theirs, restored, strict=True):
        assert Counter(their.datoms) == counted(our.datoms), f"source t {their.t} differs"
    return len(theirs)
