"""This package's engine as a runtime of the benchmark."""

from __future__ import annotations

from functools import partial

from shufflenet.bench.case import Case
from shufflenet.bench.runtime import Run
from shufflenet.engine.engine import Engine


def prepare(case: Case) -> list[Run]:
    """See `runtime.Runtime`."""
    return [partial(Engine(case.model, threads=case.threads).run, case.x)]
