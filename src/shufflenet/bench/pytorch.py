"""PyTorch, eager and compiled by inductor with frozen weights."""

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
    """Eager mode in both memory formats, contiguous (NCHW) and channels_last (NHWC)."""
    (network,) = tuned_networks(case, ["transpose"])
    x = example(case)
    (other,) = tuned_networks(case, ["transpose"])
    other.to(memory_format=torch.channels_last)
    return [_run(network, x, case), _run(other, x.to(memory_format=torch.channels_last), case)]


def prepare_inductor(case: Case) -> list[Run]:
    """torch.compile with frozen weights."""
    (network,) = tuned_networks(case, ["transpose"])
    torch._inductor.config.freezing = True
    torch._dynamo.reset()  # the last case's compilation would count towards the limit of recompilations
    # Traced to a list of operations first, or the compiler would trace the graph's Python objects as well.
    traced = torch.fx.symbolic_trace(network)
    return [_run(cast("nn.Module", torch.compile(traced)), example(case), case)]


def _run(network: nn.Module, x: Tensor, case: Case) -> Run:
    @torch.inference_mode()
    def infer() -> NDArray[np.float32]:
        torch.set_num_threads(case.threads)  # in each run, since other runtimes in this process change it
        return network(x).numpy()  # type: ignore[no-any-return]

    return infer
