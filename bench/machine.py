"""The machine and the commit that are measured."""

from __future__ import annotations

import os
import platform
import subprocess
from pathlib import Path
from typing import Any

import anyio

from asyncrestore.datomic.java import find_java


def machine(scratch: Path) -> dict[str, Any]:
    return {
        "cores": os.cpu_count(),
        "memory_gb": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e9, 1),
        "cpu": _cpu(),
        "system": platform.platform(),
        "python": platform.python_version(),
        "java": anyio.run(find_java).description,
        "file_system": file_system(scratch),
        "load_before": round(os.getloadavg()[0], 2),
    }


def commit() -> str:
    """The commit checked out, with a `+` if files were changed; empty outside of a repository."""
    try:
        said = subprocess.run(
            ["git", "describe", "--always", "--dirty=+", "--exclude=*"],
            cwd=Path(__file__).parent,
            capture_output=True,
            text=True,
            timeout=30,
            check=False,
        )
    except FileNotFoundError:
        return ""
    return said.stdout.strip()


def file_system(path: Path) -> str:
    """Type of the file system that holds a path; empty where there is no /proc."""
    mounts = Path("/proc/mounts")
    if not mounts.exists():
        return ""
    real = path.resolve()
    types = {Path(at): kind for _, at, kind, *_ in map(str.split, mounts.read_text().splitlines())}
    return next((types[parent] for parent in (real, *real.parents) if parent in types), "")


def _cpu() -> str:
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor()
