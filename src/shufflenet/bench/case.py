"""A case of the benchmark: a network with its weights, an input and a number of threads."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from shufflenet.engine.engine import Engine
from shufflenet.networks import complexity
from shufflenet.networks.model import Model

if TYPE_CHECKING:
    from shufflenet.bench.samples import Samples  # they import PyTorch
    from shufflenet.quantization.calibration import Method

_SEED = 1707


@dataclass(frozen=True)
class Case:
    """What every runtime is timed on."""

    name: str  # the network's
    model: Model
    x: NDArray[np.float32]  # input [batch, C, H, W]
    threads: int  # of every runtime
    samples: Samples | None = None  # for precisions below float32
    file: Path | None = None  # the ONNX file that the model was imported from, which other runtimes may like better
    method: Method | None = None  # by which 8 bits are found; None: that of `shufflenet quantize`

    @property
    def batch(self) -> int:
        return int(self.x.shape[0])

    @property
    def height(self) -> int:
        return int(self.x.shape[2])

    @property
    def width(self) -> int:
        return int(self.x.shape[3])

    @cached_property
    def logits(self) -> NDArray[np.float32]:
        """The logits [batch, classes] that every runtime is compared with: PyTorch's, of the network before folding."""
        import torch

        from shufflenet.networks.module import module_with_weights

        torch.set_num_threads(self.threads)
        network = module_with_weights(self.model)
        with torch.inference_mode():
            return network(torch.from_numpy(self.x)).numpy()  # type: ignore[no-any-return]

    @cached_property
    def quantized(self) -> Model:
        """The model in 8 bits, as `method` makes it of the samples."""
        assert self.samples is not None
        from shufflenet.quantization.calibration import calibrate  # by PyTorch

        return replace(self.model, tensors={}, quantized=calibrate(self.model, self.samples.calibration, self.method))

    @cached_property
    def classes(self) -> NDArray[np.int64]:
        """The best class of each of the samples that are compared: the engine's in float32."""
        assert self.samples is not None
        classes: NDArray[np.int64] = Engine(self.model).run(self.samples.compared).argmax(axis=1)
        return classes

    @property
    def macs(self) -> int:
        """Multiply-adds of the whole batch, with the classifier."""
        return self.batch * complexity.summary(self.model.graph, self.height, self.width).macs


def make_case(
    model: Model, batch: int, height: int, width: int, threads: int, samples: Samples | None = None,
    file: Path | None = None,
) -> Case:  # fmt: skip
    """The case of ``model`` on normally distributed input, the same for equal shapes."""
    shape = (batch, model.graph.in_channels, height, width)
    x = np.random.default_rng(_SEED).standard_normal(shape, dtype=np.float32)
    return Case(model.graph.name, model, x, threads, samples, file)
