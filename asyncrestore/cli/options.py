"""Options and arguments that several commands share."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeVar

import click

from asyncrestore.errors import UsageError
from asyncrestore.limits import LEAST_SEGMENT_BYTES, max_segment_bytes
from asyncrestore.redact import redacted, redacted_uri, secrets_of

if TYPE_CHECKING:
    from collections.abc import Callable

NAME_HELP = "Name of the backup; required if the store holds several."
SOURCE_NAME_HELP = "Name of the backup in the store; by default the source database's name."

_Decorated = TypeVar("_Decorated", bound="Callable[..., Any] | click.Command")


@dataclass(slots=True)
class Settings:
    """How a command reports: as text or JSON, how much, and what it must not show.

    Attributes:
        given: arguments, among them URIs, whose secrets are hidden wherever they stand.
    """

    json: bool = False
    debug: bool = False
    quiet: bool = False
    no_progress: bool = False
    given: set[str] = field(default_factory=set)

    def conceal(self, text: str) -> str:
        """Returns a message without the secrets of any URI in it, or that was given."""
        for each in sorted(self.given, key=len, reverse=True):
            if secrets_of(each):
                for written in {each, repr(each)[1:-1]}:
                    text = text.replace(written, redacted_uri(written))
        for secret in sorted(set().union(*map(secrets_of, self.given)), key=len, reverse=True):
            for written in {secret, repr(secret)[1:-1]}:
                text = text.replace(written, "...")
        return redacted(text)


def _set(context: click.Context, parameter: click.Parameter, value: bool) -> None:
    if value and parameter.name:
        setattr(context.ensure_object(Settings), parameter.name, True)


def _set_limit(context: click.Context, _parameter: click.Parameter, value: str | None) -> None:
    if value is None:
        return
    match = re.fullmatch("([0-9]{1,12})([KMG]?)", value)
    size = int(match[1]) << {"": 0, "K": 10, "M": 20, "G": 30}[match[2]] if match else 0
    if size < LEAST_SEGMENT_BYTES:
        raise click.BadParameter(f"{value!r} is not a size of 1M or more, such as 512M or 2G")
    context.with_resource(max_segment_bytes(size))


def output_options(command: _Decorated) -> _Decorated:
    """Adds the options that every command has, before or after the command's name.

    They are read before all others, so that an error in one of those is reported as they ask.
    """
    command = click.option(
        "--max-segment-size",
        metavar="SIZE",
        is_eager=True,
        expose_value=False,
        callback=_set_limit,
        help="How much a segment may take, as it is stored and in memory: 512M, 2G. Default: 128M.",
    )(command)
    # The last decorator comes first in the help.
    for name, help_text in (
        ("--no-progress", "No progress bar or lines."),
        ("--quiet", "Only results and errors: no progress, no messages on the way."),
        ("--debug", "Log everything that happens, with tracebacks."),
        ("--json", "Results as JSON on stdout, errors as JSON on stderr."),
    ):
        command = click.option(
            name, is_flag=True, is_eager=True, expose_value=False, callback=_set, help=help_text
        )(command)
    return command


segment_size_option = click.option(
    "--segment-size",
    type=click.IntRange(min=1),
    default=10_000,
    show_default=True,
    metavar="TRANSACTIONS",
    help="How many t a new segment covers at most.",
)
expect_t_option = click.option(
    "--expect-t",
    type=click.IntRange(min=0),
    metavar="T",
    help="Refuse a backup that ends before T.",
)
parallel_option = click.option(
    "--parallel",
    type=click.IntRange(min=1),
    default=3,
    show_default=True,
    metavar="N",
    help="How many segments are read and written at once.",
)

read_rate_option = click.option(
    "--read-rate",
    type=click.IntRange(min=1),
    metavar="DATOMS",
    help="Read at most so many datoms a second of the database's log.",
)


def refuse_memory(_context: click.Context, _parameter: click.Parameter, value: str | None) -> str | None:
    """Refuses a store in memory, which would end with this process (a click callback).

    Raises:
        UsageError: the argument names such a store.
    """
    if value is not None and value.startswith("memory:"):
        raise UsageError(
            f"{redacted_uri(value)} ends with this process", hint="Name a directory, such as ./backups"
        )
    return value
