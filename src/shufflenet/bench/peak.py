"""A core's sustained peak, in float32 or in 8 bits: the rate of a loop of nothing but multiply-adds."""

from __future__ import annotations

import statistics
from time import perf_counter

from shufflenet.engine import engine

_RUN_SECONDS = 0.003
_RUNS = 6  # in a sample


class Peak:
    """The median of samples that are taken in between the runtimes' turns.

    The median rather than the best: a core that does nothing but multiply-adds soon lowers its clock, and the first
    runs are done at a clock that it can't sustain.
    """

    def __init__(self, int8: bool = False) -> None:
        self._loop = engine.int8_peak if int8 else engine.peak
        self._isa = engine.isas()[0]
        self._samples: list[float] = []
        self._rounds = 1000
        while (seconds := self._macs_and_seconds()[1]) < _RUN_SECONDS / 2:
            self._rounds = round(self._rounds * min(10.0, _RUN_SECONDS / max(seconds, 1e-6)))

    def sample(self) -> None:
        """Takes a sample of a few runs, after one that is not counted."""
        _, *runs = [self._macs_and_seconds() for _ in range(_RUNS + 1)]
        self._samples.append(statistics.median(macs / seconds / 1e9 for macs, seconds in runs))

    @property
    def gmacs_per_s(self) -> float:
        """Billion multiply-adds per second.

        Raises:
            statistics.StatisticsError: there is no sample.
        """
        return statistics.median(self._samples)

    def _macs_and_seconds(self) -> tuple[int, float]:
        began = perf_counter()
        macs = self._loop(self._isa, self._rounds)
        return macs, perf_counter() - began
