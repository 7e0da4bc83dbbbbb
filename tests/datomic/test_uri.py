"""Databases named by URI."""

from __future__ import annotations

import anyio
import pytest

import asyncrestore
from asyncrestore.datomic.engines import ENGINES, parse_uri
from asyncrestore.datomic.runtime import SOURCES
from asyncrestore.datomic.uri import ACCESS_KEY_VARIABLE, SECRET_VARIABLE
from asyncrestore.errors import UsageError
from tests.support.engines import IN_MEMORY, memory_uri_of


@pytest.mark.parametrize(
    ("uri", "db", "listed"),
    [
        ("datomic:mem://music", "music", "datomic:mem://*"),
        ("datomic:dev://host:4334/music", "music", "datomic:dev://host:4334/*"),
        ("datomic:ddb://us-east-1/table/music", "music", "datomic:ddb://us-east-1/table/*"),
        (
            "datomic:sql://music?jdbc:postgresql://h:5432/datomic?user=u&password=p/q",
            "music",
            "datomic:sql://*?jdbc:postgresql://h:5432/datomic?user=u&password=p/q",
        ),
        (
            "datomic:cass://h:9042/datomic.datomic/music?user=u&password=p",
            "music",
            "datomic:cass://h:9042/datomic.datomic/*?user=u&password=p",
        ),
    ],
)
def test_uris_of_pro_go_to_the_peer_as_they_are(uri: str, db: str, listed: str) -> None:
    place = parse_uri(uri)
    assert (place.engine, place.db, place.place) == ("peer", db, {"uri": uri})
    before, question, after = uri.partition("?")
    whole = before.removesuffix(db) + question + after
    for without in (whole, listed):
        place = parse_uri(without)
        assert (place.engine, place.db, place.place) == ("peer", "", {"uri": listed})


def test_what_may_be_secret_is_not_shown() -> None:
    assert parse_uri("datomic:dev://h:1/music?password=secret").text == "datomic:dev://h:1/music?..."
    with pytest.raises(UsageError) as caught:
        parse_uri("datomic:cloud://h/music?password=secret")
    assert "secret" not in str(caught.value) + caught.value.hint
    with pytest.raises(UsageError, match=r"music\?\.\.\. is a database; there is nothing") as caught:
        anyio.run(asyncrestore.verify, "datomic:dev://h:1/music?password=secret")
    assert "secret" not in str(caught.value) + caught.value.hint


@pytest.mark.parametrize("engine", ENGINES)
def test_an_engine_has_all_that_its_row_says(engine: str) -> None:
    assert (SOURCES / f"{engine}.lock").exists()
    assert "(defn -main" in (SOURCES / "asyncrestore" / f"{engine.replace('-', '_')}.clj").read_text()


@pytest.mark.parametrize("engine", IN_MEMORY)
def test_databases_in_memory(engine: str) -> None:
    found = parse_uri(memory_uri_of(engine, "music"))
    assert (found.engine, found.db, found.aws) == (engine, "music", False)


CLOUD = "datomic:cloud://prod/music?region=us-east-1&endpoint=https%3A//h.example.com"


@pytest.mark.parametrize(
    ("uri", "place"),
    [
        (CLOUD, {"endpoint": "https://h.example.com"}),
        (
            "datomic:cloud://prod/music?region=us-east-1&endpoint=http://entry.prod.us-east-1.datomic.net:8182/"
            "&profile=a%20b&proxy-port=8182",
            {
                "endpoint": "http://entry.prod.us-east-1.datomic.net:8182/",
                "profile": "a b",
                "proxy-port": "8182",
            },
        ),
    ],
)
def test_uris_of_cloud(uri: str, place: dict[str, str]) -> None:
    found = parse_uri(uri)
    assert (found.engine, found.db, found.aws, found.text) == ("cloud", "music", True, uri)
    assert found.place == {"system": "prod", "db": "music", "region": "us-east-1", **place}
    assert parse_uri("datomic:cloud://prod?" + uri.partition("?")[2]).db == ""


def test_uris_of_peer_servers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(ACCESS_KEY_VARIABLE, "mykey")
    monkeypatch.setenv(SECRET_VARIABLE, "mysecret")
    found = parse_uri("datomic:peer-server://db.local:8998/music?trust-certs=/c.pem&validate-hostnames=false")
    assert (found.engine, found.db, found.aws) == ("peer-server", "music", False)
    assert found.place == {
        "endpoint": "db.local:8998",
        "db": "music",
        "trust-certs": "/c.pem",
        "validate-hostnames": "false",
        "access-key": "mykey",
        "secret": "mysecret",
    }
    assert "mysecret" not in repr(found)


@pytest.mark.parametrize(
    ("uri", "says", "hint"),
    [
        ("datomic:cloud://prod/music", "does not name its region", "region=us-east-1"),
        ("datomic:cloud://prod/music?region=us-east-1", "does not name its endpoint", "endpoint=https"),
        ("datomic:cloud://prod/a/b?region=r&endpoint=https://h", "one system and one database", "cloud://"),
        ("datomic:cloud:///a?region=r&endpoint=https://h", "one system and one database", "cloud://"),
        ("datomic:cloud://prod/a?region=r&endpoint=h.example.com", "endpoint is not http://", "its scheme"),
        ("datomic:cloud://prod/a?region=r&endpoint=https://h/x", "endpoint is not http://", "its scheme"),
        ("datomic:cloud://prod/a?region=r&endpoint=https://u:p0w@h", "holds a user or a", "cloud://"),
        (
            "datomic:cloud://prod/a?region=r&endpoint=https%3A%2F%2Fu%3Ap0w%40h",
            "holds a user or a",
            "cloud://",
        ),
        ("datomic:cloud://prod/a?p0w", "an option without a value", "cloud://"),
        (CLOUD + "&proxy-port=0", "proxy-port is no number", "cloud://"),
        (CLOUD + "&secret=p0w", "holds a key", "ASYNCRESTORE_PEER_SERVER_SECRET"),
        ("datomic:peer-server://h/music", "needs one host with its port", "HOST:PORT"),
        ("datomic:peer-server://h:99999/music", "needs one host with its port", "HOST:PORT"),
        ("datomic:peer-server://key:p0w@h:8998/music", "holds a user or a key", "PEER_SERVER_SECRET"),
        ("datomic:peer-server://key%3Ap0w%40h:8998/music", "holds a user or a key", "PEER_SERVER_SECRET"),
        ("datomic:peer-server://h:8998/music?trust-certs=", "no file in trust-certs", "HOST:PORT"),
        ("datomic:peer-server://h:8998/music?secret=p0w", "holds a key", "PEER_SERVER_SECRET"),
        ("datomic:peer-server://h:8998/music?access-key=p0w", "holds a key", "PEER_SERVER_ACCESS_KEY"),
        ("datomic:peer-server://h:8998/m?validate-hostnames=no", "is true or false", "HOST:PORT"),
    ],
)
def test_uris_of_servers_that_are_refused(uri: str, says: str, hint: str) -> None:
    with pytest.raises(UsageError, match=says) as caught:
        parse_uri(uri)
    assert hint in caught.value.hint
    assert "p0w" not in str(caught.value) + caught.value.hint


def test_a_scheme_is_that_of_one_engine() -> None:
    named = [scheme for engine in ENGINES.values() for scheme in engine.schemes or ()]
    assert len(named) == len(set(named))
    assert [engine.schemes for engine in ENGINES.values()].count(None) == 1


@pytest.mark.parametrize("uri", ["datomic:", "datomic:mem", "datomic:mem:music", "datomic:://music"])
def test_no_engine(uri: str) -> None:
    with pytest.raises(UsageError, match="'missing' is not supported"):
        parse_uri(uri)


@pytest.mark.parametrize(
    ("written", "directory"),
    [
        ("/data/c++", "/data/c++"),
        ("/data/a%23b%26c%20d", "/data/a#b&c d"),
        ("/data/a=b", "/data/a=b"),
        ("/data/a?b/[c", "/data/a?b/[c"),
        ("/data/a\tb", "/data/a\tb"),
    ],
)
def test_directories_are_taken_as_they_are_written(written: str, directory: str) -> None:
    place = parse_uri(f"datomic:local://prod/music?storage-dir={written}").place
    assert place == {"storage-dir": directory, "system": "prod", "db": "music"}


@pytest.mark.parametrize(("written", "system"), [("[a", "[a"), ("\u2100x", "\u2100x"), ("a:b@c", "a:b@c")])
def test_a_system_is_no_host(written: str, system: str) -> None:
    assert parse_uri(f"datomic:local://{written}/music?storage-dir=/data").place["system"] == system


@pytest.mark.parametrize(
    ("uri", "says"),
    [
        ("datomic:local://prod/..?storage-dir=/data", "needs one system and one database"),
        ("datomic:local://%2E./music?storage-dir=/data", "needs one system and one database"),
        ("datomic:local://prod/music?storage-dir=~nobody-of-this-name/data", "home directory"),
        ("datomic:local://prod/music?storage-dir=/data/%ff", "is not UTF-8 behind"),
        ("datomic:local://prod/music?storage-dir=/data/\udcff", "is not in UTF-8"),
        ("datomic:mem://\udcff", "is not in UTF-8"),
    ],
)
def test_names_that_lead_astray(uri: str, says: str) -> None:
    with pytest.raises(UsageError, match=says):
        parse_uri(uri)


def test_a_hash_would_cut_a_directory_short() -> None:
    with pytest.raises(UsageError, match="has a hash in it"):
        parse_uri("datomic:local://prod/music?storage-dir=/data/a#b")


@pytest.mark.parametrize(
    ("uri", "aws"),
    [
        ("datomic:ddb://us-east-1/table/db", True),
        ("datomic:ddb-local://localhost:8000/table/db?aws_access_key_id=x", True),
        ("datomic:sql://db?jdbc:aws-wrapper:postgresql://h/d", True),
        ("datomic:sql://db?jdbc:postgresql://h/d", False),
        ("datomic:mem://db", False),
        ("datomic:local://aws/db?storage-dir=/aws", False),
    ],
)
def test_which_databases_are_in_aws(uri: str, aws: bool) -> None:
    assert parse_uri(uri).aws == aws
