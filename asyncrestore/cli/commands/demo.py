"""`asyncrestore demo`."""

from __future__ import annotations

from pathlib import Path
from time import monotonic

import click

from asyncrestore.cli.options import Settings, output_options
from asyncrestore.cli.output import start_output
from asyncrestore.cli.progress import show_progress
from asyncrestore.cli.run import run
from asyncrestore.cli.text import duration
from asyncrestore.demo import next_commands, run_demo
from asyncrestore.errors import HistoryDiffers

_EPILOG = """
\b
Example: asyncrestore demo --keep ./demo
"""


@click.command(epilog=_EPILOG)
@click.option("--keep", metavar="DIR", type=click.Path(path_type=Path, file_okay=False),
              help="Keep databases and backup here; must be empty or not exist.")  # fmt: skip
@output_options
@click.pass_obj
def demo(settings: Settings, keep: Path | None) -> None:
    """Show backup, restore and verify on real data, on this machine.

    Makes a database with years of history, backs it up, restores it, verifies both, and asks both the same
    question about the past. Takes about a minute.
    """
    output = start_output(settings)
    output.note("Starting Datomic.")

    started = monotonic()
    report = run(
        output,
        lambda _: run_demo(keep, output.step, lambda label: show_progress(label, output, settings)),
        kept="Nothing is left of it." if keep is None else f"Remove {keep} before another demo there.",
    )
    seconds = monotonic() - started
    closing = f"\nAll of it took {duration(seconds)}. {next_commands(report)}"
    output.summary(report, closing, ok=report.ok, seconds=seconds)
    if not report.ok:
        raise HistoryDiffers("The demo's copy is not what it should be; see above")
