"""`asyncrestore delete`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

import asyncrestore
from asyncrestore.cli.encryption import encryption_options
from asyncrestore.cli.options import Settings, output_options, refuse_memory
from asyncrestore.cli.output import document, start_output
from asyncrestore.cli.places import PLACE
from asyncrestore.cli.run import run
from asyncrestore.cli.text import count, names, size, table
from asyncrestore.errors import UsageError

if TYPE_CHECKING:
    from asyncrestore.jobs.delete import DeleteReport
    from asyncrestore.stores.encrypted import Encryption

_EPILOG = """
\b
Examples: asyncrestore delete /backups music --superseded --yes
          asyncrestore delete /backups music --yes

\b
Exit codes: 2 without --yes · 4 damaged (with --superseded) · 10 no such backup
12 STORE does not allow deleting · 13 changed meanwhile, or of several databases (with --superseded)
"""


@click.command(epilog=_EPILOG)
@click.argument("store", type=PLACE, callback=refuse_memory)
@click.argument("name")
@click.option("--superseded", is_flag=True, help="Delete only the segments that nobody reads any more.")
@click.option("--yes", is_flag=True, help="Really delete.")
@encryption_options
@output_options
@click.pass_obj
def delete(
    settings: Settings,
    store: str,
    name: str,
    superseded: bool,
    yes: bool,
    encryption: Encryption | None,
) -> None:
    """Delete the backup NAME of STORE, or only its superseded segments.

    Without --yes it only says what it would delete. --superseded deletes the segments that larger ones cover
    since a `compact`, and those that were put aside and replaced, once the rest has been verified.
    """
    output = start_output(settings)
    report = run(
        output,
        lambda _: asyncrestore.delete(
            store, name, superseded=superseded, confirmed=yes, encryption=encryption
        ),
        kept="A part may be deleted. Run the same command again.",
    )
    output.result(document(report), _text(report))
    if not yes and report.deleted:
        raise UsageError("Nothing was deleted: that needs --yes", hint="Add --yes to delete what is listed.")


def _text(report: DeleteReport) -> str:
    verb = "Deleted" if report.confirmed else "Would delete"
    rows = [(verb.lower(), names(report.deleted) or "nothing")]
    if report.kept:
        rows.append(("not touched", names(report.kept)))
    objects = count(len(report.deleted), "object")
    return table(f"{verb} {objects}, {size(report.bytes)}, of {report.name!r} in {report.store}", rows)
