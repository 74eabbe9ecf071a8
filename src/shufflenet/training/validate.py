"""Between epochs and at the end: the error on validation pictures, and batch norm's statistics estimated anew."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from shufflenet.pictures.preprocessing import Preprocessing
from shufflenet.quantization.trainable import Trainable
from shufflenet.training import augment, parallel
from shufflenet.training.on_engine import answers
from shufflenet.training.pixels import Pixels
from shufflenet.training.planar import by_kernels

_BATCH = 256

Check = Callable[[], None]  # called between batches; raises to end the pass


@torch.inference_mode()
def errors(
    network: Trainable,
    pictures: Pixels,
    targets: NDArray[np.int64],
    preprocessing: Preprocessing,
    check: Check,
) -> tuple[float, float]:
    """The top-1 and top-5 error in percent on all validation pictures, of which each process measures its part.

    On a CPU the engine answers.

    Args:
        targets: [len(pictures)] their class indices.
    """
    device = next(network.parameters()).device
    answer = answers(network)
    wrong1 = wrong5 = 0
    mine = range(parallel.rank(), len(pictures), parallel.world_size())
    for start in range(0, len(mine), _BATCH):
        check()
        part = list(mine[start : start + _BATCH])
        x = augment.normalise(np.stack([pictures[index] for index in part]), preprocessing)
        logits = answer(x.to(device)).cpu()
        hits = logits.topk(min(5, logits.shape[1]), dim=1).indices == torch.from_numpy(targets[part])[:, None]
        wrong1 += len(part) - int(hits[:, 0].sum())
        wrong5 += len(part) - int(hits.any(dim=1).sum())
    sums = parallel.total([wrong1, wrong5])
    return 100 * sums[0] / len(pictures), 100 * sums[1] / len(pictures)


@torch.no_grad()
def estimate_batch_norm(network: nn.Module, inputs: Iterable[Tensor]) -> None:
    """Replaces batch norm's running averages by means over some batches, float32 [N, 3, S, S].

    Batch norms in eval mode, which are the frozen ones, stay as they are.
    """
    norms = [module for module in network.modules() if isinstance(module, nn.BatchNorm2d) and module.training]
    if not norms:
        return
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None  # PyTorch's way to say: a plain mean over all batches
    forward = by_kernels(network)
    for x in inputs:
        forward(x)
    for norm in norms:
        norm.momentum = 0.1
