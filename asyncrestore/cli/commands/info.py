"""`asyncrestore info`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

import asyncrestore
from asyncrestore.cli.encryption import encryption_options
from asyncrestore.cli.options import Settings, output_options, refuse_memory
from asyncrestore.cli.output import document, start_output
from asyncrestore.cli.places import PLACE
from asyncrestore.cli.run import run
from asyncrestore.cli.text import code_rows, count, instant, line, names, ranges, size, table
from asyncrestore.errors import SegmentDamaged

if TYPE_CHECKING:
    from asyncrestore.jobs.info import BackupInfo, DatabaseInfo, StoreInfo, SystemInfo
    from asyncrestore.stores.encrypted import Encryption

_EPILOG = """
\b
Examples: asyncrestore info /backups
          asyncrestore info 'datomic:local://dev/music?storage-dir=/data'
          asyncrestore info 'datomic:local://dev?storage-dir=/data'

\b
Exit codes: 4 a segment that was looked at cannot be read · 10 no such store, backup or database
"""


@click.command(epilog=_EPILOG)
@click.argument("place", type=PLACE, metavar="STORE|DATABASE", callback=refuse_memory)
@click.option("--name", help="Describe only the backup of this name.")
@encryption_options
@output_options
@click.pass_obj
def info(settings: Settings, place: str, name: str | None, encryption: Encryption | None) -> None:
    """Describe a store and its backups, or a database.

    A database URI without a database lists those of the system.
    """
    output = start_output(settings)
    found: StoreInfo | DatabaseInfo | SystemInfo = run(
        output, lambda _: asyncrestore.info(place, name=name, encryption=encryption)
    )
    output.result(document(found), _text(found))
    if isinstance(found, asyncrestore.StoreInfo):
        damaged = [backup.problem for backup in found.backups if backup.problem]
        if damaged:
            raise SegmentDamaged("; ".join(damaged), hint=f"See all of it with: asyncrestore verify {place}")


def _text(found: StoreInfo | DatabaseInfo | SystemInfo) -> str:
    if isinstance(found, asyncrestore.SystemInfo):
        title = f"{found.uri} has {count(len(found.databases), 'database')}"
        return "\n".join([title, *(f"  {line(name)}" for name in found.databases)])
    if isinstance(found, asyncrestore.DatabaseInfo):
        return _database_text(found)
    title = f"{found.store} has {count(len(found.backups), 'backup')}"
    return "\n".join([title, *(_backup_text(backup) for backup in found.backups)])


def _backup_text(backup: BackupInfo) -> str:
    rows = [
        ("source", f"{backup.source or 'unknown'}, name {backup.source_name!r}"),
        ("covers", f"t {ranges(backup.covered)}"),
    ]
    if backup.gaps:
        place = ", the head too" if backup.gaps[0].start == 0 else ""
        rows.append(("MISSING", f"t {ranges(backup.gaps)}{place}"))
    if backup.overlaps:
        rows.append(("overlaps", f"t {ranges(backup.overlaps)}"))
    rows += [
        ("segments", f"{backup.segments:,}, {size(backup.bytes)}"),
        ("instants", f"{instant(backup.first_instant)} to {instant(backup.last_instant)}"),
    ]
    rows += code_rows(backup.code)
    for label, keys in (
        ("superseded", backup.superseded),
        ("put aside", backup.aside),
        ("foreign files", backup.foreign),
    ):
        if keys:
            rows.append((label, names(keys)))
    if backup.problem:
        rows.append(("DAMAGED", backup.problem))
    return table(backup.name, rows)


def _database_text(found: DatabaseInfo) -> str:
    rows = [
        ("name", found.name),
        ("identity", found.identity),
        ("newest t", f"{found.basis_t:,} ({instant(found.last_instant)})"),
        ("own history", f"from t {found.bootstrap_t + 1:,}" if found.last_instant else "empty"),
    ]
    if found.restored_from is None:
        rows.append(("restored", "no"))
    else:
        rows.append(("restored from", found.restored_from))
        if found.filtered:
            rows.append(("filtered", found.filtered))
        at = "not there: its newest transaction was not restored"
        rows.append(("marker", at if found.marker_t is None else f"source t {found.marker_t:,}"))
    rows += code_rows(found.code)
    return table(found.uri, rows)
