"""Labels a folder on a Ray cluster of two nodes on this machine, and takes away a node and the command meanwhile.

    pip install '.[ray]'
    python benchmarks/ray_cluster.py FOLDER

Each time the Parquet files are compared, byte for byte, with those of `shufflenet predict FOLDER --to labels/`. Lines
of JSON: what was done, whether the files are equal, and how many parts were written twice.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

_PORT = 6399
_CURRENT = Path("/tmp/ray/ray_current_cluster")  # where other programs would look for this cluster after its end
_RAY = [str(Path(sys.executable).with_name("ray"))]
_PREDICT = [sys.executable, "-m", "shufflenet", "predict"]
_SHARE = 0.3  # of the parts that are done when something is taken away


def start_node(*options: str) -> subprocess.Popen[bytes]:
    """A node with one core: a process whose children are Ray's."""
    command = [*_RAY, "start", "--block", "--num-cpus=1", "--disable-usage-stats", *options]
    return subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def kill(node: subprocess.Popen[bytes]) -> None:
    """Kills a process, if it is there, and all that have come from it, which have process groups of their own."""
    if node.poll() is not None:
        return
    parents = {}
    for status in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):  # it has ended
            _, _, fields = status.read_text().rpartition(")")
            parents[int(status.parent.name)] = int(fields.split()[1])
    family = {node.pid}
    while more := {pid for pid, parent in parents.items() if parent in family} - family:
        family |= more
    for pid in family:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    node.wait()


def nodes(address: str) -> int:
    """How many nodes of the cluster are alive, in the eyes of a program that asks."""
    asks = "import ray, sys; ray.init(sys.argv[1], log_to_driver=False); print(sum(n['Alive'] for n in ray.nodes()))"
    return int(subprocess.run([sys.executable, "-c", asks, address], capture_output=True, check=True).stdout)


def digests(folder: Path) -> dict[str, str]:
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in folder.glob("*.parquet")}


def wait_for(folder: Path, parts: int, command: subprocess.Popen[bytes]) -> None:
    while len(list(folder.glob("*.parquet"))) < parts:
        if command.poll() is not None:
            sys.exit(f"the command ended before {parts} parts were done")
        time.sleep(0.05)


def main(source: Path) -> None:
    address = f"127.0.0.1:{_PORT}"
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)

        def predict(to: str, *options: str) -> subprocess.Popen[bytes]:
            command = [*_PREDICT, str(source.resolve()), "--to", str(folder / to), *options]
            return subprocess.Popen(command, stdout=subprocess.DEVNULL)

        def say(what: str, **found: Any) -> None:
            print(json.dumps({"what": what, **found}), flush=True)

        began = time.monotonic()
        predict("here").wait()
        seconds = round(time.monotonic() - began, 1)
        right = digests(folder / "here")
        say("this machine alone", seconds=seconds, parts=len(right))

        head = start_node("--head", f"--port={_PORT}", "--include-dashboard=false")
        time.sleep(8)
        second = start_node(f"--address={address}")
        time.sleep(8)
        try:
            began = time.monotonic()
            predict("two", "--on", f"ray:{address}").wait()
            seconds = round(time.monotonic() - began, 1)
            say("two nodes", nodes=nodes(address), seconds=seconds, equal=digests(folder / "two") == right)

            command = predict("lost", "--on", f"ray:{address}")
            wait_for(folder / "lost", int(_SHARE * len(right)), command)
            kill(second)
            done = len(list((folder / "lost").glob("*.parquet")))
            code = command.wait()
            equal = digests(folder / "lost") == right
            say("a node killed", nodes=nodes(address), after_parts=done, exit_code=code, equal=equal)

            second = start_node(f"--address={address}")
            time.sleep(8)
            command = predict("again", "--on", f"ray:{address}")
            wait_for(folder / "again", int(_SHARE * len(right)), command)
            command.kill()
            command.wait()
            before = {path: path.stat().st_mtime_ns for path in (folder / "again").glob("*.parquet")}
            code = predict("again", "--on", f"ray:{address}").wait()
            twice = sum(path.stat().st_mtime_ns != written for path, written in before.items())
            equal = digests(folder / "again") == right
            say("the command killed", after_parts=len(before), exit_code=code, equal=equal, written_twice=twice)
        finally:
            kill(second)
            kill(head)
            _CURRENT.unlink(missing_ok=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
