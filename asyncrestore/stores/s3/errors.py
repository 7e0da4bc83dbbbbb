"""Maps the errors of botocore and aiohttp to this package's; the only module that knows S3's error codes."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass
from http import HTTPStatus
from typing import TYPE_CHECKING, TypeAlias

import aiohttp
from botocore import exceptions as boto
from botocore.parsers import ResponseParserError

from asyncrestore.errors import (
    OPEN_FILES_HINT,
    AsyncRestoreError,
    NotAuthorized,
    NotFound,
    OtherKey,
    StoreFailed,
    Unavailable,
    UsageError,
    has_too_many_open_files,
)
from asyncrestore.stores.s3.session import Redirected

if TYPE_CHECKING:
    from collections.abc import Iterator

_NO_CREDENTIALS = (
    boto.NoCredentialsError,
    boto.PartialCredentialsError,
    boto.CredentialRetrievalError,
    boto.TokenRetrievalError,
    boto.NoAuthTokenError,
    boto.MetadataRetrievalError,
    boto.SSOError,
)
_WRONG_SETTINGS = (
    boto.ProfileNotFound,
    boto.ConfigParseError,
    boto.ConfigNotFound,
    boto.InvalidConfigError,
    boto.ParamValidationError,
    boto.ValidationError,
    boto.EndpointProviderError,
    boto.BaseEndpointResolverError,
    Redirected,
)
_NO_ANSWER = (
    boto.HTTPClientError,
    boto.ConnectionError,
    boto.IncompleteReadError,
    ResponseParserError,  # half of an XML document: the body was cut off
    aiohttp.ClientError,
    ConnectionError,
    TimeoutError,
)
_ANY = (boto.BotoCoreError, boto.ClientError, *_NO_ANSWER)

_Kind: TypeAlias = tuple[type[AsyncRestoreError], str]
_EXPIRED: _Kind = NotAuthorized, "The credentials have expired. Renew them and run the same command again."
_UNKNOWN: _Kind = NotAuthorized, "The server does not accept these credentials: check them."
_REGION: _Kind = UsageError, "The bucket is in another region: add region={region} to the store's URI."
_AGAIN: _Kind = Unavailable, ""
_FORBIDDEN: _Kind = NotAuthorized, "The credentials need {permission} there; docs/s3.md has a policy."
_WRONG_KEY: _Kind = OtherKey, "Another key of the service has wrapped it: give that one."
_NO_KEY: _Kind = NotAuthorized, "Check the key's id, region and state."
_BY_CODE: dict[str, _Kind] = {
    "NoSuchBucket": (NotFound, "Check the bucket's name, and the endpoint."),
    "RequestTimeTooSkewed": (NotAuthorized, "This machine's clock and the server's differ: set the clock."),
    "InvalidObjectState": (StoreFailed, "It is in an archive class: bring it back to one that can be read."),
    **dict.fromkeys(("ExpiredToken", "ExpiredTokenException", "TokenRefreshRequired"), _EXPIRED),
    **dict.fromkeys(("InvalidAccessKeyId", "SignatureDoesNotMatch", "InvalidToken"), _UNKNOWN),
    **dict.fromkeys(("UnrecognizedClientException", "InvalidClientTokenId"), _UNKNOWN),
    # Codes of the key service, all with status 400.
    "AccessDeniedException": (
        NotAuthorized,
        "The credentials need {permission} for the key that wrapped it.",
    ),
    "InvalidSignatureException": _UNKNOWN,
    **dict.fromkeys(("IncorrectKeyException", "InvalidCiphertextException"), _WRONG_KEY),
    **dict.fromkeys(("NotFoundException", "DisabledException", "InvalidKeyUsageException"), _NO_KEY),
    "KMSInvalidStateException": _NO_KEY,
    **dict.fromkeys(("PermanentRedirect", "TemporaryRedirect", "301", "307"), _REGION),
    **dict.fromkeys(("AuthorizationHeaderMalformed", "IllegalLocationConstraintException"), _REGION),
    # Worth another try whatever their status.
    **dict.fromkeys(("SlowDown", "RequestTimeout", "RequestLimitExceeded"), _AGAIN),
    **dict.fromkeys(("Throttling", "ThrottlingException", "TooManyRequests"), _AGAIN),
    "KeyUnavailableException": _AGAIN,
    # The body was damaged on its way.
    **dict.fromkeys(("BadDigest", "XAmzContentSHA256Mismatch"), _AGAIN),
}
_BY_STATUS: dict[int, _Kind] = {
    HTTPStatus.UNAUTHORIZED: _UNKNOWN,
    HTTPStatus.FORBIDDEN: _FORBIDDEN,
    HTTPStatus.NOT_FOUND: (NotFound, ""),
    HTTPStatus.REQUEST_TIMEOUT: _AGAIN,
    HTTPStatus.CONFLICT: _AGAIN,
    HTTPStatus.TOO_MANY_REQUESTS: _AGAIN,
    HTTPStatus.NOT_IMPLEMENTED: (StoreFailed, "The server lacks what backups need; use another store."),
    HTTPStatus.INSUFFICIENT_STORAGE: (StoreFailed, "The store is full. Free some space and run again."),
}


@dataclass(frozen=True, slots=True)
class Action:
    """A kind of request.

    Attributes:
        doing: display name, such as "reading".
        permission: what the credentials must be allowed to do.
    """

    doing: str
    permission: str


OPENING = Action("opening", "")
LISTING = Action("listing", "s3:ListBucket")
READING = Action("reading", "s3:GetObject")
WRITING = Action("writing", "s3:PutObject")
DELETING = Action("deleting", "s3:DeleteObject")


def status_of(error: boto.ClientError) -> int:
    """Returns the HTTP status of an error response."""
    return int(error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0))


@contextmanager
def s3_errors(action: Action, where: str) -> Iterator[None]:
    """Maps the errors of a request to this package's; `Unavailable` is worth another attempt.

    Raises:
        NotFound: the bucket or the object does not exist.
        NotAuthorized: credentials are missing, expired, unknown or not sufficient.
        UsageError: the store's URI or the AWS environment is wrong.
        Unavailable: there was no answer, or one that says to try again.
        StoreFailed: the request failed for any other reason.
    """
    try:
        yield
    except boto.ClientError as exc:
        raise _answered(exc, action, where) from exc
    except _ANY as exc:
        raise _unanswered(exc, action, where) from exc


def _unanswered(error: Exception, action: Action, where: str) -> AsyncRestoreError:
    what = f"{where}: {action.doing} failed: {str(error) or type(error).__name__}"
    if has_too_many_open_files(error):
        return StoreFailed(what, hint=OPEN_FILES_HINT)
    if isinstance(error, boto.SSLError):
        kind = StoreFailed if _distrusts(error) else Unavailable
        return kind(what, hint="Check the endpoint's certificate; AWS_CA_BUNDLE names others to trust.")
    if isinstance(error, _NO_CREDENTIALS):
        return NotAuthorized(what, hint="Set AWS_PROFILE, or AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY.")
    if isinstance(error, _WRONG_SETTINGS):
        return UsageError(what, hint="Check the store's URI and the AWS environment.")
    if isinstance(error, _NO_ANSWER):
        return Unavailable(what)
    return StoreFailed(what)


def _distrusts(error: Exception) -> bool:
    """Whether the server's certificate was refused, or it does not speak TLS. Other handshakes may pass."""
    certificate = isinstance(error.__context__, aiohttp.ClientConnectorCertificateError)
    return certificate or "WRONG_VERSION_NUMBER" in str(error)


def _answered(error: boto.ClientError, action: Action, where: str) -> AsyncRestoreError:
    status = status_of(error)
    details = error.response.get("Error", {})
    code, message = details.get("Code", ""), details.get("Message", "")
    otherwise = _AGAIN if status >= HTTPStatus.INTERNAL_SERVER_ERROR else (StoreFailed, "")
    kind, hint = _BY_CODE.get(code) or _BY_STATUS.get(status) or otherwise
    headers = error.response.get("ResponseMetadata", {}).get("HTTPHeaders", {})
    region = headers.get("x-amz-bucket-region") or details.get("Region", "REGION")
    return kind(
        f"{where}: {action.doing} failed: {status} {code}: {message}".rstrip(": "),
        hint=hint.format(region=region, permission=action.permission),
    )
