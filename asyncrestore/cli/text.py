"""Reports as text for people: compact, aligned, in human units."""

from __future__ import annotations

from typing import TYPE_CHECKING

import asyncrestore

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from datetime import datetime

    from asyncrestore.filters import FilteredAttribute
    from asyncrestore.ids import CacheStatistics
    from asyncrestore.jobs.backup import BackupReport
    from asyncrestore.jobs.info import BackupInfo, DatabaseInfo, StoreInfo, SystemInfo
    from asyncrestore.jobs.restore import RestoreReport
    from asyncrestore.jobs.validate import ValidateReport
    from asyncrestore.jobs.verify import VerifyReport
    from asyncrestore.segment import SegmentRange

NOTES = 10
"""How many of a report's notes are told."""


def size(count: float) -> str:
    """Bytes in human units."""
    for unit in ("B", "kB", "MB", "GB"):
        if count < 1000:
            return f"{count:.0f} B" if unit == "B" else f"{count:.1f} {unit}"
        count /= 1000
    return f"{count:.1f} TB"


def duration(seconds: float) -> str:
    """Seconds in human units."""
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest} s"
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min"


def instant(value: datetime | None) -> str:
    """An instant in RFC 3339, to the second."""
    return "none" if value is None else value.strftime("%Y-%m-%dT%H:%M:%SZ")


def count(number: int, noun: str) -> str:
    """A number of things: `1 segment`, `2,000 segments`."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def took(seconds: float, transactions: int) -> str:
    """A time, with the rate where there is one."""
    rate = f", {transactions / seconds:,.0f} transactions/s" if transactions and seconds else ""
    return f"{duration(seconds)}{rate}"


def table(title: str, rows: Iterable[tuple[str, str]]) -> str:
    """A title and labelled lines below it."""
    return "\n".join([title, *(f"  {label:<13} {value}" for label, value in rows)])


def ranges(ranges: Sequence[SegmentRange]) -> str:
    """The first ten ranges, and how many more there are."""
    shown = ", ".join(f"{r.start:,} to {r.end - 1:,}" for r in ranges[:10])
    return shown + (f" and {len(ranges) - 10} more" if len(ranges) > 10 else "")


def names(keys: Sequence[str]) -> str:
    """The first ten names, and how many more there are."""
    return ", ".join(keys[:10]) + (f" and {len(keys) - 10} more" if len(keys) > 10 else "")


def backup_text(report: BackupReport) -> str:
    """What a backup did."""
    where = f"backup {report.name!r} in {report.store}"
    rows = [("still missing", f"t {ranges(report.missing)}")] if report.missing else []
    if not report.end and not report.missing:
        title = "Nothing to back up: the database has no transactions of its own yet"
        return table(title, [("time", duration(report.seconds))])
    if not report.segments:
        title = f"Nothing new: {where} has everything "
        title += "that was asked for" if report.missing else f"up to t {report.end - 1:,}"
        return table(title, [*rows, ("time", duration(report.seconds))])
    return table(
        f"Backed up to {where}" + ("" if report.missing else f", up to t {report.end - 1:,}"),
        [
            ("source", report.source),
            ("transactions", f"{report.transactions:,}"),
            ("datoms", f"{report.datoms:,}"),
            ("new segments", f"{len(report.segments):,}, {size(report.bytes)}"),
            *rows,
            ("time", took(report.seconds, report.transactions)),
        ],
    )


def restore_text(report: RestoreReport) -> str:
    """What a restore did."""
    if not report.transactions:
        return table(
            f"Nothing new: {report.target} has everything up to source t {report.last_t:,}",
            [("source", report.source), ("time", duration(report.seconds))],
        )
    return table(
        f"Restored into {report.target}, up to source t {report.last_t:,}",
        [
            ("source", report.source),
            ("began after", f"source t {report.first_t:,}"),
            ("transactions", f"{report.transactions:,}"),
            ("datoms", f"{report.datoms:,}"),
            *_left_and_checked(report),
            ("id cache", _cache_text(report.id_cache)),
            *_filtered(report.filtered),
            ("time", took(report.seconds, report.transactions)),
        ],
    )


def _left_and_checked(report: RestoreReport) -> Iterable[tuple[str, str]]:
    if report.segments_left:
        yield "left", f"{count(report.segments_left, 'segment')}; the same command continues"
    if report.spot_checked:
        yield "spot checks", f"{count(report.spot_checked, 'id')}, each the right one"


def _cache_text(cache: CacheStatistics) -> str:
    lookups = cache.hits + cache.misses
    found = f"{cache.hits / lookups:.1%} of " if lookups else ""
    return f"{found}{count(lookups, 'look-up')} found; {cache.full:.0%} full"


def _filtered(filtered: Iterable[FilteredAttribute]) -> list[tuple[str, str]]:
    """What was left out and rewritten, each in datoms by attribute."""
    counts = {
        "left out": [f":{each.attribute} {each.left_out:,}" for each in filtered if each.left_out],
        "rewritten": [f":{each.attribute} {each.rewritten:,}" for each in filtered if each.rewritten],
    }
    return [(label, ", ".join(found)) for label, found in counts.items() if found]


def validate_text(report: ValidateReport) -> str:
    """Which of a store's promises were kept."""
    words = {True: "kept", False: "BROKEN", None: "not tried"}
    rows = [
        (words[each.kept], f"{each.text}: {each.problem}" if each.problem else each.text)
        for each in report.promises
    ]
    verdict = "keeps its promises" if report.ok else "cannot be trusted"
    return table(
        f"{report.store} {verdict}", [*rows, ("left there", report.left), ("took", duration(report.seconds))]
    )


def verify_text(report: VerifyReport) -> str:
    """What was verified, and what is wrong."""
    problems = count(report.problem_count, "problem")
    if report.against is None:
        title = f"{report.checked} is {'whole' if report.ok else f'damaged: {problems}'}"
        checked = "every segment present from t 0 on, its SHA-256, each datom decoded, counts and order"
    else:
        same = "has the same history, filtered" if report.filtered else "has the same history"
        verdict = same if report.ok else f"differs: {problems}"
        title = f"{report.against} {verdict}"
        checked = "each transaction: its place, instant and datoms, with entity ids renamed one to one"
    rows = [("checked", checked)]
    if report.against is not None:
        rows.append(("compared with", report.checked))
    rows += [
        ("up to t", f"{report.end - 1:,}"),
        ("transactions", f"{report.transactions:,}"),
        ("datoms", f"{report.datoms:,}"),
        *_filtered(report.filtered),
        ("time", took(report.seconds, report.transactions)),
    ]
    text = [table(title, rows), *(f"  - {problem}" for problem in report.problems)]
    if report.problem_count > len(report.problems):
        text.append(f"  and {report.problem_count - len(report.problems):,} more")
    text += [f"  note: {note}" for note in report.notes[:NOTES]]
    if len(report.notes) > NOTES:
        text.append(f"  and {count(len(report.notes) - NOTES, 'more note')}")
    return "\n".join(text)


def info_text(found: StoreInfo | DatabaseInfo | SystemInfo) -> str:
    """What is in a place."""
    if isinstance(found, asyncrestore.SystemInfo):
        title = f"{found.uri} has {count(len(found.databases), 'database')}"
        return "\n".join([title, *(f"  {name}" for name in found.databases)])
    if isinstance(found, asyncrestore.DatabaseInfo):
        return _database_text(found)
    title = f"{found.store} has {count(len(found.backups), 'backup')}"
    return "\n".join([title, *(_backup_text(backup) for backup in found.backups)])


def _backup_text(backup: BackupInfo) -> str:
    rows = [
        ("source", f"{backup.source or 'unknown'}, name {backup.source_name!r}"),
        ("covers", f"t {ranges(backup.covered)}"),
    ]
    if backup.gaps:
        place = ", the head too" if backup.gaps[0].start == 0 else ""
        rows.append(("MISSING", f"t {ranges(backup.gaps)}{place}"))
    if backup.overlaps:
        rows.append(("overlaps", f"t {ranges(backup.overlaps)}"))
    rows += [
        ("segments", f"{backup.segments:,}, {size(backup.bytes)}"),
        ("instants", f"{instant(backup.first_instant)} to {instant(backup.last_instant)}"),
    ]
    for label, keys in (
        ("superseded", backup.superseded),
        ("put aside", backup.aside),
        ("foreign files", backup.foreign),
    ):
        if keys:
            rows.append((label, names(keys)))
    if backup.problem:
        rows.append(("DAMAGED", backup.problem))
    return table(backup.name, rows)


def _database_text(found: DatabaseInfo) -> str:
    rows = [
        ("name", found.name),
        ("identity", found.identity),
        ("newest t", f"{found.basis_t:,} ({instant(found.last_instant)})"),
        ("own history", f"from t {found.bootstrap_t + 1:,}" if found.last_instant else "empty"),
    ]
    if found.restored_from is None:
        rows.append(("restored", "no"))
    else:
        rows.append(("restored from", found.restored_from))
        if found.filtered:
            rows.append(("filtered", found.filtered))
        at = "not there: its newest transaction was not restored"
        rows.append(("marker", at if found.marker_t is None else f"source t {found.marker_t:,}"))
    return table(found.uri, rows)
