"""The files of a wheel and of an sdist, and the faults in them."""

from __future__ import annotations

import tarfile
import zipfile
from email.parser import BytesParser
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

OF_PACKAGE = (
    "asyncrestore/py.typed",
    "asyncrestore/datomic/jvm/*.lock",
    "asyncrestore/datomic/jvm/asyncrestore/*.clj",
    "asyncrestore/demo/README.md",
    "asyncrestore/demo/musicbrainz.edn.gz",
)
"""Of each at least one file is in a wheel, besides modules."""

OF_SDIST = (
    "LICENSE",
    "README.md",
    "CHANGELOG.md",
    "Makefile",
    "docs/*.md",
    "tests/*.py",
    "tools/lock",
)
"""Of each at least one file is in an sdist, besides the package."""

_OF_CACHES = ("*__pycache__/*", "*.pyc", "*.*_cache/*", "*.venv*", "*/.hypothesis/*", "*.DS_Store", "*.orig")
_SUFFIXES = ("/py.typed", ".py", ".clj", ".lock", ".md", ".edn.gz")


def files_of_wheel(wheel: Path) -> dict[str, bytes]:
    """Reads all files of a wheel, by name."""
    with zipfile.ZipFile(wheel) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def files_of_sdist(sdist: Path) -> dict[str, bytes]:
    """Reads all files of an sdist, by name, without the directory that they all lie in."""
    with tarfile.open(sdist) as archive:
        files = ((member.name, archive.extractfile(member)) for member in archive if member.isfile())
        return {name.split("/", 1)[1]: file.read() for name, file in files if file is not None}


def problems_of_wheel(files: Mapping[str, bytes], modules: Iterable[str], places: Iterable[str]) -> list[str]:
    """Returns the faults of a wheel.

    Args:
        files: its files by name.
        modules: names of the files of the package in the checkout.
        places: directories of this machine, which no file may name.
    """
    about = [name for name in files if ".dist-info/" in name.partition("/")[0] + "/"]
    own = files.keys() - set(about)
    problems = [f"{name} is in the wheel, and not of the package" for name in sorted(own - {*modules})]
    problems += [f"{name} is not in the wheel" for name in sorted({*modules} - own)]
    problems += [
        f"{name} is of a kind that no wheel has" for name in sorted(own) if not name.endswith(_SUFFIXES)
    ]
    problems += _missing(files, (*OF_PACKAGE, "*.dist-info/licenses/LICENSE"))
    problems += _of_this_machine(files, places)
    return problems + _problems_of_metadata(files)


def problems_of_sdist(files: Mapping[str, bytes], modules: Iterable[str], places: Iterable[str]) -> list[str]:
    """Returns the faults of an sdist; the arguments are those of `problems_of_wheel`."""
    missing = [f"{name} is not in the sdist" for name in sorted({*modules} - files.keys())]
    return missing + _missing(files, (*OF_PACKAGE, *OF_SDIST)) + _of_this_machine(files, places)


def _missing(files: Mapping[str, bytes], patterns: Iterable[str]) -> list[str]:
    return [f"{each} is not there" for each in patterns if not any(fnmatchcase(name, each) for name in files)]


def _of_this_machine(files: Mapping[str, bytes], places: Iterable[str]) -> list[str]:
    """Says which files are of a cache, or name a directory of this machine."""
    caches = [name for name in files if any(fnmatchcase(f"/{name}", each) for each in _OF_CACHES)]
    named = [
        f"{name} names {place}" for name, data in files.items() for place in places if place.encode() in data
    ]
    return [f"{name} is of a cache" for name in caches] + named


def _problems_of_metadata(files: Mapping[str, bytes]) -> list[str]:
    texts = [data for name, data in files.items() if name.endswith(".dist-info/METADATA")]
    if len(texts) != 1:
        return ["there is no METADATA"]
    metadata = BytesParser().parsebytes(texts[0])
    wanted = {"Name": "asyncrestore", "License-Expression": "Apache-2.0", "License-File": "LICENSE"}
    return [
        f"{field} is {metadata[field]}, not {value}"
        for field, value in wanted.items()
        if metadata[field] != value
    ]
