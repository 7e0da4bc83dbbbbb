"""Stores on S3, named by URI: `s3://BUCKET/PREFIX?endpoint-url=URL&region=REGION`."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, TypeAlias
from urllib.parse import parse_qsl, unquote, urlsplit

from asyncrestore.errors import UsageError
from asyncrestore.redact import redacted_uri

if TYPE_CHECKING:
    from collections.abc import Callable

Options: TypeAlias = dict[str, str]

_EXAMPLE = "A store on S3 is named like s3://BUCKET/PREFIX?region=REGION"
_BUCKET = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{1,253}[A-Za-z0-9]")
_LONGEST_LOCK_DAYS = 36_500


@dataclass(frozen=True, slots=True)
class S3Place:
    """A place on S3, and how objects are stored there. None leaves it to the AWS environment or the bucket.

    Attributes:
        bucket: its name, or an access point's alias.
        prefix: of all keys: empty, or ending with a slash.
        endpoint_url: of a server other than AWS's.
        region: the bucket's.
        profile: of the AWS configuration files.
        path_style: whether requests have the bucket's name in their path, rather than in the host name.
        encryption: server-side encryption, `AES256`, `aws:kms` or `aws:kms:dsse`.
        kms_key_id: the key for the latter two; without it the account's own.
        storage_class: such as `STANDARD_IA`.
        lock_mode: object lock, `GOVERNANCE` or `COMPLIANCE`.
        lock_days: how long an object is locked, from the moment it is written.
        owner: id of the AWS account that must own the bucket.
    """

    bucket: str
    prefix: str = ""
    endpoint_url: str | None = None
    region: str | None = None
    profile: str | None = None
    path_style: bool | None = None
    encryption: str | None = None
    kms_key_id: str | None = None
    storage_class: str | None = None
    lock_mode: str | None = None
    lock_days: int | None = None
    owner: str | None = None

    @property
    def uri(self) -> str:
        """The URI without options, as messages show it."""
        return f"s3://{self.bucket}/{self.prefix}".rstrip("/")

    def addressing(self) -> dict[str, str]:
        """Returns the parameters of every request that say which bucket it is for."""
        owner = {"ExpectedBucketOwner": self.owner} if self.owner else {}
        return {"Bucket": self.bucket, **owner}

    def storing(self) -> dict[str, str | datetime]:
        """Returns the parameters of `PutObject` that say how an object is stored."""
        wanted: dict[str, str | datetime | None] = {
            "ServerSideEncryption": self.encryption,
            "SSEKMSKeyId": self.kms_key_id,
            "StorageClass": self.storage_class,
            "ObjectLockMode": self.lock_mode,
            "ObjectLockRetainUntilDate": (
                datetime.now(UTC) + timedelta(days=self.lock_days) if self.lock_days else None
            ),
        }
        return {name: value for name, value in wanted.items() if value is not None}


def parse_s3_uri(text: str) -> S3Place:
    """Reads the URI of a store on S3.

    Raises:
        UsageError: a part is missing, unknown or impossible. The message shows no value that may be secret.
    """
    try:
        parts = urlsplit(text)
    except ValueError:  # its text may have a part of the URI in it
        raise UsageError(f"{redacted_uri(text)!r} cannot be read", hint=_EXAMPLE) from None
    if "@" in parts.netloc:
        raise UsageError(
            "A store's URI must not hold credentials",
            hint="Put them into the AWS environment: AWS_PROFILE, AWS_ACCESS_KEY_ID and so on.",
        )
    if not _BUCKET.fullmatch(parts.netloc) or parts.fragment:
        raise UsageError(f"{redacted_uri(text)} does not name a bucket", hint=_EXAMPLE)
    prefix = unquote(parts.path).strip("/")
    if prefix and any(step in {"", ".", ".."} for step in prefix.split("/")):
        raise UsageError(f"{redacted_uri(text)}: the prefix has an empty step or dots in it")
    where = f"s3://{parts.netloc}/{prefix}"
    options = _options(parts.query, where)
    place = S3Place(
        parts.netloc,
        f"{prefix}/" if prefix else "",
        endpoint_url=_take(options, "endpoint-url", _is_endpoint, "a URL such as https://HOST:PORT", where),
        region=_take(options, "region", str.isascii, "the name of a region", where),
        profile=_take(options, "profile", bool, "the name of a profile", where),
        path_style={"true": True, "false": False, None: None}[
            _take(options, "path-style", _one_of("true", "false"), "true or false", where)
        ],
        encryption=_take(
            options,
            "sse",
            _one_of("AES256", "aws:kms", "aws:kms:dsse"),
            "AES256, aws:kms or aws:kms:dsse",
            where,
        ),
        kms_key_id=_take(options, "sse-kms-key-id", bool, "a key's id or ARN", where),
        storage_class=_take(options, "storage-class", str.isupper, "a class such as STANDARD_IA", where),
        lock_mode=_take(
            options, "object-lock", _one_of("GOVERNANCE", "COMPLIANCE"), "GOVERNANCE or COMPLIANCE", where
        ),
        lock_days=int(_take(options, "object-lock-days", _is_days, "a number of days", where) or 0) or None,
        owner=_take(options, "expected-bucket-owner", _is_account, "an account's id, 12 digits", where),
    )
    if options:
        raise UsageError(
            f"{where}: unknown option {', '.join(sorted(options))}", hint="docs/s3.md has them all."
        )
    if (place.lock_mode is None) != (place.lock_days is None):
        raise UsageError(f"{where}: object-lock and object-lock-days are given together or not at all")
    if place.kms_key_id and not (place.encryption or "").startswith("aws:kms"):
        raise UsageError(f"{where}: sse-kms-key-id needs sse=aws:kms")
    return place


def _options(query: str, where: str) -> Options:
    try:
        pairs = parse_qsl(query, keep_blank_values=True, strict_parsing=True) if query else []
    except ValueError as exc:
        raise UsageError(f"{where}: its options are not NAME=VALUE joined by &", hint=_EXAMPLE) from exc
    options = dict(pairs)
    if len(options) < len(pairs):
        raise UsageError(f"{where}: an option is given twice", hint=_EXAMPLE)
    return options


def _take(options: Options, name: str, good: Callable[[str], bool], what: str, where: str) -> str | None:
    value = options.pop(name, None)
    if value is not None and not (value and good(value)):
        raise UsageError(f"{where}: {name} must be {what}")
    return value


def _one_of(*values: str) -> Callable[[str], bool]:
    return values.__contains__


def _is_days(value: str) -> bool:
    return value.isascii() and value.isdecimal() and 0 < int(value[:9]) <= _LONGEST_LOCK_DAYS


def _is_account(value: str) -> bool:
    return len(value) == 12 and value.isascii() and value.isdecimal()


def _is_endpoint(value: str) -> bool:
    try:
        parts = urlsplit(value)
        _ = parts.port  # raises ValueError when it is not a number
    except ValueError:
        return False
    return parts.scheme in {"http", "https"} and bool(parts.hostname) and "@" not in parts.netloc
