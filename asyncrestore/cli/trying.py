"""The commands that get this machine ready and try things out on it."""

from __future__ import annotations

from pathlib import Path
from time import monotonic
from typing import TYPE_CHECKING, Any

import click

import asyncrestore
from asyncrestore.cli import text
from asyncrestore.cli.options import Settings, place_argument, talking_options
from asyncrestore.cli.output import document, start
from asyncrestore.cli.progress import show_progress
from asyncrestore.cli.run import run
from asyncrestore.datomic.uri import ENGINES, LOCAL
from asyncrestore.demo import next_commands, run_demo
from asyncrestore.errors import HistoryDiffers

if TYPE_CHECKING:
    import anyio

_SETUP_EPILOG = """
\b
Examples: asyncrestore setup
          asyncrestore setup local peer
"""
_VALIDATE_STORE_EPILOG = """
\b
Examples: asyncrestore validate-store s3://bucket/backups?region=eu-west-1
          asyncrestore validate-store /mnt/share/backups

\b
Exit codes: 1 a promise was broken · 10 no such bucket · 12 not authorised
"""
_DEMO_EPILOG = """
\b
Example: asyncrestore demo --keep ./demo
"""


@click.command(epilog=_SETUP_EPILOG)
@click.argument("engines", nargs=-1, type=click.Choice(ENGINES), metavar="[local] [peer]")
@talking_options
@click.pass_obj
def setup(settings: Settings, engines: tuple[str, ...]) -> None:
    """Fetch and compile what this machine needs, and try it.

    For Datomic Local (local), Datomic Pro (peer) or both; for Local if none is named.

    Fetches Datomic's jars and compiles the bridge to it, into the user's cache directory
    (ASYNCRESTORE_CACHE_DIR names another). The other commands do this when they first need it; here it is
    by itself, to pre-fetch: a machine without network can take the whole cache directory of another one.
    """
    output = start(settings)

    async def job(_stop: anyio.Event) -> dict[str, Any]:
        # --version need not wait for all that this imports.
        from asyncrestore.cli.ready import make_ready  # noqa: PLC0415

        return await make_ready(engines or (LOCAL,))

    output.note("Checking Java, Datomic's jars and the bridge. The first time takes about a minute.")
    ready = run(output, job, kept="What was fetched stays. Run the same command again.")
    output.result(
        ready,
        text.table(
            "Ready",
            [
                ("Java", f"{ready['java']} ({ready['java_executable']})"),
                *((engine, _engine_text(found)) for engine, found in ready["engines"].items()),
                ("cache", ready["cache"]),
            ],
        ),
    )


def _engine_text(found: dict[str, Any]) -> str:
    started = text.duration(found["start_seconds"])
    return f"{found['jars']} jars, checked; the bridge started and answered in {started}"


@click.command(epilog=_VALIDATE_STORE_EPILOG)
@click.argument("store", callback=place_argument)
@talking_options
@click.pass_obj
def validate_store(settings: Settings, store: str) -> None:
    """Try whether STORE keeps the promises that backups need.

    Writes and reads some 1,020 objects, 35 MB, under a name that no command takes for a backup, and leaves
    them there: a store need not allow to delete.
    """
    output = start(settings)
    output.note("Trying the store out.")
    report = run(output, lambda _: asyncrestore.validate_store(store))
    output.result({**document(report), "ok": report.ok}, text.validate_text(report))
    report.raise_for_problems()


@click.command(epilog=_DEMO_EPILOG)
@click.option("--keep", metavar="DIR", type=click.Path(path_type=Path, file_okay=False),
              help="Keep databases and backup here; must be empty or not exist.")  # fmt: skip
@talking_options
@click.pass_obj
def demo(settings: Settings, keep: Path | None) -> None:
    """Show the whole story on real data, on this machine.

    Makes a database with years of history, backs it up, restores it, verifies both, and asks both the same
    question about the past. Takes about a minute.
    """
    output = start(settings)
    output.note("Starting Datomic.")

    started = monotonic()
    report = run(
        output,
        lambda _: run_demo(keep, output.step, lambda label: show_progress(label, output, settings)),
        kept="Nothing is left of it." if keep is None else f"Remove {keep} before another demo there.",
    )
    seconds = monotonic() - started
    closing = f"\nAll of it took {text.duration(seconds)}. {next_commands(report)}"
    output.summary(report, closing, ok=report.ok, seconds=seconds)
    if not report.ok:
        raise HistoryDiffers("The demo's copy is not what it should be; see above")
