"""Wheels and sdists that `make dist` refuses."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.package.__main__ import EXTRAS, ROOT, modules
from tests.package.content import problems_of_sdist, problems_of_wheel

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

INFO = "asyncrestore-1.dist-info"
METADATA = b"Name: asyncrestore\nLicense-Expression: Apache-2.0\nLicense-File: LICENSE\n"
PLACES = ["/home/me/asyncrestore/"]
SDIST = ["LICENSE", "README.md", "CHANGELOG.md", "Makefile", "docs/a.md", "tests/a.py", "tools/lock"]
PACKAGE = modules()


def wheel() -> dict[str, bytes]:
    return {
        **dict.fromkeys(PACKAGE, b""),
        f"{INFO}/METADATA": METADATA,
        f"{INFO}/licenses/LICENSE": b"Apache",
    }


def sdist() -> dict[str, bytes]:
    return dict.fromkeys([*PACKAGE, *SDIST], b"")


def found(make: Callable[[], dict[str, bytes]], changes: Mapping[str, bytes | None]) -> list[str]:
    files = {name: data for name, data in {**make(), **changes}.items() if data is not None}
    return (problems_of_wheel if make is wheel else problems_of_sdist)(files, PACKAGE, PLACES)


def test_what_is_right_is_handed_on() -> None:
    assert found(wheel, {}) == found(sdist, {}) == []


@pytest.mark.parametrize(
    ("name", "data", "problem"),
    [
        ("tests/test_a.py", b"", "tests/test_a.py is in the wheel, and not of the package"),
        ("asyncrestore/__pycache__/a.cpython-311.pyc", b"", "is of a cache"),
        ("asyncrestore/errors.py", None, "asyncrestore/errors.py is not in the wheel"),
        ("asyncrestore/errors.py", b"# /home/me/asyncrestore/errors.py", "names /home/me/asyncrestore/"),
        ("asyncrestore/py.typed", None, "asyncrestore/py.typed is not there"),
        ("asyncrestore/demo/musicbrainz.edn.gz", None, "musicbrainz.edn.gz is not there"),
        (f"{INFO}/licenses/LICENSE", None, "licenses/LICENSE is not there"),
        (f"{INFO}/METADATA", None, "there is no METADATA"),
        (f"{INFO}/METADATA", METADATA.replace(b"Apache-2.0", b"MIT"), "License-Expression is MIT"),
    ],
)
def test_a_wheel_that_is_refused(name: str, data: bytes | None, problem: str) -> None:
    assert problem in "\n".join(found(wheel, {name: data}))


def test_a_kind_of_file_that_no_wheel_has_is_refused_although_the_package_has_it() -> None:
    files = {**wheel(), "asyncrestore/notes.txt": b""}
    problems = problems_of_wheel(files, [*PACKAGE, "asyncrestore/notes.txt"], PLACES)
    assert problems == ["asyncrestore/notes.txt is of a kind that no wheel has"]


@pytest.mark.parametrize("suffix", [".clj", ".lock"])
def test_a_wheel_without_what_the_bridge_is_made_of_is_refused(suffix: str) -> None:
    none_of_it = {name: None for name in PACKAGE if name.endswith(suffix)}
    assert f"{suffix} is not there" in "\n".join(found(wheel, none_of_it))


@pytest.mark.parametrize(
    ("name", "data", "problem"),
    [
        ("LICENSE", None, "LICENSE is not there"),
        ("asyncrestore/errors.py", None, "asyncrestore/errors.py is not in the sdist"),
        (".mypy_cache/a.json", b"", ".mypy_cache/a.json is of a cache"),
        ("docs/b.md", b"in /home/me/asyncrestore/docs", "docs/b.md names"),
    ],
)
def test_an_sdist_that_is_refused(name: str, data: bytes | None, problem: str) -> None:
    assert problem in "\n".join(found(sdist, {name: data}))


def test_all_extras_are_installed_and_the_licence_is_the_one_that_is_named() -> None:
    import tomllib

    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert set(EXTRAS.split(",")) == project["optional-dependencies"].keys()
    licence = (ROOT / "LICENSE").read_text()
    assert licence.startswith(f"SPDX-License-Identifier: {project['license']}\n\nCopyright ")
    assert project["license-files"] == ["LICENSE"]


def test_what_is_tried_imports_nothing_of_the_checkout() -> None:
    assert "tests." not in (Path(__file__).parent / "installed.py").read_text()
