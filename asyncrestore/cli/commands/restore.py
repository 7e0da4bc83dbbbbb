"""`asyncrestore restore`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

import asyncrestore
from asyncrestore.cli.encryption import encryption_options
from asyncrestore.cli.filtering import REWRITE_HELP, filter_arguments, filter_options
from asyncrestore.cli.options import NAME_HELP, Settings, expect_t_option, output_options, refuse_memory
from asyncrestore.cli.output import start_output
from asyncrestore.cli.places import PLACE
from asyncrestore.cli.progress import show_progress
from asyncrestore.cli.run import run
from asyncrestore.cli.text import code_rows, count, duration, excised_rows, filtered_rows, noted, table, took

if TYPE_CHECKING:
    from collections.abc import Iterable

    from asyncrestore.jobs.restore import RestoreReport
    from asyncrestore.model.ids import CacheStatistics
    from asyncrestore.stores.encrypted import Encryption

_EPILOG = f"""
\b
Examples: asyncrestore restore /backups 'datomic:local://dev/copy?storage-dir=/data2'
          asyncrestore restore /backups TARGET --exclude person/notes --rewrite person/email=hash
          asyncrestore restore /backups TARGET --until-time 2026-01-31T12:00:00Z
          asyncrestore restore /backups TARGET --allow-code my.app/valid?
          asyncrestore restore /backups-of-pro 'datomic:local://dev/copy?storage-dir=/data2' --fit-target
{REWRITE_HELP}
\b
Exit codes: 4 the backup is damaged · 10 no such backup · 11 another restore runs
13 TARGET holds something else · 15 TARGET rejected a transaction · 130 interrupted
"""


@click.command(epilog=_EPILOG)
@click.argument("source", type=PLACE, metavar="STORE|SOURCE", callback=refuse_memory)
@click.argument("target", type=PLACE)
@click.option("--name", help=NAME_HELP)
@click.option("--segments", type=click.IntRange(min=1), metavar="N",
              help="Restore at most N segments.")  # fmt: skip
@click.option("--spot-check", type=click.FloatRange(0, 1), default=0, show_default=True, metavar="SHARE",
              help="Share of the transactions whose ids are checked in TARGET, such as 0.01.")  # fmt: skip
@click.option("--id-cache-size", type=click.IntRange(min=0), default=2_000_000, show_default=True,
              metavar="IDS", help="How many entity ids are remembered, at 9 bytes each.")  # fmt: skip
@filter_options
@click.option("--allow-code", multiple=True, metavar="NAME",
              help="Let this predicate or function reach TARGET, or all. Repeat it for others.")  # fmt: skip
@click.option("--prefetch-mib", type=click.IntRange(1, 1024 * 1024), default=32, show_default=True,
              metavar="MIB", help="How many MiB of segments are loaded ahead.")  # fmt: skip
@click.option("--in-flight", type=click.IntRange(1, 65_536), default=1024, show_default=True, metavar="N",
              help="Send at most N transactions before their answers have come.")  # fmt: skip
@expect_t_option
@encryption_options
@output_options
@click.pass_obj
def restore(
    settings: Settings,
    /,
    source: str,
    target: str,
    name: str | None,
    segments: int | None,
    spot_check: float,
    id_cache_size: int,
    allow_code: tuple[str, ...],
    prefetch_mib: int,
    in_flight: int,
    expect_t: int | None,
    encryption: Encryption | None,
    **options: Any,
) -> None:
    """Replay a backup, or a live database, into the database TARGET.

    A TARGET that does not exist is created. Run it again at any time, always with the same --exclude,
    --rewrite and --fit-target: it continues where TARGET is, also after a crash. The first Ctrl-C finishes
    what is in flight; the second stops at once.
    """
    output, filters = start_output(settings), filter_arguments(options)
    with show_progress("restore", output, settings) as on_progress:
        report = run(
            output,
            lambda stop: asyncrestore.restore(
                source,
                target,
                name=name,
                segments=segments,
                spot_check=spot_check,
                id_cache_size=id_cache_size,
                **filters,
                allow_code=allow_code,
                prefetch_bytes=prefetch_mib * 1024 * 1024,
                in_flight=in_flight,
                expect_t=expect_t,
                encryption=encryption,
                on_progress=on_progress,
                stop=stop,
            ),
            drains=True,
            kept="What the target has committed stays. Run the same command again: it continues there.",
        )
    output.summary(report, _text(report))


def _text(report: RestoreReport) -> str:
    if not report.transactions:
        title = f"Nothing new: {report.target} has everything up to source t {report.last_t:,}"
        rows = [("source", report.source), ("took", duration(report.seconds))]
    else:
        title = f"Restored into {report.target}, up to source t {report.last_t:,}"
        rows = [
            ("source", report.source),
            ("began after", f"source t {report.first_t:,}"),
            ("transactions", f"{report.transactions:,}"),
            ("datoms", f"{report.datoms:,}"),
            *_left_and_checked(report),
            ("id cache", _cache_text(report.id_cache)),
            *filtered_rows(report.filtered),
            *excised_rows(report.excised),
            *code_rows(report.code),
            ("took", took(report.seconds, report.transactions)),
        ]
    return "\n".join([table(title, rows), *noted(report.notes)])


def _left_and_checked(report: RestoreReport) -> Iterable[tuple[str, str]]:
    if report.segments_left:
        yield "left", f"{count(report.segments_left, 'segment')}; the same command continues"
    if report.spot_checked:
        yield "spot checks", f"{count(report.spot_checked, 'id')}, each the right one"


def _cache_text(cache: CacheStatistics) -> str:
    lookups = cache.hits + cache.misses
    found = f"{cache.hits / lookups:.1%} of " if lookups else ""
    return f"{found}{count(lookups, 'look-up')} found; {cache.full:.0%} full"
