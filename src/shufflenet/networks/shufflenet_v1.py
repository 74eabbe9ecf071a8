"""ShuffleNet (arXiv 1707.01083, Table 1): which channels, strides and groups every unit has.

Nothing here needs PyTorch: the module, the complexity table and the engine's plan are all read off these rows.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from shufflenet.networks.architecture import Architecture, scale_name
from shufflenet.networks.graph import Activation, Graph, Node
from shufflenet.networks.squeeze_excitation import add_squeeze_excitation

# Table 1: output channels of stage 2 at 1x, by groups. Each later stage doubles them.
STAGE2_CHANNELS = {1: 144, 2: 200, 3: 240, 4: 272, 8: 384}
# Units per stage: one of stride 2, then the stride-1 units.
STAGE_UNITS = {2: 4, 3: 8, 4: 4}
# The scales of the paper, as they are written in names.
SCALES = (0.25, 0.5, 1.0, 1.5, 2.0)

_NAME = re.compile(r"shufflenet_g(\d+)_x(\d+)_(\d+)(_se)?(_shallow)?(_no_shuffle)?")
# Table 5's network with half of the units, as wide as 40 million multiply-adds allow: the paper doesn't give its width.
_SHALLOW = {"groups": 3, "scale": 0.725, "shallow": True}
_SHALLOW_NAME = "shufflenet_g3_shallow"

_NAMES = (
    *(f"shufflenet_g{groups}_{scale_name(scale)}" for scale in SCALES for groups in STAGE2_CHANNELS),
    *(f"shufflenet_g{groups}_{scale_name(scale)}_no_shuffle" for scale in SCALES[:3] for groups in (3, 8)),  # Table 3
    "shufflenet_g3_x2_0_se",  # Table 5
)

_SE_REDUCTION = 16  # of squeeze-and-excitation (arXiv 1709.01507)


def _fields_of(name: str) -> Mapping[str, Any] | None:
    match = _NAME.fullmatch(name)
    if match is None:
        return None
    groups, whole, fraction, squeeze_excitation, shallow, no_shuffle = match.groups()
    return {
        "groups": int(groups),
        "scale": float(f"{whole}.{fraction}"),
        "squeeze_excitation": squeeze_excitation is not None,
        "shallow": shallow is not None,
        "shuffle": no_shuffle is None,
    }


_VARIANTS = {name: fields for name in _NAMES if (fields := _fields_of(name))} | {_SHALLOW_NAME: _SHALLOW}


@dataclass(frozen=True)
class Unit:
    """One ShuffleNet unit (Figure 2b for stride 1, 2c for stride 2)."""

    stage: int
    index: int
    in_channels: int
    out_channels: int
    bottleneck_channels: int
    stride: int
    groups1: int  # of the first pointwise convolution: 1 in the very first unit
    groups2: int  # of the second
    shuffle_groups: int  # 1: no shuffle

    @property
    def name(self) -> str:
        return f"stage{self.stage}.{self.index}"

    @property
    def branch_channels(self) -> int:
        """Channels that the second pointwise convolution makes; the shortcut brings the rest when stride is 2."""
        return self.out_channels - self.in_channels if self.stride == 2 else self.out_channels


@dataclass(frozen=True)
class ShuffleNetV1(Architecture):
    """One member of the family.

    Channels follow one rule. Stage 2 has ``scale`` times Table 1's channels, rounded to the nearest
    multiple of ``groups``; each later stage doubles that. A bottleneck has a quarter of its unit's output,
    rounded likewise. Conv1 has 12 channels below 1x, 24 from 1x and 48 from 2x, rounded to a multiple of
    ``groups``: up, unless that is more than an eighth of stage 2; and it has at most half of stage 2. These
    widths reproduce the paper's 13, 38, 140, 292 and 524 million multiply-adds, and 16 as in the authors'
    0.5x g=8 network. Only for 0.25x g=8 no width does: 8 makes 12.4 million, 16 would make 15.7.

    Args:
        groups: of the pointwise convolutions: 1, 2, 3, 4 or 8.
        scale: of Table 1's channels, above 0 and at most 16.
        stem_channels: Conv1's; 0: by the rule above. Always a positive number once constructed.
        shuffle: without it the network is Table 3's, for comparison.
        inverse_shuffle: the inverse of the paper's shuffle: reshape to (n, g), as in the authors' public networks.
        squeeze_excitation: behind each unit's last convolution (Table 5).
        shallow: half of the units of each stage (Table 5).

    Raises:
        ValueError: if a field is out of range; the message names it.
    """

    family: ClassVar[str] = "shufflenet_v1"
    variants = _VARIANTS

    groups: int
    scale: float
    stem_channels: int = 0
    shuffle: bool = True
    inverse_shuffle: bool = False
    squeeze_excitation: bool = False
    shallow: bool = False

    def __post_init__(self) -> None:
        super().__post_init__()
        self.check_choice("groups", tuple(STAGE2_CHANNELS))
        if not 0 < self.scale <= 16:
            raise ValueError(f"scale must be above 0 and at most 16, not {self.scale!r}")
        if self.stem_channels == 0:
            object.__setattr__(self, "stem_channels", self._stem_channels_by_rule())
        if self.stem_channels % self.groups or not 0 < self.stem_channels < self.stage_channels(2):
            raise ValueError(
                f"stem_channels must be a multiple of groups ({self.groups}) below stage 2's "
                f"{self.stage_channels(2)} channels, not {self.stem_channels}"
            )

    def _stem_channels_by_rule(self) -> int:
        wanted = 12 if self.scale < 1 else 24 if self.scale < 2 else 48
        stage2 = self.stage_channels(2)
        rounded = -(-wanted // self.groups) * self.groups
        if rounded > wanted and rounded > stage2 / 8:
            rounded -= self.groups
        half_of_stage2 = stage2 // 2 // self.groups * self.groups
        return min(rounded, half_of_stage2)

    def stage_channels(self, stage: int) -> int:
        """Output channels of ``stage`` (2, 3 or 4)."""
        stage2 = round_to(self.scale * STAGE2_CHANNELS[self.groups], self.groups)
        return max(2 * self.groups, stage2) << (stage - 2)

    @property
    def features(self) -> int:
        """Channels that enter the classifier."""
        return self.stage_channels(4)

    @property
    def name(self) -> str:
        """``shufflenet_g3_x0_5`` is groups and scale; ``_se``, ``_shallow`` and ``_no_shuffle`` may follow."""
        named = {"groups": self.groups, "scale": self.scale, "shallow": self.shallow}
        if named == _SHALLOW and self.shuffle and not self.squeeze_excitation:
            return _SHALLOW_NAME
        suffix = "_se" * self.squeeze_excitation + "_shallow" * self.shallow + "_no_shuffle" * (not self.shuffle)
        return f"shufflenet_g{self.groups}_{scale_name(self.scale)}{suffix}"

    @classmethod
    def fields_of(cls, name: str) -> Mapping[str, Any] | None:
        """Reads any scale and any of the suffixes, not only the paper's."""
        return super().fields_of(name) or _fields_of(name)

    def units(self) -> Iterator[Unit]:
        """All units (16, unless the network is shallow) in the order a picture passes them."""
        in_channels = self.stem_channels
        for stage, count in STAGE_UNITS.items():
            out_channels = self.stage_channels(stage)
            for index in range(count // 2 if self.shallow else count):
                first_of_all = stage == 2 and index == 0
                bottleneck_channels = round_to(out_channels / 4, self.groups)
                yield Unit(
                    stage=stage,
                    index=index,
                    in_channels=in_channels,
                    out_channels=out_channels,
                    bottleneck_channels=bottleneck_channels,
                    stride=2 if index == 0 else 1,
                    # Section 3.2: no group convolution on the few channels that Conv1 makes.
                    groups1=1 if first_of_all else self.groups,
                    groups2=self.groups,
                    shuffle_groups=self._shuffle_groups(bottleneck_channels),
                )
                in_channels = out_channels

    def _shuffle_groups(self, channels: int) -> int:
        if not self.shuffle:
            return 1
        return channels // self.groups if self.inverse_shuffle else self.groups

    def add_operators(self, graph: Graph) -> None:
        x: Node = graph.convolution(
            "conv1", graph.input, self.stem_channels, 3, stride=self.stem_stride, batch_norm="bn1", activation="relu"
        )
        x = graph.max_pool("maxpool", x)
        for unit in self.units():
            x = self._add_unit(graph, x, unit)
        graph.fully_connected("fc", graph.global_average_pool("global_pool", x), self.classes)

    def _add_unit(self, graph: Graph, x: Node, unit: Unit) -> Node:
        """Adds a unit that reads ``x``; returns its output."""

        def pointwise(number: int, x: Node, channels: int, groups: int, norm: str, activation: Activation) -> Node:
            name, batch_norm = f"{unit.name}.pointwise{number}", f"{unit.name}.{norm}"
            return graph.convolution(name, x, channels, groups=groups, batch_norm=batch_norm, activation=activation)

        branch = pointwise(1, x, unit.bottleneck_channels, unit.groups1, "bn1", activation="relu")
        if unit.shuffle_groups > 1:
            branch = graph.shuffle(f"{unit.name}.shuffle", branch, unit.shuffle_groups)
        branch = graph.depthwise(f"{unit.name}.depthwise", branch, stride=unit.stride, batch_norm=f"{unit.name}.bn2")
        # The shortcut is an average of values after a ReLU, so the ReLU behind a concatenation is the branch's alone.
        last: Activation = "relu" if unit.stride == 2 else "linear"
        if self.squeeze_excitation:
            branch = pointwise(2, branch, unit.branch_channels, unit.groups2, "bn3", "linear")
            names = (f"{unit.name}.squeeze", f"{unit.name}.se1", f"{unit.name}.se2", f"{unit.name}.excite")
            squeezed_channels = max(1, branch.channels // _SE_REDUCTION)
            branch = add_squeeze_excitation(graph, branch, names, squeezed_channels, activation=last)
        else:
            branch = pointwise(2, branch, unit.branch_channels, unit.groups2, "bn3", last)
        if unit.stride == 1:
            return graph.add(f"{unit.name}.add", branch, x, activation="relu")
        return graph.concat(f"{unit.name}.concat", [graph.average_pool(f"{unit.name}.shortcut", x), branch])


def round_to(value: float, multiple: int = 1) -> int:
    """The nearest positive multiple; halves go up."""
    return max(1, math.floor(value / multiple + 0.5)) * multiple
