"""The command line, stopped by SIGSTOP in the middle of a restore: what happens to it then is up to the test.

    python -m tests.support.stopping NUMBER ARGUMENTS...

It stops when the submission of that number has been sent to the target.
"""

from __future__ import annotations

import itertools
import os
import signal
import subprocess
import sys
from typing import TYPE_CHECKING

from asyncrestore.cli import main
from asyncrestore.datomic.database import BridgeDatabase
from tests.support.cli import environment

if TYPE_CHECKING:
    from collections.abc import Sequence

    from asyncrestore.datomic.base import Submission
    from asyncrestore.model.commit import TxData


def start_and_wait(number: int, *arguments: str) -> subprocess.Popen[str]:
    """Starts the command; returns when it has stopped.

    Raises:
        AssertionError: it ended before.
    """
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.support.stopping", str(number), *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment(),
    )
    _, status = os.waitpid(process.pid, os.WUNTRACED)
    assert os.WIFSTOPPED(status), process.communicate()
    return process


def stop_at(number: int) -> None:
    """Lets this process stop itself at that submission."""
    numbers = itertools.count(1)
    submit = BridgeDatabase.submit

    async def submit_and_stop(self: BridgeDatabase, batch: Sequence[TxData]) -> Submission:
        submission = await submit(self, batch)
        if next(numbers) == number:
            os.kill(os.getpid(), signal.SIGSTOP)
        return submission

    # The process is a child made for this: nothing else sees the changed class.
    BridgeDatabase.submit = submit_and_stop  # type: ignore[assignment, method-assign]


if __name__ == "__main__":
    stop_at(int(sys.argv[1]))
    main(sys.argv[2:])
