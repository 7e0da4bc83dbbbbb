"""The commands that keep a store in order: repair, compact, copy, delete."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

import asyncrestore
from asyncrestore.cli import text
from asyncrestore.cli.commands import differs
from asyncrestore.cli.encryption import encryption_options
from asyncrestore.cli.options import Settings, place_argument, talking_options
from asyncrestore.cli.output import document, start
from asyncrestore.cli.progress import show_progress
from asyncrestore.cli.run import run
from asyncrestore.errors import DamageError, UsageError

if TYPE_CHECKING:
    from asyncrestore.jobs.compact import CompactReport
    from asyncrestore.jobs.copy import CopyReport
    from asyncrestore.jobs.delete import DeleteReport
    from asyncrestore.jobs.repair import RepairReport
    from asyncrestore.stores.encrypted import Encryption

_REPAIR_EPILOG = """
\b
Example: asyncrestore repair 'datomic:local://dev/music?storage-dir=/data' /backups

\b
Exit codes: 4 it is still not whole · 10 no such backup or database
13 STORE has another database under that name
"""
_COMPACT_EPILOG = """
\b
Example: asyncrestore compact /backups --name music

\b
Exit codes: 4 a segment is damaged · 10 no such backup
"""
_COPY_EPILOG = """
\b
Example: asyncrestore copy /backups s3://spare/backups?region=eu-west-1 --name music

\b
Exit codes: 4 not all could be copied, or the copy is not whole · 10 no such backup
13 TARGET has another database under that name
"""
_DELETE_EPILOG = """
\b
Examples: asyncrestore delete /backups music --superseded --yes
          asyncrestore delete /backups music --yes

\b
Exit codes: 2 without --yes · 4 damaged (with --superseded) · 10 no such backup
12 STORE does not allow to delete
"""
_AGAIN = "What was done stays. Run the same command again: it continues."
_segment_size = click.option(
    "--segment-size",
    type=click.IntRange(min=1),
    default=10_000,
    show_default=True,
    metavar="TRANSACTIONS",
    help="How many t a new segment covers at most.",
)
_parallel = click.option(
    "--parallel",
    type=click.IntRange(min=1),
    default=3,
    show_default=True,
    metavar="N",
    help="Segments read and written at once.",
)


@click.command(epilog=_REPAIR_EPILOG)
@click.argument("source")
@click.argument("store", callback=place_argument)
@click.option("--name", help="Of the backup in the store; the source database's name if not given.")
@_segment_size
@_parallel
@encryption_options
@talking_options
@click.pass_obj
def repair(
    settings: Settings,
    source: str,
    store: str,
    name: str | None,
    segment_size: int,
    parallel: int,
    encryption: Encryption | None,
) -> None:
    """Make the backup of SOURCE in STORE whole again, and prove it.

    Damaged segments are put aside (they stay where they are, and an object beside each says why); what is
    missing then is read from SOURCE again. Nothing is deleted or replaced.
    """
    output = start(settings)
    with show_progress("repair", output, settings) as on_progress:
        report = run(
            output,
            lambda _: asyncrestore.repair(
                source,
                store,
                name=name,
                segment_size=segment_size,
                parallel=parallel,
                encryption=encryption,
                on_progress=on_progress,
            ),
            kept=_AGAIN,
        )
    output.summary(report, _repair_text(report), ok=report.ok)
    if not report.ok:
        raise differs(report.verified)


def _repair_text(report: RepairReport) -> str:
    done = report.backup
    rows = [
        ("put aside", text.count(len(report.aside), "segment")),
        ("read again", f"t {text.ranges(done.segments)}" if done.segments else "nothing"),
        ("transactions", f"{done.transactions:,}"),
        ("now", "whole, verified" if report.ok else "NOT WHOLE"),
        ("took", text.duration(report.seconds)),
    ]
    reasons = [f"  - {each.reason}" for each in report.aside]
    problems = [f"  - still: {problem}" for problem in report.verified.problems]
    return "\n".join(
        [text.table(f"Backup {done.name!r} in {done.store} repaired", rows), *reasons, *problems]
    )


@click.command(epilog=_COMPACT_EPILOG)
@click.argument("store", callback=place_argument)
@click.option("--name", help="Of the backup, where the store holds several.")
@_segment_size
@encryption_options
@talking_options
@click.pass_obj
def compact(
    settings: Settings, store: str, name: str | None, segment_size: int, encryption: Encryption | None
) -> None:
    """Merge the small segments of frequent backups into larger ones.

    The small ones stay, and are not read any more; `delete --superseded` removes them. Backups and restores
    may run meanwhile.
    """
    output = start(settings)
    with show_progress("compact", output, settings) as on_progress:
        report = run(
            output,
            lambda _: asyncrestore.compact(
                store,
                name=name,
                segment_size=segment_size,
                encryption=encryption,
                on_progress=on_progress,
            ),
            kept=_AGAIN,
        )
    output.summary(report, _compact_text(report))


def _compact_text(report: CompactReport) -> str:
    return text.table(
        f"Backup {report.name!r} in {report.store} compacted",
        [
            ("to be read", f"{text.count(report.after, 'segment')}, {report.before:,} before"),
            ("new", f"{text.count(len(report.segments), 'segment')}, {text.size(report.bytes)}"),
            ("superseded", text.count(len(report.superseded), "segment")),
            ("took", text.duration(report.seconds)),
        ],
    )


@click.command(epilog=_COPY_EPILOG)
@click.argument("store", callback=place_argument)
@click.argument("target", metavar="STORE", callback=place_argument)
@click.option("--name", help="Of the backup, where the store holds several.")
@click.option("--as-name", metavar="NAME", help="Of the copy, if it is to have another one.")
@click.option("--decrypt", is_flag=True, help="The copy is not encrypted; the key is of the first store.")
@_parallel
@encryption_options
@talking_options
@click.pass_obj
def copy(
    settings: Settings,
    store: str,
    target: str,
    name: str | None,
    as_name: str | None,
    decrypt: bool,
    parallel: int,
    encryption: Encryption | None,
) -> None:
    """Copy a backup from one store to another, checked, and verify the copy.

    With a key the copy is encrypted, whether the first STORE is or not. Run it again at any time: it
    continues, and adds what is new.
    """
    output = start(settings)
    with show_progress("copy", output, settings) as on_progress:
        report = run(
            output,
            lambda _: asyncrestore.copy(
                store,
                target,
                name=name,
                as_name=as_name,
                parallel=parallel,
                encryption=encryption,
                decrypt=decrypt,
                on_progress=on_progress,
            ),
            kept=_AGAIN,
        )
    output.summary(report, _copy_text(report), ok=report.ok)
    if report.problems:
        raise DamageError(
            f"{report.source}: {text.count(len(report.problems), 'segment')} could not be copied, the first: "
            f"{report.problems[0]}",
            hint="Run repair with the source, and copy again.",
        )
    if report.verified is not None and not report.ok:
        raise differs(report.verified)


def _copy_text(report: CopyReport) -> str:
    whole = "whole, verified" if report.verified is not None and report.verified.ok else "NOT WHOLE"
    rows = [
        ("new segments", f"{len(report.segments):,}, {text.size(report.bytes)}"),
        ("the copy", whole),
        ("took", text.duration(report.seconds)),
    ]
    problems = [*report.problems, *(report.verified.problems if report.verified else ())]
    where = report.verified.checked if report.verified else "nowhere"
    return "\n".join(
        [text.table(f"{report.source} copied to {where}", rows), *[f"  - {problem}" for problem in problems]]
    )


@click.command(epilog=_DELETE_EPILOG)
@click.argument("store", callback=place_argument)
@click.argument("name")
@click.option("--superseded", is_flag=True, help="Only the segments that nobody reads any more.")
@click.option("--yes", is_flag=True, help="Really delete.")
@encryption_options
@talking_options
@click.pass_obj
def delete(
    settings: Settings,
    store: str,
    name: str,
    superseded: bool,
    yes: bool,
    encryption: Encryption | None,
) -> None:
    """Delete the backup NAME of STORE, or what is superseded of it.

    Without --yes it only says what it would delete. --superseded takes the segments that larger ones cover
    since a `compact`, and those that `repair` put aside, once the rest has been verified.
    """
    output = start(settings)
    report = run(
        output,
        lambda _: asyncrestore.delete(
            store, name, superseded=superseded, confirmed=yes, encryption=encryption
        ),
        kept="A part may be deleted. Run the same command again.",
    )
    output.result(document(report), _delete_text(report))
    if not yes and report.deleted:
        raise UsageError("Nothing was deleted: that needs --yes", hint="Add --yes to delete what is listed.")


def _delete_text(report: DeleteReport) -> str:
    verb = "Deleted" if report.confirmed else "Would delete"
    rows = [(verb.lower(), text.names(report.deleted) or "nothing")]
    if report.kept:
        rows.append(("not touched", text.names(report.kept)))
    objects = text.count(len(report.deleted), "object")
    return text.table(
        f"{verb} {objects}, {text.size(report.bytes)}, of {report.name!r} in {report.store}", rows
    )
