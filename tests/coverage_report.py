"""Runs tests and prints the share of lines that they run, of the engine in C and of the package in Python.

    python tests/coverage_report.py [PYTEST ARGUMENTS]

The engine's lines are counted in the programs that `tests/test_engine_c.py` builds for this processor, in
build/coverage; those run kernels, whole networks, and damaged plans. Lines that no test runs are listed by file.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
FOLDER = ROOT / "build" / "coverage"
# Levels of other processors, and of those that this one may be too old for, are counted where they run.
NOT_HERE = ["neon", "simd128", "avx512"]


def main() -> int:
    """Runs pytest with the command line's arguments under coverage, then prints both tables; returns pytest's code."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    data = FOLDER / "python.data"
    environment = {**os.environ, "COVERAGE_FILE": str(data), "SHUFFLENET_TEST_COVERAGE": str(FOLDER)}
    arguments = sys.argv[1:] or ["-m", "not timing"]
    measured = ["-m", "coverage", "run", "--source", str(ROOT / "src"), "--parallel-mode", "-m", "pytest", *arguments]
    code = subprocess.run([sys.executable, *measured], cwd=ROOT, env=environment).returncode
    subprocess.run([sys.executable, "-m", "coverage", "combine", "--quiet"], cwd=ROOT, env=environment)
    report = ["-m", "coverage", "report", "--skip-covered", "--show-missing"]
    subprocess.run([sys.executable, *report], cwd=ROOT, env=environment)
    excluded = [f"--exclude=.*{name}.*" for name in NOT_HERE]
    # Threads count at once, and now and then a count of theirs comes out below zero.
    threads = "--gcov-ignore-parse-errors=negative_hits.warn_once_per_file"
    counted = ["-m", "gcovr", "--root", str(ROOT), "--filter", f"{ROOT}/engine/", *excluded, threads, str(FOLDER)]
    subprocess.run([sys.executable, *counted], cwd=ROOT, check=True)
    return code


if __name__ == "__main__":
    sys.exit(main())
