"""`asyncrestore copy`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

import asyncrestore
from asyncrestore.cli.encryption import encryption_options
from asyncrestore.cli.options import NAME_HELP, Settings, output_options, parallel_option, refuse_memory
from asyncrestore.cli.output import start_output
from asyncrestore.cli.places import PLACE
from asyncrestore.cli.progress import show_progress
from asyncrestore.cli.run import CONTINUES, run
from asyncrestore.cli.text import duration, listed, size, table

if TYPE_CHECKING:
    from asyncrestore.jobs.copy import CopyReport
    from asyncrestore.stores.encrypted import Encryption

_EPILOG = """
\b
Example: asyncrestore copy /backups s3://spare/backups?region=eu-west-1 --name music

\b
Exit codes: 4 not all could be copied, or the copy is not whole · 10 no such backup
13 TARGET has another database under that name
"""


@click.command(epilog=_EPILOG)
@click.argument("store", type=PLACE, callback=refuse_memory)
@click.argument("target", type=PLACE, callback=refuse_memory)
@click.option("--name", help=NAME_HELP)
@click.option("--as-name", metavar="NAME", help="Name of the copy; by default that of the backup.")
@click.option("--decrypt", is_flag=True, help="Do not encrypt the copy; the key is that of STORE.")
@parallel_option
@encryption_options
@output_options
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
    """Copy a backup from STORE to the store TARGET, and verify it.

    Each segment is checked before it is copied. With a key the copy is encrypted, whether STORE is or not.
    Run it again at any time: it continues, and adds what is new.
    """
    output = start_output(settings)
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
            kept=CONTINUES,
        )
    output.summary(report, _text(report), ok=report.ok)
    report.raise_for_problems()


def _text(report: CopyReport) -> str:
    whole = report.verified is not None and report.verified.ok
    rows = [
        ("new segments", f"{len(report.segments):,}, {size(report.bytes)}"),
        ("the copy", "whole, verified" if whole else "NOT WHOLE"),
        ("took", duration(report.seconds)),
    ]
    problems = [*report.problems, *(report.verified.problems if report.verified else ())]
    where = report.verified.checked if report.verified else "nowhere"
    return "\n".join([table(f"{report.source} copied to {where}", rows), *listed(problems)])
