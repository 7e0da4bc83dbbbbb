"""`asyncrestore repair`."""

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
from asyncrestore.cli.run import CONTINUES, run
from asyncrestore.cli.text import count, duration, listed, ranges, table

if TYPE_CHECKING:
    from asyncrestore.jobs.repair import RepairReport
    from asyncrestore.stores.encrypted import Encryption

_EPILOG = """
\b
Example: asyncrestore repair 'datomic:local://dev/music?storage-dir=/data' /backups

\b
Exit codes: 4 it is still not whole · 10 no such backup or database
13 STORE has another database under that name
"""


@click.command(epilog=_EPILOG)
@click.argument("source", type=PLACE)
@click.argument("store", type=PLACE, callback=refuse_memory)
@click.option("--name", help=SOURCE_NAME_HELP)
@segment_size_option
@parallel_option
@read_rate_option
@encryption_options
@output_options
@click.pass_obj
def repair(
    settings: Settings,
    source: str,
    store: str,
    name: str | None,
    segment_size: int,
    parallel: int,
    read_rate: int | None,
    encryption: Encryption | None,
) -> None:
    """Make the backup of SOURCE in STORE whole again, and prove it.

    What is damaged or missing is read from SOURCE again. Then the damaged segments are put aside: they stay
    where they are, and an object beside each says why. Nothing is deleted or replaced.
    """
    output = start_output(settings)
    with show_progress("repair", output, settings) as on_progress:
        report = run(
            output,
            lambda _: asyncrestore.repair(
                source,
                store,
                name=name,
                segment_size=segment_size,
                parallel=parallel,
                read_rate=read_rate,
                encryption=encryption,
                on_progress=on_progress,
            ),
            kept=CONTINUES,
        )
    output.summary(report, _text(report), ok=report.ok)
    report.raise_for_problems()


def _text(report: RepairReport) -> str:
    done = report.backup
    rows = [
        ("put aside", count(len(report.aside), "segment")),
        ("read again", f"t {ranges(done.segments)}" if done.segments else "nothing"),
        ("transactions", f"{done.transactions:,}"),
        ("now", "whole, verified" if report.ok else "NOT WHOLE"),
        ("took", duration(report.seconds)),
    ]
    reasons = listed(each.reason for each in report.aside)
    problems = listed(report.verified.problems, "still: ")
    return "\n".join([table(f"Backup {done.name!r} in {done.store} repaired", rows), *reasons, *problems])
