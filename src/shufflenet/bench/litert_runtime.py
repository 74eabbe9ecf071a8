"""LiteRT, which runs XNNPACK's kernels by default. litert-torch converts the network to its layout, NHWC."""

from __future__ import annotations

from shufflenet.bench.case import Case
from shufflenet.bench.graph import example, tuned_networks
from shufflenet.bench.runtime import Run
from shufflenet.exporters import litert
from shufflenet.exporters.graph import TunedNetwork


def prepare(case: Case) -> list[Run]:
    """See `runtime.Runtime`."""
    return [_prepare(network, case) for network in tuned_networks(case, ["transpose", "gather"])]


def _prepare(network: TunedNetwork, case: Case) -> Run:
    interpreter = litert.interpreter(litert.convert(network, example(case)), case.threads)
    litert.set_input(interpreter, case.x)
    return lambda: litert.invoke(interpreter)
