"""The options that give the key of an encrypted store."""

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

from asyncrestore.cli.secret_files import read_secret
from asyncrestore.errors import NotAuthorized, UsageError
from asyncrestore.stores.cipher import ENCRYPTION_KEY_BYTES
from asyncrestore.stores.keys import KmsKey
from asyncrestore.stores.signed import SigningKey

if TYPE_CHECKING:
    from collections.abc import Callable

    from asyncrestore.stores.encrypted import Encryption

_Function = TypeVar("_Function", bound="Callable[..., Any]")
ENCRYPTION_KEY = "ASYNCRESTORE_ENCRYPTION_KEY"
_KEY_FILE = "ASYNCRESTORE_ENCRYPTION_KEY_FILE"
_KEY_COMMAND = "ASYNCRESTORE_ENCRYPTION_KEY_COMMAND"
_KMS_KEY = "ASYNCRESTORE_ENCRYPTION_KMS_KEY"
_SIGNING_KEY_FILE = "ASYNCRESTORE_SIGNING_KEY_FILE"
_COMMAND_TIMEOUT_S = 120  # the command may ask for a password
_KEY_HINT = (
    f"A key is {ENCRYPTION_KEY_BYTES} random bytes in base64: openssl rand -base64 {ENCRYPTION_KEY_BYTES}"
)


def encryption_options(command: _Function) -> _Function:
    """Adds the options, and passes the key that they give to the command as `encryption`."""

    @functools.wraps(command)
    def run(
        *arguments: Any,
        encryption_key_file: Path | None,
        encryption_key_command: str | None,
        encryption_kms_key: str | None,
        signing_key_file: Path | None,
        **options: Any,
    ) -> Any:
        encryption = _encryption(encryption_key_file, encryption_key_command, encryption_kms_key)
        encryption = _signing(signing_key_file, encryption) or encryption
        return command(*arguments, **options, encryption=encryption)

    # The last decorator comes first in the help.
    for option in (
        click.option("--signing-key-file", type=click.Path(path_type=Path, dir_okay=False), metavar="FILE",
                     envvar=_SIGNING_KEY_FILE,
                     help="File with a key to sign segments with, not to encrypt them: 32 bytes in base64."),
        click.option("--encryption-kms-key", metavar="ID", envvar=_KMS_KEY,
                     help="Id, ARN or alias of an AWS KMS key, which wraps the keys of segments."),
        click.option("--encryption-key-command", metavar="COMMAND", envvar=_KEY_COMMAND,
                     help="Command that prints the key of the store's segments; run without a shell."),
        click.option("--encryption-key-file", type=click.Path(path_type=Path, dir_okay=False), metavar="FILE",
                     envvar=_KEY_FILE,
                     help="File with the key of the store's segments: 32 bytes in base64."),
    ):  # fmt: skip
        run = option(run)
    return run  # type: ignore[return-value]  # it has the signature of the command


def _encryption(file: Path | None, command: str | None, kms_key: str | None) -> Encryption | None:
    """Returns the key that was given, None if none was. Called before anything else is done.

    Raises:
        UsageError: more than one key is given, or it is empty, or is not a 32-byte key in base64.
        NotAuthorized: the command failed, or did not end in time.
    """
    _refuse_empty(command, kms_key)
    given = [each for each in (file, command, kms_key, os.environ.get(ENCRYPTION_KEY)) if each]
    if len(given) > 1:
        raise UsageError(
            "More than one encryption key is given",
            hint=f"Give one of --encryption-key-file, --encryption-key-command, --encryption-kms-key and "
            f"{ENCRYPTION_KEY}. Each option has an environment variable too.",
        )
    if kms_key:
        return KmsKey(kms_key)
    if file:
        return _key(read_secret(file, "the encryption key"), str(file))
    if command:
        return _key(_printed(command), "what the command for the encryption key printed")
    return _key(os.environ[ENCRYPTION_KEY].encode(), ENCRYPTION_KEY) if given else None


def _signing(file: Path | None, encryption: Encryption | None) -> SigningKey | None:
    """Returns the key to sign with that was given, None if none was.

    Raises:
        UsageError: a key to encrypt with is given too, or it cannot be read or is not a 32-byte key in
            base64.
    """
    if os.environ.get(_SIGNING_KEY_FILE) is not None and file is None:
        raise UsageError(f"{_SIGNING_KEY_FILE} is given, but empty", hint="To sign nothing, unset it.")
    if file is None:
        return None
    if encryption is not None:
        raise UsageError(
            "A key to encrypt with and one to sign with are given",
            hint="Give one of them: what is encrypted needs no signature.",
        )
    return SigningKey(_key(read_secret(file, "the signing key"), str(file)))


def _refuse_empty(command: str | None, kms_key: str | None) -> None:
    """Refuses empty options and variables: ignoring such a mistake would leave a backup in clear.

    Raises:
        UsageError: an option or a variable is empty. (A file with an empty name cannot be read anyway.)
    """
    given = {"--encryption-key-command": command, "--encryption-kms-key": kms_key}
    # click ignores empty variables.
    given |= {name: os.environ.get(name) for name in (ENCRYPTION_KEY, _KEY_FILE, _KEY_COMMAND, _KMS_KEY)}
    for name, value in given.items():
        if value is not None and not value.strip():
            raise UsageError(
                f"{name} is given, but empty",
                hint="Give a key. To encrypt nothing, leave the option out and unset the variable.",
            )


def _printed(command: str) -> bytes:
    """Returns what a command prints. Its stderr is that of this process: it may ask for a password."""
    try:
        arguments = shlex.split(command)
        return subprocess.run(
            arguments, stdout=subprocess.PIPE, check=True, timeout=_COMMAND_TIMEOUT_S
        ).stdout
    except ValueError as exc:
        raise UsageError(f"The command for the encryption key cannot be split into words: {exc}") from None
    except OSError as exc:
        # A command that is one word by mistake is the name of a program that is not there, with all secrets.
        raise UsageError(
            f"The command for the encryption key cannot be run: {exc.strerror}",
            hint="Its first word is a program: quote the command once, as in 'pass show backups'.",
        ) from None
    except subprocess.TimeoutExpired:
        raise NotAuthorized(
            f"The command for the encryption key did not end within {_COMMAND_TIMEOUT_S} s"
        ) from None  # the cause holds what it printed
    except subprocess.CalledProcessError as exc:
        raise NotAuthorized(
            f"The command for the encryption key failed: exit code {exc.returncode}"
        ) from None


def _key(text: bytes, where: str) -> bytes:
    try:
        key = base64.b64decode(b"".join(text.split()), validate=True)
    except binascii.Error:
        raise UsageError(f"{where} is not a key: it is not base64", hint=_KEY_HINT) from None
    if len(key) != ENCRYPTION_KEY_BYTES:
        raise UsageError(
            f"{where} is not a key: it has {len(key)} bytes, not {ENCRYPTION_KEY_BYTES}",
            hint=_KEY_HINT,
        )
    return key
