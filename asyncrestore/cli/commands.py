"""The commands that move and prove a history: arguments and options; what they do is the library's."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

import asyncrestore
from asyncrestore.cli import text
from asyncrestore.cli.encryption import encryption_options
from asyncrestore.cli.filtering import EPILOG as _FILTERING_EPILOG
from asyncrestore.cli.filtering import filtering, filtering_options
from asyncrestore.cli.options import NAME_HELP, Settings, place_argument, talking_options
from asyncrestore.cli.output import start
from asyncrestore.cli.progress import show_progress
from asyncrestore.cli.run import run
from asyncrestore.errors import HistoryDiffers, UsageError

if TYPE_CHECKING:
    from asyncrestore.jobs.verify import VerifyReport
    from asyncrestore.stores.encrypted import Encryption

_BACKUP_EPILOG = """
\b
Example: asyncrestore backup 'datomic:local://dev/music?storage-dir=/data' /backups

\b
Exit codes: 10 no such database · 13 STORE has another database under that name
"""
_RESTORE_EPILOG = f"""
\b
Examples: asyncrestore restore /backups 'datomic:local://dev/copy?storage-dir=/data2'
          asyncrestore restore /backups TARGET --exclude person/notes --rewrite person/email=hash
          asyncrestore restore /backups TARGET --until-time 2026-01-31T12:00:00Z
{_FILTERING_EPILOG}
\b
Exit codes: 4 the backup is damaged · 10 no such backup · 11 another restore runs
13 TARGET holds something else · 15 TARGET rejected a transaction · 130 interrupted
"""
_VERIFY_EPILOG = """
\b
Examples: asyncrestore verify /backups
          asyncrestore verify /backups --against 'datomic:local://dev/copy?storage-dir=/data2'

A target that was restored with --exclude, --rewrite or --until... is compared with the same options.

\b
Exit codes: 4 something is wrong · 10 no such backup or database
13 TARGET was restored from another database, or with other --exclude or --rewrite
"""


def _shard(_context: click.Context, _parameter: click.Parameter, value: str) -> tuple[int, int]:
    own, _, shards = value.partition("/")
    if not (own.isascii() and own.isdigit() and shards.isascii() and shards.isdigit()):
        raise UsageError(f"--shard {value}: that is not I/N", hint="The first of four is 0/4, the last 3/4.")
    return int(own), int(shards)


@click.command(epilog=_BACKUP_EPILOG)
@click.argument("source")
@click.argument("store", callback=place_argument)
@click.option("--name", help="Of the backup in the store; the source database's name if not given.")
@click.option("--segment-size", type=click.IntRange(min=1), default=10_000, show_default=True,
              metavar="TRANSACTIONS", help="How many t a segment covers at most.")  # fmt: skip
@click.option("--start-t", type=click.IntRange(min=0), default=0, show_default=True, metavar="T",
              help="Copy nothing before it.")  # fmt: skip
@click.option("--end-t", type=click.IntRange(min=1), metavar="T", help="Copy nothing from it on.")
@click.option("--segments", type=click.IntRange(min=1), metavar="N",
              help="Copy so many segments at most, the first missing ones.")  # fmt: skip
@click.option("--shard", callback=_shard, default="0/1", show_default=True, metavar="I/N",
              help="Copy only this process's part: the I-th of N, from 0.")  # fmt: skip
@click.option("--parallel", type=click.IntRange(min=1), default=3, show_default=True, metavar="N",
              help="Segments read and written at once.")  # fmt: skip
@encryption_options
@talking_options
@click.pass_obj
def backup(
    settings: Settings,
    source: str,
    store: str,
    name: str | None,
    segment_size: int,
    start_t: int,
    end_t: int | None,
    segments: int | None,
    shard: tuple[int, int],
    parallel: int,
    encryption: Encryption | None,
) -> None:
    """Copy what STORE does not have yet of the database SOURCE.

    Run it again at any time: it adds what is new, and fills gaps. With --start-t, --end-t or --segments it
    does a part of that, and says what is left. Several processes or machines may each do a --shard.
    """
    output = start(settings)
    with show_progress("backup", output, settings) as on_progress:
        report = run(
            output,
            lambda _: asyncrestore.backup(
                source,
                store,
                name=name,
                segment_size=segment_size,
                start_t=start_t,
                end_t=end_t,
                segments=segments,
                shard=shard,
                parallel=parallel,
                encryption=encryption,
                on_progress=on_progress,
            ),
            kept="Finished segments stay. Run the same command again: it continues.",
        )
    output.summary(report, text.backup_text(report))


@click.command(epilog=_RESTORE_EPILOG)
@click.argument("source", metavar="STORE|SOURCE", callback=place_argument)
@click.argument("target")
@click.option("--name", help=NAME_HELP)
@click.option("--segments", type=click.IntRange(min=1), metavar="N",
              help="Restore so many segments at most.")  # fmt: skip
@click.option("--spot-check", type=click.FloatRange(0, 1), default=0, show_default=True, metavar="PART",
              help="Part of the transactions whose ids are checked in TARGET, such as 0.01.")  # fmt: skip
@click.option("--id-cache-size", type=click.IntRange(min=0), default=2_000_000, show_default=True,
              metavar="IDS", help="Entity ids remembered, 9 bytes each.")  # fmt: skip
@filtering_options
@click.option("--prefetch-mib", type=click.IntRange(1, 1024 * 1024), default=32, show_default=True,
              metavar="MIB", help="Bytes of segments loaded ahead.")  # fmt: skip
@click.option("--in-flight", type=click.IntRange(1, 65_536), default=1024, show_default=True, metavar="N",
              help="Transactions sent and not answered yet, at most.")  # fmt: skip
@encryption_options
@talking_options
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
    prefetch_mib: int,
    in_flight: int,
    encryption: Encryption | None,
    **options: Any,
) -> None:
    """Replay a backup, or a live database, into the database TARGET.

    A TARGET that does not exist is created. Run it again at any time: it continues where TARGET is, also
    after a crash, always with the same --exclude and --rewrite. The first Ctrl-C finishes what is in flight;
    the second stops at once.
    """
    output, wanted = start(settings), filtering(options)
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
                **wanted,
                prefetch_bytes=prefetch_mib * 1024 * 1024,
                in_flight=in_flight,
                encryption=encryption,
                on_progress=on_progress,
                stop=stop,
            ),
            drains=True,
            kept="What the target has committed stays. Run the same command again: it continues there.",
        )
    output.summary(report, text.restore_text(report))


@click.command(epilog=_VERIFY_EPILOG)
@click.argument("source", metavar="STORE|SOURCE", callback=place_argument)
@click.option("--against", metavar="TARGET", help="A database restored from it, to compare with.")
@click.option("--name", help=NAME_HELP)
@click.option("--live", metavar="SOURCE",
              help="The database that the backup is of: nothing of it may be missing.")  # fmt: skip
@filtering_options
@click.option("--max-differences", type=click.IntRange(min=1), default=10, show_default=True, metavar="N",
              help="How many are told in words; all are counted.")  # fmt: skip
@encryption_options
@talking_options
@click.pass_obj
def verify(
    settings: Settings,
    /,
    source: str,
    against: str | None,
    live: str | None,
    name: str | None,
    max_differences: int,
    encryption: Encryption | None,
    **options: Any,
) -> None:
    """Prove that a backup is whole, or that TARGET has its history.

    Alone: every segment is there from t 0 on, is what was written, and can be decoded; only with --live it
    is seen whether segments are missing at the end. With --against: every transaction of TARGET has the same
    place, instant and datoms, with entity ids renamed one to one; then the first argument may also be the
    live source.
    """
    output, wanted = start(settings), filtering(options)
    with show_progress("verify", output, settings) as on_progress:
        report = run(
            output,
            lambda _: asyncrestore.verify(
                source,
                against=against,
                live=live,
                name=name,
                **wanted,
                max_differences=max_differences,
                encryption=encryption,
                on_progress=on_progress,
            ),
        )
    output.summary(report, text.verify_text(report), ok=report.ok)
    if not report.ok:
        raise differs(report)


def differs(report: VerifyReport) -> HistoryDiffers:
    """The error by which a command ends that found something wrong."""
    problems = text.count(report.problem_count, "problem")
    if report.against is None:
        hint = "Run repair with the source: it puts damaged segments aside, and fills gaps."
        return HistoryDiffers(f"{report.checked} is damaged: {problems}", hint=hint)
    return HistoryDiffers(
        f"{report.against} differs from {report.checked}: {problems}",
        hint="Do not use the target in the source's place. Restore into a new database and verify that.",
    )
