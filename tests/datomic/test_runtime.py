"""Compiling the bridge and making its archive, with a small stand-in for the bridge's sources."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from typing import TYPE_CHECKING

import anyio
import anyio.lowlevel
import pytest

from asyncrestore.datomic import build, made
from asyncrestore.datomic.cache import cache_dir
from asyncrestore.datomic.jars import ensure_jars, read_lock
from asyncrestore.datomic.java import find_java, jvm_environment
from asyncrestore.datomic.runtime import SOURCES, bridge_command, command_for
from asyncrestore.errors import DamageError, SetupFailed
from tests.support.refused import mode, no_more_files, nobody, unprivileged

if TYPE_CHECKING:
    from pathlib import Path

# Prints one line: whatever else comes to stdout comes from the JVM. `tally` counts the warm-ups.
STAND_IN = """
(ns asyncrestore.tiny (:gen-class))
(defn- warm-up [] (spit "{tally}" "warm\\n" :append true))
(defn -main [& [argument]]
  (when (= argument "warm-up") (warm-up) (System/exit {exit_code}))
  (println "ready"))
"""


@pytest.fixture(scope="session")
def clojure_jars() -> dict[str, Path]:
    """The jars of Clojure alone, by lock line."""
    lock_file = SOURCES / "local.lock"
    paths = anyio.run(ensure_jars, lock_file, cache_dir())
    return {
        f"{jar.coordinate} {jar.sha256}": path
        for jar, path in zip(read_lock(lock_file), paths, strict=True)
        if path.name.startswith(("clojure-", "spec.alpha", "core.specs"))
    }


class Workshop:
    """Sources and a cache directory of a test's own."""

    def __init__(self, directory: Path, clojure_jars: dict[str, Path]) -> None:
        self.sources, self.cache = directory / "sources", directory / "cache"
        self.tally = directory / "tally"
        (self.sources / "asyncrestore").mkdir(parents=True)
        (self.sources / "tiny.lock").write_text("\n".join(clojure_jars))
        for jar, path in zip(read_lock(self.sources / "tiny.lock"), clojure_jars.values(), strict=True):
            target = self.cache / "jars" / jar.path
            target.parent.mkdir(parents=True)
            shutil.copy(path, target)
        self.write()

    def write(self, source: str = STAND_IN, *, exit_code: int = 0) -> None:
        text = source.format(tally=self.tally.as_posix(), exit_code=exit_code)
        (self.sources / "asyncrestore" / "tiny.clj").write_text(text)

    def command(self) -> list[str]:
        return anyio.run(command_for, self.sources, "tiny", self.cache)

    def builds(self) -> list[Path]:
        return sorted((self.cache / "bridge").iterdir())

    def warm_ups(self) -> int:
        return len(self.tally.read_text().splitlines())


@pytest.fixture
def workshop(tmp_path: Path, clojure_jars: dict[str, Path]) -> Workshop:
    return Workshop(tmp_path, clojure_jars)


def output(command: list[str]) -> str:
    return subprocess.run(
        command, stdin=subprocess.DEVNULL, capture_output=True, check=True, timeout=60
    ).stdout.decode()


def archive_of(directory: Path) -> Path:
    return next(path for path in directory.iterdir() if path.suffix in {".jsa", ".aot"})


def test_built_once_then_only_looked_at(workshop: Workshop, monkeypatch: pytest.MonkeyPatch) -> None:
    command = workshop.command()
    assert output(command) == "ready\n"
    [directory] = workshop.builds()
    assert sorted(path.stem for path in directory.iterdir()) == ["bridge", "bridge", "made"]
    assert str(archive_of(directory)) in " ".join(command)

    async def nothing_may_run(*_: object) -> str:
        await anyio.lowlevel.checkpoint()
        pytest.fail("a JVM was started")

    monkeypatch.setattr(build, "_run", nothing_may_run)
    assert workshop.command() == command

    # A copy of it has other stamps, and is known by its hashes.
    shutil.copytree(directory, workshop.cache / "copy", copy_function=shutil.copy2)
    shutil.rmtree(directory)
    (workshop.cache / "copy").rename(directory)
    hashed: list[Path] = []
    digest = made._sha256

    def noted(file: Path) -> str:
        hashed.append(file)
        return digest(file)

    monkeypatch.setattr(made, "_sha256", noted)
    assert workshop.command() == command
    assert [file.name for file in hashed[::2]] == ["bridge.jar", archive_of(directory).name]
    hashed.clear()
    assert workshop.command() == command
    assert hashed == []

    # Another file in the place of one is not run: here, of the same size and times.
    for file in (directory / "bridge.jar", archive_of(directory)):
        content, there = file.read_bytes(), file.stat()
        file.chmod(0o644)
        file.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
        os.utime(file, ns=(there.st_atime_ns, there.st_mtime_ns))
        with pytest.raises(DamageError, match=f"{file} is damaged or was altered") as caught:
            workshop.command()
        assert f"Delete {directory}" in caught.value.hint
        file.write_bytes(content)
    assert output(workshop.command()) == "ready\n"


def test_other_sources_are_another_build(workshop: Workshop) -> None:
    first = workshop.command()
    workshop.write(STAND_IN.replace("ready", "changed"))
    second = workshop.command()
    assert (output(first), output(second)) == ("ready\n", "changed\n")
    assert len(workshop.builds()) == 2


def test_two_processes_build_once(workshop: Workshop) -> None:
    program = (
        "import anyio, sys; from pathlib import Path; from asyncrestore.datomic.runtime import command_for;"
        "print(anyio.run(command_for, Path(sys.argv[1]), 'tiny', Path(sys.argv[2])))"
    )
    arguments = [sys.executable, "-c", program, str(workshop.sources), str(workshop.cache)]
    processes = [subprocess.Popen(arguments, stdout=subprocess.PIPE) for _ in range(2)]
    first, second = (process.communicate(timeout=100)[0] for process in processes)
    assert first == second
    assert first
    assert workshop.warm_ups() == 2  # one while compiling, one for the archive


def test_an_interrupted_build_is_never_used(workshop: Workshop) -> None:
    # What is left when the power goes while compiling, and while the archive is written.
    compiling = workshop.cache / "bridge" / ".compile-torn" / "result"
    compiling.mkdir(parents=True)
    (compiling / "bridge.jar").write_bytes(b"half a jar")
    command = workshop.command()
    [directory] = workshop.builds()
    archive = archive_of(directory)
    torn = archive.with_name(f"unfinished-{archive.name}")
    archive.rename(torn)
    torn.chmod(0o644)
    torn.write_bytes(b"half an archive")
    assert workshop.command() == command
    assert archive.stat().st_size > 1_000_000
    assert not torn.exists()
    # A directory without its jar is not a build either.
    (directory / "bridge.jar").unlink()
    assert workshop.command() == command
    assert output(command) == "ready\n"


def test_without_an_archive_it_starts_all_the_same(
    workshop: Workshop, caplog: pytest.LogCaptureFixture
) -> None:
    workshop.write(exit_code=3)
    command = workshop.command()
    assert "without a class-data archive" in caplog.text
    assert "exit code 3" in caplog.text
    assert f"until {workshop.builds()[0] / 'no-archive.txt'} is deleted" in caplog.text
    assert output(command) == "ready\n"
    [directory] = workshop.builds()
    assert sorted(path.name for path in directory.iterdir()) == ["bridge.jar", "made.json", "no-archive.txt"]
    assert workshop.command() == command
    assert workshop.warm_ups() == 2  # it was not tried again


def test_a_directory_of_any_letters_in_the_locale_c(
    tmp_path: Path, clojure_jars: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LC_ALL", "POSIX")
    workshop = Workshop(tmp_path / "é 中", clojure_jars)
    command = workshop.command()
    assert archive_of(workshop.builds()[0]).exists()
    assert subprocess.check_output(command, env=jvm_environment(), timeout=60) == b"ready\n"


@nobody
def test_a_cache_directory_that_may_not_be_looked_into(workshop: Workshop) -> None:
    program = (
        "import anyio, sys; from pathlib import Path; from asyncrestore.datomic.runtime import command_for;"
        "anyio.run(command_for, Path(sys.argv[1]), 'tiny', Path(sys.argv[2]))"
    )
    arguments = [sys.executable, "-c", program, str(workshop.sources), str(workshop.cache)]
    (workshop.cache / "bridge").mkdir()
    with mode(workshop.cache / "bridge", 0):
        ran = subprocess.run(unprivileged(arguments), capture_output=True, text=True, timeout=60, check=False)
    assert "SetupFailed: The cache directory" in ran.stderr
    assert f"Permission denied: '{workshop.cache / 'bridge'}" in ran.stderr


def test_files_that_cannot_be_listed_are_not_taken_for_none(tmp_path: Path) -> None:
    (tmp_path / "a").touch()
    assert build._files(tmp_path, "a") == [tmp_path / "a"]
    with no_more_files(), pytest.raises(OSError, match="Too many open files"):
        build._files(tmp_path, "a")


def test_sources_that_do_not_compile(workshop: Workshop) -> None:
    workshop.write("(ns asyncrestore.tiny)\n(no-such-function)\n")
    with pytest.raises(SetupFailed, match="no-such-function") as caught:
        workshop.command()
    assert caught.value.hint
    assert workshop.builds() == []


def test_a_compiler_that_hangs_is_given_up(workshop: Workshop, monkeypatch: pytest.MonkeyPatch) -> None:
    workshop.write("(ns asyncrestore.tiny)\n(Thread/sleep 100000)\n")
    monkeypatch.setattr(build, "COMPILE_TIMEOUT_S", 1.5)
    with pytest.raises(SetupFailed, match=r"not done after 1\.5 s"):
        workshop.command()
    assert workshop.builds() == []


def test_the_real_bridge_ends_with_its_input() -> None:
    command = anyio.run(bridge_command)
    assert command[0] == anyio.run(find_java).executable
    assert output(command) == ""
