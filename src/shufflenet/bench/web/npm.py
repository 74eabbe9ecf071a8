"""The other runtimes' packages, from npm into a folder."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Iterable
from pathlib import Path


def install(packages: Iterable[str], folder: Path) -> Path:
    """The folder of packages below ``folder``, after those that it lacks have been installed.

    Raises:
        ValueError: npm is missing or fails.
    """
    modules = folder / "node_modules"
    missing = [package for package in packages if not (modules / package / "package.json").is_file()]
    if not missing:
        return modules
    npm = shutil.which("npm")
    if npm is None:
        raise ValueError(
            f"no npm, which installs {' and '.join(missing)}; --runtimes shufflenet times this package's engine alone"
        )
    folder.mkdir(parents=True, exist_ok=True)
    # No package's own scripts: their files are all that is needed.
    options = "--no-audit", "--no-fund", "--ignore-scripts", "--loglevel=error"
    done = subprocess.run(
        [npm, "install", *options, "--prefix", str(folder), *missing], capture_output=True, text=True, errors="replace"
    )
    if done.returncode:
        said = (done.stderr.strip() or done.stdout.strip() or "without a word").splitlines()[0]
        raise ValueError(f"npm could not install {' and '.join(missing)} in {folder}: {said}")
    return modules


def version(modules: Path, package: str) -> str:
    """An installed package's version."""
    return str(_described(modules / package)["version"])


def main_file(modules: Path, package: str) -> str:
    """The file that an import of the package means, relative to ``modules``."""
    described = _described(modules / package)
    return (Path(package) / (described.get("module") or described["main"])).as_posix()


def _described(folder: Path) -> dict[str, str]:
    described: dict[str, str] = json.loads((folder / "package.json").read_text(encoding="utf-8"))
    return described
