"""Reports an exception to the user, and finds the exit code."""

from __future__ import annotations

import re
import traceback
from typing import TYPE_CHECKING

import click

from asyncrestore.cli.text import as_options
from asyncrestore.errors import OPEN_FILES_HINT, AsyncRestoreError, has_too_many_open_files

if TYPE_CHECKING:
    from asyncrestore.cli.output import Output

FAILED, INTERRUPTED = 1, 130
_EXTRA = re.compile(r"(unexpected extra arguments?) \(.*\)", re.DOTALL)


class Interrupted(AsyncRestoreError):
    """A signal, from the user or the system, asked the command to stop, and it did."""

    exit_code = INTERRUPTED


def report_failure(error: BaseException, output: Output, *, debug: bool) -> int:
    """Writes why a command failed; returns its exit code."""
    errors = _leaves(error)
    for each in errors:
        _report_one(each, output, debug=debug)
    codes = [_code(each) for each in errors]
    # If one of them is unexpected, nothing is sure: that is a failure, whatever the others are.
    return codes[0] if all(_is_expected(each) for each in errors) else FAILED


def _leaves(error: BaseException) -> list[BaseException]:
    if isinstance(error, BaseExceptionGroup):
        return [leaf for each in error.exceptions for leaf in _leaves(each)]
    return [error]


def _is_expected(error: BaseException) -> bool:
    return isinstance(error, (AsyncRestoreError, click.ClickException, click.Abort, KeyboardInterrupt))


def _code(error: BaseException) -> int:
    if isinstance(error, (AsyncRestoreError, click.ClickException)):
        return error.exit_code
    return INTERRUPTED if isinstance(error, (click.Abort, KeyboardInterrupt)) else FAILED


def _report_one(error: BaseException, output: Output, *, debug: bool) -> None:
    trace = "".join(traceback.format_exception(error)) if debug else ""
    message, hint = str(error), ""
    if isinstance(error, AsyncRestoreError):
        message = "\n".join([message, *getattr(error, "__notes__", ())])
        hint = error.hint
    elif isinstance(error, click.exceptions.NoArgsIsHelpError) and error.ctx is not None:
        message, hint = "no command was given", error.ctx.get_help()
    elif isinstance(error, click.ClickException):
        # Which arguments are too many is not said: a key, or the words of a command that prints it.
        message, trace = (_EXTRA.sub(r"\1", each) for each in (error.format_message(), trace))
        if isinstance(error, click.UsageError) and error.ctx is not None:
            hint = f"{error.ctx.get_usage()}\nTry '{error.ctx.command_path} --help'.".replace(
                "Usage:", "usage:"
            )
    elif isinstance(error, (click.Abort, KeyboardInterrupt)):
        message, hint = "interrupted", "Run the same command again: it continues."
    else:
        message = f"unexpected {type(error).__name__}: {error}"
        hint = "" if debug else "Run the same command with --debug to see where."
        if has_too_many_open_files(error):
            hint = OPEN_FILES_HINT
    output.error(_code(error), as_options(message), hint=as_options(hint), traceback=trace)
