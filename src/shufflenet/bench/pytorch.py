"""PyTorch as most people run it (eager), and compiled with frozen weights (inductor)."""

from __future__ import annotations

from typing import cast

import numpy as np
import torch
import torch.fx
from numpy.typing import NDArray
from torch import Tensor, nn

from shufflenet.bench.graph import example, tuned_networks
from shufflenet.bench.runtime import Run
from shufflenet.bench.work import Work


def prepare_eager(work: Work) -> list[Run]:
    """Planes or pixels first in memory, whichever is faster."""
    (network,) = tuned_networks(work, ["transpose"])
    x = example(work)
    (other,) = tuned_networks(work, ["transpose"])
    other.to(memory_format=torch.channels_last)
    return [_run(network, x, work), _run(other, x.to(memory_format=torch.channels_last), work)]


def prepare_inductor(work: Work) -> list[Run]:
    (network,) = tuned_networks(work, ["transpose"])
    torch._inductor.config.freezing = True
    torch._dynamo.reset()  # what is left of the last case would count as a recompilation
    # As a list of operations, since the compiler would trace each operator's description, with all that it reads.
    traced = torch.fx.symbolic_trace(network)
    return [_run(cast("nn.Module", torch.compile(traced)), example(work), work)]


def _run(network: nn.Module, x: Tensor, work: Work) -> Run:
    @torch.inference_mode()
    def infer() -> NDArray[np.float32]:
        torch.set_num_threads(work.threads)  # each time: other runtimes in this process change it
        return network(x).numpy()  # type: ignore[no-any-return]

    return infer
