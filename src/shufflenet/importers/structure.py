"""Finds a ShuffleNet v1 in a state dict by the shapes and the order of its tensors, whatever their names."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from shufflenet.importers.checkpoint import StateDict
from shufflenet.networks.shufflenet_v1 import STAGE2_CHANNELS, STAGE_UNITS, ShuffleNetV1, Unit

_NORM = ("weight", "bias", "running_mean", "running_var")
_UNIT = (("pointwise1", "bn1"), ("depthwise", "bn2"), ("pointwise2", "bn3"))
_UNITS = sum(STAGE_UNITS.values())
_CONVOLUTIONS = 1 + 3 * _UNITS


@dataclass
class _Module:
    """The tensors that share all of their names but the last part."""

    name: str
    tensors: StateDict = field(default_factory=dict)

    @property
    def kind(self) -> str:
        if set(self.tensors) == set(_NORM) and all(tensor.ndim == 1 for tensor in self.tensors.values()):
            return "batch norm"
        if "weight" in self.tensors and self.tensors.keys() <= {"weight", "bias"}:
            return {4: "convolution", 2: "classifier"}.get(self.tensors["weight"].ndim, "")
        return ""


@dataclass(frozen=True)
class Structure:
    """What the shapes of a state dict say: the nearest member of the family, and where the network differs from it.

    Args:
        stem_norm: batch norm behind the first convolution.
        units: in order, with the groups and bottleneck channels that the network has.
    """

    arch: ShuffleNetV1
    stem_kernel_size: int
    stem_norm: bool
    units: tuple[Unit, ...]

    @property
    def in_family(self) -> bool:
        """Whether the network has the family's shapes everywhere."""
        return self.stem_norm and self.stem_kernel_size == 3 and self.units == tuple(self.arch.units())

    def tensor_shapes(self) -> dict[str, tuple[int, ...]]:
        """Name and shape of every tensor, as `ShuffleNetV1` names them."""
        shapes = self.arch.graph().tensor_shapes()
        shapes["conv1.weight"] = (*shapes["conv1.weight"][:2], self.stem_kernel_size, self.stem_kernel_size)
        if not self.stem_norm:
            shapes = {name: shape for name, shape in shapes.items() if not name.startswith("bn1.")}
            shapes["conv1.bias"] = (self.arch.stem_channels,)
        for unit in self.units:
            mid = unit.bottleneck_channels
            shapes[f"{unit.name}.pointwise1.weight"] = (mid, unit.in_channels // unit.groups1, 1, 1)
            shapes[f"{unit.name}.depthwise.weight"] = (mid, 1, 3, 3)
            shapes[f"{unit.name}.pointwise2.weight"] = (unit.branch_channels, mid // unit.groups2, 1, 1)
            shapes |= {f"{unit.name}.{norm}.{tensor}": (mid,) for norm in ("bn1", "bn2") for tensor in _NORM}
        return shapes


def recognise(state: StateDict) -> tuple[Structure, dict[str, NDArray[np.float32]]]:
    """A state dict in the order in which the network uses its tensors -> its structure, and the same tensors
    under the family's names, float32.

    Biases of convolutions are folded into the batch norm behind them, and a missing bias of the classifier is
    zero: both are exact. What shapes can't tell (`Convention`) is not decided here.

    Raises:
        ValueError: not a ShuffleNet v1, or the order of its tensors leaves several readings.
    """
    modules = _modules(state)
    stem_norm = _check_kinds(modules)
    if not stem_norm:
        modules.insert(1, _Module("no batch norm"))
    arch = _architecture(modules)
    structure = Structure(arch, _stem_kernel_size(modules), stem_norm, tuple(_units(arch, modules)))
    tensors, origin = _renamed(arch, modules)
    shapes = structure.tensor_shapes()
    for name, shape in shapes.items():
        _check(f"tensor {origin[name]!r}", name, tensors[name], shape, arch)
    return structure, {name: tensors[name].astype(np.float32) for name in shapes}


def _renamed(arch: ShuffleNetV1, modules: list[_Module]) -> tuple[StateDict, dict[str, str]]:
    """The tensors under the names of ``arch``, and for each of these names their own."""
    names = [("conv1", "bn1")]
    for unit in arch.units():
        names += [(f"{unit.name}.{conv}", f"{unit.name}.{norm}") for conv, norm in _UNIT]
    tensors: StateDict = {}
    origin: dict[str, str] = {}

    def take(name: str, module: _Module, tensor: str) -> None:
        tensors[f"{name}.{tensor}"] = module.tensors[tensor]
        origin[f"{name}.{tensor}"] = f"{module.name}.{tensor}"

    for (conv, norm), theirs, behind in zip(names, modules[:-1:2], modules[1::2], strict=True):
        take(conv, theirs, "weight")
        if not behind.tensors:
            missing = {"bias": np.zeros(arch.stem_channels, np.float32)}
            theirs.tensors = missing | theirs.tensors
            take(conv, theirs, "bias")
            continue
        for tensor in _NORM:
            take(norm, behind, tensor)
        if "bias" in theirs.tensors:
            bias, mean = theirs.tensors["bias"], behind.tensors["running_mean"]
            if bias.shape != mean.shape:
                raise ValueError(f"tensor '{theirs.name}.bias' does not fit the batch norm behind it")
            tensors[f"{norm}.running_mean"] = mean.astype(np.float64) - bias
    take("fc", modules[-1], "weight")
    if "bias" in modules[-1].tensors:
        take("fc", modules[-1], "bias")
    else:
        tensors["fc.bias"], origin["fc.bias"] = np.zeros(arch.classes, np.float32), ""
    return tensors, origin


def _check(what: str, name: str, tensor: NDArray[Any], shape: tuple[int, ...], arch: ShuffleNetV1) -> None:
    if tensor.shape != shape:
        raise ValueError(f"{what} is {list(tensor.shape)}; as {name} of {arch.name} it would be {list(shape)}")
    if tensor.dtype.kind != "f":
        raise ValueError(f"{what} holds no floating-point numbers")
    if not np.abs(tensor).max() < np.finfo(np.float32).max:
        raise ValueError(f"{what} holds values that are not finite, or too large for float32")
    if name.endswith("running_var") and tensor.min() < 0:
        raise ValueError(f"{what} holds a negative variance")


def _is_count(key: str, tensor: NDArray[Any]) -> bool:
    """Whether it counts or measures training, such as ``num_batches_tracked``, ``n_averaged`` or ``best_acc1``."""
    return tensor.ndim == 0 or (tensor.size == 1 and "." not in key)


def _modules(state: StateDict) -> list[_Module]:
    modules: dict[str, _Module] = {}
    for key, tensor in state.items():
        name, _, leaf = key.rpartition(".")
        if not _is_count(key, tensor):
            modules.setdefault(name, _Module(name)).tensors[leaf] = tensor
    return list(modules.values())


def _check_kinds(modules: list[_Module]) -> bool:
    """A convolution, its batch norm, and so on; the classifier last. Returns whether the first has a batch norm."""
    kinds = [module.kind for module in modules]
    convolutions, norms = kinds.count("convolution"), kinds.count("batch norm")
    if _is_version_2(modules):
        raise ValueError(
            "a ShuffleNet v2 (arXiv 1807.11164), not v1: it splits channels and has no group convolutions; "
            "shufflenet.create_model('shufflenet_v2_x1_0') loads torchvision's weights by name"
        )
    for module, kind in zip(modules, kinds, strict=True):
        if not kind:
            raise ValueError(
                f"not a ShuffleNet v1: {module.name!r} is neither a convolution, a batch norm nor a classifier"
            )
    if convolutions != _CONVOLUTIONS or kinds.count("classifier") != 1:
        raise ValueError(
            f"not a ShuffleNet v1 with the paper's {_UNITS} units: {convolutions} convolutions and "
            f"{kinds.count('classifier')} classifiers, not {_CONVOLUTIONS} and 1"
        )
    stem_norm = norms == _CONVOLUTIONS
    stem = ["convolution", "batch norm"] if stem_norm else ["convolution"]
    if kinds != [*stem, *["convolution", "batch norm"] * (_CONVOLUTIONS - 1), "classifier"]:
        raise ValueError(
            "the order of its tensors is not convolution, batch norm, ..., classifier: which batch norm belongs to "
            "which convolution is ambiguous"
        )
    return stem_norm


def _is_version_2(modules: list[_Module]) -> bool:
    """Whether the convolutions are those of ShuffleNet v2: two pointwise ones and a depthwise one in each branch, two
    branches in a stride-2 unit, and a pointwise one at the end.
    """
    shapes = [module.tensors["weight"].shape for module in modules if module.kind == "convolution"]
    pointwise, depthwise = (sum(shape[2:] == (k, k) for shape in shapes[1:]) for k in (1, 3))
    strided = len(STAGE_UNITS)
    return (
        len(shapes) == 1 + pointwise + depthwise
        and depthwise == sum(shape[1:] == (1, 3, 3) for shape in shapes[1:]) == _UNITS + strided
        and pointwise == 2 * _UNITS + strided + 1
    )


def _stem_kernel_size(modules: list[_Module]) -> int:
    """1, where the first convolution has one weight per input channel, as in code for pictures of 32 pixels."""
    return 1 if modules[0].tensors["weight"].shape[2:] == (1, 1) else 3


def _units(arch: ShuffleNetV1, modules: list[_Module]) -> Iterator[Unit]:
    """The family's units, but with groups in the first convolutions of stage 2 or without, and with a quarter of the
    branch's channels in the bottlenecks of stride-2 units, where the network has that.
    """
    for index, unit in enumerate(arch.units()):
        out_channels, group_channels = modules[2 + 6 * index].tensors["weight"].shape[:2]
        if unit.stage == 2 and group_channels * arch.groups == unit.in_channels:
            unit = replace(unit, groups1=arch.groups)
        elif unit.stage == 2 and group_channels == unit.in_channels:
            unit = replace(unit, groups1=1)
        if unit.stride == 2 and out_channels == unit.branch_channels // 4 and out_channels % arch.groups == 0:
            unit = replace(unit, bottleneck_channels=out_channels)
        yield unit


def _architecture(modules: list[_Module]) -> ShuffleNetV1:
    def shape(index: int) -> tuple[int, ...]:
        return modules[2 * index].tensors["weight"].shape

    stem_channels = shape(0)[0]
    stage2 = stem_channels + shape(3)[0]  # the shortcut, and the second pointwise convolution of the first unit
    groups, remainder = divmod(stage2, shape(4)[1] or stage2 + 1)
    if remainder or groups not in STAGE2_CHANNELS:
        raise ValueError(f"not a ShuffleNet v1: {stage2} channels in stage 2, {shape(4)[1]} of them in a group")
    try:
        return ShuffleNetV1(
            groups=groups,
            scale=_scale(groups, stage2),
            classes=modules[-1].tensors["weight"].shape[0],
            stem_channels=stem_channels,
        )
    except ValueError as error:
        raise ValueError(f"a ShuffleNet v1 of a width that the family does not have: {error}") from None


def _scale(groups: int, stage2: int) -> float:
    """The shortest number that gives so many channels: 0.25, not 0.248."""
    exact = stage2 / STAGE2_CHANNELS[groups]
    for digits in range(1, 6):
        scale = round(exact, digits)
        if 0 < scale <= 16 and ShuffleNetV1(groups, scale).stage_channels(2) == stage2:
            return scale
    return exact
