"""The options that name the key of an encrypted store."""

from __future__ import annotations

import base64
import binascii
import functools
import os
import shlex
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from asyncrestore.errors import NotAuthorized, UsageError
from asyncrestore.stores.keys import KmsKey

if TYPE_CHECKING:
    from collections.abc import Callable

    from asyncrestore.stores.encrypted import Encryption

_Function = TypeVar("_Function", bound="Callable[..., Any]")
ENCRYPTION_KEY = "ASYNCRESTORE_ENCRYPTION_KEY"
_VARIABLES = (
    ENCRYPTION_KEY, f"{ENCRYPTION_KEY}_FILE", f"{ENCRYPTION_KEY}_COMMAND", f"{ENCRYPTION_KEY[:-4]}_KMS_KEY"
)  # fmt: skip
_COMMAND_S = 120  # a person may have to type a password
_FORM = "A key is 32 random bytes in base64: openssl rand -base64 32"


def encryption_options(command: _Function) -> _Function:
    """Adds the options, and hands the command what they name as `encryption`."""

    @functools.wraps(command)
    def run(
        *arguments: Any,
        encryption_key_file: Path | None,
        encryption_key_command: str | None,
        encryption_kms_key: str | None,
        **options: Any,
    ) -> Any:
        encryption = _encryption(encryption_key_file, encryption_key_command, encryption_kms_key)
        return command(*arguments, **options, encryption=encryption)

    for option in (
        click.option("--encryption-kms-key", metavar="ID", envvar=f"{ENCRYPTION_KEY[:-4]}_KMS_KEY",
                     help="AWS KMS wraps the keys of segments: the key's id, ARN or alias."),
        click.option("--encryption-key-command", metavar="COMMAND", envvar=f"{ENCRYPTION_KEY}_COMMAND",
                     help="Prints the key of the store's segments; no shell runs it."),
        click.option("--encryption-key-file", type=click.Path(path_type=Path, dir_okay=False), metavar="FILE",
                     envvar=f"{ENCRYPTION_KEY}_FILE",
                     help="Holds the key of the store's segments: 32 bytes in base64."),
    ):  # fmt: skip
        run = option(run)
    return run  # type: ignore[return-value]  # takes what the command takes


def _encryption(file: Path | None, command: str | None, kms_key: str | None) -> Encryption | None:
    """The key; asked for before anything else is done.

    Raises:
        UsageError: more than one is given, or it is none, or empty.
        NotAuthorized: the command failed.
    """
    _check_none_empty(command, kms_key)
    given = [each for each in (file, command, kms_key, os.environ.get(ENCRYPTION_KEY)) if each]
    if len(given) > 1:
        raise UsageError(
            "More than one encryption key is given",
            hint=f"Give one of --encryption-key-file, --encryption-key-command, --encryption-kms-key and "
            f"{ENCRYPTION_KEY}; each has a variable in the environment too.",
        )
    if kms_key:
        return KmsKey(kms_key)
    if file:
        try:
            return _key(file.read_bytes(), str(file))
        except OSError as exc:
            raise UsageError(f"The encryption key cannot be read: {exc}") from exc
    if command:
        return _key(_printed(command), "what the command for the encryption key printed")
    return _key(os.environ[ENCRYPTION_KEY].encode(), ENCRYPTION_KEY) if given else None


def _check_none_empty(command: str | None, kms_key: str | None) -> None:
    """A key that is given and empty is a mistake: taken for none, it would leave a backup in clear.

    Raises:
        UsageError: one is. (A file with such a name cannot be read anyway.)
    """
    given = {"--encryption-key-command": command, "--encryption-kms-key": kms_key}
    given |= {name: os.environ.get(name) for name in _VARIABLES}  # click takes an empty one for none
    for name, value in given.items():
        if value is not None and not value.strip():
            raise UsageError(
                f"{name} is given, but empty",
                hint="Give a key. Where nothing is to be encrypted, leave the option out and unset the "
                "variable.",
            )


def _printed(command: str) -> bytes:
    """What a command prints; its stderr is this one's, for it may ask for a password."""
    try:
        arguments = shlex.split(command)
        return subprocess.run(arguments, stdout=subprocess.PIPE, check=True, timeout=_COMMAND_S).stdout
    except ValueError as exc:
        raise UsageError(f"The command for the encryption key cannot be split into words: {exc}") from exc
    except OSError as exc:
        raise UsageError(f"The command for the encryption key cannot be run: {exc}") from exc
    except subprocess.TimeoutExpired:
        raise NotAuthorized(
            f"The command for the encryption key printed none in {_COMMAND_S} s"
        ) from None  # which holds what it printed
    except subprocess.CalledProcessError as exc:
        raise NotAuthorized(
            f"The command for the encryption key failed: exit code {exc.returncode}"
        ) from None


def _key(text: bytes, where: str) -> bytes:
    try:
        key = base64.b64decode(b"".join(text.split()), validate=True)
    except binascii.Error:
        raise UsageError(f"{where} is no encryption key: it is not base64", hint=_FORM) from None
    if len(key) != 32:
        raise UsageError(f"{where} is no encryption key: it has {len(key)} bytes, not 32", hint=_FORM)
    return key
