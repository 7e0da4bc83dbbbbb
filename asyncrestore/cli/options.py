"""What commands have in common: the options that each takes, before or after its name, and arguments."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

import click

from asyncrestore.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Callable

NAME_HELP = "Of the backup, where the store holds several."

_Decorated = TypeVar("_Decorated", bound="Callable[..., Any] | click.Command")


@dataclass(slots=True)
class Settings:
    """How a command talks."""

    json: bool = False
    debug: bool = False
    quiet: bool = False
    no_progress: bool = False


def _set(context: click.Context, parameter: click.Parameter, value: bool) -> None:
    if value and parameter.name:
        setattr(context.ensure_object(Settings), parameter.name, True)


def talking_options(command: _Decorated) -> _Decorated:
    """Adds the options that fill `Settings`; read first, so that errors in others are told in their way."""
    for name, help_text in (
        ("--no-progress", "No progress bar or lines."),
        ("--quiet", "Results and errors only: no progress, no notes."),
        ("--debug", "Tell all that happens, with tracebacks."),
        ("--json", "Results as JSON on stdout, errors as JSON on stderr."),
    ):
        command = click.option(
            name, is_flag=True, is_eager=True, expose_value=False, callback=_set, help=help_text
        )(command)
    return command


def place_argument(_context: click.Context, _parameter: click.Parameter, value: str | None) -> str | None:
    """An argument that may be a store, but none that ends with this process."""
    if value is not None and value.startswith("memory:"):
        raise UsageError(f"{value} ends with this process", hint="Name a directory, such as ./backups")
    return value
