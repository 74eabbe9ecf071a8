"""Reference forward passes of public ShuffleNets, written from their descriptions, with their tensors' names.

Every network has random weights and random batch norm statistics. Letters: g groups, n channels per group.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor, nn

REPEATS = (4, 8, 4)


def randomised(network: nn.Module, seed: int) -> nn.Module:
    """Weights and statistics that keep activations near one and let every channel matter."""
    random = torch.Generator().manual_seed(seed)
    for module in network.modules():
        if isinstance(module, nn.Conv2d | nn.Linear):
            fan_in = module.weight[0].numel()
            nn.init.normal_(module.weight, 0, fan_in**-0.5, generator=random)
            if module.bias is not None:
                nn.init.normal_(module.bias, 0, 0.3, generator=random)
        elif isinstance(module, nn.BatchNorm2d):
            nn.init.uniform_(module.weight, 0.5, 1.5, generator=random)
            nn.init.normal_(module.bias, 0, 0.3, generator=random)
            assert module.running_mean is not None
            assert module.running_var is not None
            nn.init.normal_(module.running_mean, 0, 0.3, generator=random)
            nn.init.uniform_(module.running_var, 0.5, 2, generator=random)
    return network.eval()


def shuffle_gn(x: Tensor, g: int) -> Tensor:
    batch, channels, height, width = x.shape
    return x.view(batch, g, channels // g, height, width).transpose(1, 2).reshape(x.shape)


def shuffle_ng(x: Tensor, g: int) -> Tensor:
    batch, channels, height, width = x.shape
    return x.view(batch, channels // g, g, height, width).transpose(1, 2).reshape(x.shape)


def norm_behind(*modules: nn.Module) -> nn.Sequential:
    last = modules[-1]
    assert isinstance(last, nn.Conv2d)
    return nn.Sequential(*modules, nn.BatchNorm2d(last.out_channels))


class MegviiUnit(nn.Module):
    def __init__(self, inp: int, out: int, g: int, first: bool, stride: int) -> None:
        super().__init__()
        self.g, self.stride, mid = g, stride, out // 4
        self.branch_main_1 = nn.Sequential(
            nn.Conv2d(inp, mid, 1, groups=1 if first else g, bias=False),
            nn.BatchNorm2d(mid),
            nn.ReLU(),
            nn.Conv2d(mid, mid, 3, stride, 1, groups=mid, bias=False),
            nn.BatchNorm2d(mid),
        )
        self.branch_main_2 = norm_behind(nn.Conv2d(mid, out - inp if stride == 2 else out, 1, groups=g, bias=False))

    def forward(self, x: Tensor) -> Tensor:
        branch = self.branch_main_2(shuffle_ng(self.branch_main_1(x), self.g))
        if self.stride == 1:
            return F.relu(x + branch)
        return torch.cat((F.avg_pool2d(x, 3, 2, 1), F.relu(branch)), 1)


class Megvii(nn.Module):
    """Input: blue, green, red, from 0 to 255."""

    def __init__(self, g: int, stem: int, stage2: int, classes: int = 1000) -> None:
        super().__init__()
        self.first_conv = norm_behind(nn.Conv2d(3, stem, 3, 2, 1, bias=False))
        units, inp = [], stem
        for stage, repeats in enumerate(REPEATS):
            out = stage2 << stage
            for i in range(repeats):
                units.append(MegviiUnit(inp, out, g, first=stage == i == 0, stride=2 if i == 0 else 1))
                inp = out
        self.features = nn.Sequential(*units)
        self.classifier = nn.Sequential(nn.Linear(inp, classes, bias=False))

    def forward(self, x: Tensor) -> Tensor:
        x = F.max_pool2d(F.relu(self.first_conv(x)), 3, 2, 1)
        logits: Tensor = self.classifier(self.features(x).mean((2, 3)))
        return logits


class ConvModule(nn.Module):
    def __init__(self, *sizes: int, groups: int = 1) -> None:
        super().__init__()
        inp, out, kernel, stride = sizes
        self.conv = nn.Conv2d(inp, out, kernel, stride, kernel // 2, groups=groups, bias=False)
        self.bn = nn.BatchNorm2d(out)

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.bn(self.conv(x))
        return y


class MMUnit(nn.Module):
    def __init__(self, inp: int, out: int, g: int, first: bool, stride: int) -> None:
        super().__init__()
        self.g, self.stride, mid = g, stride, out // 4
        self.g_conv_1x1_compress = ConvModule(inp, mid, 1, 1, groups=1 if first else g)
        self.depthwise_conv3x3_bn = ConvModule(mid, mid, 3, stride, groups=mid)
        self.g_conv_1x1_expand = ConvModule(mid, out - inp if stride == 2 else out, 1, 1, groups=g)

    def forward(self, x: Tensor) -> Tensor:
        branch = self.depthwise_conv3x3_bn(F.relu(self.g_conv_1x1_compress(x)))
        branch = self.g_conv_1x1_expand(shuffle_gn(branch, self.g))
        if self.stride == 1:
            return F.relu(x + branch)
        return torch.cat((F.avg_pool2d(x, 3, 2, 1), F.relu(branch)), 1)


class MMPretrain(nn.Module):
    """Input: red, green, blue, minus the mean, by the standard deviation."""

    def __init__(self, g: int = 3, stem: int = 24, stage2: int = 240) -> None:
        super().__init__()
        self.backbone, self.head = nn.Module(), nn.Module()
        self.backbone.conv1 = ConvModule(3, stem, 3, 2)
        stages, inp = [], stem
        for stage, repeats in enumerate(REPEATS):
            out, units = stage2 << stage, []
            for i in range(repeats):
                units.append(MMUnit(inp, out, g, first=stage == i == 0, stride=2 if i == 0 else 1))
                inp = out
            stages.append(nn.Sequential(*units))
        self.backbone.layers = nn.ModuleList(stages)
        self.head.fc = nn.Linear(inp, 1000)

    def forward(self, x: Tensor) -> Tensor:
        x = F.max_pool2d(F.relu(self.backbone.get_submodule("conv1")(x)), 3, 2, 1)
        for stage in range(3):
            x = self.backbone.get_submodule(f"layers.{stage}")(x)
        logits: Tensor = self.head.get_submodule("fc")(x.mean((2, 3)))
        return logits


class PaperUnit(nn.Module):
    """Built as the paper says, with names of its own and a bias in every convolution."""

    def __init__(self, inp: int, out: int, g: int, first: bool, stride: int) -> None:
        super().__init__()
        self.g, self.stride, mid = g, stride, out // 4
        self.a = norm_behind(nn.Conv2d(inp, mid, 1, groups=1 if first else g))
        self.b = norm_behind(nn.Conv2d(mid, mid, 3, stride, 1, groups=mid))
        self.c = norm_behind(nn.Conv2d(mid, out - inp if stride == 2 else out, 1, groups=g))

    def forward(self, x: Tensor) -> Tensor:
        branch = self.c(self.b(shuffle_gn(F.relu(self.a(x)), self.g)))
        if self.stride == 1:
            return F.relu(x + branch)
        return F.relu(torch.cat((F.avg_pool2d(x, 3, 2, 1), branch), 1))


class Paper(nn.Module):
    def __init__(self, g: int, stem: int, stage2: int, classes: int, stem_norm: bool = True) -> None:
        super().__init__()
        conv = nn.Conv2d(3, stem, 3, 2, 1)
        self.entry = norm_behind(conv) if stem_norm else nn.Sequential(conv)  # without: as jaxony's
        units, inp = [], stem
        for stage, repeats in enumerate(REPEATS):
            out = stage2 << stage
            for i in range(repeats):
                units.append(PaperUnit(inp, out, g, first=stage == i == 0, stride=2 if i == 0 else 1))
                inp = out
        self.body = nn.Sequential(*units)
        self.exit = nn.Linear(inp, classes)

    def forward(self, x: Tensor) -> Tensor:
        x = F.max_pool2d(F.relu(self.entry(x)), 3, 2, 1)
        logits: Tensor = self.exit(self.body(x).mean((2, 3)))
        return logits
