"""A network with its weights: what the engine runs, exports write and model files hold."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from shufflenet.labels import numbered_labels
from shufflenet.networks.graph import Graph
from shufflenet.networks.quantized import Quantized
from shufflenet.pictures.preprocessing import Preprocessing


@dataclass
class Model:
    """A network, its weights, and what is needed to use it right. A graph and its tensors are enough to run it.

    Args:
        tensors: float32, named and shaped as `Graph.tensor_shapes` says; none if the model is quantized.
        labels: the text of each class; default: "class 0" and so on.
        classes: the class folder names of the training data, in the same order; default: the labels.
        self_test: logits of `model_file.test_input`; empty: not tested.
        training: where the weights come from, free form.
        accuracy: as measured, in percent: data, top1_error, top5_error; empty: not measured.
        name: of the training run, after which exports are named; empty: it has none.
        quantized: the weights of a model in 8 bits.
    """

    graph: Graph
    tensors: dict[str, NDArray[np.float32]]
    preprocessing: Preprocessing = field(default_factory=Preprocessing)
    labels: list[str] = field(default_factory=list)
    classes: list[str] = field(default_factory=list)
    self_test: list[float] = field(default_factory=list)
    training: dict[str, Any] = field(default_factory=dict)
    accuracy: dict[str, Any] = field(default_factory=dict)
    name: str = ""
    quantized: Quantized | None = None

    def __post_init__(self) -> None:
        self.labels = self.labels or numbered_labels(self.graph.classes)
        self.classes = self.classes or list(self.labels)

    def require_float(self) -> None:
        """Raises ValueError if the model is quantized, for what needs float32 weights."""
        if self.quantized is not None:
            raise ValueError("the model is in 8 bits; this takes the float32 model that it was made from")
