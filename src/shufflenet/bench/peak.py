"""The core's own float32 peak: what nothing but multiply-adds reaches."""

from __future__ import annotations

from time import perf_counter

from shufflenet import engine

_SAMPLE_SECONDS = 0.003


class Peak:
    """``gmacs_per_s`` is the best of the samples taken: whatever disturbs one can only make it lower."""

    def __init__(self) -> None:
        self.gmacs_per_s = 0.0
        self._isa = engine.isas()[0]
        self._rounds = 1000
        while (seconds := self._seconds()) < _SAMPLE_SECONDS / 2:
            self._rounds = round(self._rounds * min(10.0, _SAMPLE_SECONDS / max(seconds, 1e-6)))

    def sample(self) -> None:
        self._seconds()

    def _seconds(self) -> float:
        began = perf_counter()
        macs = engine.peak(self._isa, self._rounds)
        seconds = perf_counter() - began
        self.gmacs_per_s = max(self.gmacs_per_s, macs / seconds / 1e9)
        return seconds
