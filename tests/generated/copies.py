"""What becomes of a copy: it is copied in turn, backed up, or continued; or there is a filtered one, too."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from asyncrestore.errors import Conflict
from asyncrestore.jobs.restore import restore
from asyncrestore.jobs.verify import verify
from tests.generated.filtering import filtering
from tests.support.comparison import check_copy

if TYPE_CHECKING:
    from collections.abc import Awaitable

    from tests.generated.journeys import Travel


async def conflict(job: Awaitable[object]) -> Conflict:
    """Runs what must be refused, and returns the error."""
    try:
        await job
    except Conflict as refusal:
        return refusal
    raise AssertionError("it was not refused")


class Copies:
    """Nothing more becomes of the copy; the others do something after each piece, or at the end."""

    def __init__(self, travel: Travel) -> None:
        self.travel = travel

    async def begin(self) -> None:
        """Nothing is in the copy yet."""

    async def follow(self) -> None:
        """A piece of the history is in the copy."""

    async def check(self) -> None:
        """All of it is in the copy, and was compared."""


class Copied(Copies):
    """The copy is restored into another database, without a store."""

    async def check(self) -> None:
        """See `Copies`."""
        travel = self.travel
        second = await travel.new(travel.here)
        await travel.restore(travel.target, second)
        (await verify(travel.target, against=second)).raise_for_problems()
        await check_copy(travel.source, travel.target, second)
        travel.features["copy of a copy"] += 1


class BackedUp(Copies):
    """The copy is backed up into the store of its source, and that backup is restored, piece by piece."""

    async def begin(self) -> None:
        """See `Copies`."""
        self._second = await self.travel.new(self.travel.here)

    async def follow(self) -> None:
        """See `Copies`."""
        travel = self.travel
        await travel.backup(travel.target, "copy")
        await travel.restore(travel.store, self._second, name="copy")

    async def check(self) -> None:
        """See `Copies`."""
        travel = self.travel
        await self._check_backup()
        await check_copy(travel.source, travel.target, self._second)
        travel.features["copy backed up"] += 1

    async def _check_backup(self) -> None:
        travel = self.travel
        (await verify(travel.store, name="copy")).raise_for_problems()
        for origin in (travel.store, travel.target):
            (await verify(origin, name="copy", against=self._second)).raise_for_problems()


class Continued(BackedUp):
    """The copy takes the place of its source: the rest of the script is played there."""

    async def check(self) -> None:
        """See `Copies`."""
        travel = self.travel
        await super().check()
        await travel.player.move(travel.target)
        restored = await travel.target.basis_t()
        half = len(travel.rest) // 2
        for steps in (travel.rest[:half], travel.rest[half:]):
            await travel.player.play(steps)
            await self.follow()
        own = await travel.target.basis_t() - restored
        await self._check_backup()
        await check_copy(travel.target, self._second)
        if own:
            refusal = await conflict(restore(travel.store, travel.target, name="history"))
            assert "was not written by a restore" in str(refusal)
            travel.features["copy continued"] += 1


class Filtered(Copies):
    """There is a second copy, a filtered one; it is backed up in turn, and that is restored."""

    async def begin(self) -> None:
        """See `Copies`."""
        travel, journey = self.travel, self.travel.journey
        self._second, self._third = [await travel.new(engine) for engine in (travel.there, travel.here)]
        self._filtering = filtering(travel.steps, journey.ways, with_schema=journey.with_schema)

    async def follow(self) -> None:
        """See `Copies`."""
        travel = self.travel
        await travel.restore(travel.store, self._second, name="history", **self._filtering.options())
        await travel.backup(self._second, "filtered")
        await travel.restore(travel.store, self._third, name="filtered")

    async def check(self) -> None:
        """See `Copies`."""
        travel, options = self.travel, self._filtering.options()
        expected = partial(self._filtering.expected, player=travel.player)
        travel.features.update(self._filtering.features())
        for origin in (travel.store, travel.source):
            (await verify(origin, against=self._second, name="history", **options)).raise_for_problems()
        (await verify(travel.store, name="filtered")).raise_for_problems()
        (await verify(travel.store, name="filtered", against=self._third)).raise_for_problems()
        await check_copy(travel.source, self._second, self._third, expected=expected)
