"""The root of the command line: its commands, the global options, and the exit code."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from asyncrestore import __version__
from asyncrestore.cli.commands.backup import backup
from asyncrestore.cli.commands.compact import compact
from asyncrestore.cli.commands.copy import copy
from asyncrestore.cli.commands.delete import delete
from asyncrestore.cli.commands.demo import demo
from asyncrestore.cli.commands.info import info
from asyncrestore.cli.commands.query import query
from asyncrestore.cli.commands.repair import repair
from asyncrestore.cli.commands.restore import restore
from asyncrestore.cli.commands.setup import setup
from asyncrestore.cli.commands.validate_store import validate_store
from asyncrestore.cli.commands.verify import verify
from asyncrestore.cli.config import load_config
from asyncrestore.cli.failures import report_failure
from asyncrestore.cli.options import Settings, output_options
from asyncrestore.cli.output import Output

if TYPE_CHECKING:
    from collections.abc import Sequence

EPILOG = """
\b
A database is  datomic:local://SYSTEM/DB?storage-dir=DIR, or a URI of Datomic Pro
A store is     a directory, file:///DIR, or s3://BUCKET/PREFIX?region=R

\b
Options come from the command line, else from the environment (ASYNCRESTORE_QUIET=1,
ASYNCRESTORE_BACKUP_PARALLEL=2), else from the TOML file (quiet = true; under [backup]: parallel = 2).

\b
Exit codes: 0 done · 1 failed · 2 usage · 4 damage, gap or difference found
10 no such backup or database · 11 another restore moved the marker · 12 not authorised
13 another database's data · 14 unavailable · 15 the target rejected a transaction
130 interrupted, run again to continue
"""


@click.group(
    epilog=EPILOG,
    context_settings={
        "auto_envvar_prefix": "ASYNCRESTORE",
        "help_option_names": ["-h", "--help"],
        "max_content_width": 100,
    },
)
@click.option(
    "--config",
    type=click.Path(path_type=Path, dir_okay=False),
    is_eager=True,
    expose_value=False,
    callback=load_config,
    help="TOML file with settings.",
)
@output_options
@click.version_option(__version__, message="%(prog)s %(version)s")
@click.pass_context
def group(context: click.Context) -> None:
    """Backs up, restores, copies and verifies Datomic databases with their whole history.

    To see it work: asyncrestore demo
    """
    context.ensure_object(Settings)


for command in (
    setup,
    backup,
    restore,
    verify,
    info,
    query,
    repair,
    compact,
    copy,
    delete,
    validate_store,
    demo,
):
    group.add_command(command)


def program(arguments: Sequence[str]) -> int:
    """Runs the command line; returns the exit code."""
    settings = Settings()
    try:
        code: int | None = group.main(list(arguments), "asyncrestore", standalone_mode=False, obj=settings)
    except (Exception, KeyboardInterrupt) as exc:  # noqa: BLE001 - the edge: everything gets an exit code here
        # An error in the arguments may come before --json has been read, and may quote any of them.
        settings.given |= set(arguments)
        settings.json = settings.json or "--json" in arguments
        return report_failure(exc, Output(settings), debug=settings.debug)
    return code or 0  # a command returns None, --help and --version return 0
