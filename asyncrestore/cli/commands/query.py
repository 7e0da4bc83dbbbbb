"""`asyncrestore query`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

import asyncrestore
from asyncrestore.cli.encryption import encryption_options
from asyncrestore.cli.options import NAME_HELP, Settings, expect_t_option, output_options, refuse_memory
from asyncrestore.cli.output import start_output
from asyncrestore.cli.places import PLACE
from asyncrestore.cli.query_rows import grid, json_rows
from asyncrestore.cli.run import run

if TYPE_CHECKING:
    from asyncrestore.stores.encrypted import Encryption

_EPILOG = """
\b
Examples: asyncrestore query /backups 'SELECT attribute, count(*) FROM datoms GROUP BY ALL'
          asyncrestore query /backups 'FROM transactions ORDER BY t DESC' --max-rows 5

\b
Exit codes: 2 DuckDB refuses the SQL · 4 the backup is damaged · 10 no such backup
"""


@click.command(epilog=_EPILOG)
@click.argument("store", type=PLACE, callback=refuse_memory)
@click.argument("sql")
@click.option("--name", help=NAME_HELP)
@click.option("--max-rows", type=click.IntRange(min=1), default=50, show_default=True, metavar="N",
              help="How many rows are shown as text; --json gives all.")  # fmt: skip
@expect_t_option
@encryption_options
@output_options
@click.pass_obj
def query(
    settings: Settings,
    store: str,
    sql: str,
    name: str | None,
    max_rows: int,
    expect_t: int | None,
    encryption: Encryption | None,
) -> None:
    """Run SQL over a backup, with DuckDB.

    There are the views datoms, transactions and attributes, and the table macro as_of(t). The backup is only
    read.
    """
    output = start_output(settings)
    wanted = None if settings.json else max_rows + 1
    found = run(
        output,
        lambda _: asyncrestore.query(
            store, sql, name=name, max_rows=wanted, expect_t=expect_t, encryption=encryption
        ),
    )
    rows = json_rows(found)
    shown = rows if settings.json else rows[:max_rows]
    output.result({"columns": found.column_names, "rows": shown}, grid(found.column_names, shown))
    if len(shown) < len(rows):
        output.note(f"There are more than these {max_rows:,} rows: see --max-rows.")
