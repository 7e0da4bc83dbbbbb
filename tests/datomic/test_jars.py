"""Jars come from a repository on this machine: complete, checked, once; and every way in which that fails."""

from __future__ import annotations

import errno
import hashlib
import os
import re
import socket
import stat
import subprocess
import sys
import threading
from collections import Counter
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING

import anyio
import psutil
import pytest

from asyncrestore.datomic import jars
from asyncrestore.datomic.cache import cache_dir, locked, refuse_planted
from asyncrestore.datomic.jars import Jar, ensure_jars, read_lock
from asyncrestore.datomic.runtime import SOURCES
from asyncrestore.errors import DamageError, SetupFailed, Unavailable
from tests.support.refused import give_away

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

CONTENTS = {"org.one:alpha:1.0": b"first jar" * 9000, "org.one.two:beta:2.1-b3": b"second jar"}
ALPHA = "/org/one/alpha/1.0/alpha-1.0.jar"


def lock_line(coordinate: str, content: bytes) -> str:
    return f"{coordinate} {hashlib.sha256(content).hexdigest()}\n"


class Repository(ThreadingHTTPServer):
    """A Maven repository in memory. `faults` maps a path to what happens instead, the next times."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.files = {f"/{Jar(c, '').path.as_posix()}": content for c, content in CONTENTS.items()}
        self.faults: dict[str, list[str]] = {}
        self.requests: Counter[str] = Counter()
        self.asked_by: list[str] = []
        self.closing = threading.Event()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"


class Handler(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        repository = self.server
        assert isinstance(repository, Repository)
        repository.requests[self.path] += 1
        repository.asked_by += [word for each in psutil.Process().children() for word in each.cmdline()]
        content = repository.files.get(self.path)
        faults = repository.faults.get(self.path)
        fault = faults.pop(0) if faults else ""
        if content is None or fault == "error":
            self.send_error(404 if content is None else 503)
            return
        self.send_response(200)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content[: len(content) // 2] if fault else content)
        if fault == "stall":
            repository.closing.wait()

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the name is the base class's
        pass


@pytest.fixture
def repository(monkeypatch: pytest.MonkeyPatch) -> Iterator[Repository]:
    with Repository() as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        monkeypatch.setenv("ASYNCRESTORE_MAVEN_REPOSITORY", server.url)
        yield server
        server.closing.set()
        server.shutdown()
        thread.join()


@pytest.fixture
def lock_file(tmp_path: Path) -> Path:
    path = tmp_path / "test.lock"
    path.write_text("# a comment\n" + "".join(lock_line(*item) for item in CONTENTS.items()))
    return path


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(jars, "FIRST_PAUSE_S", 0.0)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    return tmp_path / "cache"


def leftovers(cache: Path) -> list[Path]:
    return [
        path for path in cache.rglob("*") if path.is_file() and path.suffix not in {".jar", ".lock"}
    ] + list(cache.glob(".fetch*"))


def test_missing_jars_are_fetched_once(repository: Repository, lock_file: Path, cache: Path) -> None:
    paths = anyio.run(ensure_jars, lock_file, cache)
    assert [path.read_bytes() for path in paths] == list(CONTENTS.values())
    seen = repository.requests.copy()
    assert seen[ALPHA] == 1
    assert anyio.run(ensure_jars, lock_file, cache) == paths
    assert repository.requests == seen
    assert not leftovers(cache)
    assert "jgo" not in sys.modules  # importing it costs more than the whole check


@pytest.mark.usefixtures("repository")
def test_nothing_of_the_working_directory_is_run(
    lock_file: Path, cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "here").mkdir()
    (tmp_path / "here" / "jgo.py").write_text("raise SystemExit('planted')")
    monkeypatch.chdir(tmp_path / "here")
    assert len(anyio.run(ensure_jars, lock_file, cache)) == 2


@pytest.mark.usefixtures("repository")
def test_what_a_killed_process_left_is_removed(lock_file: Path, cache: Path) -> None:
    (cache / ".fetch-killed").mkdir(parents=True)
    (cache / ".fetch-killed" / "alpha-1.0.jar").write_bytes(b"half a jar")
    anyio.run(ensure_jars, lock_file, cache)
    assert not leftovers(cache)


def test_two_processes_fetch_once(repository: Repository, lock_file: Path, cache: Path) -> None:
    program = (
        "import anyio, sys; from pathlib import Path; from asyncrestore.datomic.jars import ensure_jars;"
        "print(len(anyio.run(ensure_jars, Path(sys.argv[1]), Path(sys.argv[2]))))"
    )
    command = [sys.executable, "-c", program, str(lock_file), str(cache)]
    processes = [subprocess.Popen(command, stdout=subprocess.PIPE) for _ in range(2)]
    assert [process.communicate(timeout=60)[0].strip() for process in processes] == [b"2", b"2"]
    assert repository.requests[ALPHA] == 1


def test_an_altered_jar_is_named(repository: Repository, lock_file: Path, cache: Path) -> None:
    path, _ = anyio.run(ensure_jars, lock_file, cache)
    path.write_bytes(b"something else")
    with pytest.raises(DamageError) as caught:
        anyio.run(ensure_jars, lock_file, cache)
    for part in (path, hashlib.sha256(b"something else").hexdigest(), read_lock(lock_file)[0].sha256):
        assert str(part) in str(caught.value)
    assert "Delete" in caught.value.hint
    path.unlink()
    anyio.run(ensure_jars, lock_file, cache)
    assert repository.requests[ALPHA] == 2


def test_a_wrong_jar_from_the_repository_is_not_kept(
    repository: Repository, lock_file: Path, cache: Path
) -> None:
    repository.files[ALPHA] = b"malicious"
    with pytest.raises(DamageError, match=r"org\.one:alpha:1\.0: the repository served another file"):
        anyio.run(ensure_jars, lock_file, cache)
    assert not (cache / "jars" / ALPHA[1:]).exists()
    assert not leftovers(cache)


@pytest.mark.parametrize("fault", ["error", "cut"])
def test_a_failed_download_is_tried_again(
    repository: Repository, lock_file: Path, cache: Path, fault: str
) -> None:
    repository.faults[ALPHA] = [fault, fault]
    paths = anyio.run(ensure_jars, lock_file, cache)
    assert [path.read_bytes() for path in paths] == list(CONTENTS.values())
    assert repository.requests[ALPHA] == 3


def test_what_came_is_kept_when_another_is_not_there(
    repository: Repository, lock_file: Path, cache: Path
) -> None:
    content = repository.files.pop(ALPHA)
    with pytest.raises(Unavailable, match="1 of 2 jars") as caught:
        anyio.run(ensure_jars, lock_file, cache)
    assert "org.one:alpha:1.0" in str(caught.value)
    assert "org.one.two:beta" not in str(caught.value).partition(":\n")[2]
    before = repository.requests.copy()
    repository.files[ALPHA] = content
    anyio.run(ensure_jars, lock_file, cache)
    assert {path for path in (repository.requests - before) if path.endswith(".jar")} == {ALPHA}


def test_no_network(lock_file: Path, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket() as closed:
        # Bound and not listening: connections are refused, and nobody else can have the port.
        closed.bind(("127.0.0.1", 0))
        port = closed.getsockname()[1]
        monkeypatch.setenv("ASYNCRESTORE_MAVEN_REPOSITORY", f"http://127.0.0.1:{port}")
        with pytest.raises(Unavailable, match="2 of 2 jars") as caught:
            anyio.run(ensure_jars, lock_file, cache)
    for coordinate in CONTENTS:
        assert coordinate in str(caught.value)
    for part in ("asyncrestore setup", "ASYNCRESTORE_MAVEN_REPOSITORY", str(cache)):
        assert part in caught.value.hint


def test_a_password_of_the_repository_is_not_told(
    repository: Repository, lock_file: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    del repository.files[ALPHA]
    url = repository.url.replace("//", "//user:s3cr@t@")
    monkeypatch.setenv("ASYNCRESTORE_MAVEN_REPOSITORY", url)
    with pytest.raises(Unavailable, match=r"//\.\.\.@127\.0\.0\.1") as caught:
        anyio.run(ensure_jars, lock_file, cache)
    assert "s3cr" not in str(caught.value) + caught.value.hint
    assert "asyncrestore.datomic.fetch" in repository.asked_by
    assert "s3cr" not in " ".join(repository.asked_by)


def test_a_stalled_repository_is_given_up(
    repository: Repository, lock_file: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(jars, "FETCH_TIMEOUT_S", 2.0)
    repository.faults[ALPHA] = ["stall"]
    with pytest.raises(Unavailable, match="not done after 2 s"):
        anyio.run(ensure_jars, lock_file, cache)
    assert not leftovers(cache)


def test_a_lock_that_is_held_is_waited_for_until_the_deadline(tmp_path: Path) -> None:
    async def try_twice() -> None:
        async with locked(tmp_path, "jars"):
            with pytest.raises(Unavailable, match="Another process has held"):
                async with locked(tmp_path, "jars", timeout_s=0.2):
                    pytest.fail("two holders of one lock")
        async with locked(tmp_path, "jars", timeout_s=0):
            pass

    anyio.run(try_twice)


def test_a_cache_directory_that_cannot_be_used(lock_file: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(SetupFailed, match="cannot be used") as caught:
        anyio.run(ensure_jars, lock_file, tmp_path / "file")
    assert "ASYNCRESTORE_CACHE_DIR" in caught.value.hint


def test_a_cache_directory_without_locks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def no_locks(*_: object) -> None:
        raise OSError(errno.ENOLCK, "No locks available")  # as some network file systems say

    async def hold() -> None:
        async with locked(tmp_path, "jars"):
            pytest.fail("it is not held")

    monkeypatch.setattr("fcntl.flock", no_locks)
    with pytest.raises(SetupFailed, match=r"cannot be used: .*No locks available") as caught:
        anyio.run(hold)
    assert "ASYNCRESTORE_CACHE_DIR" in caught.value.hint


def no_home(_: object) -> str:
    raise RuntimeError("could not determine the home directory")


@pytest.mark.parametrize(
    ("chosen", "says"),
    [
        ("", "There is no place for"),
        ("~nobody-of-this-name/cache", "There is no place for"),
        (f"a{os.pathsep}b", "class path"),
    ],
)
def test_a_place_that_can_be_no_cache_directory(
    chosen: str, says: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ASYNCRESTORE_CACHE_DIR", chosen)
    # Without HOME the user's entry among the system's users is asked: a container's user may have none.
    monkeypatch.setattr("platformdirs.user_cache_path", no_home)
    with pytest.raises(SetupFailed, match=says) as caught:
        cache_dir()
    assert "ASYNCRESTORE_CACHE_DIR" in caught.value.hint


def test_the_cache_directory_is_made_for_this_user_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ASYNCRESTORE_CACHE_DIR", str(tmp_path / "made" / "cache"))
    cache = cache_dir()
    assert {stat.S_IMODE(path.stat().st_mode) for path in (cache, cache.parent)} == {0o700}
    (tmp_path / "link").symlink_to(cache)
    monkeypatch.setenv("ASYNCRESTORE_CACHE_DIR", str(tmp_path / "link"))
    assert cache_dir() == cache, "the link is followed once"


@pytest.mark.parametrize(
    ("mode", "above", "refused"),
    [
        (0o700, 0o755, ""),
        (0o755, 0o1777, ""),
        (0o777, 0o755, "cache may be written by others (mode 777)"),
        (0o1777, 0o755, "cache may be written by others (mode 1777)"),
        (0o770, 0o755, "cache may be written by others (mode 770)"),
        (0o700, 0o777, "above may be written by others (mode 777)"),
    ],
)
def test_a_cache_directory_that_others_may_write_to_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, mode: int, above: int, refused: str
) -> None:
    cache = tmp_path / "above" / "cache"
    cache.mkdir(parents=True)
    cache.chmod(mode)
    cache.parent.chmod(above)
    monkeypatch.setenv("ASYNCRESTORE_CACHE_DIR", str(cache))
    if not refused:
        assert cache_dir() == cache
        return
    with pytest.raises(SetupFailed, match=re.escape(refused)) as caught:
        cache_dir()
    assert f"delete {cache}" in caught.value.hint


@pytest.mark.parametrize("whose", ["cache", "above"])
def test_a_cache_directory_of_another_user_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, whose: str
) -> None:
    cache = tmp_path / "above" / "cache"
    cache.mkdir(parents=True)
    give_away(cache if whose == "cache" else cache.parent, monkeypatch)
    monkeypatch.setenv("ASYNCRESTORE_CACHE_DIR", str(cache))
    with pytest.raises(SetupFailed, match="belongs to another user"):
        cache_dir()


def test_a_jar_that_another_user_has_planted_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    jar = tmp_path / "cache" / "jars" / "one" / "a.jar"
    jar.parent.mkdir(parents=True)
    jar.touch()
    refuse_planted(tmp_path / "cache", [jar])
    jar.parent.chmod(0o777)
    with pytest.raises(SetupFailed, match=f"{jar.parent} may be written by others"):
        refuse_planted(tmp_path / "cache", [jar])
    (tmp_path / "cache").chmod(0o700)
    refuse_planted(tmp_path / "cache", [jar])
    give_away(jar.parent, monkeypatch)
    with pytest.raises(SetupFailed, match="belongs to another user"):
        refuse_planted(tmp_path / "cache", [jar])


def test_a_lock_file_that_is_not_one(tmp_path: Path) -> None:
    path = tmp_path / "bad.lock"
    path.write_text("org.one:alpha 12ab\n")
    with pytest.raises(DamageError, match=r"bad\.lock, line 1"):
        read_lock(path)


def test_the_lock_file_of_local_is_complete() -> None:
    locked_jars = read_lock(SOURCES / "local.lock")
    names = {jar.coordinate.rpartition(":")[0] for jar in locked_jars}
    assert {"com.datomic:local", "org.clojure:clojure", "com.cognitect:transit-clj"} <= names
    assert len(names) == len(locked_jars)
    assert all(len(bytes.fromhex(jar.sha256)) == 32 for jar in locked_jars)
    assert os.sep not in "".join(names)
