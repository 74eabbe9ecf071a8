"""The cost table against the paper's figures and against what PyTorch's forward hooks count."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from shufflenet.networks import families
from shufflenet.networks.complexity import Layer, summary
from shufflenet.networks.shufflenet_v1 import SCALES, STAGE2_CHANNELS, ShuffleNetV1


@pytest.mark.parametrize(
    ("groups", "macs", "parameters"),
    [
        (1, 142.5, 1_531_936),
        (2, 140.0, 1_733_848),
        (3, 136.5, 1_865_728),
        (4, 133.3, 1_968_344),
        (8, 136.8, 2_434_768),
    ],
)
def test_table_1(groups: int, macs: float, parameters: int) -> None:
    arch = ShuffleNetV1(groups, 1.0)
    cost = summary(arch.graph())
    assert round(cost.macs_without_classifier / 1e6, 1) == macs
    assert cost.parameters == parameters
    assert cost.macs - cost.macs_without_classifier == arch.features * 1000


@pytest.mark.parametrize(("scale", "macs"), [(1.5, 292.4), (2.0, 524.0)])
def test_table_5_counts_the_classifier(scale: float, macs: float) -> None:
    assert round(summary(ShuffleNetV1(3, scale).graph()).macs / 1e6, 1) == macs


@pytest.mark.parametrize(("groups", "macs"), [(1, 38.5), (2, 38.6), (3, 37.6), (4, 37.5), (8, 40.5)])
def test_half_scale(groups: int, macs: float) -> None:
    """The paper says 38 for all; the authors' code says 38 for g=3 and 40 for g=8."""
    assert round(summary(ShuffleNetV1(groups, 0.5).graph()).macs / 1e6, 1) == macs


@pytest.mark.parametrize(("groups", "macs"), [(1, 13.2), (2, 13.4), (3, 13.3), (4, 13.4), (8, 12.4)])
def test_quarter_scale(groups: int, macs: float) -> None:
    """The paper says 13 for all. Its own widths don't divide for g = 2, 4 and 8, so these are the nearest that do."""
    assert round(summary(ShuffleNetV1(groups, 0.25).graph()).macs / 1e6, 1) == macs


def test_a_classifier_that_is_a_convolution() -> None:
    whole = summary(families.architecture("squeezenet1_0").graph())
    assert whole.macs - whole.macs_without_classifier == 1000 * 13 * 13 * 512


def test_activation_bytes_are_float32_outputs() -> None:
    layers = {layer.name: layer for layer in summary(ShuffleNetV1(3, 1.0).graph()).layers}
    assert layers["conv1"].activation_bytes == 24 * 112 * 112 * 4
    assert layers["stage2.0.pointwise1"].activation_bytes == 60 * 56 * 56 * 4
    assert layers["fc"].activation_bytes == 1000 * 4


@pytest.mark.parametrize("size", [(0, 224), (224, -1)])
def test_no_pixels(size: tuple[int, int]) -> None:
    with pytest.raises(ValueError, match="height and width"):
        summary(ShuffleNetV1(3, 1.0).graph(), *size)


@pytest.mark.parametrize("groups", STAGE2_CHANNELS)
@pytest.mark.parametrize("scale", SCALES)
def test_layers_equal_what_pytorch_counts(groups: int, scale: float) -> None:
    pytest.importorskip("torch")
    for stem_stride, height, width in ((2, 224, 224), (1, 33, 50)):
        arch = ShuffleNetV1(groups, scale, classes=200, stem_stride=stem_stride)
        rows = [layer for layer in summary(arch.graph(), height, width).layers if not _is_pooling(layer)]
        assert rows == list(_count_with_hooks(arch, height, width))


@pytest.mark.parametrize("size", [(224, 224), (97, 131), (32, 32), (1, 5)])
def test_pooling_shapes_equal_pytorch(size: tuple[int, int]) -> None:
    torch = pytest.importorskip("torch")
    from shufflenet.networks.network import ShuffleNet

    arch = ShuffleNetV1(2, 0.25)
    layers = {layer.name: layer for layer in summary(arch.graph(), *size).layers}
    with torch.device("meta"):
        network = ShuffleNet(arch).eval()
        x = network.maxpool(network.conv1(torch.empty(1, 3, *size)))
    assert layers["maxpool"].output_shape == tuple(x.shape[1:])
    for stage in (2, 3, 4):
        shortcut = torch.nn.functional.avg_pool2d(x, 3, stride=2, padding=1)
        assert layers[f"stage{stage}.0.shortcut"].output_shape == tuple(shortcut.shape[1:])
        x = network.get_submodule(f"stage{stage}")(x)
    assert layers["global_pool"].output_shape == (x.shape[1], 1, 1)


def _is_pooling(layer: Layer) -> bool:
    return layer.name in ("maxpool", "global_pool") or layer.name.endswith("shortcut")


def _count_with_hooks(arch: ShuffleNetV1, height: int, width: int) -> Iterator[Layer]:
    """Runs the network without values (device "meta") and notes each convolution's real output."""
    import torch
    from torch import nn

    from shufflenet.networks.network import ShuffleNet

    with torch.device("meta"):
        network = ShuffleNet(arch).eval()
        x = torch.empty(1, 3, height, width)
    outputs: dict[str, tuple[int, ...]] = {}
    for name, module in network.named_modules():
        if isinstance(module, nn.Conv2d | nn.Linear):

            def note(module: nn.Module, inputs: Any, output: torch.Tensor, name: str = name) -> None:
                outputs[name] = tuple(output.shape[1:])

            module.register_forward_hook(note)
    network(x)

    parameters = {name: parameter.numel() for name, parameter in network.named_parameters()}
    batch_norm = {"conv1": "bn1", "pointwise1": "bn1", "depthwise": "bn2", "pointwise2": "bn3"}
    counted = 0
    for name, shape in outputs.items():
        weight = network.get_submodule(name).weight
        channels, out_height, out_width = shape + (1,) * (3 - len(shape))
        assert isinstance(weight, torch.Tensor)
        macs = channels * out_height * out_width * (weight.numel() // weight.shape[0])
        prefix, _, last = name.rpartition(".")
        names = [f"{name}.weight", f"{name}.bias"]
        if last in batch_norm:
            norm = f"{prefix}.{batch_norm[last]}".lstrip(".")
            names += [f"{norm}.weight", f"{norm}.bias"]
        own = sum(parameters.get(parameter, 0) for parameter in names)
        counted += own
        yield Layer(name, (channels, out_height, out_width), macs, own)
    assert counted == sum(parameters.values())  # no parameter was missed
