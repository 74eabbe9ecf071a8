"""This package's engine."""

from __future__ import annotations

from functools import partial

from shufflenet.bench.runtime import Run
from shufflenet.bench.work import Work
from shufflenet.engine.engine import Engine


def prepare(work: Work) -> list[Run]:
    return [partial(Engine(work.model, threads=work.threads).run, work.x)]
