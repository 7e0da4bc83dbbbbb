"""The commands that look into stores and databases."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

import asyncrestore
from asyncrestore.cli import text
from asyncrestore.cli.encryption import encryption_options
from asyncrestore.cli.options import NAME_HELP, Settings, place_argument, talking_options
from asyncrestore.cli.output import document, start
from asyncrestore.cli.rows import grid, rows_of
from asyncrestore.cli.run import run
from asyncrestore.errors import SegmentDamaged

if TYPE_CHECKING:
    from asyncrestore.jobs.info import DatabaseInfo, StoreInfo, SystemInfo
    from asyncrestore.stores.encrypted import Encryption

_INFO_EPILOG = """
\b
Examples: asyncrestore info /backups
          asyncrestore info 'datomic:local://dev/music?storage-dir=/data'
          asyncrestore info 'datomic:local://dev?storage-dir=/data'

\b
Exit codes: 4 a segment that was looked at is damaged · 10 no such store, backup or database
"""
_QUERY_EPILOG = """
\b
Examples: asyncrestore query /backups 'SELECT attribute, count(*) FROM datoms GROUP BY ALL'
          asyncrestore query /backups 'FROM transactions ORDER BY t DESC' --max-rows 5

\b
Exit codes: 2 DuckDB refuses the SQL · 4 the backup is damaged · 10 no such backup
"""


@click.command(epilog=_INFO_EPILOG)
@click.argument("place", metavar="STORE|DATABASE", callback=place_argument)
@click.option("--name", help="Of the one backup that is wanted.")
@encryption_options
@talking_options
@click.pass_obj
def info(settings: Settings, place: str, name: str | None, encryption: Encryption | None) -> None:
    """Tell what is in a store, or in a database.

    A database URI without a database lists those of the system.
    """
    output = start(settings)
    found: StoreInfo | DatabaseInfo | SystemInfo = run(
        output, lambda _: asyncrestore.info(place, name=name, encryption=encryption)
    )
    output.result(document(found), text.info_text(found))
    if isinstance(found, asyncrestore.StoreInfo):
        damaged = [backup.problem for backup in found.backups if backup.problem]
        if damaged:
            raise SegmentDamaged("; ".join(damaged), hint=f"See all of it with: asyncrestore verify {place}")


@click.command(epilog=_QUERY_EPILOG)
@click.argument("store", callback=place_argument)
@click.argument("sql")
@click.option("--name", help=NAME_HELP)
@click.option("--max-rows", type=click.IntRange(min=1), default=50, show_default=True, metavar="N",
              help="Rows told as text; --json gives all.")  # fmt: skip
@encryption_options
@talking_options
@click.pass_obj
def query(
    settings: Settings,
    store: str,
    sql: str,
    name: str | None,
    max_rows: int,
    encryption: Encryption | None,
) -> None:
    """Ask a backup in SQL, by DuckDB.

    There are the views datoms, transactions and attributes, and the table macro as_of(t). The backup is only
    read.
    """
    output = start(settings)
    wanted = None if settings.json else max_rows + 1
    found = run(
        output,
        lambda _: asyncrestore.query(store, sql, name=name, max_rows=wanted, encryption=encryption),
    )
    rows = rows_of(found)
    shown = rows if settings.json else rows[:max_rows]
    output.result({"columns": found.column_names, "rows": shown}, grid(found.column_names, shown))
    if len(shown) < len(rows):
        output.note(f"There are more than these {max_rows:,} rows: see --max-rows.")
