"""URIs of stores on S3 are read strictly, and refused without a word of what may be secret."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from asyncrestore.errors import UsageError
from asyncrestore.stores.s3.uri import S3Place, parse_s3_uri


def test_all_options() -> None:
    place = parse_s3_uri(
        "s3://my.bucket-1/a%20b/c/?endpoint-url=https%3A%2F%2Fminio.example:9000&region=eu-west-1&profile=p"
        "&path-style=true&sse=aws:kms&sse-kms-key-id=arn:aws:kms:eu-west-1:1:key/2&storage-class=STANDARD_IA"
        "&object-lock=GOVERNANCE&object-lock-days=90"
    )
    assert place == S3Place(
        "my.bucket-1", "a b/c/", "https://minio.example:9000", "eu-west-1", "p", True, "aws:kms",
        "arn:aws:kms:eu-west-1:1:key/2", "STANDARD_IA", "GOVERNANCE", 90,
    )  # fmt: skip
    assert place.uri == "s3://my.bucket-1/a b/c"
    until = place.storing()["ObjectLockRetainUntilDate"]
    assert isinstance(until, datetime)
    assert timedelta(days=89) < until - datetime.now(UTC) <= timedelta(days=90)


@pytest.mark.parametrize("text", ["s3://bucket", "s3://bucket/", "s3://bucket?path-style=false"])
def test_few_options(text: str) -> None:
    place = parse_s3_uri(text)
    assert (place.bucket, place.prefix, place.uri) == ("bucket", "", "s3://bucket")
    assert place.storing() == {}


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("s3://", "does not name a bucket"),
        ("s3:///prefix", "does not name a bucket"),
        ("s3://[bucket/prefix", "cannot be read"),
        ("s3://b/prefix", "does not name a bucket"),
        ("s3://bucket:80/prefix", "does not name a bucket"),
        ("s3://bucket/prefix#x", "does not name a bucket"),
        ("s3://buck%20et/prefix", "does not name a bucket"),
        ("s3://bucket/a//b", "empty step"),
        ("s3://bucket/a/../b", "dots"),
        ("s3://bucket/p?region", "NAME=VALUE"),
        ("s3://bucket/p?region=a&region=b", "given twice"),
        ("s3://bucket/p?region=", "region must be"),
        ("s3://bucket/p?endpoint-url=minio:9000", "endpoint-url must be"),
        ("s3://bucket/p?endpoint-url=http://host:port", "endpoint-url must be"),
        ("s3://bucket/p?path-style=yes", "true or false"),
        ("s3://bucket/p?sse=aes", "sse must be"),
        ("s3://bucket/p?sse=AES256&sse-kms-key-id=k", "needs sse=aws:kms"),
        ("s3://bucket/p?object-lock=COMPLIANCE", "given together"),
        ("s3://bucket/p?object-lock-days=3", "given together"),
        ("s3://bucket/p?object-lock=COMPLIANCE&object-lock-days=0", "number of days"),
        ("s3://bucket/p?object-lock=COMPLIANCE&object-lock-days=99999999999999", "number of days"),
    ],
)
def test_wrong_uris(text: str, says: str) -> None:
    with pytest.raises(UsageError, match=says):
        parse_s3_uri(text)


@pytest.mark.parametrize(
    "text",
    [
        "s3://AKIA:SECRET@bucket/prefix",
        "s3://bucket/p?aws-secret-access-key=SECRET",
        "s3://bucket/p?endpoint-url=https://user:SECRET@host",
        "s3://bucket/p?session-token=SECRET&session-token=SECRET",
        "s3://bucket/p?SECRET",
    ],
)
def test_secrets_are_refused_and_not_repeated(text: str) -> None:
    with pytest.raises(UsageError) as raised:
        parse_s3_uri(text)
    assert "SECRET" not in str(raised.value) + raised.value.hint
