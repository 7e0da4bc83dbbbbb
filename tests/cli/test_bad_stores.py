"""Stores that cannot be used: the error says which and why, the hint what to do, and the exit code fits."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from asyncrestore.segments.seal import sealed
from tests.support import small_backup
from tests.support.cli import Ran
from tests.support.refused import can, confined, mode, nobody
from tests.support.s3 import Fault, refuse, relay

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support.s3 import Bucket, Exchange, Proxy


# S3


@pytest.fixture
def on_s3(moto_bucket: Bucket, proxy: Proxy) -> str:
    """The same on S3, behind a server that breaks on request."""
    for key, data in small_backup.objects().items():
        moto_bucket.put(f"backups/db/{key}", data)
    return moto_bucket.uri(endpoint_url=proxy.url)


def only(method: str, words: str, fault: Fault) -> dict[str, Fault]:
    """Faults for the requests of a method whose path contains these words."""

    def sometimes(exchange: Exchange) -> None:
        (fault if words in exchange.path else relay)(exchange)

    return {method: sometimes}


LAST = f"{small_backup.RANGES[2].start:013d}-"
DENIED = refuse(403, "AccessDenied")
EXPIRED = refuse(400, "ExpiredToken")
ELSEWHERE = refuse(301, "PermanentRedirect", x_amz_bucket_region="eu-west-9")


@pytest.mark.parametrize(
    ("faults", "code", "says", "hint"),
    [
        (only("GET", "list-type", DENIED), 12, "listing failed", "s3:ListBucket"),
        (only("GET", LAST, DENIED), 12, "reading failed", "s3:GetObject"),
        (only("PUT", "", DENIED), 12, "writing failed", "s3:PutObject"),
        (only("GET", "", refuse(403, "InvalidAccessKeyId")), 12, "InvalidAccessKeyId", "check them"),
        (only("GET", "", refuse(403, "RequestTimeTooSkewed")), 12, "RequestTimeTooSkewed", "set the clock"),
        (only("GET", LAST, EXPIRED), 12, "ExpiredToken", "Renew them and run the same command again"),
        (only("PUT", "parquet", EXPIRED), 12, "ExpiredToken", "Renew them and run the same command again"),
        (only("GET", "", ELSEWHERE), 2, "PermanentRedirect", "region=eu-west-9"),
        (only("GET", "", refuse(404, "NoSuchBucket")), 10, "NoSuchBucket", "bucket's name"),
        (only("PUT", "", refuse(507, "InsufficientStorage")), 1, "writing failed", "Free some space"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_servers_that_refuse(
    capsys: pytest.CaptureFixture[str],
    on_s3: str,
    proxy: Proxy,
    faults: dict[str, Fault],
    code: int,
    says: str,
    hint: str,
) -> None:
    """Compacting lists, reads and writes."""
    proxy.always = faults
    ran = Ran(capsys, "--json", "--quiet", "compact", on_s3)
    assert ran.code == code, ran.err
    assert says in ran.error["message"]
    assert on_s3.split("?", maxsplit=1)[0] in ran.error["message"], "it names the store"
    assert hint in ran.error["hint"]

    proxy.always = {}
    assert Ran(capsys, "compact", on_s3, "--quiet").code == 0, "the same command goes on"


def test_no_credentials(capsys: pytest.CaptureFixture[str], on_s3: str, aws: pytest.MonkeyPatch) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        aws.delenv(name)
    ran = Ran(capsys, "--json", "verify", on_s3)
    assert ran.code == 12
    assert "AWS_PROFILE" in ran.error["hint"]


def test_a_region_that_does_not_exist(capsys: pytest.CaptureFixture[str], on_s3: str) -> None:
    ran = Ran(capsys, "verify", f"{on_s3}&region=not%20a%20region")
    assert ran.code == 2
    assert "Traceback" not in ran.err


def test_a_bucket_with_other_content(capsys: pytest.CaptureFixture[str], moto_bucket: Bucket) -> None:
    for key in ("photo.jpg", "backups/readme.txt", "backups/db/notes.txt", "backups/db/x/y.parquet"):
        moto_bucket.put(key, b"")
    for place in ("backups", ""):
        ran = Ran(capsys, "verify", moto_bucket.uri(place))
        assert ran.code == 10, ran.err
        assert "hint: " in ran.err
    for key, data in small_backup.objects().items():
        moto_bucket.put(f"backups/db/{key}", data)
    ran = Ran(capsys, "--json", "--quiet", "verify", moto_bucket.uri())
    assert ran.code == 0
    assert json.loads(ran.out)["notes"][0] == "notes.txt is not a segment"


# Directories


mounts = pytest.mark.skipif(
    not can("-rm", "mount -t tmpfs none /mnt"), reason="nothing can be mounted here, not even for oneself"
)


@mounts
def test_a_full_disk(store: Path, tmp_path: Path) -> None:
    spare = tmp_path / "spare"
    spare.mkdir()
    mount = f"mount -t tmpfs -o size=4k none {spare}"
    ran = confined("-rm", mount, "--json", "--quiet", "copy", str(store), str(spare))
    assert ran.returncode == 1, ran.stderr
    error = json.loads(ran.stderr)
    assert "No space left on device" in error["message"]
    assert str(spare) in error["message"]
    assert "Free some space and run the same command again" in error["hint"]


@mounts
def test_a_read_only_disk(store: Path) -> None:
    mount = f"mount --bind {store} {store} && mount -o remount,ro,bind {store}"
    ran = confined("-rm", mount, "--json", "--quiet", "compact", str(store))
    assert ran.returncode == 1, ran.stderr
    assert "Read-only file system" in json.loads(ran.stderr)["message"]
    ran = confined("-rm", mount, "--quiet", "verify", str(store))
    assert ran.returncode == 0, "it can be read"


@nobody
def test_an_unwritable_directory(store: Path) -> None:
    with mode(store / "db", 0o555):
        ran = confined("-U", "true", "--json", "--quiet", "compact", str(store))
    assert ran.returncode == 12, ran.stderr
    error = json.loads(ran.stderr)
    assert "Permission denied" in error["message"]
    assert str(store / "db") in error["message"]
    assert "owner and mode" in error["hint"]
    assert sorted(path.name for path in (store / "db").iterdir()) == sorted(small_backup.objects())


def test_a_newer_version_s_store(capsys: pytest.CaptureFixture[str], store: Path) -> None:
    for key, data in small_backup.objects().items():
        newer = data.replace(b'"format":2', b'"format":3')
        (store / "db" / key).write_bytes(sealed(newer))
    for arguments in (["compact"], ["info"], ["copy", str(store.parent / "spare")], ["verify"]):
        name, *more = arguments
        ran = Ran(capsys, name, str(store), *more, "--quiet")
        assert ran.code == 4, ran.err
        assert "its format is version 3, this program knows those up to 2" in ran.out + ran.err
        assert "Traceback" not in ran.err
    ran = Ran(capsys, "--json", "--quiet", "compact", str(store))
    assert ran.error["hint"] == "Use a newer asyncrestore."
    assert sorted(path.name for path in (store / "db").iterdir()) == sorted(small_backup.objects())
