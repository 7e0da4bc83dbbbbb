"""Compares a segment with the log of the database that it is of, transaction by transaction.

A digest shows that a segment is what was written, not that what was written is the source's history.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

from asyncrestore.history.base import Part
from asyncrestore.history.stored import decoded
from asyncrestore.model.ids import ENTITY_COUNTER, counter_of
from asyncrestore.model.log import LogChunk, t_to_tx, tx_to_t
from asyncrestore.segments.document import SegmentRange
from asyncrestore.segments.lineage import digest_of
from asyncrestore.verifying.differences import Differences, words

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterable

    from asyncrestore.excision.excised import Excisions
    from asyncrestore.history.live import LiveHistory
    from asyncrestore.model.schema import Schema
    from asyncrestore.segments.document import SegmentInfo
    from asyncrestore.segments.segment import Segment


@dataclass(slots=True)
class SegmentComparison:
    """How a segment differs from its source.

    Attributes:
        differences: what differs, in words.
        last_t: the t of its last transaction that was compared, -1 if there was none.
        last_differs: whether that transaction is not the source's. Then the source may have gone another way
            since; where only others differ, the segment is wrong.
        excised: how many datoms of the segment the source does not have any more because of a request for
            excision.
        same_ids: how many transactions show ids of entities, and are the same.
        stale: whether the segment was written after another transaction than the one that the source has
            before it. Where an excision took datoms of that one, this is no difference in itself.
        other_ids: how many transactions show ids of entities, are in both and differ. A source that was made
            again has other ids in nearly all.
    """

    differences: Differences
    last_t: int = -1
    last_differs: bool = False
    excised: int = 0
    same_ids: int = 0
    other_ids: int = 0
    stale: bool = False


async def compare_segment(
    segment: Segment, source: LiveHistory, excisions: Excisions, limit: int
) -> SegmentComparison:
    """Compares a segment with its source, as far as the source reaches.

    Args:
        segment: one whose rows were checked (`Segment.check_rows`).
        source: the database that the segment is of.
        excisions: what its requests for excision cover. That the segment still has it is no difference.
        limit: how many differences are described; all are counted.

    Raises:
        SegmentDamaged: the segment cannot be decoded.
        Unavailable: the source does not answer, or its log is read wrong.
    """
    result = SegmentComparison(Differences(limit))
    if segment.info.bootstrap_t != source.bootstrap_t:
        result.differences.add(
            f"{segment.info.range.key} says that the history begins after t {segment.info.bootstrap_t}; the "
            f"source's begins after t {source.bootstrap_t}"
        )
    expected = source.schema_digest_as_of(segment.info.start - 1)
    if segment.info.schema_sha256 not in {None, expected}:  # format 1 has none
        result.differences.add(
            f"{segment.info.range.key} was written with other attributes than the source's"
        )
    result.stale = await _is_stale(segment.info, source)
    end = min(segment.info.end, source.end)
    if end <= segment.info.start:
        return result
    schema: Schema | None = None
    stored = _until(decoded(segment), t_to_tx(end - 1))
    live = await source.load(Part(SegmentRange(segment.info.start, end), 0))
    async for ours, theirs in _in_step(stored, live):
        if ours:
            result.last_t, result.last_differs = tx_to_t(ours.tx[-1]), False
        if ours == theirs:
            shown = {tx for tx, e in zip(ours.tx, ours.e, strict=True) if counter_of(e) == ENTITY_COUNTER}
            result.same_ids += len(shown)
            continue
        schema = schema or source.schema_as_of(end - 1)
        _compare(ours, theirs, excisions, schema, result)
    return result


async def _is_stale(info: SegmentInfo, source: LiveHistory) -> bool:
    """Returns whether a segment was written after another transaction than the source's."""
    if info.start > source.end or (info.previous is None and (info.since is None or info.start < info.since)):
        return False
    before = await source.last_before(info.start)
    return info.previous != (digest_of(before) if before else None)


async def _until(chunks: AsyncIterator[LogChunk], tx: int) -> AsyncIterator[LogChunk]:
    async for chunk in chunks:
        yield chunk.until(tx)


async def _in_step(
    left: AsyncIterator[LogChunk], right: AsyncIterator[LogChunk]
) -> AsyncIterator[tuple[LogChunk, LogChunk]]:
    """Yields pieces of both sides that end at the same place of the log."""
    ours, theirs = await _some(left), await _some(right)
    while ours or theirs:
        last_tx = min(chunk.tx[-1] for chunk in (ours, theirs) if chunk)
        yield ours.until(last_tx), theirs.until(last_tx)
        ours = ours.after(last_tx) or await _some(left)
        theirs = theirs.after(last_tx) or await _some(right)


async def _some(chunks: AsyncIterator[LogChunk]) -> LogChunk:
    """Returns the next chunk that is not empty; an empty one at the end."""
    async for chunk in chunks:
        if chunk:
            return chunk
    return LogChunk()


def _shows_ids(entities: Iterable[int]) -> bool:
    """Returns whether there are entities among these that are neither transactions nor schema elements."""
    return any(counter_of(entity) == ENTITY_COUNTER for entity in entities)


def _compare(
    ours: LogChunk, theirs: LogChunk, excisions: Excisions, schema: Schema, result: SegmentComparison
) -> None:
    """Adds the differences of a piece of the log to the result."""
    stored = {transaction.tx: transaction for transaction in ours.transactions()}
    live = {transaction.tx: transaction for transaction in theirs.transactions()}
    for tx in sorted(stored.keys() | live.keys()):
        t, in_segment, in_source = tx_to_t(tx), stored.get(tx), live.get(tx)
        texts = []
        if in_segment is None:
            texts.append(f"t {t}: the source's transaction is missing in the backup")
        elif in_source is None:
            texts.append(f"t {t}: the source has no such transaction")
        else:
            wanted, found = Counter(in_source.datoms), Counter(in_segment.datoms)
            only_there = list((found - wanted).elements())
            differing = [datom for datom in only_there if not excisions.cover(datom, t)]
            result.excised += len(only_there) - len(differing)
            texts += [
                f"t {t}: missing in the backup: {words(datom, schema)}"
                for datom in (wanted - found).elements()
            ]
            texts += [f"t {t}: only in the backup: {words(datom, schema)}" for datom in differing]
            if _shows_ids(in_source.e):
                result.same_ids += not texts
                result.other_ids += bool(texts)
        for text in texts:
            result.differences.add(text)
        result.last_differs |= bool(texts) and t == result.last_t
