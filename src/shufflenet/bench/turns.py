"""Two or more programs timed in turns, so that a slow minute of the machine counts against all of them."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterable, Sequence
from time import perf_counter
from typing import TypeVar

_Turn = TypeVar("_Turn")


def images_per_second(programs: Sequence[Callable[[_Turn], int]], turns: Iterable[_Turn]) -> list[float]:
    """Each program's images/s, the median over ``turns``; every other turn goes through the programs backwards.

    Args:
        programs: each is called with a turn, and returns how many images it has processed.
    """
    speeds: list[list[float]] = [[] for _ in programs]
    for number, turn in enumerate(turns):
        for index in range(len(programs)) if number % 2 == 0 else reversed(range(len(programs))):
            began = perf_counter()
            images = programs[index](turn)
            speeds[index].append(images / (perf_counter() - began))
    return [statistics.median(samples) for samples in speeds]
