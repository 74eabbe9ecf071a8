"""Reference forward passes of tensorpack's and MegEngine's ShuffleNets, with their files, which hold NumPy arrays.

Written from their descriptions, as `public_networks`.
"""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor, nn

from public_networks import REPEATS, shuffle_ng

_TENSORFLOWS = {"weight": "gamma", "bias": "beta", "running_mean": "mean/EMA", "running_var": "variance/EMA"}


def padded(x: Tensor) -> Tensor:
    """As TensorFlow pads planes of even size for a 3x3 window of stride 2."""
    return F.pad(x, (0, 1, 0, 1))


class TensorpackUnit(nn.Module):
    def __init__(self, inp: int, out: int, g: int, stride: int) -> None:
        super().__init__()
        self.g, self.stride, mid = g, stride, out // 4
        self.conv1 = nn.Conv2d(inp, mid, 1, groups=g if inp > 24 else 1, bias=False)
        self.bn1, self.bn2 = nn.BatchNorm2d(mid), nn.BatchNorm2d(mid)
        self.dconv = nn.Conv2d(mid, mid, 3, stride, 2 - stride, groups=mid, bias=False)
        self.conv2 = nn.Conv2d(mid, out - inp if stride == 2 else out, 1, groups=g, bias=False)
        self.bn3 = nn.BatchNorm2d(self.conv2.out_channels)

    def forward(self, x: Tensor) -> Tensor:
        branch = shuffle_ng(F.relu(self.bn1(self.conv1(x))), self.g)
        branch = self.bn2(self.dconv(branch if self.stride == 1 else padded(branch)))
        branch = self.bn3(self.conv2(branch))
        if self.stride == 1:
            return F.relu(x + branch)
        return torch.cat((F.avg_pool2d(x, 3, 2, ceil_mode=True), F.relu(branch)), 1)


class Tensorpack(nn.Module):
    """Input: blue, green, red, normalised."""

    def __init__(self, g: int, stem: int, stage2: int, classes: int) -> None:
        super().__init__()
        self.conv1, self.bn = nn.Conv2d(3, stem, 3, 2, bias=False), nn.BatchNorm2d(stem)
        self.units, inp = nn.ModuleList(), stem
        for stage, repeats in enumerate(REPEATS):
            for i in range(repeats):
                self.units.append(TensorpackUnit(inp, stage2 << stage, g, 1 if i else 2))
                inp = stage2 << stage
        self.linear = nn.Linear(inp, classes)

    def forward(self, x: Tensor) -> Tensor:
        x = F.max_pool2d(padded(F.relu(self.bn(self.conv1(padded(x))))), 3, 2)
        for unit in self.units:
            x = unit(x)
        logits: Tensor = self.linear(x.mean((2, 3)))
        return logits

    def write(self, path: Path, ending: str = "") -> Path:
        """TensorFlow's variables, whose names end in ``ending``."""
        variables: dict[str, Any] = {"learning_rate": np.float32(0.5), "global_step": np.int64(3)}

        def add(scope: str, conv: nn.Conv2d, norm_scope: str, norm: nn.BatchNorm2d) -> None:
            depthwise = conv.groups == conv.in_channels
            variables[f"{scope}/W"] = conv.weight.permute(*((2, 3, 0, 1) if depthwise else (2, 3, 1, 0)))
            for ours, theirs in _TENSORFLOWS.items():
                variables[f"{norm_scope}/{theirs}"] = norm.state_dict()[ours]

        add("conv1", self.conv1, "conv1/bn", self.bn)
        scopes = [f"stage{stage + 2}/block{i}" for stage, repeats in enumerate(REPEATS) for i in range(repeats)]
        for scope, unit in zip(scopes, self.units, strict=True):
            assert isinstance(unit, TensorpackUnit)
            add(f"{scope}/conv1", unit.conv1, f"{scope}/conv1/bn", unit.bn1)
            add(f"{scope}/dconv", unit.dconv, f"{scope}/dconv_bn", unit.bn2)
            add(f"{scope}/conv2", unit.conv2, f"{scope}/conv2_bn", unit.bn3)
        variables |= {"linear/W": self.linear.weight.T, "linear/b": self.linear.bias}
        arrays: dict[str, Any] = {f"{name}{ending}": torch.as_tensor(each).detach() for name, each in variables.items()}
        np.savez_compressed(path, **arrays)
        return path


class Fused(nn.Module):
    def __init__(self, inp: int, out: int, k: int = 1, stride: int = 1, groups: int = 1) -> None:
        super().__init__()
        self.conv = nn.Conv2d(inp, out, k, stride, k // 2, groups=groups, bias=False)
        self.bn = nn.BatchNorm2d(out)

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.bn(self.conv(x))
        return y


class MegEngineUnit(nn.Module):
    def __init__(self, inp: int, out: int, g: int, first: bool, stride: int) -> None:
        super().__init__()
        self.g, mid = g, out // 4
        self.branch_main_1 = nn.ModuleList([Fused(inp, mid, groups=1 if first else g), Fused(mid, mid, 3, stride, mid)])
        self.branch_main_2 = nn.ModuleList([Fused(mid, out, groups=g)])
        if stride == 2:
            self.branch_proj = Fused(inp, out, stride=2)

    def forward(self, x: Tensor) -> Tensor:
        branch = self.branch_main_1[1](F.relu(self.branch_main_1[0](x)))
        branch = self.branch_main_2[0](shuffle_ng(branch, self.g))
        return F.relu(branch + (self.branch_proj(x) if hasattr(self, "branch_proj") else x))


class MegEngine(nn.Module):
    """Input: blue, green, red, from 0 to 255, minus 128. ``listed``: its classifier is the first of a list."""

    def __init__(self, g: int, stem: int, stage2: int, classes: int, listed: bool) -> None:
        super().__init__()
        self.first_conv = nn.ModuleList([Fused(3, stem, 3, 2)])
        self.features, inp = nn.ModuleList(), stem
        for stage, repeats in enumerate(REPEATS):
            for i in range(repeats):
                self.features.append(MegEngineUnit(inp, stage2 << stage, g, stage == i == 0, 1 if i else 2))
                inp = stage2 << stage
        linear = nn.Linear(inp, classes, bias=False)
        self.classifier = nn.Sequential(linear) if listed else linear

    def forward(self, x: Tensor) -> Tensor:
        x = F.max_pool2d(F.relu(self.first_conv[0](x)), 3, 2, 1)
        for unit in self.features:
            x = unit(x)
        logits: Tensor = self.classifier(x.mean((2, 3)))
        return logits

    def arrays(self) -> dict[str, Any]:
        """Weights of groups have five axes, batch norms four."""
        result = {}
        groups = {f"{name}.weight": m.groups for name, m in self.named_modules() if isinstance(m, nn.Conv2d)}
        for name, tensor in self.state_dict().items():
            if name.endswith("num_batches_tracked"):
                continue
            shape = (1, -1, 1, 1) if ".bn." in name else tensor.shape
            if groups.get(name, 1) > 1:
                shape = (groups[name], -1, *tensor.shape[1:])
            result[name] = tensor.reshape(shape).numpy()
        return result

    def write(self, path: Path, protocol: int = 4, **around: Any) -> Path:
        """As megengine.save does."""
        state = self.arrays()
        path.write_bytes(pickle.dumps({"state_dict": state, **around} if around else state, protocol))
        return path
