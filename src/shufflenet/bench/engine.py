"""This package's engine as a runtime of the benchmark, in float32 and in 8 bits."""

from __future__ import annotations

from functools import partial

import numpy as np
from numpy.typing import NDArray

from shufflenet.bench.case import Case
from shufflenet.bench.runtime import Logits, Reduced, Run
from shufflenet.engine.engine import Engine


def prepare(case: Case) -> list[Run]:
    """See `runtime.Runtime`."""
    return [partial(Engine(case.model, threads=case.threads).run, case.x)]


def prepare_int8(case: Case) -> list[Reduced]:
    """See `runtime.Runtime`."""
    engine, x = Engine(case.quantized, threads=case.threads), case.x.copy()

    def set_input(given: NDArray[np.float32]) -> None:
        x[...] = given

    def run() -> Logits:
        return engine.run(x)

    return [Reduced(run, set_input)]
