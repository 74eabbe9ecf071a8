"""PyTorch as most people run it (eager), and compiled with frozen weights (inductor)."""

from __future__ import annotations

from typing import cast

import numpy as np
import torch
import torch.fx
from numpy.typing import NDArray
from torch import Tensor, nn

from shufflenet.bench.case import Case
from shufflenet.bench.graph import example, tuned_networks
from shufflenet.bench.runtime import Run


def prepare_eager(case: Case) -> list[Run]:
    """Planes or pixels first in memory, whichever is faster."""
    (network,) = tuned_networks(case, ["transpose"])
    x = example(case)
    (other,) = tuned_networks(case, ["transpose"])
    other.to(memory_format=torch.channels_last)
    return [_run(network, x, case), _run(other, x.to(memory_format=torch.channels_last), case)]


def prepare_inductor(case: Case) -> list[Run]:
    (network,) = tuned_networks(case, ["transpose"])
    torch._inductor.config.freezing = True
    torch._dynamo.reset()  # what is left of the last case would count as a recompilation
    # As a list of operations, since the compiler would trace each operator's description, with all that it reads.
    traced = torch.fx.symbolic_trace(network)
    return [_run(cast("nn.Module", torch.compile(traced)), example(case), case)]


def _run(network: nn.Module, x: Tensor, case: Case) -> Run:
    @torch.inference_mode()
    def infer() -> NDArray[np.float32]:
        torch.set_num_threads(case.threads)  # each time: other runtimes in this process change it
        return network(x).numpy()  # type: ignore[no-any-return]

    return infer
