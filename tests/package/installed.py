"""A test of an installed package and its extras. It imports nothing of the checkout, so it can run anywhere.

    python -I installed.py DIR

DIR is what `asyncrestore demo --keep DIR` left.
"""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

import asyncrestore
from asyncrestore.testing import check_store

KEY = bytes(range(32))
LAST_T = 300


def must(holds: object, what: str) -> None:
    """Ends the program unless something holds; unlike `assert`, also under `python -O`."""
    if not holds:
        sys.exit(f"FAILED: {what}")


async def main(demo: Path) -> None:
    home = Path(asyncrestore.__file__).resolve()
    must(Path(sys.prefix).resolve() in home.parents, f"the package is the installed one, not that of {home}")
    must((home.parent / "py.typed").exists(), "the package is typed")
    await check_store(asyncrestore.MemoryStore())

    # The extras: encrypt, then query, then fake.
    backup, encrypted = str(demo / "backups"), str(demo / "encrypted")
    must((await asyncrestore.copy(backup, encrypted, encryption=KEY)).ok, "the copy is whole")
    sql = f"SELECT count(*) AS n FROM transactions WHERE t <= {LAST_T}"
    counted = (await asyncrestore.query(encrypted, sql, encryption=KEY)).to_pylist()[0]["n"]
    rules = {"artist/name": "fake:name"}
    target = "datomic:local://installed/copy?storage-dir=:mem"
    async with asyncrestore.open_connector() as connector:
        database = await connector.open(target, create=True)
        restored = await asyncrestore.restore(
            encrypted, database, until_t=LAST_T, rewrite=rules, rewrite_key=KEY, encryption=KEY
        )
        verified = await asyncrestore.verify(
            encrypted, against=database, until_t=LAST_T, rewrite=rules, rewrite_key=KEY, encryption=KEY
        )
    must(restored.transactions == counted > 0, f"{restored.transactions} transactions of {counted} restored")
    must(restored.filtered[0].rewritten > 0, "names are rewritten")
    must(verified.ok, f"the copy has the same history: {verified.problems}")
    print(f"{counted} transactions of an encrypted backup, with other names, restored and verified by {home}")


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1])))
