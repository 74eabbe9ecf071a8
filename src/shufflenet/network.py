"""ShuffleNet as a PyTorch module, exactly the paper's unit (arXiv 1707.01083, Figure 2 and Table 1).

Letters: N batch, C channels, H x W pixels, g groups, n channels per group.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from shufflenet.arch import STAGE_UNITS, Architecture, Unit
from shufflenet.model_file import Model


def channel_shuffle(x: Tensor, groups: int) -> Tensor:
    """Channel k of group j moves to place k*g + j (section 3.1): [N, g*n, H, W] -> [N, n*g, H, W].

    Reshape to (g, n), transpose, flatten. Some public code reshapes to (n, g), which is the inverse.
    """
    batch, channels, height, width = x.shape
    x = x.view(batch, groups, channels // groups, height, width)
    return x.transpose(1, 2).reshape(batch, channels, height, width)


class PointwiseConv(nn.Conv2d):
    """A 1x1 group convolution without bias, run as batched matrix products on planes.

    `nn.Conv2d` computes the same but takes twice the time to train with groups on a CPU.
    """

    def __init__(self, in_channels: int, out_channels: int, groups: int) -> None:
        super().__init__(in_channels, out_channels, 1, groups=groups, bias=False)

    def forward(self, x: Tensor) -> Tensor:  # [N, in, H, W] -> [N, out, H, W]
        if self.groups == 1 or not self.training:
            return super().forward(x)
        weight = self.weight
        if torch.is_autocast_enabled(x.device.type):
            dtype = torch.get_autocast_dtype(x.device.type)
            x, weight = x.to(dtype), weight.to(dtype)
        return _PlanarPointwise.apply(x, weight, self.groups)  # type: ignore[no-any-return]


class _PlanarPointwise(torch.autograd.Function):
    """y[b, j] = w[j] x[b, j] for each picture b and group j: [m, n] times [n, H*W]."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, groups: int) -> Tensor:
        ctx.save_for_backward(x, weight)
        ctx.groups = groups
        batch, _, height, width = x.shape
        return torch.bmm(_per_picture(weight, groups, batch), _planes(x, groups)).view(batch, -1, height, width)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, Tensor, None]:
        x, weight = ctx.saved_tensors
        groups, batch = ctx.groups, x.shape[0]
        grad = _planes(grads[0], groups)
        grad_x = torch.bmm(_per_picture(weight, groups, batch).transpose(1, 2), grad).view_as(x)
        per_picture = torch.bmm(grad, _planes(x, groups).transpose(1, 2))
        return grad_x, per_picture.view(batch, -1).sum(dim=0).view_as(weight), None


def _planes(x: Tensor, groups: int) -> Tensor:  # [N, g*n, H, W] -> [N*g, n, H*W]
    batch, channels, height, width = x.shape
    return x.reshape(batch * groups, channels // groups, height * width)


def _per_picture(weight: Tensor, groups: int, batch: int) -> Tensor:  # [g*m, n, 1, 1] -> [N*g, m, n]
    out_channels, n = weight.shape[:2]
    grouped = weight.view(1, groups, out_channels // groups, n)
    return grouped.expand(batch, -1, -1, -1).reshape(batch * groups, out_channels // groups, n)


class ShuffleUnit(nn.Module):
    """Pointwise group convolution, shuffle, depthwise 3x3, pointwise group convolution; add or concat."""

    def __init__(self, unit: Unit, shuffle: bool) -> None:
        super().__init__()
        middle = unit.bottleneck_channels
        self.stride = unit.stride
        self.shuffle_groups = unit.groups2 if shuffle else 1
        self.pointwise1 = PointwiseConv(unit.in_channels, middle, unit.groups1)
        self.bn1 = nn.BatchNorm2d(middle)
        self.depthwise = nn.Conv2d(middle, middle, 3, stride=unit.stride, padding=1, groups=middle, bias=False)
        self.bn2 = nn.BatchNorm2d(middle)
        self.pointwise2 = PointwiseConv(middle, unit.branch_channels, unit.groups2)
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


class ShuffleNet(nn.Module):
    """The network of an `Architecture`: float32 [N, in_channels, H, W] -> logits [N, classes].

    Initialised as the ResNet that the paper starts from: convolutions normal with variance 2 / fan-out,
    batch norm 1 and 0, classifier normal with standard deviation 0.01 and no bias. The last batch norm of a
    stride-1 unit starts at 0, so that each unit begins as the identity (as in Goyal et al., 1706.02677).
    """

    def __init__(self, arch: Architecture) -> None:
        super().__init__()
        self.arch = arch
        self.conv1 = nn.Conv2d(arch.in_channels, arch.stem_channels, 3, stride=arch.stem_stride, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(arch.stem_channels)
        self.maxpool = nn.MaxPool2d(kernel_size=3, stride=2, padding=1)
        for stage in STAGE_UNITS:
            units = [ShuffleUnit(unit, arch.shuffle) for unit in arch.units() if unit.stage == stage]
            self.add_module(f"stage{stage}", nn.Sequential(*units))
        self.fc = nn.Linear(arch.features, arch.classes)
        self.apply(_initialise)

    def forward(self, x: Tensor) -> Tensor:
        x = torch.relu(self.bn1(self.conv1(x)))
        x = self.maxpool(x)
        for stage in STAGE_UNITS:
            x = self.get_submodule(f"stage{stage}")(x)
        return self.fc(x.mean(dim=(2, 3)))  # type: ignore[no-any-return]

    @classmethod
    def from_model(cls, model: Model) -> ShuffleNet:
        """The trained network of a model file, in eval mode."""
        network = cls(model.arch)
        # strict=False: a model file leaves PyTorch's num_batches_tracked out, and has checked the rest.
        network.load_state_dict({name: torch.from_numpy(t) for name, t in model.tensors.items()}, strict=False)
        return network.eval()


def _initialise(module: nn.Module) -> None:
    if isinstance(module, nn.Conv2d):
        nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
    elif isinstance(module, nn.Linear):
        nn.init.normal_(module.weight, std=0.01)
        nn.init.zeros_(module.bias)
    elif isinstance(module, ShuffleUnit) and module.stride == 1:
        nn.init.zeros_(module.bn3.weight)
