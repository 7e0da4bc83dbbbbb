"""The options of `restore` and `verify` that select and rewrite a part of a history."""

from __future__ import annotations

import os
import sys
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from asyncrestore.cli.secret_files import read_secret
from asyncrestore.filters.rewrites import names_function

if TYPE_CHECKING:
    from collections.abc import Callable

_Function = TypeVar("_Function", bound="Callable[..., Any]")

REWRITE_KEY = "ASYNCRESTORE_REWRITE_KEY"

REWRITE_HELP = f"""
\b
HOW is  hash             a digest with a key (--rewrite-key-file or {REWRITE_KEY}):
                         equal values stay equal
        null             left out
        constant:TEXT    always the same value
        fake:PROVIDER    a made-up value, such as fake:name (needs the extra asyncrestore[fake])
        module:function  the result of that Python function of (attribute, value)
"""


def _time(_context: click.Context, _parameter: click.Parameter, text: str | None) -> datetime | None:
    try:
        time = None if text is None else datetime.fromisoformat(text)
    except ValueError as exc:
        raise click.BadParameter(f"{text!r} is not a time as in RFC 3339: 2026-01-31T12:00:00Z") from exc
    if time is not None and time.tzinfo is None:
        raise click.BadParameter(f"{text!r} has no time zone: 2026-01-31T12:00:00Z is in UTC")
    return time


def _rewrites(_context: click.Context, _parameter: click.Parameter, texts: tuple[str, ...]) -> dict[str, str]:
    rewrites: dict[str, str] = {}
    for text in texts:
        attribute, sign, how = text.partition("=")
        if not (attribute and sign and how):
            raise click.BadParameter(f"{text!r} is not ATTR=HOW")
        if attribute in rewrites:
            raise click.BadParameter(f"{attribute} is to be rewritten in two ways")
        rewrites[attribute] = how
    return rewrites


def filter_options(command: _Function) -> _Function:
    """Adds the options; `filter_arguments` turns their values into the library's arguments."""
    # The last decorator comes first in the help.
    for option in (
        click.option("--fit-target", is_flag=True,
                     help="Leave out what the target's edition lacks and does without, such as :db/index."),
        click.option("--keep-excised", is_flag=True,
                     help="Do not leave out what the source was asked to excise."),
        click.option("--until-time", metavar="RFC3339", callback=_time,
                     help="End with the last transaction that is not after this time."),
        click.option("--until-t", type=click.IntRange(min=0), metavar="T",
                     help="End with this t of the source."),
        click.option("--rewrite-key-file", type=click.Path(path_type=Path, dir_okay=False), metavar="FILE",
                     help="File with the key for hash and fake, at least 16 bytes."),
        click.option("--rewrite", multiple=True, metavar="ATTR=HOW", callback=_rewrites,
                     help="Rewrite the values of this attribute. Repeat it for others."),
        click.option("--exclude-schema", is_flag=True,
                     help="Also leave out the definitions of the excluded attributes."),
        click.option("--exclude", multiple=True, metavar="ATTR",
                     help="Leave out the datoms of this attribute. Repeat it for others."),
    ):  # fmt: skip
        command = option(command)
    return command


def filter_arguments(options: dict[str, Any]) -> dict[str, Any]:
    """Returns the library's arguments for the values of the options.

    Raises:
        UsageError: the file with the key cannot be read.
    """
    key_file = options.pop("rewrite_key_file")
    if any(map(names_function, options["rewrite"].values())) and "" not in sys.path:
        sys.path.append("")  # look for module:function in the working directory too, as `python -m` does
    return {**options, "rewrite_key": _key(key_file)}


def _key(file: Path | None) -> bytes | None:
    if file is None:
        return os.environ[REWRITE_KEY].encode() if REWRITE_KEY in os.environ else None
    return read_secret(file, "the key for rewriting").rstrip(b"\r\n")
