"""Output of the commands, as text or JSON lines: results on stdout; notes, logs and errors on stderr."""

from __future__ import annotations

import json
import logging
import re
import sys
from contextlib import suppress
from dataclasses import asdict, is_dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

import click
from typing_extensions import override

from asyncrestore.cli.text import cleaned
from asyncrestore.errors import AsyncRestoreError

if TYPE_CHECKING:
    from asyncrestore.cli.options import Settings


def document(value: Any) -> dict[str, Any]:
    """Returns a report as plain data."""
    if not is_dataclass(value) or isinstance(value, type):
        raise TypeError(f"{value!r} is not a report")
    return asdict(value)


def _plain(value: object) -> str:
    if isinstance(value, datetime):
        return value.isoformat(timespec="milliseconds").replace("+00:00", "Z")
    raise TypeError(f"{value!r} cannot be written as JSON")


class Output:
    """Writes the output of a command.

    Args:
        settings: whether to write JSON, and how much to write.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings

    def result(self, data: dict[str, Any], text: str) -> None:
        """Writes the result of a command."""
        self._stdout(json.dumps(data, default=_plain) if self._settings.json else cleaned(text))

    def summary(self, report: object, text: str, **more: object) -> None:
        """Writes the result of a long command, after its status lines."""
        self.result({"message_type": "summary", **document(report), **more}, text)

    def status(self, data: dict[str, Any]) -> None:
        """Writes the progress of a long command, as JSON on stdout."""
        self._stdout(json.dumps({"message_type": "status", **data}))

    def step(self, text: str) -> None:
        """Writes a part of a longer result, as text only: in JSON the summary at the end has it all."""
        if not self._settings.json:
            self._stdout(cleaned(text))

    def note(self, text: str) -> None:
        """Writes a message that is not part of the result, unless the command is to be quiet."""
        if not self._settings.quiet:
            self._stderr({"message_type": "note", "message": text}, text)

    def log(self, level: str, text: str) -> None:
        """Writes a line of the log."""
        self._stderr({"message_type": "log", "level": level, "message": text}, f"{level}: {text}")

    def error(self, code: int, message: str, *, hint: str = "", traceback: str = "") -> None:
        """Writes why the command failed."""
        data: dict[str, Any] = {"message_type": "exit_error", "code": code, "message": message, "hint": hint}
        if traceback:
            data["traceback"] = traceback
        # A line of the message is no line of this program's: a name from a store may have a line break in it.
        text = f"{traceback}error: " + re.sub(r"\n(?! )", "\n  ", message)
        self._stderr(data, f"{text}\nhint: {hint}" if hint else text)

    def _stdout(self, text: str) -> None:
        try:
            click.echo(text)
        except OSError as exc:
            raise AsyncRestoreError(f"the output cannot be written: {exc.strerror}") from exc

    def _stderr(self, data: dict[str, Any], text: str) -> None:
        if self._settings.json:
            conceal = self._settings.conceal
            line = json.dumps({name: conceal(v) if isinstance(v, str) else v for name, v in data.items()})
        else:
            line = cleaned(self._settings.conceal(text))
        # A full disk, or a reader that went away, must not end a job that is going well.
        with suppress(OSError):
            # By its name: a progress bar puts itself in its place, and shows the line above.
            click.echo(line, file=sys.stderr)


class _LogHandler(logging.Handler):
    def __init__(self, output: Output) -> None:
        super().__init__()
        self._output = output

    @override
    def emit(self, record: logging.LogRecord) -> None:
        self._output.log(record.levelname.lower(), self.format(record))


def send_logs(settings: Settings) -> None:
    """Sends the package's log to stderr: messages and warnings; everything with `--debug`."""
    package = logging.getLogger("asyncrestore")
    package.handlers = [_LogHandler(Output(settings))]
    package.propagate = False
    package.setLevel(logging.DEBUG if settings.debug else logging.ERROR if settings.quiet else logging.INFO)


def start_output(settings: Settings) -> Output:
    """Returns the output of a command, to which the package's log goes from now on too."""
    send_logs(settings)
    return Output(settings)
