"""Runs exported networks, each runtime in a process of its own, since several runtimes in one disturb each other."""

from __future__ import annotations

import multiprocessing
import warnings
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from shufflenet.engine.engine import Engine
from shufflenet.exporters import TARGETS, export
from shufflenet.exporters.target import Order
from shufflenet.model_file import load

R = TypeVar("R")
QUICK = ("-std=gnu11", "-O0")  # a compiler's flags that build exported C in a fifth of the time


def apart(function: Callable[..., R], *args: Any) -> R:
    """Calls ``function`` in a new process; if that crashes, only this test fails."""
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
        return pool.submit(_quietly, function, *args).result()


def _quietly(function: Callable[..., R], *args: Any) -> R:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # warnings of other projects
        return function(*args)


@dataclass(frozen=True)
class Case:
    """A model file to export for ``size`` (None: any) and to run at each of ``sizes``."""

    model: Path
    size: tuple[int, int] | None
    sizes: tuple[tuple[int, int], ...]


def largest_errors(target: str, cases: list[Case], folder: Path) -> list[float]:
    """Each case's largest error of a logit, relative to the largest logit; its export stays in ``folder``/NUMBER."""
    errors = []
    for number, case in enumerate(cases):
        model, path = load(case.model), folder / str(number)
        export(model, target, path, name="net", size=case.size, check=False)
        engine = Engine(model)
        errors.append(0.0)
        for height, width in case.sizes:
            order = Order(model, "net", height, width, fixed=case.size is not None)
            x = np.random.default_rng(height).standard_normal((3, height, width), dtype=np.float32)
            expected = engine.run(x[None])[0]
            logits = TARGETS[target].open(order, path).logits(x)
            error = np.abs(logits - expected).max() / np.abs(expected).max()
            errors[-1] = float(np.maximum(errors[-1], error))  # NaN stays NaN
    return errors
