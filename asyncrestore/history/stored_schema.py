"""The schema of a backup as of the start of any of its segments.

A small segment holds no attributes (see `segment`). Those as of its start are the attributes of the newest
segment before it that holds them, moved on by the transactions between.

A segment between that is damaged or missing does no harm if the schema is the same before and after it: each
segment has a digest of the schema as of its start.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from anyio import to_thread

from asyncrestore.errors import Conflict, DamageError, SegmentDamaged, SegmentGap
from asyncrestore.segments.document import SegmentRange
from asyncrestore.tasks import task_group

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from asyncrestore.errors import AsyncRestoreError
    from asyncrestore.history.catalog import Backup, StoredSegment
    from asyncrestore.model.log import Transaction
    from asyncrestore.model.schema import Schema
    from asyncrestore.segments.segment import Segment

_READ_AT_ONCE = 8
"""How many segments are read at once: a store may be far away."""


@dataclass(slots=True)
class _Step:
    """What a segment does to the schema.

    Attributes:
        range: what it covers.
        schema: as of its start, None if it does not hold it.
        digest: of the schema as of its start.
        changes: its transactions that change the schema.
        problem: why it cannot be read, None if it can.
    """

    range: SegmentRange
    schema: Schema | None = None
    digest: str | None = None
    changes: list[Transaction] = field(default_factory=list)
    problem: SegmentDamaged | Conflict | None = None


class StoredSchema:
    """Finds the schema as of the start of segments of a backup.

    Args:
        backup: as it was listed.
        read: reads a segment of its chain.
    """

    def __init__(self, backup: Backup, read: Callable[[StoredSegment], Awaitable[Segment]]) -> None:
        self._chain = backup.chain()
        self._numbers = {stored.range: number for number, stored in enumerate(self._chain)}
        self._where = backup.where()
        self._read = read
        self._found: dict[int, Schema] = {}

    async def before(self, segment: Segment) -> Schema:
        """Returns the schema as of the start of a segment; the caller may move it on.

        It reads the segments back to the newest one that holds attributes, or back to the one that it was
        last asked for.

        Args:
            segment: of the backup's chain.

        Raises:
            SegmentDamaged: a segment between these two cannot be used, and changed the schema.
            SegmentGap: a segment that changed the schema is missing.
            Conflict: in its place there is another database's.
            DamageError: the segments before lead to another schema than that of the source.
        """
        schema = segment.schema()
        if schema is None:
            number = self._numbers[segment.info.range]
            schema = self._moved_on(await self._back(number, segment.info.source), segment)
            if schema.digest() != segment.info.schema_sha256:
                raise DamageError(
                    f"{self._where}: the segments before {self._chain[number].key} lead to other attributes "
                    "than it was written with",
                    hint="One may lack transactions of the source, or be of another past of it: run verify "
                    "with `live`.",
                )
            self._found = {number: schema.copy()}
        return schema

    async def _back(self, number: int, source: str) -> list[_Step]:
        """Returns the steps that lead to a segment, in order; the first one has a schema."""
        steps: list[_Step] = []
        stop = max((found for found in self._found if found < number), default=0)
        while number > stop and not (steps and steps[-1].schema):
            some = range(max(stop, number - _READ_AT_ONCE), number)
            for each, read in zip(reversed(some), reversed(await self._read_all(some)), strict=True):
                steps.append(await self._step(each, read, source))
                if steps[-1].schema:
                    break
            number = some.start
        return steps[::-1]

    async def _read_all(self, numbers: range) -> list[Segment | SegmentDamaged | Conflict]:
        """Returns these segments, each with the reason in its place if it cannot be used."""
        results: dict[int, Segment | SegmentDamaged | Conflict] = {}

        async def read(number: int) -> None:
            try:
                results[number] = await self._read(self._chain[number])
            except (SegmentDamaged, Conflict) as exc:
                results[number] = exc

        async with task_group() as tasks:
            for number in numbers:
                tasks.start_soon(read, number)
        return [results[number] for number in numbers]

    async def _step(self, number: int, read: Segment | SegmentDamaged | Conflict, source: str) -> _Step:
        step = _Step(self._chain[number].range)
        if isinstance(read, (SegmentDamaged, Conflict)):
            step.problem = read
        elif read.info.source != source:
            step.problem = Conflict(
                f"{self._chain[number].key} is of another database ({read.info.source}) than the segments "
                f"after it ({source})",
                hint="Run repair with the source.",
            )
        else:
            step.schema = self._found[number].copy() if number in self._found else read.schema()
            step.digest = read.info.schema_sha256
            step.changes = await to_thread.run_sync(read.schema_changes)
        return step

    def _moved_on(self, steps: list[_Step], segment: Segment) -> Schema:
        """Returns the schema as of the start of the segment that the steps lead to."""
        start = segment.info.start
        if not steps or steps[0].schema is None:
            raise self._lacking(steps[0].problem if steps else None, SegmentRange(0, start))
        last, schema, problem = steps[0], steps[0].schema, None
        for step in [*steps[1:], _Step(segment.info.range, digest=segment.info.schema_sha256)]:
            if step.problem is not None:
                problem = problem or step.problem
                continue
            for transaction in last.changes:
                if transaction.t < step.range.start:
                    schema.apply(transaction.datoms)
            if last.range.end < step.range.start and schema.digest() != step.digest:
                raise self._lacking(problem, SegmentRange(last.range.end, step.range.start))
            last, problem = step, None
        return schema

    def _lacking(self, problem: SegmentDamaged | Conflict | None, range_: SegmentRange) -> AsyncRestoreError:
        """The error for a range that changed the schema and cannot be read."""
        why = f"the attributes as of t {range_.end} depend on it"
        if problem is not None:
            return type(problem)(f"{problem}; {why}", hint=problem.hint)
        return SegmentGap(
            f"{self._where}: no segment holds t {range_.start} to {range_.end - 1}; {why}",
            hint="Run backup or repair with the source: they fill gaps.",
        )
