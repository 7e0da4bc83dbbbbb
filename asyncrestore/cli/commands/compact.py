"""`asyncrestore compact`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

import asyncrestore
from asyncrestore.cli.encryption import encryption_options
from asyncrestore.cli.options import (
    NAME_HELP,
    Settings,
    output_options,
    refuse_memory,
    segment_size_option,
)
from asyncrestore.cli.output import start_output
from asyncrestore.cli.places import PLACE
from asyncrestore.cli.progress import show_progress
from asyncrestore.cli.run import CONTINUES, run
from asyncrestore.cli.text import count, duration, size, table

if TYPE_CHECKING:
    from asyncrestore.jobs.compact import CompactReport
    from asyncrestore.stores.encrypted import Encryption

_EPILOG = """
\b
Example: asyncrestore compact /backups --name music

\b
Exit codes: 4 a segment is damaged · 10 no such backup
"""


@click.command(epilog=_EPILOG)
@click.argument("store", type=PLACE, callback=refuse_memory)
@click.option("--name", help=NAME_HELP)
@segment_size_option
@encryption_options
@output_options
@click.pass_obj
def compact(
    settings: Settings, store: str, name: str | None, segment_size: int, encryption: Encryption | None
) -> None:
    """Merge the small segments of frequent backups into larger ones.

    The small ones stay, and are not read any more; `delete --superseded` removes them. Backups and restores
    may run at the same time.
    """
    output = start_output(settings)
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
            kept=CONTINUES,
        )
    output.summary(report, _text(report))


def _text(report: CompactReport) -> str:
    return table(
        f"Backup {report.name!r} in {report.store} compacted",
        [
            ("to be read", f"{count(report.after, 'segment')}, {report.before:,} before"),
            ("new", f"{count(len(report.segments), 'segment')}, {size(report.bytes)}"),
            ("superseded", count(len(report.superseded), "segment")),
            ("took", duration(report.seconds)),
        ],
    )
