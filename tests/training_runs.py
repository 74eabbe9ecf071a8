"""Short training runs on coloured shapes, and what tests of training look at."""

from __future__ import annotations

import csv
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from click.testing import CliRunner, Result

from shufflenet import cli, model_file
from shufflenet.training.job import Job, prepare
from shufflenet.training.recipe import Recipe

ARCH = "shufflenet_g2_x0_25"
QUICK = Recipe("quick", epochs=2, warmup_epochs=1, ema_epochs=0.5, learning_rate=4, mixup=0.2, cutmix=1)
RUN = ["--arch", ARCH, "--size", "32", "--epochs", "2", "--mixup", "0.2", "--cutmix", "1", "--learning-rate", "4"]
COMMAND = [sys.executable, "-m", "shufflenet", "train"]
# One thread: with more the two processes of a test, and other tests, would wait for each other.
ENVIRONMENT = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONWARNINGS": "default"}


@contextmanager
def one_thread() -> Iterator[None]:
    """Within the block PyTorch works on one thread, as `ENVIRONMENT` says to other processes."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def job(root: Path, recipe: Recipe = QUICK, **options: Any) -> Job:
    return prepare(root, recipe, **{"arch": ARCH, "size": 32, **options})


def run(*arguments: str | Path) -> Result:
    return CliRunner().invoke(cli.commands, ["train", *map(str, arguments)])


def weights(path: Path) -> dict[str, np.ndarray[Any, Any]]:
    return model_file.load(path / "model.safetensors").tensors


def rows(path: Path) -> list[dict[str, str]]:
    with (path / "metrics.csv").open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def assert_same_weights(a: Path, b: Path) -> None:
    ours, theirs = weights(a), weights(b)
    for name, tensor in ours.items():
        assert tensor.tobytes() == theirs[name].tobytes(), name


def refused(result: Result, code: int = 2) -> str:
    assert result.exit_code == code, result.output
    line = result.stderr.splitlines()[-1]
    assert line.startswith("Error: ")
    return line.removeprefix("Error: ")
