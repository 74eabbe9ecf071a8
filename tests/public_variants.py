"""Reference forward passes of public networks that differ from the paper's by strides, pools, ReLUs or groups.

Written from their descriptions, with their tensors' names, as `public_networks`.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor, nn

from public_networks import REPEATS, norm_behind, shuffle_gn, shuffle_ng


class Named(nn.Module):
    """A convolution and its batch norm under one name."""

    def __init__(self, name: str, conv: nn.Conv2d) -> None:
        super().__init__()
        self.name = name
        self.add_module(name, norm_behind(conv))

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.get_submodule(self.name)(x)
        return y


class WeiaicunzaiUnit(nn.Module):
    def __init__(self, inp: int, out: int, g: int, first_groups: int, stride: int) -> None:
        super().__init__()
        self.g, self.stride, mid = g, stride, out // 4
        self.bottlneck = nn.Sequential(Named("pointwise", nn.Conv2d(inp, mid, 1, groups=first_groups)), nn.ReLU())
        self.depthwise = Named("depthwise", nn.Conv2d(mid, mid, 3, stride, 1, groups=mid))
        self.expand = Named("pointwise", nn.Conv2d(mid, out - inp if stride == 2 else out, 1, groups=g))

    def forward(self, x: Tensor) -> Tensor:
        branch = self.expand(self.depthwise(shuffle_gn(self.bottlneck(x), self.g)))
        if self.stride == 1:
            return F.relu(x + branch)
        return F.relu(torch.cat((F.avg_pool2d(x, 3, 2, 1), branch), 1))


class Weiaicunzai(nn.Module):
    """No max pool and stride 1 in the first convolution. ``first_groups``: of the first unit's first convolution."""

    def __init__(self, g: int, stem: int, stage2: int, classes: int, first_groups: int) -> None:
        super().__init__()
        self.conv1 = nn.Module()
        self.conv1.conv, self.conv1.bn = nn.Conv2d(3, stem, 3, padding=1), nn.BatchNorm2d(stem)
        inp = stem
        for stage, repeats in enumerate(REPEATS):
            out, units = stage2 << stage, []
            for i in range(repeats):
                units.append(WeiaicunzaiUnit(inp, out, g, first_groups if stage == i == 0 else g, 1 if i else 2))
                inp = out
            self.add_module(f"stage{stage + 2}", nn.Sequential(*units))
        self.fc = nn.Linear(inp, classes)

    def forward(self, x: Tensor) -> Tensor:
        x = F.relu(self.get_submodule("conv1.bn")(self.get_submodule("conv1.conv")(x)))
        for stage in (2, 3, 4):
            x = self.get_submodule(f"stage{stage}")(x)
        logits: Tensor = self.fc(x.mean((2, 3)))
        return logits


class KuangliuUnit(nn.Module):
    def __init__(self, inp: int, out: int, g: int, first: bool, stride: int) -> None:
        super().__init__()
        self.g, self.stride, mid = 1 if first else g, stride, out // 4  # a quarter of the branch
        self.conv1, self.bn1 = nn.Conv2d(inp, mid, 1, groups=self.g, bias=False), nn.BatchNorm2d(mid)
        self.conv2, self.bn2 = nn.Conv2d(mid, mid, 3, stride, 1, groups=mid, bias=False), nn.BatchNorm2d(mid)
        self.conv3, self.bn3 = nn.Conv2d(mid, out, 1, groups=g, bias=False), nn.BatchNorm2d(out)

    def forward(self, x: Tensor) -> Tensor:
        branch = shuffle_gn(F.relu(self.bn1(self.conv1(x))), self.g)
        branch = self.bn3(self.conv3(F.relu(self.bn2(self.conv2(branch)))))
        if self.stride == 1:
            return F.relu(branch + x)
        return F.relu(torch.cat((branch, F.avg_pool2d(x, 3, 2, 1)), 1))


class Kuangliu(nn.Module):
    """Pictures of 32 x 32 pixels."""

    def __init__(self, g: int, stem: int, stage2: int, classes: int) -> None:
        super().__init__()
        self.conv1, self.bn1 = nn.Conv2d(3, stem, 1, bias=False), nn.BatchNorm2d(stem)
        inp = stem
        for stage, repeats in enumerate(REPEATS):
            out, units = stage2 << stage, []
            for i in range(repeats):
                units.append(KuangliuUnit(inp, out if i else out - inp, g, stage == i == 0, 1 if i else 2))
                inp = out
            self.add_module(f"layer{stage + 1}", nn.Sequential(*units))
        self.linear = nn.Linear(inp, classes)

    def forward(self, x: Tensor) -> Tensor:
        x = F.relu(self.bn1(self.conv1(x)))
        for stage in (1, 2, 3):
            x = self.get_submodule(f"layer{stage}")(x)
        logits: Tensor = self.linear(F.avg_pool2d(x, 4).flatten(1))
        return logits


class JaxonyConvolution(nn.Sequential):
    """A group convolution with a bias, its batch norm, and a ReLU or none."""

    def __init__(self, inp: int, out: int, g: int, relu: bool) -> None:
        super().__init__()
        self.add_module("conv1x1", nn.Conv2d(inp, out, 1, groups=g))
        self.add_module("batch_norm", nn.BatchNorm2d(out))
        if relu:
            self.add_module("relu", nn.ReLU())


class JaxonyUnit(nn.Module):
    def __init__(self, inp: int, out: int, g: int, first: bool, stride: int) -> None:
        super().__init__()
        self.g, self.stride, mid = g, stride, out // 4
        self.g_conv_1x1_compress = JaxonyConvolution(inp, mid, 1 if first else g, relu=True)
        self.depthwise_conv3x3 = nn.Conv2d(mid, mid, 3, stride, 1, groups=mid)
        self.bn_after_depthwise = nn.BatchNorm2d(mid)
        self.g_conv_1x1_expand = JaxonyConvolution(mid, out - inp if stride == 2 else out, g, relu=False)

    def forward(self, x: Tensor) -> Tensor:
        branch = shuffle_gn(self.g_conv_1x1_compress(x), self.g)
        branch = self.g_conv_1x1_expand(self.bn_after_depthwise(self.depthwise_conv3x3(branch)))
        if self.stride == 1:
            return F.relu(x + branch)
        return F.relu(torch.cat((F.avg_pool2d(x, 3, 2, 1), branch), 1))


class Jaxony(nn.Module):
    """Neither batch norm nor ReLU behind the first convolution, so that what is pooled may be negative."""

    def __init__(self, g: int, stage2: int, classes: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, 24, 3, 2, 1)
        inp = 24
        for stage, repeats in enumerate(REPEATS):
            out, units = stage2 << stage, nn.Sequential()
            for i in range(repeats):
                unit = JaxonyUnit(inp, out, g, first=stage == i == 0, stride=1 if i else 2)
                units.add_module(f"ShuffleUnit_Stage{stage + 2}_{i}", unit)
                inp = out
            self.add_module(f"stage{stage + 2}", units)
        self.fc = nn.Linear(inp, classes)

    def forward(self, x: Tensor) -> Tensor:
        x = F.max_pool2d(self.conv1(x), 3, 2, 1)
        for stage in (2, 3, 4):
            x = self.get_submodule(f"stage{stage}")(x)
        logits: Tensor = self.fc(x.mean((2, 3)))
        return logits


class ZClsUnit(nn.Module):
    def __init__(self, inp: int, out: int, g: int, first: bool, stride: int) -> None:
        super().__init__()
        self.g, self.stride, mid = g, stride, out // 4
        branch = out - inp if stride == 2 else out
        self.conv1, self.norm1 = nn.Conv2d(inp, mid, 1, groups=1 if first else g, bias=False), nn.BatchNorm2d(mid)
        self.conv2, self.norm2 = nn.Conv2d(mid, mid, 3, stride, 1, groups=mid, bias=False), nn.BatchNorm2d(mid)
        self.conv3, self.norm3 = nn.Conv2d(mid, branch, 1, groups=g, bias=False), nn.BatchNorm2d(branch)

    def forward(self, x: Tensor) -> Tensor:
        branch = self.norm2(self.conv2(F.relu(self.norm1(self.conv1(x)))))
        branch = self.norm3(self.conv3(shuffle_ng(branch, self.g)))
        if self.stride == 1:
            return F.relu(branch + x)
        return torch.cat((F.avg_pool2d(x, 3, 2, 1), branch), 1)


class ZCls(nn.Module):
    def __init__(self, g: int, stem: int, stage2: int, classes: int) -> None:
        super().__init__()
        self.backbone, self.head = nn.Module(), nn.Module()
        self.backbone.stem = norm_behind(nn.Conv2d(3, stem, 3, 2, 1, bias=False))
        inp = stem
        for stage, repeats in enumerate(REPEATS):
            out, units = stage2 << stage, []
            for i in range(repeats):
                units.append(ZClsUnit(inp, out, g, stage == i == 0, 1 if i else 2))
                inp = out
            self.backbone.add_module(f"stage{stage + 1}", nn.Sequential(*units))
        self.head.fc = nn.Linear(inp, classes)

    def forward(self, x: Tensor) -> Tensor:
        x = F.max_pool2d(F.relu(self.get_submodule("backbone.stem")(x)), 3, 2, 1)
        for stage in (1, 2, 3):
            x = self.get_submodule(f"backbone.stage{stage}")(x)
        logits: Tensor = self.get_submodule("head.fc")(x.mean((2, 3)))
        return logits
