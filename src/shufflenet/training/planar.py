"""ShuffleNet's training on a CPU by kernels of the package: the same as `network.ShuffleNet`, several times faster.

PyTorch makes a pass over memory for each operation. Here batch norm's statistics are taken where a convolution writes
its result, its affine map is applied where the next one reads it, and the shuffle is where rows are written to.
Activations are planar (see `kernels`), so that channels of a group are long rows of pixels.

Names: raw is a convolution's result, of which batch norm makes scale * raw + offset; g is the gradient at that.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from functools import cache
from typing import Any

import torch
from torch import Tensor, distributed, nn

from shufflenet.networks.network import ShuffleNet, ShuffleUnit
from shufflenet.training.kernels import (
    DepthwiseBackward,
    DepthwiseForward,
    MaxPoolBackward,
    MaxPoolForward,
    OutputBackward,
    OutputForward,
    PointwiseBackward,
    PointwiseForward,
    StemBackward,
    StemForward,
    batch_norm_backward,
    batch_norm_forward,
    rows,
    run,
)
from shufflenet.training.parallel import SynchronisedBatchNorm

_MODULES = {
    ShuffleNet, ShuffleUnit, nn.Sequential, nn.Conv2d, nn.BatchNorm2d, SynchronisedBatchNorm, nn.ReLU, nn.MaxPool2d,
    nn.AdaptiveAvgPool2d, nn.Flatten, nn.Linear,
}  # fmt: skip
_ANYTHING = -float("inf")  # the lower bound where there is no ReLU
_MOST_FLOATS = 1 << 31  # in an activation: the kernels find its rows by 32-bit numbers


@dataclass(frozen=True)
class Planes:
    """The shape of a planar activation's rows: [images, height, width]."""

    images: int
    height: int
    width: int

    @property
    def pixels(self) -> int:
        return self.images * self.height * self.width

    @staticmethod
    def behind_conv1(network: ShuffleNet, x: Tensor) -> Planes:
        """The planes that conv1 writes for an input [N, C, H, W]."""
        stride = network.arch.stem_stride
        return Planes(x.shape[0], (x.shape[2] - 1) // stride + 1, (x.shape[3] - 1) // stride + 1)

    def halved(self) -> Planes:
        """The planes behind a stride of 2."""
        return Planes(self.images, (self.height + 1) // 2, (self.width + 1) // 2)


class Planar(nn.Module):
    """A network for a training loop: float32 [N, C, H, W] -> logits [N, classes], by the kernels where `suits` says so.

    The kernels call no hooks of the network's modules. Any other forward pass is the network's own. Its parameters and
    state are the same either way.

    Args:
        aloud: warn, once for each reason, when PyTorch does a forward pass of training.
    """

    def __init__(self, network: ShuffleNet, aloud: bool = False) -> None:
        super().__init__()
        self.network = network
        self.aloud = aloud
        self._told: set[str] = set()

    def forward(self, x: Tensor) -> Tensor:
        network = self.network
        reason = refusal(network, x)
        if not reason:
            return network.fc(features(network, x))  # type: ignore[no-any-return]
        if self.aloud and self.training and reason not in self._told:
            self._told.add(reason)
            warnings.warn(f"PyTorch trains, not the package's faster kernels: {reason}", stacklevel=3)
        return network(x)  # type: ignore[no-any-return]


def accelerate(network: nn.Module) -> nn.Module:
    """What a training loop on a CPU calls in place of ``network``; the parameters are the network's.

    ShuffleNet is trained several times as fast, by kernels of the package. Where they can't do a step, PyTorch does it,
    and a warning says why, once: another network, a GPU, autocast, frozen weights, a part in eval mode.
    """
    if type(network) is ShuffleNet:
        return Planar(network, aloud=True)
    warnings.warn(
        f"PyTorch trains, not the package's faster kernels: they are for ShuffleNet, not {type(network).__name__}",
        stacklevel=2,
    )
    return network


def by_kernels(network: nn.Module) -> nn.Module:
    """What `train` calls in place of ``network``: only ShuffleNet has kernels."""
    return Planar(network) if isinstance(network, ShuffleNet) else network


def refusal(network: ShuffleNet, x: Tensor) -> str:
    """Why the kernels can't do this forward pass; empty: they can."""
    if x.ndim != 4 or x.shape[1] != network.arch.in_channels:
        return f"the input is {list(x.shape)}, not [N, {network.arch.in_channels}, H, W]"
    if x.device.type != "cpu" or x.dtype != torch.float32:
        return f"the input is {str(x.dtype).removeprefix('torch.')} on {x.device.type}, not float32 on the CPU"
    if x.requires_grad:
        return "the input needs a gradient"
    if torch.is_autocast_enabled("cpu"):
        return "autocast is on"
    for name, module in network.named_modules():
        if type(module) not in _MODULES:
            return f"{name or 'the network'} is a {type(module).__name__}, which they don't know"
        if not module.training:
            return f"{name or 'the network'} is in eval mode"
    for name, parameter in network.named_parameters():
        if not parameter.requires_grad:
            return f"{name} is frozen"
        if parameter.dtype != torch.float32 or parameter.device != x.device:
            return f"{name} is not float32 on the CPU"
    if not _sizes_suit(network, x):
        return "the batch is too large for them, or leaves a single pixel for batch norm"
    return ""


def _sizes_suit(network: ShuffleNet, x: Tensor) -> bool:
    """Whether activations are small enough for the kernels, and batch norm has two pixels at least of each channel."""
    planes = Planes.behind_conv1(network, x)
    sizes = [network.arch.stem_channels * planes.pixels]
    planes = planes.halved()
    for stage in (2, 3, 4):
        channels = network.arch.stage_channels(stage)
        sizes += [channels // 4 * planes.pixels, channels * planes.halved().pixels]  # a first unit's two sides
        planes = planes.halved()
    return planes.pixels > 1 and max(sizes) < _MOST_FLOATS


def features(network: ShuffleNet, x: Tensor) -> Tensor:
    """The network up to its global average pool: [N, C, H, W] -> [N, features]."""
    activation, planes = stem(x, network)
    activation, planes = units(activation, planes, list(network.units()))
    return activation[:, : planes.pixels].view(len(activation), planes.images, -1).mean(dim=2).t()


def stem(x: Tensor, network: ShuffleNet) -> tuple[Tensor, Planes]:
    """Conv1, batch norm, ReLU and max pool in training mode: [N, C, H, W] -> planar [stem channels, pitch]."""
    planes = Planes.behind_conv1(network, x)
    y = _Stem.apply(x, network.conv1.weight, network.bn1.weight, network.bn1.bias, network, planes)
    return y, planes.halved()


class _Stem(torch.autograd.Function):
    """`stem`; its tensor arguments are the input, conv1's weights, and batch norm's weight and bias."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, w: Tensor, weight: Tensor, bias: Tensor, *arguments: Any) -> Tensor:
        network, planes = arguments
        x, w = x.contiguous(), w.contiguous()
        norm = _BatchNorm(network.bn1, planes.pixels)
        raw = rows(len(w), planes.pixels)
        sums = _sums(raw)
        ctx.shape = {
            "images": x.shape[0], "channels": x.shape[1], "height": x.shape[2], "width": x.shape[3],
            "stride": network.arch.stem_stride, "m": len(w), "y_pitch": raw.stride(0),
        }  # fmt: skip
        run(StemForward, **ctx.shape, w=w, x=x, y=raw, sums=sums)
        norm.forward(sums)
        y = rows(len(w), planes.halved().pixels)
        ctx.pool = {
            "channels": len(w), "images": planes.images, "height": planes.height, "width": planes.width,
            "x_pitch": raw.stride(0), "y_pitch": y.stride(0),
        }  # fmt: skip
        tap = torch.empty_like(y, dtype=torch.int32)
        run(MaxPoolForward, **ctx.pool, scale=norm.scale, offset=norm.offset, x=raw, y=y, tap=tap)
        ctx.save_for_backward(x, w, raw, y, tap, weight, bias)
        ctx.norm = norm
        return y

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, g: Tensor) -> tuple[Any, ...]:
        x, w, raw, y, tap, *_ = ctx.saved_tensors
        grad_raw, sums = torch.empty_like(raw), _sums(raw)
        run(MaxPoolBackward, **ctx.pool, x=raw, y=y, g=g.contiguous(), tap=tap, grad_x=grad_raw, sums=sums)
        to_raw, grad_w = ctx.norm.backward(sums), torch.empty_like(w)
        run(StemBackward, **ctx.shape, g=grad_raw, raw=raw, **to_raw, x=x, grad_w=grad_w)
        return None, grad_w, ctx.norm.grad_weight, ctx.norm.grad_bias, None, None


def units(x: Tensor, planes: Planes, modules: list[ShuffleUnit]) -> tuple[Tensor, Planes]:
    """Units in training mode, one after the other: planar [in, pitch] -> planar [out, pitch]."""
    chain: list[_Unit] = []
    for module in modules:
        chain.append(_Unit(module, planes))
        planes = chain[-1].after
    return _Units.apply(x, chain, *(p for unit in chain for p in unit.parameters())), planes


class _BatchNorm:
    """Batch norm as two affine maps, forward and backward, from sums over pixels.

    Args:
        count: pixels of each channel in this process's part of the batch.
        order: int32 [C], the row of each channel; default: its own number.
    """

    def __init__(self, norm: nn.BatchNorm2d, count: int, order: Tensor | None = None) -> None:
        channels = norm.num_features
        self.norm = norm
        self.synchronised = isinstance(norm, SynchronisedBatchNorm)
        self.count = count * (distributed.get_world_size() if self.synchronised else 1)
        self.order = _in_order(channels) if order is None else order
        self.moments = torch.empty(2, channels, dtype=torch.float64)
        self.scale, self.offset = torch.empty(2, channels).unbind()

    def forward(self, sums: Tensor, shift: Tensor | None = None) -> None:
        """Sets scale and offset from float64 [C, 2], the sums of raw and of its square; updates running statistics.

        ``shift``, float32 [C], is what raw lacks of the convolution's result.
        """
        norm = self.norm
        if self.synchronised:
            distributed.all_reduce(sums)
        assert norm.num_batches_tracked is not None
        norm.num_batches_tracked.add_(1)
        batch_norm_forward(
            channels=norm.num_features, count=self.count, epsilon=norm.eps,
            momentum=norm.momentum if norm.momentum is not None else 1 / float(norm.num_batches_tracked),
            order=self.order, weight=norm.weight, bias=norm.bias, shift=shift, sums=sums, mean=self.moments[0],
            inverse=self.moments[1], scale=self.scale, offset=self.offset, running_mean=norm.running_mean,
            running_var=norm.running_var,
        )  # fmt: skip

    def backward(self, sums: Tensor) -> dict[str, Tensor]:
        """From float64 [C, 2], the sums of g and of g * raw: grad_scale, raw_scale and constant of training.h."""
        own = self._backward(sums)
        self.grad_weight, self.grad_bias = own["grad_weight"], own["grad_bias"]
        if self.synchronised:
            distributed.all_reduce(sums)
            own = self._backward(sums)
        return {name: own[name] for name in ("grad_scale", "raw_scale", "constant")}

    def _backward(self, sums: Tensor) -> dict[str, Tensor]:
        names = ("grad_scale", "raw_scale", "constant", "grad_weight", "grad_bias")
        results = dict(zip(names, torch.empty(len(names), len(sums)).unbind(), strict=True))
        batch_norm_backward(
            channels=len(sums), count=self.count, order=self.order, weight=self.norm.weight, sums=sums,
            mean=self.moments[0], inverse=self.moments[1], **results,
        )  # fmt: skip
        return results


class _Units(torch.autograd.Function):
    """`units`; the parameters are arguments so that PyTorch takes their gradients from the backward pass."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, chain: list[_Unit], *parameters: Tensor) -> Tensor:
        before: _Unit | None = None
        for unit in chain:
            unit.forward(x, before)
            x, before = unit.new_output(), unit
        last = chain[-1]
        run(
            OutputForward, channels=len(last.raw3), pixels=last.after.pixels, pitch=x.stride(0), scale=last.bn3.scale,
            offset=last.bn3.offset, raw=last.raw3, shortcut=last.shortcut, y=x[last.first :],
        )  # fmt: skip
        ctx.chain = chain
        ctx.save_for_backward(x, *parameters)  # so that PyTorch tells who changes them before the backward pass
        return x

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, grad_y: Tensor) -> tuple[Any, ...]:
        y, *_ = ctx.saved_tensors
        chain: list[_Unit] = ctx.chain
        if not chain:
            raise RuntimeError("these kernels keep what the backward pass needs for one of them only")
        last = chain[-1]
        first, pixels, grad_y = last.first, last.after.pixels, grad_y.contiguous()
        g, sums = rows(len(y), pixels), _sums(last.raw3)
        if first:
            run(OutputBackward, channels=first, pixels=pixels, pitch=g.stride(0), y=y, grad_y=grad_y, g=g)
        run(
            OutputBackward, channels=len(last.raw3), pixels=pixels, pitch=g.stride(0), y=y[first:],
            grad_y=grad_y[first:], raw=last.raw3, g=g[first:], sums=sums,
        )  # fmt: skip
        grads: list[Tensor] = []
        del last
        while chain:
            unit = chain.pop()
            g, sums = unit.backward(g, sums, chain[-1] if chain else None)
            grads = unit.grads + grads
        return g, None, *grads


class _Unit:
    """A unit, and what its forward pass leaves for the backward one.

    The next unit writes a unit's output, chunk by chunk where it first reads it, so that it comes from a cache. In the
    backward pass a unit sets its input's gradient to 0 where the input, the output of the unit before, is 0 (ReLU), and
    takes the sums for that unit's last batch norm.
    """

    def __init__(self, module: ShuffleUnit, planes: Planes) -> None:
        self.module, self.planes = module, planes
        self.after = planes if module.stride == 1 else planes.halved()
        middle, pixels = module.bn1.num_features, self.after.pixels
        self.x, self.raw1, self.raw2, self.raw3 = torch.empty(4, 0).unbind()  # until the forward pass
        self.bn1 = _BatchNorm(module.bn1, planes.pixels, _shuffled_rows(middle, module.shuffle_groups))
        self.bn2, self.bn3 = _BatchNorm(module.bn2, pixels), _BatchNorm(module.bn3, pixels)

    def parameters(self) -> list[Tensor]:
        """Weight, batch norm's weight and its bias of each of the three convolutions, in the order of running."""
        m = self.module
        convolutions, norms = (m.pointwise1, m.depthwise, m.pointwise2), (m.bn1, m.bn2, m.bn3)
        return [
            p for conv, norm in zip(convolutions, norms, strict=True) for p in (conv.weight, norm.weight, norm.bias)
        ]

    @property
    def first(self) -> int:
        """The number of the branch's first row in the output; the shortcut's stand before it."""
        return 0 if self.module.stride == 1 else len(self.x)

    @property
    def shortcut(self) -> Tensor | None:
        """The activation that is added to the branch; None: the shortcut is concatenated."""
        return self.x if self.module.stride == 1 else None

    def new_output(self) -> Tensor:
        """Memory for the output, in it the average pool of the shortcut: it is never negative, so it needs no ReLU."""
        y = rows(self.first + len(self.raw3), self.after.pixels)
        if self.first:
            _depthwise(self.x, *_average(self.first), _ANYTHING, y, self.planes, 2, None)
        return y

    def forward(self, x: Tensor, before: _Unit | None) -> None:
        """Runs the three convolutions; the first one writes ``x`` if there is a unit ``before``."""
        module, bn1, bn2, bn3 = self.module, self.bn1, self.bn2, self.bn3
        self.x = x
        self.weights = [w.detach().contiguous() for w in self.parameters()[::3]]
        w1, w2, w3 = self.weights
        pixels, groups2 = self.after.pixels, module.pointwise2.groups
        self.raw1 = rows(len(w1), self.planes.pixels)
        sums = _sums(self.raw1)
        written: dict[str, Any] = {}
        if before is not None:
            norm = before.bn3
            written = {"raw": before.raw3, "scale": norm.scale, "offset": norm.offset, "shortcut": before.shortcut}
            written["first"] = before.first
        _pointwise(x, w1, module.pointwise1.groups, bn1.order, self.raw1, self.planes.pixels, sums, **written)
        bn1.forward(sums)

        self.raw2 = rows(len(w2), pixels)
        _depthwise(self.raw1, w2, bn1.scale, bn1.offset, 0.0, self.raw2, self.planes, module.stride, sums)
        bn2.forward(sums)

        self.raw3 = rows(len(w3), pixels)
        sums = _sums(self.raw3)
        # Batch norm's scale goes into the weights; its offset adds a constant, which the next batch norm subtracts.
        scaled = w3.view(groups2, -1, w3.shape[1]) * bn2.scale.view(groups2, 1, -1)
        _pointwise(self.raw2, scaled, groups2, bn3.order, self.raw3, pixels, sums)
        shift = w3.view(groups2, -1, w3.shape[1]) @ bn2.offset.view(groups2, -1, 1)
        bn3.forward(sums, shift)

    def backward(self, g: Tensor, sums: Tensor, before: _Unit | None) -> tuple[Tensor, Tensor]:
        """The gradient at the output, 0 where that is 0, and its sums -> both for the unit ``before``.

        Sets ``grads``, the parameters' gradients.
        """
        module, planes, x = self.module, self.planes, self.x
        raw1, raw2, raw3, bn1, bn2, bn3 = self.raw1, self.raw2, self.raw3, self.bn1, self.bn2, self.bn3
        (w1, w2, w3), first, groups2 = self.weights, self.first, module.pointwise2.groups

        to_raw3 = bn3.backward(sums)
        grad2, sums, grad_w3 = torch.empty_like(raw2), _sums(raw2), torch.empty_like(w3)
        _pointwise_backward(
            g[first:], raw3, to_raw3, w3, groups2, bn3.order, raw2, grad2, self.after.pixels, grad_w3, partner=raw2,
            sums=sums,
        )  # fmt: skip
        grad_w3.view(groups2, -1, w3.shape[1]).mul_(bn2.scale.view(groups2, 1, -1))

        to_raw2 = bn2.backward(sums)
        grad1, sums = torch.empty_like(raw1), _sums(raw1)
        grad_w2 = torch.empty(len(w2), 9, dtype=torch.float64)
        run(
            DepthwiseBackward, **_plane_arguments(raw1, planes, module.stride), y_pitch=raw2.stride(0), lower_bound=0.0,
            w=w2, g=grad2, raw=raw2, **to_raw2, scale=bn1.scale, offset=bn1.offset, x=raw1, grad_x=grad1,
            grad_w=grad_w2, sums=sums,
        )  # fmt: skip

        to_raw1 = bn1.backward(sums)
        grad_x = g if self.shortcut is not None else self._grad_of_average(g)
        grad_w1 = torch.empty_like(w1)
        passed: dict[str, Any] = {}
        if before is not None:
            sums = _sums(before.raw3)
            passed = {"relu": 1, "first": before.first, "partner": before.raw3, "sums": sums}
        _pointwise_backward(
            grad1, raw1, to_raw1, w1, module.pointwise1.groups, bn1.order, x, grad_x, planes.pixels, grad_w1, add=1,
            **passed,
        )  # fmt: skip
        self.grads = [
            grad_w1, bn1.grad_weight, bn1.grad_bias, grad_w2.float().view_as(w2), bn2.grad_weight, bn2.grad_bias,
            grad_w3, bn3.grad_weight, bn3.grad_bias,
        ]  # fmt: skip
        return grad_x, sums

    def _grad_of_average(self, g: Tensor) -> Tensor:
        """The gradient at the shortcut's average pool -> at its input."""
        weight, one, zero = _average(self.first)
        grad_x = torch.empty_like(self.x)
        run(
            DepthwiseBackward, **_plane_arguments(self.x, self.planes, 2), y_pitch=g.stride(0), lower_bound=_ANYTHING,
            w=weight, g=g, raw=None, grad_scale=one, raw_scale=zero, constant=zero, scale=one, offset=zero, x=None,
            grad_x=grad_x, grad_w=None, sums=None,
        )  # fmt: skip
        return grad_x


def _sums(activation: Tensor) -> Tensor:
    """Memory for two sums of each row."""
    return torch.empty(len(activation), 2, dtype=torch.float64)


@cache
def _shuffled_rows(channels: int, groups: int) -> Tensor:
    """int32 [channels], the row of each channel behind the shuffle (section 3.1): k * groups + j for channel k of group
    j."""
    return torch.arange(channels).view(channels // groups, groups).t().flatten().int()


def _in_order(channels: int) -> Tensor:
    return _shuffled_rows(channels, 1)


@cache
def _average(channels: int) -> tuple[Tensor, Tensor, Tensor]:
    """The average pool as a depthwise convolution: its weights, and a scale and an offset that change nothing."""
    return torch.full((channels, 9), 1 / 9), torch.ones(channels), torch.zeros(channels)


def _plane_arguments(x: Tensor, planes: Planes, stride: int) -> dict[str, int]:
    return {
        "channels": len(x), "images": planes.images, "height": planes.height, "width": planes.width, "stride": stride,
        "x_pitch": x.stride(0),
    }  # fmt: skip


def _pointwise(
    x: Tensor, w: Tensor, groups: int, order: Tensor, y: Tensor, pixels: int, sums: Tensor, **written: Any
) -> None:  # fmt: skip
    run(
        PointwiseForward, groups=groups, m=len(y) // groups, k=len(x) // groups, pixels=pixels, x_pitch=x.stride(0),
        y_pitch=y.stride(0), w=w, out=order, x=x, y=y, sums=sums, **written,
    )  # fmt: skip


def _pointwise_backward(
    g: Tensor, raw: Tensor, to_raw: dict[str, Tensor], w: Tensor, groups: int, order: Tensor, x: Tensor, grad_x: Tensor,
    pixels: int, grad_w: Tensor, **passed: Any,
) -> None:  # fmt: skip
    run(
        PointwiseBackward, groups=groups, m=len(raw) // groups, k=len(x) // groups, pixels=pixels, x_pitch=x.stride(0),
        y_pitch=raw.stride(0), w=w, out=order, g=g, raw=raw, **to_raw, x=x, grad_x=grad_x, grad_w=grad_w, **passed,
    )  # fmt: skip


def _depthwise(
    x: Tensor, w: Tensor, scale: Tensor, offset: Tensor, lower_bound: float, y: Tensor, planes: Planes, stride: int,
    sums: Tensor | None,
) -> None:  # fmt: skip
    run(
        DepthwiseForward, **_plane_arguments(x, planes, stride), y_pitch=y.stride(0), lower_bound=lower_bound, w=w,
        scale=scale, offset=offset, x=x, y=y, sums=sums,
    )  # fmt: skip
