"""PyTorch modules of any network: new, or with a model's weights."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from random_network import random_graph_network
from shufflenet import create_model, model_file
from shufflenet.engine.engine import Engine
from shufflenet.networks import families
from shufflenet.networks.folded import fold
from shufflenet.networks.graph import Convolution, FullyConnected
from shufflenet.networks.graph_network import GraphNetwork
from shufflenet.networks.model import Model
from shufflenet.networks.module import module_with_weights
from shufflenet.networks.network import ShuffleNet
from shufflenet.pictures.preprocessing import Preprocessing

NAMES = ["shufflenet_g8_x0_25_se", "mobilenet_v1_x0_25", "mobilenet_v3_small", "squeezenet1_0"]


@pytest.mark.parametrize("name", NAMES)
def test_a_new_module(name: str) -> None:
    network = create_model(name, classes=7)
    assert network.training
    assert isinstance(network, GraphNetwork)
    assert network(torch.zeros(2, 3, 64, 64)).shape == (2, 7)
    names = {key for key in network.state_dict() if not key.endswith("num_batches_tracked")}
    assert names == families.architecture(name, classes=7).graph().tensor_shapes().keys()


@pytest.mark.parametrize("name", ["shufflenet_g2_x0_25", "shufflenet_g3_shallow", "shufflenet_g3_x0_25_no_shuffle"])
def test_shufflenets_are_the_module_that_trains_fast(name: str) -> None:
    assert isinstance(create_model(name), ShuffleNet)


@pytest.mark.parametrize("name", ["shufflenet_g3_x0_25", *NAMES])
def test_weights_of_a_model(name: str, tmp_path: Path) -> None:
    """All of them; or for other classes all but the classifier's."""
    _, model = random_graph_network(families.architecture(name, classes=5).graph())
    path = tmp_path / "m.safetensors"
    model_file.save(Model(model.graph, model.tensors, Preprocessing(size=64, resize=64)), path)
    kept = create_model(str(path), pretrained=True)
    assert kept.training
    for key, tensor in model.tensors.items():
        np.testing.assert_array_equal(kept.state_dict()[key].numpy(), tensor, err_msg=key)
    other = create_model(str(path), classes=3, pretrained=True)
    classifier = model.graph.classifier.tensor_shapes()
    for key, tensor in other.state_dict().items():
        if key in classifier:
            assert len(tensor) == 3
        elif not key.endswith("num_batches_tracked"):
            np.testing.assert_array_equal(tensor.numpy(), model.tensors[key], err_msg=key)


def test_unknown_networks_and_models() -> None:
    with pytest.raises(ValueError, match="unknown network 'mobilenet_v9'"):
        create_model("mobilenet_v9")
    with pytest.raises(model_file.ModelFileError, match="neither a file nor a model that comes with the package"):
        create_model("mobilenet_v1_x0_5", pretrained=True)


@pytest.mark.parametrize("name", ["shufflenet_g3_x0_25", *NAMES])
@torch.inference_mode()
def test_the_folded_network_is_the_same(name: str) -> None:
    _, model = random_graph_network(families.architecture(name, classes=5).graph())
    folded = fold(model)
    assert not any(node.batch_norm for node in folded.graph.nodes if isinstance(node, Convolution))
    assert not any(node.pointwise for node in folded.graph.nodes if isinstance(node, FullyConnected))
    assert {key: tensor.shape for key, tensor in folded.tensors.items()} == folded.graph.tensor_shapes()
    assert folded.labels == model.labels
    x = np.random.default_rng(0).standard_normal((2, 3, 64, 64), dtype=np.float32)
    want = module_with_weights(model)(torch.from_numpy(x)).numpy()
    got = module_with_weights(folded)(torch.from_numpy(x)).numpy()
    assert np.abs(got - want).max() < 1e-5 * np.abs(want).max()
    again = fold(folded)
    for key, tensor in folded.tensors.items():
        np.testing.assert_array_equal(again.tensors[key], tensor, err_msg=key)
    np.testing.assert_array_equal(Engine(folded).run(x), Engine(model).run(x))
