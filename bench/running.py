"""Runs suites: the library call behind the command."""

from __future__ import annotations

import os
import shutil
import tempfile
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench.children import BenchError, Jvm, progress, python
from bench.machine import commit, machine
from bench.plan import Plan
from bench.sources import Source, local
from bench.suites import (
    cache,
    checked,
    cloud,
    frequent,
    large,
    latency,
    order,
    reads,
    restore,
    size,
    starts,
    store,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from bench.figures import Figures

ON_EACH = {"restore": restore.measure, "reads": reads.measure, "latency": latency.measure}
"""Suites for each source."""

ON_FIRST = {
    "order": order.measure,
    "peer": latency.measure_peer,
    "cache": cache.measure,
    "checked": checked.measure,
    "cloud": cloud.measure,
    "store": store.measure,
}
"""Suites for one source, the small transactions if they are there."""

SUITES = ("starts", *ON_EACH, *ON_FIRST, "size", "frequent")
ONLY_BY_NAME = ("large",)
"""It takes an hour."""

SHAPES = ("small", "large")
IN_MEMORY = {"tmpfs", "ramfs"}


def run(
    suites: Sequence[str] = SUITES,
    *,
    data: Path | None = None,
    source: Path | None = None,
    shapes: Sequence[str] = SHAPES,
    limit: int | None = None,
    plan: Plan | None = None,
    scratch: Path | None = None,
    on_suite: Callable[[Figures, dict[str, Any]], None] | None = None,
) -> dict[str, Any]:
    """Measures.

    Args:
        suites: names of `SUITES` or `ONLY_BY_NAME`.
        data: directory of the MusicBrainz batches, to load; without it the demo's history is restored.
        source: storage directory that they were loaded into: system bench, databases small and large.
        shapes: which of them.
        limit: only the first `limit` transactions of a source.
        plan: how much is measured.
        scratch: where to make stores and targets: on the disk to measure.
        on_suite: called after each suite with its figures and all results so far.

    Returns:
        Machine, commit and date, the figures of each suite, and the failures: a suite that fails does not
        keep the others from being run.

    Raises:
        BenchError: there are no sources to measure with; a directory is not there, or cannot be used; or the
            scratch directory is in memory.
    """
    _check_places(data, source, scratch)
    with tempfile.TemporaryDirectory(prefix="asyncrestore-bench-", dir=scratch) as directory:
        about = machine(Path(directory))
        if about["file_system"] in IN_MEMORY:
            raise BenchError("the scratch directory is in memory, not on a disk; --scratch names another")
        results: dict[str, Any] = {
            "date": datetime.now(UTC).isoformat(timespec="seconds"),
            "commit": commit(),
            "machine": about,
            "suites": [],
            "failures": [],
        }
        kind = _Sources(data, source, shapes, limit)
        for name, measure in _pieces(suites, kind, plan or Plan(), Path(directory)):
            progress(name)
            try:
                figures = measure()
            except BenchError as error:
                progress(f"FAILED: {error}")
                results["failures"].append(f"{name}: {error}")
                continue
            results["suites"].append(figures.as_json())
            if on_suite is not None:
                on_suite(figures, results)
    return results


def _check_places(data: Path | None, source: Path | None, scratch: Path | None) -> None:
    """Refuses what is no directory, or none to read or (scratch) to write.

    None of them is made. A scratch directory that is not there may be a disk that is not mounted, and then
    another disk would be measured.
    """
    reading, writing = os.R_OK | os.X_OK, os.W_OK | os.X_OK
    given = {"data": (data, reading), "source": (source, reading), "scratch": (scratch, writing)}
    for name, (place, needed) in given.items():
        if place is not None and not place.is_dir():
            raise BenchError(f"--{name}: there is no directory {place}")
        if place is not None and not os.access(place, needed):
            raise BenchError(f"--{name}: the directory {place} cannot be used (its mode does not allow it)")


def _pieces(
    suites: Sequence[str], sources: _Sources, plan: Plan, scratch: Path
) -> Iterator[tuple[str, Callable[[], Figures]]]:
    """The suites to run, by name, in order."""
    jvm = Jvm.like_the_bridge()
    if "starts" in suites:
        yield "starts", partial(starts.measure, plan)
    if set(suites) & (ON_EACH.keys() | ON_FIRST.keys()):
        for number, source in enumerate(sources.open(jvm, scratch)):
            for name, measure in (ON_EACH if number else {**ON_EACH, **ON_FIRST}).items():
                if name in suites:
                    yield f"{name}, {source.title}", partial(measure, source, plan)
            shutil.rmtree(source.scratch)
    if "size" in suites:
        directory = scratch / "size"
        directory.mkdir()
        yield "size", partial(size.measure, jvm, plan, directory)
    if "frequent" in suites:
        directory = scratch / "frequent"
        directory.mkdir()
        yield "frequent", partial(frequent.measure, plan, directory)
    if "large" in suites:
        directory = scratch / "large"
        directory.mkdir()
        yield "large", partial(large.measure, jvm, plan, directory)


class _Sources:
    def __init__(
        self, data: Path | None, loaded: Path | None, shapes: Sequence[str], limit: int | None
    ) -> None:
        self._data, self._loaded, self._shapes, self._limit = data, loaded, shapes, limit

    def open(self, jvm: Jvm, scratch: Path) -> list[Source]:
        """Makes the sources; a given one is copied, for reading locks it."""
        storage = scratch / "source"
        if self._loaded is not None:
            shutil.copytree(self._loaded, storage, ignore=shutil.ignore_patterns(".lock"))
        else:
            storage.mkdir()
        titles = {shape: f"MusicBrainz, {shape} transactions" for shape in self._shapes}
        if self._data is None and self._loaded is None:
            python("load the demo's history", "load-demo", uri=local(storage, "demo"))
            titles = {"demo": "Demo"}
        elif self._data is not None:
            for shape in self._shapes:
                jvm(f"load {shape}", "load", self._data, storage, "bench", shape, shape)
        sources = []
        for db, title in titles.items():
            directory = scratch / db
            directory.mkdir()
            sources.append(Source(title, storage, db, directory, jvm, self._limit))
        return sources
