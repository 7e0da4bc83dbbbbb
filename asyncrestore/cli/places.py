"""URIs as arguments: given themselves, or named by a file or a variable, so that `ps` does not show them."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import click
from typing_extensions import override

from asyncrestore.cli.options import Settings
from asyncrestore.cli.secret_files import read_secret, warn_of_readers
from asyncrestore.errors import UsageError
from asyncrestore.redact import redacted_uri

_HINT = "@FILE takes the URI from a file, env:NAME from a variable. Begin the path of a directory with ./"


class _Place(click.ParamType):  # type: ignore[type-arg]  # click 8.2 has none
    """A URI, or `@FILE` or `env:NAME` in its place."""

    name = "uri"

    @override
    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        del param
        text = str(value)
        if text.startswith("@"):
            text = _from_file(Path(text[1:]).expanduser())
        elif text.startswith("env:"):
            text = _from_variable(text.removeprefix("env:"))
        if ctx is not None:
            ctx.ensure_object(Settings).given.add(text)
        return text


PLACE = _Place()
"""The type of every argument and option that names a store or a database."""


def _from_file(path: Path) -> str:
    """Returns the URI that is alone in a file.

    Raises:
        UsageError: the file cannot be read, or has no line, or several.
    """
    try:
        lines = read_secret(path, "a URI", warn=False).decode().strip().splitlines()
    except UnicodeDecodeError:
        raise UsageError(f"{path} is not in UTF-8", hint=_HINT) from None
    if len(lines) != 1:
        raise UsageError(f"{path} has {len(lines)} lines, and a URI is one", hint=_HINT)
    if redacted_uri(lines[0]) != lines[0]:
        warn_of_readers(path)
    return lines[0]


def _from_variable(name: str) -> str:
    text = os.environ.get(name, "").strip()
    if not text:
        raise UsageError(f"The variable {name} is not set, or empty", hint=_HINT)
    return text
