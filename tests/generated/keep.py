"""Keeps a history that failed, so that it can be looked at and restored again."""

from __future__ import annotations

import shutil
from pprint import pformat
from traceback import format_exception
from typing import TYPE_CHECKING

from anyio import to_thread

from asyncrestore.errors import AsyncRestoreError
from asyncrestore.jobs.backup import backup
from asyncrestore.stores.filesystem import FilesystemStore

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from asyncrestore.datomic.base import Database
    from tests.generated.journeys import Journey
    from tests.generated.script import Step


async def keep(
    directory: Path,
    failure: Exception,
    databases: Mapping[str, Database],
    steps: list[Step],
    journey: Journey,
) -> str:
    """Writes backups of source and copy, with their very ids; failure, journey and script as text.

    Returns what to tell: the failure, and where all this is.
    """
    story = f"{''.join(format_exception(failure))}\n{pformat(journey)}\n\n{pformat(steps, width=160)}\n"

    def write() -> None:
        shutil.rmtree(directory, ignore_errors=True)  # of an earlier run of the same number
        directory.mkdir(parents=True)
        (directory / "story.txt").write_text(story)

    await to_thread.run_sync(write)
    try:
        for name, database in databases.items():
            await backup(database, FilesystemStore(directory / "backup"), name=name)
    except AsyncRestoreError as error:
        return f"{directory} (without a backup: {error}): {failure}"
    return f"{directory}: {failure}"
