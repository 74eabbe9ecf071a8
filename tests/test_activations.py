"""Every activation behind every operator that takes one: the engine and exports against PyTorch."""

from __future__ import annotations

from pathlib import Path
from typing import get_args

import numpy as np
import pytest
import torch

from random_network import random_graph_network, random_input
from shufflenet.engine.engine import Engine, isas
from shufflenet.engine.plan import step_names
from shufflenet.exporters import export
from shufflenet.networks.graph import Activation, Graph, Node

ACTIVATIONS: list[Activation] = list(get_args(Activation))


def network(activation: Activation) -> Graph:
    """Dense, grouped, pointwise and depthwise convolutions of both strides, a sum, and fully connected layers."""
    graph = Graph(f"with_{activation}")
    x: Node = graph.convolution("stem", graph.input, 16, 3, stride=2, batch_norm="bn", activation=activation)
    x = graph.depthwise("dw1", x, stride=1, batch_norm="bn1", activation=activation)
    x = graph.depthwise("dw2", x, stride=2, batch_norm="bn2", activation=activation)
    y: Node = graph.convolution("a", x, 24, groups=2, activation=activation)
    y = graph.convolution("b", y, 16, 3, activation=activation)
    x = graph.add("add", graph.convolution("c", y, 16), x, activation=activation)
    x = graph.depthwise("dw3", x, stride=1, batch_norm="bn3", activation=activation)
    x = graph.convolution("d", x, 8, 3, stride=2, activation=activation)
    hidden = graph.fully_connected("hidden", graph.global_average_pool("pool", x), 20, activation)
    graph.fully_connected("fc", hidden, 5)
    return graph


# The large picture's first operators run in strips; lines of the others end within vectors.
@pytest.mark.parametrize("size", [(224, 224), (45, 38), (97, 131)])
@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_equals_pytorch(activation: Activation, size: tuple[int, int]) -> None:
    module, model = random_graph_network(network(activation))
    in_strips = any(" + dw1" in name for name in step_names(model, *size))
    assert in_strips == (size == (224, 224))
    x = random_input(2, *size)
    with torch.inference_mode():
        expected = module(torch.from_numpy(x)).numpy()
    for isa in isas():
        logits = Engine(model, isa).run(x)
        assert np.abs(logits - expected).max() < 1e-5 * np.abs(expected).max(), isa
        np.testing.assert_array_equal(Engine(model, isa, threads=3).run(x), logits)


@pytest.mark.parametrize("target", ["onnx", "ncnn"])
@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_exports(activation: Activation, target: str, tmp_path: Path) -> None:
    pytest.importorskip("onnxruntime" if target == "onnx" else "ncnn")
    _, model = random_graph_network(network(activation))
    done = export(model, target, tmp_path / "net", name="net", size=(64, 64))
    assert done.check is not None
    assert done.ok
