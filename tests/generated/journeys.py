"""The ways in which a history may be taken from one database to another."""

from __future__ import annotations

from collections import Counter
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

import anyio
from hypothesis import strategies as st

from asyncrestore.datomic.uri import LOCAL, PEER
from asyncrestore.errors import Overtaken, StoppedEarly
from asyncrestore.jobs.backup import backup
from asyncrestore.jobs.restore import restore
from tests.generated.copies import BackedUp, Continued, Copied, Copies, Filtered
from tests.generated.filtering import WAYS
from tests.generated.made_again import CopyMadeAgain, SourceMadeAgain
from tests.support.comparison import is_on_disk

if TYPE_CHECKING:
    from asyncrestore.datomic.base import Database
    from asyncrestore.jobs.opening import AnyHistory
    from asyncrestore.progress import Progress
    from asyncrestore.stores.base import Store
    from tests.generated.player import Player
    from tests.generated.script import Step


COPIES: dict[str, type[Copies]] = {
    "": Copies,
    "copy of a copy": Copied,
    "copy backed up": BackedUp,
    "copy continued": Continued,
    "filtered copy": Filtered,
    "copy made again": CopyMadeAgain,
    "source made again": SourceMadeAgain,
}
"""What becomes of a copy, by what a journey calls it."""


ON_DISK = [(True, True), (True, False), (False, True)]


@dataclass(frozen=True, slots=True)
class Journey:
    """How a history travels.

    Attributes:
        pieces: steps after which there is a backup, and a restore of what it brought.
        live: the restore reads the source itself, without a store.
        segment_size: transactions in a segment.
        breaks: how a restore ends early, ``stop`` or ``kill``, and after how many transactions.
        in_flight: transactions sent and not answered: with few, ids come back in time to be used.
        id_cache_size: 0 forgets nearly all.
        on_disk: whether source and copy are, where they are of Local: its log differs there.
        copies: what becomes of the copy (`COPIES`).
        ways: of a filtered copy, what is done with one attribute after the other (`filtering`).
        with_schema: of a filtered copy, whether attributes are left out themselves.
    """

    pieces: tuple[int, ...]
    live: bool
    segment_size: int
    breaks: tuple[tuple[str, int], ...]
    in_flight: int
    id_cache_size: int
    on_disk: tuple[bool, bool]
    copies: str
    ways: tuple[str, ...]
    with_schema: bool

    def played_before_copies(self, steps: list[Step]) -> int:
        """How many steps of a script are played into the source: the rest is for the copy."""
        return len(steps) // 2 if self.copies in {"copy continued", "copy made again"} else len(steps)

    @property
    def source_on_disk(self) -> bool:
        """Whether the source is: only then can another one be taken for it."""
        return self.on_disk[0] or self.copies == "source made again"

    def onto_disk(self, here: str) -> bool:
        """Whether a copy is on disk, and the source, of the engine `here`, is not: Pro's never is."""
        on_disk = self.source_on_disk and here == LOCAL
        return (self.on_disk[1] or self.copies == "copy made again") and not on_disk

    def fitted(self, here: str, there: str) -> bool:
        """Whether the copy is fitted to its engine: then no other database is made of it."""
        return here == PEER and there != PEER and not self.copies

    def features(self) -> set[str]:
        """What it shows."""
        shown = {
            "backup in pieces": self.pieces,
            "restored from the live source": self.live,
            "stopped": any(how == "stop" for how, _ in self.breaks),
            "killed": any(how == "kill" for how, _ in self.breaks),
            "small segments": self.segment_size < 10 and not self.live,
            "ids looked up": not self.id_cache_size,
        }
        return {name for name, there in shown.items() if there}


@st.composite
def journeys(draw: st.DrawFn) -> Journey:
    """Any journey; most take the history in one piece, and are interrupted."""
    return Journey(
        pieces=draw(st.one_of(st.just(()), st.lists(st.integers(1, 19), max_size=3).map(tuple))),
        live=draw(st.sampled_from([False, False, True])),
        segment_size=draw(st.sampled_from([1, 2, 3, 7, 10_000])),
        breaks=draw(
            st.lists(st.tuples(st.sampled_from(["stop", "kill"]), st.integers(0, 12)), max_size=2).map(tuple)
        ),
        in_flight=draw(st.sampled_from([1, 4, 8, 20, 1024])),
        id_cache_size=draw(st.sampled_from([0, 2_000_000])),
        on_disk=draw(st.sampled_from([*[(False, False)] * 9, *ON_DISK])),
        copies=draw(st.sampled_from([*COPIES, *[""] * 9])),
        ways=draw(st.lists(st.sampled_from(WAYS), min_size=11, max_size=11).map(tuple)),
        with_schema=draw(st.booleans()),
    )


class NewDatabase(Protocol):
    """Makes a database of an engine; durable ones, where the engine here has such, all have one name."""

    async def __call__(self, engine: str, *, durable: bool = False) -> Database: ...


@dataclass(kw_only=True)
class Travel:
    """A journey under way.

    Attributes:
        journey: how it goes.
        steps: the script, as far as it is played into the source.
        rest: what is left of it for the copy.
        player: plays it.
        here: the source's engine.
        there: the copy's engine.
        source: the database that the script is played into.
        store: holds the backups, the source's under the name "history".
        target: the copy.
        new: makes another database.
        done: how many steps were played into the source.
        features: what the journey has shown besides what was drawn.
    """

    journey: Journey
    steps: list[Step]
    rest: list[Step]
    player: Player
    here: str
    there: str
    source: Database
    store: Store
    target: Database
    new: NewDatabase
    done: int = 0
    features: Counter[str] = field(default_factory=Counter)

    @property
    def options(self) -> dict[str, Any]:
        """The options of each restore into the copy, and of its verification."""
        return {"fit_target": True} if self.journey.fitted(self.here, self.there) else {}

    async def go(self, copies: Copies) -> None:
        """Plays the script into the source, and takes what it makes to store and target, piece by piece."""
        journey = self.journey
        for what, database in (("source", self.source), ("copy", self.target)):
            self.features[f"{what} on disk"] += is_on_disk(database)
        self.features["index left out"] += bool(self.options)
        await copies.begin()
        for end in sorted({*(piece for piece in journey.pieces if piece < len(self.steps)), len(self.steps)}):
            await self.player.play(self.steps[self.done : end])
            self.done = end
            await self.backup(self.source, "history")
            origin = self.source if journey.live else self.store
            await self.restore(origin, self.target, name="history", **self.options)
            await copies.follow()

    async def backup(self, database: Database, name: str) -> None:
        """Backs a database up."""
        # Pro's t begin at 1000 and are sparse: else most segments would be empty.
        wider = 12 if database.uri.startswith("datomic:mem:") else 1
        await backup(database, self.store, name=name, segment_size=self.journey.segment_size * wider)

    async def restore(self, source: AnyHistory, target: Database, **options: Any) -> None:
        """Restores, with interruptions."""
        journey = self.journey
        options |= {"id_cache_size": journey.id_cache_size, "in_flight": journey.in_flight}
        for how, after in journey.breaks:
            await _interrupted(source, target, how, after, options)
        while True:
            # What a killed restore had sent may still commit meanwhile; in a process of its own it would not.
            with suppress(Overtaken):
                await restore(source, target, **options)
                return


async def _interrupted(
    source: AnyHistory, target: Database, how: str, after: int, options: dict[str, Any]
) -> None:
    stop = anyio.Event()

    def on_progress(progress: Progress) -> None:
        if progress.transactions >= after:
            if how == "stop":
                stop.set()
            else:
                scope.cancel()

    with anyio.CancelScope() as scope, suppress(StoppedEarly, Overtaken):
        await restore(source, target, on_progress=on_progress, stop=stop, **options)
