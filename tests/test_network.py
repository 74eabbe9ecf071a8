"""The PyTorch network: the paper's unit, step by step, in plain loops and library calls."""

from __future__ import annotations

import pytest

from shufflenet.networks.shufflenet_v1 import SCALES, STAGE2_CHANNELS, ShuffleNetV1, Unit

pytest.importorskip("torch")
import torch
from torch import nn
from torch.nn import functional

from random_network import every_operator, random_graph_network, random_network
from shufflenet.networks.network import ShuffleNet, ShuffleUnit, channel_shuffle


@pytest.mark.parametrize(("groups", "n"), [(1, 5), (2, 3), (3, 4), (4, 2), (8, 8)])
def test_channel_shuffle_equals_a_loop(groups: int, n: int) -> None:
    x = torch.randn(2, groups * n, 3, 2)
    expected = torch.empty_like(x)
    for j in range(groups):
        for k in range(n):
            expected[:, k * groups + j] = x[:, j * n + k]
    assert torch.equal(channel_shuffle(x, groups), expected)


@pytest.mark.parametrize("groups", STAGE2_CHANNELS)
def test_state_dict_is_the_family_table(groups: int) -> None:
    for scale in SCALES:
        arch = ShuffleNetV1(groups, scale, classes=10)
        with torch.device("meta"):
            state = ShuffleNet(arch).state_dict()
        shapes = {name: tuple(t.shape) for name, t in state.items() if not name.endswith("num_batches_tracked")}
        assert shapes == arch.graph().tensor_shapes()


def _unit(stride: int, shuffle: bool = True) -> ShuffleUnit:
    """A unit with batch norms that do something."""
    torch.manual_seed(1)
    in_channels, out_channels = (12, 48) if stride == 2 else (48, 48)
    unit = ShuffleUnit(Unit(3, 0, in_channels, out_channels, 12, stride, 3, 3, 3 if shuffle else 1)).eval()
    for norm in (unit.bn1, unit.bn2, unit.bn3):
        nn.init.normal_(norm.weight)
        nn.init.normal_(norm.bias)
        assert norm.running_mean is not None
        assert norm.running_var is not None
        nn.init.normal_(norm.running_mean)
        nn.init.uniform_(norm.running_var, 0.5, 2)
    return unit


def _norm(x: torch.Tensor, norm: nn.BatchNorm2d) -> torch.Tensor:
    state = norm.state_dict()
    mean, var, weight, bias = (
        state[name].view(1, -1, 1, 1) for name in ("running_mean", "running_var", "weight", "bias")
    )
    y: torch.Tensor = (x - mean) / torch.sqrt(var + norm.eps) * weight + bias
    return y


def _branch(unit: ShuffleUnit, x: torch.Tensor, shuffle: bool) -> torch.Tensor:
    """Figure 2 (b) and (c), the right-hand side: no ReLU after the depthwise convolution, one shuffle."""
    y = functional.relu(_norm(functional.conv2d(x, unit.pointwise1.weight, groups=3), unit.bn1))
    if shuffle:
        y = y[:, [group * 4 + k for k in range(4) for group in range(3)]]
    y = _norm(functional.conv2d(y, unit.depthwise.weight, stride=unit.stride, padding=1, groups=12), unit.bn2)
    y = functional.conv2d(y, unit.pointwise2.weight, groups=3)
    return _norm(y, unit.bn3)


@pytest.mark.parametrize("shuffle", [True, False])
def test_stride_1_unit_adds_the_shortcut(shuffle: bool) -> None:
    unit, x = _unit(1, shuffle), torch.randn(2, 48, 6, 5)
    torch.testing.assert_close(unit(x), functional.relu(x + _branch(unit, x, shuffle)))


@pytest.mark.parametrize("shuffle", [True, False])
def test_stride_2_unit_puts_the_shortcut_first(shuffle: bool) -> None:
    unit, x = _unit(2, shuffle), torch.randn(2, 12, 7, 6)
    shortcut = functional.avg_pool2d(x, 3, stride=2, padding=1)
    torch.testing.assert_close(unit(x), functional.relu(torch.cat((shortcut, _branch(unit, x, shuffle)), dim=1)))
    assert unit(x).shape == (2, 48, 4, 3)


def test_without_shuffle_only_the_order_differs() -> None:
    torch.manual_seed(2)
    arch = ShuffleNetV1(3, 0.25, classes=4)
    with_shuffle = ShuffleNet(arch).eval()
    without = ShuffleNet(ShuffleNetV1(3, 0.25, classes=4, shuffle=False)).eval()
    without.load_state_dict(with_shuffle.state_dict())
    for network in (with_shuffle, without):
        for module in network.modules():
            if isinstance(module, ShuffleUnit):
                nn.init.ones_(module.bn3.weight)  # at 0 a unit would be the identity
    x = torch.randn(1, 3, 32, 32)
    assert not torch.allclose(with_shuffle(x), without(x))


def test_one_group_needs_no_shuffle() -> None:
    assert {unit.shuffle_groups for unit in ShuffleNetV1(1, 0.25).units()} == {1}


def test_initialisation_starts_units_as_identity() -> None:
    torch.manual_seed(3)
    network = ShuffleNet(ShuffleNetV1(3, 1.0, classes=50)).eval()
    x = torch.rand(1, 240, 4, 4)
    assert torch.equal(network.get_submodule("stage2.1")(x), x)
    weight = network.state_dict()["stage4.1.pointwise1.weight"]
    assert weight.std().item() == pytest.approx((2 / weight.shape[0]) ** 0.5, rel=0.1)
    assert network.fc.weight.std().item() == pytest.approx(0.01, rel=0.1)
    assert not network.fc.bias.any()


@pytest.mark.parametrize("stem_stride", [1, 2])
def test_logits_shape_for_odd_sizes(stem_stride: int) -> None:
    network = ShuffleNet(ShuffleNetV1(4, 0.25, classes=6, stem_stride=stem_stride)).eval()
    assert network(torch.zeros(2, 3, 33, 47)).shape == (2, 6)


def test_hooks_of_stages_see_their_output_and_the_network_can_be_traced() -> None:
    network, seen = ShuffleNet(ShuffleNetV1(3, 0.25, classes=10)).train(), []
    for stage in (2, 3, 4):
        network.get_submodule(f"stage{stage}").register_forward_hook(lambda module, x, y: seen.append(y.shape[1]))
    network(torch.randn(2, 3, 64, 64))
    assert seen == [network.arch.stage_channels(stage) for stage in (2, 3, 4)]
    x = torch.randn(2, 3, 64, 64)
    assert torch.equal(torch.fx.symbolic_trace(network.eval())(x), network(x))


def _stages_and_logits(network: ShuffleNet, x: torch.Tensor) -> tuple[list[torch.Tensor], torch.Tensor]:
    """What hooks see behind the max pool and each stage, and the logits."""
    seen: list[torch.Tensor] = []
    names = ("maxpool", "stage2", "stage3", "stage4")
    hooks = [
        network.get_submodule(name).register_forward_hook(lambda module, inputs, y: seen.append(y)) for name in names
    ]
    logits = network(x)
    for hook in hooks:
        hook.remove()
    return seen, logits


@pytest.mark.parametrize("stem_stride", [1, 2])
def test_torchvisions_walker_computes_what_the_network_does(stem_stride: int) -> None:
    """IntermediateLayerGetter calls the children one after the other, in the order in which they were made."""
    models = pytest.importorskip("torchvision.models")
    network = random_network(ShuffleNetV1(3, 0.25, classes=10, stem_stride=stem_stride))[0]
    x = torch.randn(2, 3, 64, 64)
    stages, logits = _stages_and_logits(network, x)
    names = ("maxpool", "stage2", "stage3", "stage4", "fc")
    walked = models._utils.IntermediateLayerGetter(network, {name: name for name in names})(x)
    for name, expected in zip(names, [*stages, logits], strict=True):
        assert torch.equal(walked[name], expected), name


def test_a_detector_of_torchvision_stands_on_the_stages() -> None:
    """The feature pyramid of BackboneWithFPN equals one that is given what hooks see."""
    backbones = pytest.importorskip("torchvision.models.detection.backbone_utils")
    network = random_network(ShuffleNetV1(3, 0.25, classes=10))[0]
    arch, x = network.arch, torch.randn(1, 3, 128, 96)
    stages, _ = _stages_and_logits(network, x)
    names = ("stage2", "stage3", "stage4")
    channels = [arch.stage_channels(stage) for stage in (2, 3, 4)]
    backbone = backbones.BackboneWithFPN(network, dict(zip(names, names, strict=True)), channels, 16).eval()
    expected = backbone.fpn(dict(zip(names, stages[1:], strict=True)))
    for name, features in backbone(x).items():
        assert torch.equal(features, expected[name]), name
        assert features.shape[1] == 16


@pytest.mark.parametrize("stem_stride", [1, 2])
def test_timms_walker_computes_what_the_network_does(stem_stride: int) -> None:
    """FeatureListNet keeps the children up to the last stage asked for, and `feature_info` tells their strides."""
    timm_features = pytest.importorskip("timm.models._features")
    network = random_network(ShuffleNetV1(3, 0.25, classes=10, stem_stride=stem_stride))[0]
    x = torch.randn(2, 3, 64, 64)
    expected, _ = _stages_and_logits(network, x)
    walker = timm_features.FeatureListNet(network, out_indices=(0, 1, 2, 3))
    for place, features in enumerate(walker(x)):
        assert torch.equal(features, expected[place])
        assert features.shape[1] == walker.feature_info.channels(place)
        assert 64 // features.shape[2] == walker.feature_info.reduction(place)


def test_features_of_a_graphs_network_are_found_by_tracing() -> None:
    extraction = pytest.importorskip("torchvision.models.feature_extraction")
    network, seen = random_graph_network(every_operator())[0], []
    x = torch.randn(1, 3, 40, 40)
    network.get_submodule("dw").register_forward_hook(lambda module, inputs, y: seen.append(y))
    expected = {"fc": network(x), "dw": seen[0]}
    for name, features in extraction.create_feature_extractor(network, ["dw", "fc"])(x).items():
        assert torch.equal(features, expected[name]), name
