"""Makes wheel and sdist, looks into them, installs the wheel elsewhere, and tries it there: `make dist`.

    python -m tests.package --out dist

What the wheel and its extras need is installed as `tools/locked/wheel.txt` has it. It is fetched, or built
where there is no wheel of it, into one directory. From that an empty environment is filled without a network.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import venv
from pathlib import Path

from tests.package.content import files_of_sdist, files_of_wheel, problems_of_sdist, problems_of_wheel

ROOT = Path(__file__).parents[2]
EXTRAS = "encrypt,fake,java,query"
LONGEST_S = 900


def main() -> int:
    """Runs the command line; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m tests.package", description=__doc__)
    parser.add_argument("--out", type=Path, default=ROOT / "dist", help="where wheel and sdist go")
    out = parser.parse_args().out.absolute()
    try:
        wheel, problems = make(out)
    except subprocess.SubprocessError as exc:
        print(f"FAILED: {exc}")
        return 1
    for problem in problems:
        print(f"FAILED: {problem}")
    if not problems:
        print(f"Whole, and tried: {wheel}, and the sdist beside it")
    return 1 if problems else 0


def make(out: Path) -> tuple[Path, list[str]]:
    """Makes wheel and sdist and tries the wheel; returns the wheel, and the faults of both."""
    with tempfile.TemporaryDirectory(prefix="asyncrestore-dist-") as name:
        elsewhere = Path(name)
        wheel, problems = build(out, elsewhere)
        if problems:
            return wheel, problems
        python = install(wheel, elsewhere)
        print("Trying it", flush=True)
        run([python.parent / "asyncrestore", "demo", "--keep", elsewhere / "demo"], elsewhere)
        shutil.copy(ROOT / "tests/package/installed.py", elsewhere)
        run([python, "-I", elsewhere / "installed.py", elsewhere / "demo"], elsewhere)
        return wheel, []


def build(out: Path, elsewhere: Path) -> tuple[Path, list[str]]:
    """Makes the sdist of the checkout, and the wheel of that; returns the wheel, and the faults of both."""
    print("Building", flush=True)
    for old in (*out.glob("asyncrestore-*.whl"), *out.glob("asyncrestore-*.tar.gz")):
        old.unlink()
    hatchling = [sys.executable, "-m", "hatchling", "build"]
    run([*hatchling, "-t", "sdist", "-d", out], ROOT)
    (sdist,) = out.glob("asyncrestore-*.tar.gz")
    run([*PIP, "wheel", "--no-index", "--no-deps", "--no-build-isolation", "-w", out, sdist], elsewhere)
    (wheel,) = out.glob("asyncrestore-*.whl")
    run([*hatchling, "-t", "wheel", "-d", elsewhere / "of-checkout"], ROOT)

    places = [f"{place}/" for place in {str(ROOT), str(Path.home()), str(elsewhere)} if place != "/"]
    problems = problems_of_wheel(files_of_wheel(wheel), modules(), places)
    problems += problems_of_sdist(files_of_sdist(sdist), modules(), places)
    if wheel.read_bytes() != (elsewhere / "of-checkout" / wheel.name).read_bytes():
        problems.append("the sdist makes another wheel than the checkout")
    return wheel, problems


def modules() -> list[str]:
    """The names of the files of the package in the checkout, without what Python compiled."""
    files = (path for path in (ROOT / "asyncrestore").rglob("*") if path.is_file())
    return [str(path.relative_to(ROOT)) for path in files if "__pycache__" not in path.parts]


def install(wheel: Path, elsewhere: Path) -> Path:
    """Installs the wheel with its extras into an empty environment; returns its Python."""
    print("Installing it elsewhere", flush=True)
    wheels = elsewhere / "wheels"
    locked = ROOT / "tools/locked/wheel.txt"
    run([*PIP, "wheel", "--require-hashes", "--no-build-isolation", "-w", wheels, "-r", locked], elsewhere)
    shutil.copy(wheel, wheels)
    venv.create(elsewhere / "environment", with_pip=True)
    python = elsewhere / "environment" / "bin" / "python"
    pip = [python, "-I", *PIP[1:]]
    run([*pip, "install", "--no-index", "--find-links", wheels, f"asyncrestore[{EXTRAS}]"], elsewhere)
    run([*pip, "check"], elsewhere)
    return python


PIP: list[str | Path] = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check"]


def run(command: list[str | Path], directory: Path) -> None:
    """Runs a program in a directory, with nothing in its environment that leads to the checkout's Python."""
    hidden = ("PYTHONPATH", "PYTHONHOME", "VIRTUAL_ENV")
    environment = {name: value for name, value in os.environ.items() if name not in hidden}
    subprocess.run(command, cwd=directory, env=environment, check=True, timeout=LONGEST_S)


if __name__ == "__main__":
    sys.exit(main())
