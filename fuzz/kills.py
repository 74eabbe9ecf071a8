"""Kills a small training run at random times, again and again, and lets the same command go on each time.

    python fuzz/kills.py --kills 1000

Each run that comes to its end must leave the model file of a run that nobody disturbed, byte for byte. A run is a
process forked from this one, which has trained once already: `shufflenet train` then begins within milliseconds.
"""

from __future__ import annotations

import argparse
import math
import os
import random
import shutil
import signal
import sys
import tempfile
import time
from contextlib import suppress
from pathlib import Path

sys.path.append(str(Path(__file__).resolve().parent.parent / "tests"))

import torch

import labelled_shapes
from shufflenet import cli

_OPTIONS = ["--arch", "shufflenet_g2_x0_25", "--size", "32", "--epochs", "2", "--mixup", "0.2", "--learning-rate", "4"]
_PICTURES = 8  # of each class, to train on


def start(data: Path, out: Path, log: Path) -> int:
    """Forks a process that trains into ``out``; returns its number."""
    child = os.fork()
    if child:
        return child
    try:
        with log.open("ab") as file:
            os.dup2(file.fileno(), 1)
            os.dup2(file.fileno(), 2)
        os._exit(train(data, out))
    finally:
        os._exit(99)  # an exception that the command line did not turn into a message


def train(data: Path, out: Path) -> int:
    """Trains in this process, with a checkpoint behind each step; returns the exit code."""
    sys.argv = ["shufflenet", "train", str(data), "--out", str(out), *_OPTIONS, "--checkpoint-minutes", "0"]
    try:
        cli.main()
    except SystemExit as end:
        return int(end.code or 0)
    return 0


def wait(child: int, seconds: float) -> int | None:
    """The exit status of ``child``, or None as soon as it has used ``seconds`` of a processor."""
    while True:
        ended, status = os.waitpid(child, os.WNOHANG)
        if ended:
            return status
        if processor_seconds(child) > seconds:
            return None
        time.sleep(0.005)


def processor_seconds(child: int) -> float:
    """What a process that has not been waited for has used of a processor, all of its threads together."""
    tasks = Path(f"/proc/{child}/task").glob("*/schedstat")
    total = 0
    for task in tasks:
        with suppress(OSError):  # a thread that has just ended
            total += int(task.read_text().split()[0])
    return total * 1e-9


def finished(out: Path, log: Path, status: int, expected: bytes | None) -> bytes:
    """The model file of a run that ended with ``status``.

    Raises:
        SystemExit: it failed, or the file is not ``expected``.
    """
    if status:
        raise SystemExit(f"a run ended with {os.waitstatus_to_exitcode(status)}: {log.read_text()[-2000:]}")
    model = (out / "model.safetensors").read_bytes()
    if expected is not None and model != expected:
        raise SystemExit(f"{out}: another model than that of the undisturbed run")
    if left := [path.name for path in out.glob(".*.tmp")]:
        raise SystemExit(f"{out}: left over: {left}")
    return model


def main() -> None:
    """Parses the command line, kills, and prints how often."""
    parser = argparse.ArgumentParser(description="Kill a training run at random times, and resume it each time.")
    parser.add_argument("--kills", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=0, help="of the times")
    options = parser.parse_args()
    torch.set_num_threads(1)
    os.environ["OMP_NUM_THREADS"] = "1"
    chance = random.Random(options.seed)
    folder = Path(tempfile.mkdtemp(prefix="kills-"))
    data, log = labelled_shapes.make(folder / "shapes", _PICTURES, 2), folder / "log"
    train(data, folder / "first" / "run")
    child = start(data, folder / "undisturbed" / "run", log)
    _, status, used = os.wait4(child, 0)
    expected = finished(folder / "undisturbed" / "run", log, status, None)
    whole = used.ru_utime + used.ru_stime
    kills = runs = resumed = 0
    out = folder / "disturbed" / "run"
    while kills < options.kills or out.exists():
        resumed += out.exists()
        child = start(data, out, log)
        ended = wait(child, whole * chance.random() ** 2 if kills < options.kills else math.inf)
        if ended is None:
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)
            kills += 1
            if kills % 100 == 0:
                print(f"{kills} kills, {runs} runs came to their end", file=sys.stderr, flush=True)
            continue
        finished(out, log, ended, expected)
        shutil.rmtree(out)
        runs += 1
    print(f"a run takes {whole:.1f} s of a processor; ", end="")
    print(f"{kills:,} kills, {resumed:,} times resumed, {runs:,} runs came to their end, all with equal model files")
    shutil.rmtree(folder)


if __name__ == "__main__":
    main()
