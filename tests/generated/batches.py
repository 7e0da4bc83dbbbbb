"""The batches of a run of generated histories, which several processes share, and what all have shown.

No batch waits for another. Each puts down what it has shown before it looks at what is there, so at least the
one that ends last sees the whole.
"""

from __future__ import annotations

import itertools
import pickle
from dataclasses import dataclass, field
from time import time
from typing import TYPE_CHECKING

from tests.generated.variety import Variety

if TYPE_CHECKING:
    from pathlib import Path


@dataclass
class Shown:
    """What histories have shown: of one batch, or of several.

    Attributes:
        variety: of those that were identical.
        failures: of the others, in words.
        started, ended: Unix times.
    """

    variety: Variety
    failures: list[str] = field(default_factory=list)
    started: float = field(default_factory=time)
    ended: float = 0.0

    @property
    def histories(self) -> int:
        return self.variety.histories + len(self.failures)

    def __str__(self) -> str:
        seconds = self.ended - self.started
        return f"{self.variety.histories} identical, {len(self.failures)} differ, {seconds:.0f} s"


def batches(wanted: int, most: int) -> list[range]:
    """The numbers of so many histories in batches of about the same size, of at most `most` each.

    There are two at least, so that two processes have work.
    """
    count = min(wanted, max(2, -(-wanted // most)))
    ends = [wanted * n // count for n in range(count + 1)]
    return [range(start, end) for start, end in itertools.pairwise(ends)]


def put(directory: Path, name: str, shown: Shown) -> Shown:
    """Puts down what a batch has shown; returns what all that are there have shown together.

    Args:
        directory: of the run and the engine.
        name: of the batch.
        shown: by it; its end is now.
    """
    directory.mkdir(parents=True, exist_ok=True)
    shown.ended = time()
    written = directory / f".{name}"
    written.write_bytes(pickle.dumps(shown))
    written.rename(directory / name)
    there: list[Shown] = [
        pickle.loads(path.read_bytes())  # noqa: S301 - the tests' own
        for path in sorted(directory.iterdir())
        if path.name[0] != "."
    ]
    together = Variety(on_pro=shown.variety.on_pro)
    for each in there:
        together.add(each.variety)
    return Shown(
        together,
        [failure for each in there for failure in each.failures],
        min(each.started for each in there),
        max(each.ended for each in there),
    )
