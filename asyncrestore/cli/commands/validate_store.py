"""`asyncrestore validate-store`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

import asyncrestore
from asyncrestore.cli.options import Settings, output_options, refuse_memory
from asyncrestore.cli.output import document, start_output
from asyncrestore.cli.places import PLACE
from asyncrestore.cli.run import run
from asyncrestore.cli.text import duration, table

if TYPE_CHECKING:
    from asyncrestore.jobs.validate import ValidateReport

_EPILOG = """
\b
Examples: asyncrestore validate-store s3://bucket/backups?region=eu-west-1
          asyncrestore validate-store /mnt/share/backups

\b
Exit codes: 1 a promise was broken · 10 no such bucket · 12 not authorised
"""


@click.command(epilog=_EPILOG)
@click.argument("store", type=PLACE, callback=refuse_memory)
@output_options
@click.pass_obj
def validate_store(settings: Settings, store: str) -> None:
    """Test whether STORE keeps the promises that backups need.

    Writes and reads about 1,020 objects, 35 MB in all, under a name that no command takes for a backup. They
    are left there, because a store need not allow deleting.
    """
    output = start_output(settings)
    output.note("Testing the store.")
    report = run(output, lambda _: asyncrestore.validate_store(store))
    output.result({**document(report), "ok": report.ok}, _text(report))
    report.raise_for_problems()


def _text(report: ValidateReport) -> str:
    words = {True: "kept", False: "BROKEN", None: "not tried"}
    rows = [
        (words[each.kept], f"{each.text}: {each.problem}" if each.problem else each.text)
        for each in report.promises
    ]
    verdict = "keeps its promises" if report.ok else "cannot be trusted"
    return table(
        f"{report.store} {verdict}", [*rows, ("left there", report.left), ("took", duration(report.seconds))]
    )
