"""Settings from a TOML file: global options at the top, the options of a command in its table."""

from __future__ import annotations

import tomllib
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from pathlib import Path


def load_config(context: click.Context, _parameter: click.Parameter, path: Path | None) -> None:
    """Makes the settings of a file the defaults of the options (a click callback).

    Raises:
        click.BadParameter: the file cannot be read, or has a setting that no command has.
    """
    if path is None or not isinstance(context.command, click.Group):
        return
    try:
        with path.open("rb") as file:
            document = tomllib.load(file)
    except (OSError, tomllib.TOMLDecodeError) as exc:
        raise click.BadParameter(f"{path}: {exc}") from exc
    defaults = _options(context.command, document, str(path))
    for name, command in context.command.commands.items():
        if name in document:
            if not isinstance(document[name], dict):
                raise click.BadParameter(f"{path}: {name} must be a table: [{name}]")
            defaults[name] = _options(command, document[name], f"{path}: [{name}]")
    context.default_map = defaults


def _options(command: click.Command, table: dict[str, Any], where: str) -> dict[str, Any]:
    """Returns the settings of one command by parameter name; `segment-size` means `segment_size`."""
    options = {p.name: p for p in command.params if isinstance(p, click.Option)}
    known = options.keys() - {"config", "version"}
    commands = set(command.commands) if isinstance(command, click.Group) else set()
    settings = {key.replace("-", "_"): value for key, value in table.items() if key not in commands}
    unknown = sorted(set(settings) - known)
    if unknown:
        raise click.BadParameter(f"{where}: unknown setting {', '.join(unknown)}")
    for name, value in settings.items():
        setting = name.replace("_", "-")
        if options[name].multiple and not isinstance(value, list):
            raise click.BadParameter(f"{where}: {setting} must be a list: {setting} = [...]")
        if isinstance(value, dict) or (isinstance(value, list) and not options[name].multiple):
            raise click.BadParameter(f"{where}: {setting} must be one value")
    return settings
