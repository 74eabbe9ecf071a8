"""Fuzzes all targets: builds those in C by Clang, makes the seeds, and shares the time and the processors among them.

    python fuzz/run.py --seconds 600 [TARGET...]

What inputs were found stays in build/fuzz/TARGET, from which the next call goes on. Inputs that broke something are
in build/fuzz/found, and end the command with exit code 1: they belong into fuzz/corpus/TARGET once the cause is mended.
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent
IN_C = ("plan", "preprocess", "exported")
IN_PYTHON = ("pictures", "model_files", "checkpoints", "archives", "http_requests", "programs")
_MOST_FINDINGS = 20  # of a target; each begins it anew
_SANITIZERS = "fuzzer-no-link,address,undefined"
_LIMITS = [
    "-timeout=60",
    "-rss_limit_mb=4096",
    "-malloc_limit_mb=4096",
    "-max_len=65536",
    "-mutate_depth=1",
    "-print_final_stats=1",
]


@dataclass
class Result:
    """What fuzzing one target has come to."""

    target: str
    executions: int = 0
    edges: int = 0
    inputs: int = 0  # kept, since each reaches what no other does
    found: list[str] = field(default_factory=list)
    said: str = ""  # by the target itself, at its end


def build(folder: Path) -> None:
    """Writes the seeds and builds the targets in C below ``folder``.

    Raises:
        SystemExit: a tool is missing, or the build fails.
    """
    clang = os.environ.get("CLANG", "clang")
    if not shutil.which(clang):
        raise SystemExit("clang is not installed: on Debian, apt-get install clang libclang-rt-14-dev")
    if not (folder / "seeds" / "net").is_dir():
        subprocess.run([sys.executable, HERE / "seeds.py", folder / "seeds"], check=True)
    options = ["-DSHUFFLENET_FUZZ=ON", f"-DSHUFFLENET_SANITIZE={_SANITIZERS}", f"-DCMAKE_C_COMPILER={clang}"]
    options.append(f"-DSHUFFLENET_EXPORTED={folder / 'seeds' / 'net'}")
    log = folder / "build.log"
    with log.open("w") as output:
        for command in (
            ["cmake", "-S", str(ROOT), "-B", str(folder / "c"), *options],
            ["cmake", "--build", str(folder / "c"), "--parallel", str(os.cpu_count() or 1)],
        ):
            if subprocess.run(command, stdout=output, stderr=subprocess.STDOUT).returncode:
                raise SystemExit(f"the targets in C could not be built: see {log}")


def fuzz(target: str, seconds: float, folder: Path) -> Result:
    """Runs one target for ``seconds``, again and again if inputs end it."""
    result = Result(target)
    kept, found = folder / target, folder / "found"
    for needed in (kept, found):
        needed.mkdir(parents=True, exist_ok=True)
    program = (
        [str(folder / "c" / "fuzz" / f"fuzz_{target}")]
        if target in IN_C
        else [sys.executable, str(HERE / f"{target}.py")]
    )
    corpora = [kept, folder / "seeds" / target, *filter(Path.is_dir, [HERE / "corpus" / target])]
    dictionary = HERE / "dictionaries" / f"{target}.dict"
    end = time.monotonic() + seconds
    while (left := int(end - time.monotonic())) > 0 and len(result.found) < _MOST_FINDINGS:
        arguments = [f"-max_total_time={left}", f"-artifact_prefix={found}/{target}-", *_LIMITS]
        if dictionary.exists():
            arguments.append(f"-dict={dictionary}")
        ran = subprocess.run(
            [*program, *arguments, *map(str, corpora)],
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        )  # fmt: skip
        _read_output(ran.stdout.decode(errors="replace"), result)
        if ran.returncode and not result.found:
            result.found.append(f"ended with exit code {ran.returncode}")
            break
        if not ran.returncode:
            break
    result.inputs = sum(1 for _ in kept.iterdir())
    return result


def _read_output(text: str, result: Result) -> None:
    """Adds what libFuzzer said at the end of one run."""
    units = re.findall(r"stat::number_of_executed_units: (\d+)", text)
    result.executions += int(units[-1]) if units else 0
    result.edges = max([result.edges, *map(int, re.findall(r"\bcov: (\d+)", text))])
    result.said = " ".join(re.findall(r"^\d+ plans were run$", text, re.MULTILINE))
    written = re.findall(r"Test unit written to (\S+/\w+-(?:crash|timeout|oom|leak)-\S+)", text)
    reasons = re.findall(
        r"^(?:FAILED: .*|\w*(?:Error|Exception)\b.*|SUMMARY: .*|.*runtime error: .*)$", text, re.MULTILINE
    )
    result.found += [f"{path}: {(reasons or ['?'])[0]}"[:300] for path in written]


def table(results: Iterable[Result]) -> str:
    """The results as lines of text."""
    lines = [f"{'target':<14}{'executions':>12}{'edges':>8}{'inputs':>8}{'findings':>10}"]
    for result in results:
        lines.append(
            f"{result.target:<14}{result.executions:>12,}{result.edges:>8,}{result.inputs:>8,}{len(result.found):>10}"
            + (f"   {result.said}" if result.said else "")
        )
        lines += [f"  {found}" for found in result.found]
    return "\n".join(lines)


def main() -> int:
    """Parses the command line, fuzzes, and prints the table; returns the exit code."""
    parser = argparse.ArgumentParser(description="Fuzz all targets, or those that are named.")
    parser.add_argument("targets", nargs="*", metavar="TARGET", help=f"of {', '.join(IN_C + IN_PYTHON)}; default: all")
    parser.add_argument(
        "--seconds", type=float, default=600, help="that the whole takes, without the build (default 600)"
    )
    parser.add_argument(
        "--jobs", type=int, default=os.cpu_count() or 1, help="targets at once; default: the processors"
    )
    parser.add_argument("--folder", type=Path, default=ROOT / "build" / "fuzz", help="default: build/fuzz")
    options = parser.parse_args()
    if unknown := set(options.targets) - {*IN_C, *IN_PYTHON}:
        parser.error(f"no target {min(unknown)!r}")
    targets = options.targets or [*IN_C, *IN_PYTHON]
    folder: Path = options.folder.absolute()
    folder.mkdir(parents=True, exist_ok=True)
    build(folder)
    jobs = min(options.jobs, len(targets))
    each = options.seconds * jobs / len(targets)
    with ThreadPoolExecutor(jobs) as pool:
        results = list(pool.map(lambda target: fuzz(target, each, folder), targets))
    print(table(results))
    return 1 if any(result.found for result in results) else 0


if __name__ == "__main__":
    sys.exit(main())
