"""A PyTorch network's answers by the engine."""

from __future__ import annotations

import pytest

pytest.importorskip("torch")
import torch

from random_network import every_operator, random_graph_network, random_network
from shufflenet.arch import Architecture
from shufflenet.on_engine import Network, on_engine


@pytest.fixture(params=["shufflenet", "every_operator"])
def network(request: pytest.FixtureRequest) -> Network:
    if request.param == "shufflenet":
        return random_network(Architecture(3, 0.25, classes=7, stem_stride=1))[0]
    return random_graph_network(every_operator())[0]


@pytest.mark.parametrize("count", [1, 5])
def test_answers_are_pytorchs(network: Network, count: int) -> None:
    """Whatever number of pictures the threads share."""
    x = torch.randn(count, 3, 40, 40, generator=torch.Generator().manual_seed(count))
    with torch.inference_mode():
        torch.testing.assert_close(on_engine(network)(x), network(x), rtol=1e-4, atol=1e-4)


def test_what_training_changes_later_does_not_show(network: Network) -> None:
    x = torch.randn(2, 3, 40, 40, generator=torch.Generator().manual_seed(0))
    answer = on_engine(network)
    before = answer(x)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.add_(1)
    assert torch.equal(answer(x), before)
    assert not torch.allclose(on_engine(network)(x), before)
