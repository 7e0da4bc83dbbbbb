"""`asyncrestore setup`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from asyncrestore.cli.options import Settings, output_options
from asyncrestore.cli.output import start_output
from asyncrestore.cli.run import run
from asyncrestore.cli.text import duration, table
from asyncrestore.datomic.engines import ENGINES
from asyncrestore.datomic.uri import LOCAL

if TYPE_CHECKING:
    import anyio

_EPILOG = """
\b
Examples: asyncrestore setup
          asyncrestore setup cloud
"""


@click.command(epilog=_EPILOG)
@click.argument(
    "engines",
    nargs=-1,
    type=click.Choice(tuple(ENGINES)),
    metavar=" ".join(f"[{name}]" for name in ENGINES),
)
@output_options
@click.pass_obj
def setup(settings: Settings, engines: tuple[str, ...]) -> None:
    """Fetch and compile what this machine needs, and try it.

    For Datomic Local (local), Pro (peer), Cloud (cloud), a peer server (peer-server) or several of them; for
    Local if none is named.

    Fetches Datomic's jars and compiles the bridge to it, into the user's cache directory
    (ASYNCRESTORE_CACHE_DIR names another). The other commands do this when they first need it; run this
    to do it in advance. A machine without network can take the whole cache directory of another one.
    """
    output = start_output(settings)

    async def job(_stop: anyio.Event) -> dict[str, Any]:
        # Imported here, so that --version need not wait for all that it imports.
        from asyncrestore.cli.prepare import prepare_machine  # noqa: PLC0415

        return await prepare_machine(engines or (LOCAL,))

    output.note("Checking Java, Datomic's jars and the bridge. The first time takes about a minute.")
    ready = run(output, job, kept="What was fetched stays. Run the same command again.")
    output.result(
        ready,
        table(
            "Ready",
            [
                ("Java", f"{ready['java']} ({ready['java_executable']})"),
                *((engine, _engine_text(found)) for engine, found in ready["engines"].items()),
                ("cache", ready["cache"]),
            ],
        ),
    )


def _engine_text(found: dict[str, Any]) -> str:
    started = duration(found["start_seconds"])
    return f"{found['jars']} jars, checked; the bridge started and answered in {started}"
