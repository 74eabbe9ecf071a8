"""The network rewritten as other runtimes run it best; the same function of the same weights.

Batch norm is folded into the convolution before it. The channel shuffle stands behind the depthwise convolution, whose
weights are in the order of its unshuffled input, where stride 2 has made it a quarter of the size. The ReLU behind a
concatenation is the branch's alone, and can be fused: the shortcut is an average of values that are not negative.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.utils import fuse_conv_bn_eval

from shufflenet.arch import STAGE_UNITS
from shufflenet.bench.work import Work
from shufflenet.network import ShuffleNet, ShuffleUnit, channel_shuffle

Shuffle = Literal["gather", "transpose"]  # one Gather over channels; or reshape, transpose, reshape


class _TunedUnit(nn.Module):
    order: Tensor

    def __init__(self, unit: ShuffleUnit, shuffle: Shuffle) -> None:
        super().__init__()
        self.stride, self.groups, self.shuffle = unit.stride, unit.shuffle_groups, shuffle
        self.pointwise1 = _fold(unit.pointwise1, unit.bn1)
        self.depthwise = _fold(unit.depthwise, unit.bn2)
        self.pointwise2 = _fold(unit.pointwise2, unit.bn3)
        channels = self.depthwise.out_channels
        order = torch.arange(channels).view(self.groups, -1).T.reshape(-1)  # shuffled[i] = unshuffled[order[i]]
        self.register_buffer("order", order)
        assert self.depthwise.bias is not None
        for tensor in (self.depthwise.weight, self.depthwise.bias):
            tensor.data[order] = tensor.data.clone()

    def forward(self, x: Tensor) -> Tensor:  # [N, in, H, W] -> [N, out, H/stride, W/stride]
        branch = self.depthwise(torch.relu(self.pointwise1(x)))
        if self.groups > 1 and self.shuffle == "gather":
            branch = branch.index_select(1, self.order)
        elif self.groups > 1:
            branch = channel_shuffle(branch, self.groups)
        branch = self.pointwise2(branch)
        if self.stride == 1:
            return torch.relu(x + branch)
        shortcut = nn.functional.avg_pool2d(x, kernel_size=3, stride=2, padding=1)
        return torch.cat((shortcut, torch.relu(branch)), dim=1)


class TunedNetwork(nn.Module):
    """float32 [N, in_channels, H, W] -> logits [N, classes], as `ShuffleNet` with the weights of ``network``."""

    def __init__(self, network: ShuffleNet, shuffle: Shuffle) -> None:
        super().__init__()
        self.conv1 = _fold(network.conv1, network.bn1)
        self.maxpool = network.maxpool
        units: list[nn.Module] = []
        for stage in STAGE_UNITS:
            for unit in network.get_submodule(f"stage{stage}").children():
                assert isinstance(unit, ShuffleUnit)
                units.append(_TunedUnit(unit, shuffle))
        self.units = nn.Sequential(*units)
        self.fc = network.fc
        self.requires_grad_(False)
        self.eval()

    def forward(self, x: Tensor) -> Tensor:
        x = self.units(self.maxpool(torch.relu(self.conv1(x))))
        # A pooling layer rather than a mean over two axes: runtimes have a kernel for the first.
        return self.fc(nn.functional.adaptive_avg_pool2d(x, 1).flatten(1))  # type: ignore[no-any-return]


def _fold(convolution: nn.Conv2d, batch_norm: nn.BatchNorm2d) -> nn.Conv2d:
    """A plain `Conv2d`: exporters must not see `PointwiseConv`."""
    fused = fuse_conv_bn_eval(convolution, batch_norm)
    assert fused.bias is not None
    plain = nn.Conv2d(
        fused.in_channels, fused.out_channels, fused.kernel_size, fused.stride, fused.padding, groups=fused.groups  # type: ignore[arg-type]
    )  # fmt: skip
    plain.weight.data, plain.bias.data = fused.weight.data, fused.bias.data  # type: ignore[union-attr]
    return plain


def tuned_networks(work: Work, shuffles: Sequence[Shuffle]) -> list[TunedNetwork]:
    """One network for each way to write the shuffle; a single one if there is nothing to shuffle."""
    network = ShuffleNet.from_model(work.model)
    needed = shuffles if work.model.arch.groups > 1 and work.model.arch.shuffle else shuffles[:1]
    return [TunedNetwork(network, shuffle) for shuffle in needed]


def example(work: Work) -> Tensor:
    return torch.from_numpy(np.ascontiguousarray(work.x))
