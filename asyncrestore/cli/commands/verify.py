"""`asyncrestore verify`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

import asyncrestore
from asyncrestore.cli.encryption import encryption_options
from asyncrestore.cli.filtering import filter_arguments, filter_options
from asyncrestore.cli.options import (
    NAME_HELP,
    Settings,
    expect_t_option,
    output_options,
    read_rate_option,
    refuse_memory,
)
from asyncrestore.cli.output import start_output
from asyncrestore.cli.places import PLACE
from asyncrestore.cli.progress import show_progress
from asyncrestore.cli.run import run
from asyncrestore.cli.text import count, excised_rows, filtered_rows, listed, noted, table, took

if TYPE_CHECKING:
    from asyncrestore.jobs.verified import VerifyReport
    from asyncrestore.stores.encrypted import Encryption

_EPILOG = """
\b
Examples: asyncrestore verify /backups
          asyncrestore verify /backups --against 'datomic:local://dev/copy?storage-dir=/data2'

A target that was restored with --exclude, --rewrite, --fit-target, --keep-excised or --until... is
compared with the same options.

\b
Exit codes: 4 something is wrong · 10 no such backup or database
13 TARGET was restored from another database, or with other --exclude, --rewrite or --fit-target
"""


@click.command(epilog=_EPILOG)
@click.argument("source", type=PLACE, metavar="STORE|SOURCE", callback=refuse_memory)
@click.option("--against", type=PLACE, metavar="TARGET", help="A database restored from it, to compare with.")
@click.option("--name", help=NAME_HELP)
@click.option("--live", type=PLACE, metavar="SOURCE",
              help="The database that the backup is of: its log is read and compared.")  # fmt: skip
@filter_options
@click.option("--max-differences", type=click.IntRange(min=1), default=10, show_default=True, metavar="N",
              help="How many problems are described; all are counted.")  # fmt: skip
@expect_t_option
@read_rate_option
@encryption_options
@output_options
@click.pass_obj
def verify(
    settings: Settings,
    /,
    source: str,
    against: str | None,
    live: str | None,
    name: str | None,
    max_differences: int,
    expect_t: int | None,
    read_rate: int | None,
    encryption: Encryption | None,
    **options: Any,
) -> None:
    """Prove that a backup is whole, or that TARGET has its history.

    Alone: every segment from t 0 on is there, is what was written, and can be decoded. With --live: every
    transaction also has the same datoms as in the source's log. With --against: every transaction of TARGET
    has the same position, instant and datoms, with entity ids renamed one to one; then the first argument may
    also be the live source.
    """
    output, filters = start_output(settings), filter_arguments(options)
    with show_progress("verify", output, settings) as on_progress:
        report = run(
            output,
            lambda _: asyncrestore.verify(
                source,
                against=against,
                live=live,
                name=name,
                **filters,
                max_differences=max_differences,
                expect_t=expect_t,
                read_rate=read_rate,
                encryption=encryption,
                on_progress=on_progress,
            ),
        )
    output.summary(report, _text(report), ok=report.ok)
    report.raise_for_problems()


def _text(report: VerifyReport) -> str:
    problems = count(report.problem_count, "problem")
    if report.against is None:
        title = f"{report.checked} is {'whole' if report.ok else f'damaged: {problems}'}"
        checked = "every segment present from t 0 on, its SHA-256, each datom decoded, counts and order"
        checked += "; each transaction beside the source's" if report.live else ""
    else:
        same = "has the same history, filtered" if report.filtered else "has the same history"
        verdict = same if report.ok else f"differs: {problems}"
        title = f"{report.against} {verdict}"
        checked = "each transaction: its position, instant and datoms, with entity ids renamed one to one"
    rows = [("checked", checked)]
    if report.against is not None or report.live is not None:
        rows.append(("compared with", report.live or report.checked))
    rows += [
        ("up to t", f"{report.end - 1:,}"),
        ("transactions", f"{report.transactions:,}"),
        ("datoms", f"{report.datoms:,}"),
        *filtered_rows(report.filtered),
        *(excised_rows(report.excised) if report.against else ()),
        ("took", took(report.seconds, report.transactions)),
    ]
    text = [table(title, rows), *listed(report.problems)]
    if report.problem_count > len(report.problems):
        text.append(f"  and {report.problem_count - len(report.problems):,} more")
    if report.behind:
        text.append(f"  note: the backup is behind by {count(report.behind, 'transaction')}: run backup")
    if report.ahead:
        text.append(
            f"  note: the target is newer than the backup: its last {count(report.ahead, 'transaction')} "
            f"{'was' if report.ahead == 1 else 'were'} not compared"
        )
    return "\n".join([*text, *noted(report.notes)])
