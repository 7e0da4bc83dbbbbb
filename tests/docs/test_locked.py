"""The locked versions, beside the ranges that pyproject.toml allows."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[2]
LOCKED = ROOT / "tools/locked"
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
OF_LOCK = {
    "dev": [
        *PROJECT["project"]["dependencies"],
        *[
            each
            for extra, some in PROJECT["project"]["optional-dependencies"].items()
            if extra != "java"
            for each in some
        ],
        *PROJECT["dependency-groups"]["dev"],
    ],
    "java": PROJECT["project"]["optional-dependencies"]["java"],
    "build": PROJECT["dependency-groups"]["build"],
    "bench": PROJECT["dependency-groups"]["bench"],
    "wheel": [
        *PROJECT["project"]["dependencies"],
        *[each for some in PROJECT["project"]["optional-dependencies"].values() for each in some],
    ],
}


def versions(lock: str) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for name, version in re.findall(
        r"^([\w.-]+)==([^\s;\\]+)", (LOCKED / f"{lock}.txt").read_text(), re.MULTILINE
    ):
        found.setdefault(canonicalize_name(name), []).append(version)
    return found


@pytest.mark.parametrize(("lock", "text"), [(lock, text) for lock, some in OF_LOCK.items() for text in some])
def test_what_is_locked_is_in_the_range(lock: str, text: str) -> None:
    requirement = Requirement(text)
    locked = versions(lock)[canonicalize_name(requirement.name)]
    assert all(map(requirement.specifier.contains, locked))


@pytest.mark.parametrize("lock", OF_LOCK)
def test_each_has_a_hash(lock: str) -> None:
    entries = re.split(r"\n(?=\S)", (LOCKED / f"{lock}.txt").read_text().strip())
    assert all(re.search(r"--hash=sha256:[0-9a-f]{64}$", entry, re.MULTILINE) for entry in entries)
    assert len(entries) == sum(map(len, versions(lock).values()))


def test_the_wheel_is_tried_with_what_the_tests_run_with() -> None:
    known = {**versions("dev"), **versions("java")}
    assert {name: known.get(name) for name in versions("wheel")} == versions("wheel")


def test_the_bill_of_materials_has_packages_and_jars() -> None:
    made = subprocess.run([sys.executable, ROOT / "tools/sbom"], capture_output=True, check=True, timeout=60)
    urls = {component["purl"] for component in json.loads(made.stdout)["components"]}
    assert f"pkg:pypi/anyio@{versions('dev')['anyio'][0]}" in urls
    jars = [url for url in urls if url.startswith("pkg:maven/com.datomic/")]
    assert {url.split("@")[0].rpartition("/")[2] for url in jars} >= {"local", "peer"}
