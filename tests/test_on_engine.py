"""A PyTorch network's answers by the engine."""

from __future__ import annotations

import pytest

pytest.importorskip("torch")
import torch

from random_network import every_operator, random_graph_network, random_network
from shufflenet.networks.module import Network
from shufflenet.networks.shufflenet_v1 import ShuffleNetV1
from shufflenet.training.on_engine import on_engine


@pytest.fixture(params=["shufflenet", "every_operator"])
def network(request: pytest.FixtureRequest) -> Network:
    if request.param == "shufflenet":
        return random_network(ShuffleNetV1(3, 0.25, classes=7, stem_stride=1))[0]
    return random_graph_network(every_operator())[0]


@pytest.mark.parametrize("count", [1, 2, 5])
def test_answers_are_pytorchs(network: Network, count: int) -> None:
    """Whatever number of pictures three threads share."""
    x = torch.randn(count, 3, 40, 40, generator=torch.Generator().manual_seed(count))
    threads = torch.get_num_threads()
    torch.set_num_threads(3)
    try:
        got = on_engine(network)(x)
    finally:
        torch.set_num_threads(threads)
    with torch.inference_mode():
        torch.testing.assert_close(got, network(x), rtol=1e-4, atol=1e-4)


def test_what_training_changes_later_does_not_show(network: Network) -> None:
    """Also if it is asked about an input size for the first time then."""
    x = torch.randn(2, 3, 40, 40, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        before = network(x)
    answer = on_engine(network)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.add_(1)
    torch.testing.assert_close(answer(x), before, rtol=1e-4, atol=1e-4)
