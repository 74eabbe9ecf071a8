"""LiteRT: converted by litert-torch, with pixels first as it computes; XNNPACK is its default."""

from __future__ import annotations

from shufflenet.bench.graph import example, tuned_networks
from shufflenet.bench.runtime import Run
from shufflenet.bench.work import Work
from shufflenet.export import litert
from shufflenet.export.graph import TunedNetwork


def prepare(work: Work) -> list[Run]:
    return [_prepare(network, work) for network in tuned_networks(work, ["transpose", "gather"])]


def _prepare(network: TunedNetwork, work: Work) -> Run:
    interpreter = litert.interpreter(litert.convert(network, example(work)), work.threads)
    litert.set_input(interpreter, work.x)
    return lambda: litert.invoke(interpreter)
