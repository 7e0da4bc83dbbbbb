"""The ways in which a history may be taken from one database to another."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

import anyio
from hypothesis import strategies as st

from asyncrestore.errors import Overtaken, StoppedEarly
from asyncrestore.jobs import restore as restoring
from asyncrestore.jobs.backup import backup

if TYPE_CHECKING:
    from asyncrestore.datomic.base import Database
    from asyncrestore.opening import AnyHistory
    from asyncrestore.progress import Progress
    from asyncrestore.stores.base import Store
    from tests.generated.player import Player
    from tests.generated.script import Step


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
        chained: the target is restored in turn.
    """

    pieces: tuple[int, ...]
    live: bool
    segment_size: int
    breaks: tuple[tuple[str, int], ...]
    in_flight: int
    id_cache_size: int
    chained: bool

    def features(self) -> set[str]:
        """What it shows."""
        shown = {
            "backup in pieces": self.pieces,
            "restored from the live source": self.live,
            "stopped": any(how == "stop" for how, _ in self.breaks),
            "killed": any(how == "kill" for how, _ in self.breaks),
            "small segments": self.segment_size < 10 and not self.live,
            "ids looked up": not self.id_cache_size,
            "copy of a copy": self.chained,
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
        chained=draw(st.sampled_from([False, False, False, True])),
    )


async def travel(
    journey: Journey, steps: list[Step], player: Player, source: Database, store: Store, target: Database
) -> None:
    """Plays the script into the source, and takes what it makes to store and target, piece by piece."""
    # Pro's t begin at 1000 and are sparse: else most segments would be empty.
    segment_size = journey.segment_size * (12 if source.uri.startswith("datomic:mem:") else 1)
    done = 0
    for end in sorted({*(piece for piece in journey.pieces if piece < len(steps)), len(steps)}):
        await player.play(steps[done:end])
        done = end
        await backup(source, store, name="history", segment_size=segment_size)
        await restore(journey, source if journey.live else store, target)


async def restore(journey: Journey, source: AnyHistory, target: Database) -> None:
    """Restores, with interruptions."""
    for how, after in journey.breaks:
        await _interrupted(journey, source, target, how, after)
    while True:
        # What a killed restore had sent may still commit meanwhile; in a process of its own it would not.
        with suppress(Overtaken):
            await restoring.restore(
                source, target, id_cache_size=journey.id_cache_size, in_flight=journey.in_flight
            )
            return


async def _interrupted(journey: Journey, source: AnyHistory, target: Database, how: str, after: int) -> None:
    stop = anyio.Event()

    def on_progress(progress: Progress) -> None:
        if progress.transactions >= after:
            if how == "stop":
                stop.set()
            else:
                scope.cancel()

    with anyio.CancelScope() as scope, suppress(StoppedEarly, Overtaken):
        await restoring.restore(
            source,
            target,
            id_cache_size=journey.id_cache_size,
            in_flight=journey.in_flight,
            on_progress=on_progress,
            stop=stop,
        )
