"""Reads a few attributes out of a backup: requests for excision and what they cover, and code."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING

from anyio import to_thread

from asyncrestore.errors import UNREADABLE, NotFound
from asyncrestore.excision.excised import Excisions
from asyncrestore.excision.requests import EXCISE, Components, read_for, requests_in
from asyncrestore.history.catalog import SEGMENTS_AT_ONCE
from asyncrestore.history.point_in_time import first_from
from asyncrestore.model.code import code_attributes, code_in
from asyncrestore.model.log import tx_to_t
from asyncrestore.tasks import each

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
    from typing import TypeAlias

    from asyncrestore.excision.requests import Request, Row
    from asyncrestore.history.base import History
    from asyncrestore.history.catalog import Backup, StoredSegment
    from asyncrestore.model.code import Found
    from asyncrestore.model.log import LogChunk
    from asyncrestore.segments.segment import Segment

    ReadSegment: TypeAlias = Callable[[StoredSegment], Awaitable[Segment]]


async def own_excisions(backup: Backup) -> Excisions:
    """Returns what the requests in a backup cover, without components, and whatever their `before` says."""
    for stored in backup.chain():
        with suppress(NotFound, *UNREADABLE):
            base = (await backup.read(stored)).base.base
            return Excisions.without_components(base, await requests_of(backup, base))
    return Excisions({})


async def requests_of(backup: Backup, base: Mapping[int, str]) -> list[Request]:
    """Returns the requests for excision in a backup.

    A segment that cannot be used is passed over: whoever reads it in its turn raises the error.

    Args:
        backup: to read.
        base: idents of its base schema by entity id.
    """
    attributes = read_for(base)
    if not attributes or await _has_none(backup, attributes):
        return []
    rows: list[Row] = []
    await _read(backup, attributes, backup.end, lambda chunk: rows.extend(chunk.rows()))
    return requests_in(rows, base)


async def _has_none(backup: Backup, attributes: Mapping[int, str]) -> bool:
    """Returns whether the newest segment shows that there are no requests, which is so in most backups."""
    with suppress(NotFound, *UNREADABLE):
        newest = await backup.read(backup.chain()[-1])
        if newest.info.last_excision_t == -1:
            found = await to_thread.run_sync(newest.some, attributes)
            return not any(attributes[a] == EXCISE for a in found.a)
    return False


async def by_t(history: History, requests: Sequence[Request]) -> list[Request]:
    """Returns requests with their `before` as a t.

    Pro looks for the first transaction that is not before the instant. If it is of this very instant, all
    before it is covered, else all before the t before its own, which may be the last transaction's.

    Args:
        history: that has all transactions up to the requests.
        requests: of it, or of its source.
    """
    done = []
    for request in requests:
        found = None if request.before is None else await first_from(history, request.before)
        if found is None:
            done.append(replace(request, before=None))
        else:
            t, instant = found
            end = min(request.end, t if instant == request.before else t - 1)
            done.append(replace(request, end=end, before=None))
    return done


async def covered_in(backup: Backup, base: Mapping[int, str], requests: Sequence[Request]) -> Excisions:
    """Returns what requests cover, with the components that a backup has of their entities.

    Args:
        backup: to read.
        base: idents of its base schema by entity id.
        requests: of this backup or of its source, by t (`by_t`).
    """
    components = Components(requests)
    if components.attributes:
        await _read(backup, components.attributes, components.end, components.add)
    return Excisions(base, requests, components)


async def code_of(
    backup: Backup, read: ReadSegment, base: Mapping[int, str], start: int, end: int
) -> list[Found]:
    """Returns what names code or is code in the transactions with start <= t < end.

    A segment that cannot be used is passed over: whoever reads it in its turn raises the error.

    Args:
        backup: to read.
        read: reads one of its segments; raises what `Backup.read` raises.
        base: idents of its base schema by entity id.
        start: the first t that counts.
        end: the first t that does not count any more.
    """
    wanted = [stored for stored in backup.chain() if stored.range.end > start and stored.range.start < end]
    ident = {entity for entity, name in base.items() if name == "db/ident"}
    attributes, rows = set(code_attributes(base)), await _code_rows(read, wanted, base)
    later = set(code_attributes(base, rows)) - attributes
    if later:
        rows = await _code_rows(read, wanted, base, later)
    having = {e for _, (e, a, kind, _, _) in rows if kind != "y" and a not in ident}
    if having - {e for _, (e, a, *_) in rows if a in ident}:
        # The ident of a function may be older than what is asked for.
        await _read(backup, ident, start, lambda chunk: rows.extend(chunk.rows()))
    return [found for found in code_in(rows, base, start) if found.code.t < end]


async def some_of(backup: Backup, attributes: Collection[int], start: int, end: int) -> list[Row]:
    """Returns the datoms of a few attributes in the transactions with start <= t < end.

    A segment that cannot be used is passed over: whoever reads it in its turn raises the error.
    """
    wanted = [stored for stored in backup.chain() if stored.range.end > start and stored.range.start < end]

    async def read(stored: StoredSegment) -> list[Row]:
        with suppress(NotFound, *UNREADABLE):
            segment = await backup.read(stored)
            chunk = await to_thread.run_sync(segment.code, attributes)
            rows = ((tx, datom) for tx, datom in chunk.rows() if datom[1] in attributes)
            return [row for row in rows if start <= tx_to_t(row[0]) < end]
        return []

    return [row for rows in await each(wanted, read, at_once=SEGMENTS_AT_ONCE) for row in rows]


async def _code_rows(
    read: ReadSegment, wanted: Sequence[StoredSegment], base: Mapping[int, str], later: Collection[int] = ()
) -> list[Row]:
    """Returns the datoms that name code or are code, and all idents, of some segments.

    Args:
        read: reads a segment.
        wanted: the segments to read.
        base: idents of its base schema by entity id.
        later: further attributes of code.
    """

    async def rows_of(stored: StoredSegment) -> list[Row]:
        with suppress(NotFound, *UNREADABLE):
            segment = await read(stored)
            # Each segment has its own word for what the base schema is. Both count.
            bases = {**segment.base.base, **base}
            idents = {entity for entity, name in bases.items() if name == "db/ident"}
            attributes = {*code_attributes(bases), *code_attributes(segment.base.base), *idents, *later}
            chunk = await to_thread.run_sync(segment.code, attributes)
            return list(chunk.rows())
        return []

    return [row for rows in await each(wanted, rows_of, at_once=SEGMENTS_AT_ONCE) for row in rows]


async def _read(
    backup: Backup, attributes: Collection[int], end: int, take: Callable[[LogChunk], None]
) -> None:
    """Gives the datoms of these attributes in the segments that begin before `end`, in any order."""
    wanted = [stored for stored in backup.chain() if stored.range.start < end]

    async def read(stored: StoredSegment) -> None:
        with suppress(NotFound, *UNREADABLE):
            segment = await backup.read(stored)
            take(await to_thread.run_sync(segment.some, attributes))

    await each(wanted, read, at_once=SEGMENTS_AT_ONCE)
