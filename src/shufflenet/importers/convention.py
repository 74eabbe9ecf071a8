"""What a state dict doesn't say of its network: strides, pools, ReLUs, the order of channels, and the input."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from shufflenet.networks.graph import EPSILON
from shufflenet.pictures.preprocessing import Preprocessing

Shuffling = Literal["paper", "inverse", "none"]

_SHUFFLES = {
    "paper": "the paper's channel shuffle",
    "inverse": "the inverse of the paper's channel shuffle",
    "none": "no channel shuffle",
}


@dataclass(frozen=True)
class Convention:
    """How a network is built where implementations of the paper differ. The defaults are the paper's.

    Args:
        stem_stride: of the first convolution.
        stem_relu: a ReLU behind the first convolution.
        max_pool: 3x3 with stride 2 behind that.
        shuffle: "inverse" reshapes to (n, g) instead of (g, n).
        shuffle_last: behind the depthwise convolution.
        first_unit_shuffles: also where the first unit's first convolution has no groups.
        depthwise_relu: a ReLU behind the depthwise convolution.
        concat_relu: a ReLU at the end of stride-2 units.
        branch_first: in the concatenation.
        bgr: the input is blue, green, red.
        bytes_in: the input is from 0 to 255, without mean and standard deviation.
    """

    stem_stride: int = 2
    stem_relu: bool = True
    max_pool: bool = True
    shuffle: Shuffling = "paper"
    shuffle_last: bool = False
    first_unit_shuffles: bool = True
    depthwise_relu: bool = False
    concat_relu: bool = True
    branch_first: bool = False
    bgr: bool = False
    bytes_in: bool = False
    preprocessing: Preprocessing = field(default_factory=Preprocessing)

    @property
    def in_family(self) -> bool:
        """Whether some weights of `ShuffleNetV1` compute the same."""
        usual = self.stem_relu and self.max_pool and self.first_unit_shuffles and self.concat_relu
        return usual and not self.depthwise_relu

    def network(self) -> dict[str, str]:
        """What it says of the network, in words; by the field that says it."""
        behind = "behind" if self.shuffle_last else "before"
        place = "" if self.shuffle == "none" else f" {behind} the depthwise convolution"
        first = "" if self.first_unit_shuffles or self.shuffle == "none" else " except in the first unit"
        branch = "branch before shortcut" if self.branch_first else "shortcut before branch"
        return {
            "stem_stride": f"stem stride {self.stem_stride}",
            "stem_relu": f"{'a' if self.stem_relu else 'no'} ReLU behind the first convolution",
            "max_pool": "3x3 max pool" if self.max_pool else "no max pool",
            "shuffle": f"{_SHUFFLES[self.shuffle]}{place}{first}",
            "branch_first": f"{branch} in concatenations",
            "depthwise_relu": f"{'a' if self.depthwise_relu else 'no'} ReLU behind depthwise convolutions",
            "concat_relu": f"{'a' if self.concat_relu else 'no'} ReLU at the end of stride-2 units",
            "epsilon": f"batch norm's epsilon {EPSILON:g}",
        }

    def input(self) -> str:
        """What it says of the input, in words."""
        size, resize = self.preprocessing.size, self.preprocessing.resize
        order = "blue, green, red" if self.bgr else "red, green, blue"
        values = "from 0 to 255"
        if not self.bytes_in:
            mean, std = (
                ", ".join(f"{v:.4g}" for v in part) for part in (self.preprocessing.mean, self.preprocessing.std)
            )
            values = f"from 0 to 1, minus {mean}, divided by {std}"
        return f"{order} {values}, {size}x{size} pixels of a shorter side of {resize}"

    def own_input(self, x: NDArray[np.float32]) -> NDArray[np.float32]:
        """The input [N, 3, H, W] of the network as it was built -> that of the converted network."""
        x = x[:, ::-1] if self.bgr else x
        return np.ascontiguousarray(x / np.float32(255) if self.bytes_in else x, dtype=np.float32)
