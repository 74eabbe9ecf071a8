"""Where the engine's time goes in a network, in float32 and in 8 bits."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from shufflenet.engine.engine import Engine
from shufflenet.networks.model import Model
from shufflenet.networks.quantized import Quantized

_TURNS, _RUNS = 5, 4


@dataclass(frozen=True)
class StepTime:
    """The time of some operators of a network, one of them where the engine runs it by itself in both precisions.

    Args:
        name: of the operators, with plus signs between; "zero HxW" is the engine's own.
        float32_ms, int8_ms: median of a picture, by one thread; 0: the engine has no such step.
    """

    name: str
    float32_ms: float
    int8_ms: float


def step_times(model: Model, quantized: Quantized, x: NDArray[np.float32]) -> list[StepTime]:
    """The times of a float model and of what it was quantized to, in the order of running.

    Args:
        x: a preprocessed picture, [1, 3, H, W].

    Raises:
        ValueError: the engine has no int8 kernel for the network.
    """
    engines = Engine(model), Engine(replace(model, tensors={}, quantized=quantized))
    turns = [[engine.step_seconds(x, _RUNS) for engine in engines] for _ in range(_TURNS)]
    float32, int8 = (_medians([turn[which] for turn in turns]) for which in range(2))
    times = []
    for names in _together([*float32, *int8]):
        both = [sum(ms for step, ms in steps.items() if step[0] in names) for steps in (float32, int8)]
        times.append(StepTime(" + ".join(names), *both))
    return times


def _medians(turns: Sequence[list[tuple[str, list[float]]]]) -> dict[tuple[str, ...], float]:
    """Milliseconds of each step, by the names of its operators; steps of the same name count together."""
    medians: dict[tuple[str, ...], float] = {}
    for step in zip(*turns, strict=True):
        names = tuple(step[0][0].split(" + "))
        seconds = [second for _, of_turn in step for second in of_turn]
        medians[names] = medians.get(names, 0.0) + 1000 * statistics.median(seconds)
    return medians


def _together(steps: Sequence[tuple[str, ...]]) -> list[list[str]]:
    """The names of all steps; in one list those that a step has together, or that such lists share."""
    groups: list[list[str]] = []
    for names in steps:
        sharing = [group for group in groups if set(group) & set(names)]
        merged = list(dict.fromkeys(name for group in [*sharing, list(names)] for name in group))
        place = groups.index(sharing[0]) if sharing else len(groups)
        groups = [group for group in groups if group not in sharing]
        groups.insert(place, merged)
    return groups
