"""A durable database that is deleted and made again, under its name, is another one.

Datomic Local knows a durable database by its name only. Here the one that was deleted stays, to compare with:
the other is in another directory, where it has the same name.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from asyncrestore.errors import Conflict
from asyncrestore.jobs.verify import verify
from tests.generated.copies import Copies, conflict
from tests.generated.filtering import filtering
from tests.generated.player import Player
from tests.support.comparison import check_copy

if TYPE_CHECKING:
    from asyncrestore.datomic.base import Database
    from asyncrestore.model.log import Transaction


class CopyMadeAgain(Copies):
    """A copy that is backed up is deleted and restored again, also filtered, and continued."""

    async def begin(self) -> None:
        """See `Copies`."""
        self._first = await self.travel.new(self.travel.there, durable=True)

    async def follow(self) -> None:
        """See `Copies`."""
        await self.travel.restore(self.travel.store, self._first, name="history")
        await self.travel.backup(self._first, "copy")

    async def check(self) -> None:
        """See `Copies`."""
        travel, journey = self.travel, self.travel.journey
        (await verify(travel.store, name="history", against=self._first)).raise_for_problems()
        again = await travel.new(travel.there, durable=True)
        chosen = filtering(travel.steps, journey.ways if journey.with_schema else (), with_schema=True)
        await travel.restore(travel.store, again, name="history", **chosen.options())
        await self._check_refused(again)
        await travel.player.move(again)
        await travel.player.play(travel.rest)
        await again.transact_edn(['[{:db/doc "made again"}]'])
        await self._check_refused(again)

        await travel.backup(again, "copy made again")
        for name, database, sources in (
            ("copy", self._first, [travel.source]),
            ("copy made again", again, []),
        ):
            (await verify(travel.store, name=name)).raise_for_problems()
            restored = await travel.new(travel.here)
            await travel.restore(travel.store, restored, name=name)
            (await verify(travel.store, name=name, against=restored)).raise_for_problems()
            await check_copy(*sources, database, restored)
        travel.features[f"{'filtered ' * bool(chosen.features())}copy made again"] += 1

    async def _check_refused(self, again: Database) -> None:
        """Its backup under the name of the first copy is refused, and nothing is written."""
        store = self.travel.store
        before = await store.list("copy")
        refusal = await conflict(self.travel.backup(again, "copy"))
        assert refusal.exit_code == 13
        assert await store.list("copy") == before


class SourceMadeAgain(Copies):
    """The source is deleted, and the script is played into a new database of its name."""

    async def begin(self) -> None:
        """See `Copies`."""
        self._again = await self.travel.new(self.travel.here, durable=True)
        self._player = Player(self._again)
        self._done = 0

    async def follow(self) -> None:
        """See `Copies`."""
        travel = self.travel
        done, self._done = self._done, travel.done
        await self._player.play(travel.steps[done : travel.done])
        before = await travel.store.list("history")
        try:
            await travel.backup(self._again, "history")
        except Conflict:
            travel.features["source made again"] += 1
        else:
            # No entity has shown yet that it is another database.
            assert await _log(self._again) == await _log(travel.source)
        assert await travel.store.list("history") == before


async def _log(database: Database) -> list[Transaction]:
    _, chunk = await database.read_log(0, await database.basis_t() + 1, size=1 << 40)
    return list(chunk.transactions())
