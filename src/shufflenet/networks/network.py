"""ShuffleNet as a PyTorch module, exactly the paper's unit (arXiv 1707.01083, Figure 2 and Table 1).

Letters: N batch, C channels, H x W pixels, g groups, n channels per group.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from shufflenet.networks.graph import Graph
from shufflenet.networks.published import Published
from shufflenet.networks.shufflenet_v1 import STAGE_UNITS, ShuffleNetV1, Unit


def channel_shuffle(x: Tensor, groups: int) -> Tensor:
    """Moves channel k of group j to place k*g + j (section 3.1): [N, g*n, H, W] -> [N, n*g, H, W].

    The channels are reshaped to (g, n), transposed and flattened. With n in the place of g it is the inverse.
    """
    batch, channels, height, width = x.shape
    x = x.view(batch, groups, channels // groups, height, width)
    return x.transpose(1, 2).reshape(batch, channels, height, width)


def _pointwise(in_channels: int, out_channels: int, groups: int) -> nn.Conv2d:
    return nn.Conv2d(in_channels, out_channels, 1, groups=groups, bias=False)


class ShuffleUnit(nn.Module):
    """A unit (Figure 2b and 2c): pointwise group convolution, shuffle, depthwise 3x3, pointwise group convolution; add
    or concatenation. The state dict's names are those of its attributes."""

    def __init__(self, unit: Unit) -> None:
        super().__init__()
        middle = unit.bottleneck_channels
        self.stride = unit.stride
        self.shuffle_groups = unit.shuffle_groups
        self.pointwise1 = _pointwise(unit.in_channels, middle, unit.groups1)
        self.bn1 = nn.BatchNorm2d(middle)
        self.depthwise = nn.Conv2d(middle, middle, 3, stride=unit.stride, padding=1, groups=middle, bias=False)
        self.bn2 = nn.BatchNorm2d(middle)
        self.pointwise2 = _pointwise(middle, unit.branch_channels, unit.groups2)
        self.bn3 = nn.BatchNorm2d(unit.branch_channels)

    def forward(self, x: Tensor) -> Tensor:  # [N, in, H, W] -> [N, out, H/stride, W/stride]
        branch = torch.relu(self.bn1(self.pointwise1(x)))
        if self.shuffle_groups > 1:
            branch = channel_shuffle(branch, self.shuffle_groups)
        branch = self.bn2(self.depthwise(branch))  # no ReLU here
        branch = self.bn3(self.pointwise2(branch))
        if self.stride == 1:
            return torch.relu(x + branch)
        shortcut = nn.functional.avg_pool2d(x, kernel_size=3, stride=2, padding=1)
        return torch.relu(torch.cat((shortcut, branch), dim=1))


class ShuffleNet(Published):
    """The network of a `ShuffleNetV1`: float32 [N, in_channels, H, W] -> logits [N, classes].

    Initialised as the ResNet that the paper starts from: convolutions normal with variance 2 / fan-out,
    batch norm 1 and 0, classifier normal with standard deviation 0.01 and no bias. The last batch norm of a
    stride-1 unit starts at 0, so that each unit begins as the identity (as in Goyal et al., 1706.02677).

    The forward pass is its child modules, called one after the other. So torchvision's ``IntermediateLayerGetter``
    (``BackboneWithFPN``) and timm's ``FeatureListNet``, which call the children themselves, compute what it does.
    """

    def __init__(self, arch: ShuffleNetV1) -> None:
        super().__init__()
        self.arch = arch
        self.conv1 = nn.Conv2d(arch.in_channels, arch.stem_channels, 3, stride=arch.stem_stride, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(arch.stem_channels)
        self.relu = nn.ReLU()
        self.maxpool = nn.MaxPool2d(kernel_size=3, stride=2, padding=1)
        self.stage2, self.stage3, self.stage4 = (
            nn.Sequential(*(ShuffleUnit(unit) for unit in arch.units() if unit.stage == stage)) for stage in STAGE_UNITS
        )
        self.global_pool = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(1))
        self.fc = nn.Linear(arch.features, arch.classes)
        self.feature_info = _feature_info(arch)
        self.apply(initialise)

    def forward(self, x: Tensor) -> Tensor:
        x = self.maxpool(self.relu(self.bn1(self.conv1(x))))
        x = self.stage4(self.stage3(self.stage2(x)))
        return self.fc(self.global_pool(x))  # type: ignore[no-any-return]

    def current_graph(self) -> Graph:
        """The network as it is now: its classifier may have been replaced by one of other classes."""
        return self.arch.with_classes(self.fc.out_features).graph()

    @classmethod
    def of_graph(cls, graph: Graph) -> Self:
        """The module of a graph; raises ValueError if it is none of this family, or has squeeze-and-excitation."""
        arch = graph.architecture
        if not isinstance(arch, ShuffleNetV1) or arch.squeeze_excitation:
            raise ValueError(f"{graph.name} is no ShuffleNet of this module: shufflenet.create_model makes any network")
        return cls(arch)

    def units(self) -> Iterator[ShuffleUnit]:
        """The units of all stages, in the order of running."""
        for stage in (self.stage2, self.stage3, self.stage4):
            yield from stage  # type: ignore[misc]


def _feature_info(arch: ShuffleNetV1) -> list[dict[str, Any]]:
    """The pyramid of features as timm describes it: channels, pixels of the input per pixel, and the module."""
    stride = 2 * arch.stem_stride
    info = [{"num_chs": arch.stem_channels, "reduction": stride, "module": "maxpool"}]
    for stage in STAGE_UNITS:
        stride *= 2
        info.append({"num_chs": arch.stage_channels(stage), "reduction": stride, "module": f"stage{stage}"})
    return info


def tensors_of(network: nn.Module) -> dict[str, NDArray[np.float32]]:
    """The tensors of a network on the CPU by name, as model files and the engine have them, in the network's memory."""
    return {name: t.numpy() for name, t in network.state_dict().items() if not name.endswith("num_batches_tracked")}


def initialise(module: nn.Module) -> None:
    """Gives a module new weights, as `ShuffleNet` says; for `nn.Module.apply`."""
    if isinstance(module, nn.Conv2d):
        nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
        if module.bias is not None:
            nn.init.zeros_(module.bias)
    elif isinstance(module, nn.Linear):
        nn.init.normal_(module.weight, std=0.01)
        nn.init.zeros_(module.bias)
    elif isinstance(module, ShuffleUnit) and module.stride == 1:
        nn.init.zeros_(module.bn3.weight)
