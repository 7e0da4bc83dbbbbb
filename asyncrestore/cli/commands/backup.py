"""`asyncrestore backup`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

import asyncrestore
from asyncrestore.cli.encryption import encryption_options
from asyncrestore.cli.options import (
    SOURCE_NAME_HELP,
    Settings,
    output_options,
    parallel_option,
    read_rate_option,
    refuse_memory,
    segment_size_option,
)
from asyncrestore.cli.output import start_output
from asyncrestore.cli.places import PLACE
from asyncrestore.cli.progress import show_progress
from asyncrestore.cli.run import run
from asyncrestore.cli.text import duration, noted, ranges, size, table, took
from asyncrestore.errors import UsageError

if TYPE_CHECKING:
    from asyncrestore.jobs.backup import BackupReport
    from asyncrestore.stores.encrypted import Encryption

_EPILOG = """
\b
Example: asyncrestore backup 'datomic:local://dev/music?storage-dir=/data' /backups

\b
Exit codes: 4 something is missing at the end · 10 no such database
13 STORE has another database under that name
"""


def _shard(_context: click.Context, _parameter: click.Parameter, value: str) -> tuple[int, int]:
    own, _, shards = value.partition("/")
    if not (own.isascii() and own.isdigit() and shards.isascii() and shards.isdigit()):
        raise UsageError(f"--shard {value}: that is not I/N", hint="The first of four is 0/4, the last 3/4.")
    return int(own), int(shards)


@click.command(epilog=_EPILOG)
@click.argument("source", type=PLACE)
@click.argument("store", type=PLACE, callback=refuse_memory)
@click.option("--name", help=SOURCE_NAME_HELP)
@segment_size_option
@click.option("--start-t", type=click.IntRange(min=0), default=0, show_default=True, metavar="T",
              help="Copy nothing before this t.")  # fmt: skip
@click.option("--end-t", type=click.IntRange(min=1), metavar="T", help="Copy nothing from this t on.")
@click.option("--segments", type=click.IntRange(min=1), metavar="N",
              help="Copy at most N segments, the first missing ones.")  # fmt: skip
@click.option("--shard", callback=_shard, default="0/1", show_default=True, metavar="I/N",
              help="Copy only part I of N, counted from 0; other processes copy theirs.")  # fmt: skip
@parallel_option
@read_rate_option
@encryption_options
@output_options
@click.pass_obj
def backup(
    settings: Settings,
    source: str,
    store: str,
    name: str | None,
    segment_size: int,
    start_t: int,
    end_t: int | None,
    segments: int | None,
    shard: tuple[int, int],
    parallel: int,
    read_rate: int | None,
    encryption: Encryption | None,
) -> None:
    """Copy what STORE does not have yet of the database SOURCE.

    Run it again at any time: it adds what is new, and fills gaps. With --start-t, --end-t or --segments it
    copies only a part, and reports what is left. Several processes or machines may each copy a --shard.
    """
    output = start_output(settings)
    with show_progress("backup", output, settings) as on_progress:
        report = run(
            output,
            lambda _: asyncrestore.backup(
                source,
                store,
                name=name,
                segment_size=segment_size,
                start_t=start_t,
                end_t=end_t,
                segments=segments,
                shard=shard,
                parallel=parallel,
                read_rate=read_rate,
                encryption=encryption,
                on_progress=on_progress,
            ),
            kept="Finished segments stay. Run the same command again: it continues.",
        )
    output.summary(report, _text(report))


def _text(report: BackupReport) -> str:
    return "\n".join([_done(report), *noted(report.notes)])


def _done(report: BackupReport) -> str:
    where = f"backup {report.name!r} in {report.store}"
    missing = [("still missing", f"t {ranges(report.missing)}")] if report.missing else []
    if not report.end and not report.missing:
        title = "Nothing to back up: the database has no transactions of its own yet"
        return table(title, [("took", duration(report.seconds))])
    if not report.segments:
        title = f"Nothing new: {where} has everything "
        title += "that was asked for" if report.missing else f"up to t {report.end - 1:,}"
        return table(title, [*missing, ("took", duration(report.seconds))])
    return table(
        f"Backed up to {where}" + ("" if report.missing else f", up to t {report.end - 1:,}"),
        [
            ("source", report.source),
            ("transactions", f"{report.transactions:,}"),
            ("datoms", f"{report.datoms:,}"),
            ("new segments", f"{len(report.segments):,}, {size(report.bytes)}"),
            *missing,
            ("took", took(report.seconds, report.transactions)),
        ],
    )
