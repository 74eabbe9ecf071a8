"""A network as a list of operators, each of which names the operators that it reads.

A family's table builds one; complexity, PyTorch module and the engine's plan are read off it. Names are those of the
network's state dict. Letters: C channels, H x W pixels.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, ClassVar, Literal, TypeVar

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from shufflenet.networks.architecture import Architecture

# What an operator does with each value before it hands it on.
Activation = Literal["linear", "relu", "sigmoid", "hard_sigmoid", "hard_swish", "relu6", "silu", "gelu"]
NEVER_NEGATIVE: frozenset[Activation] = frozenset({"relu", "sigmoid", "hard_sigmoid", "relu6"})

EPSILON = 1e-5  # batch norm's, unless a family has another

_MOST_CHANNELS = 1_000_000
_MOST_PIXELS = 1024  # of a window's side or stride


@dataclass(frozen=True, eq=False)
class Node:
    """One operator. ``channels`` are those of its output."""

    input_count: ClassVar[int | None] = 1  # None: any number
    flat: ClassVar[bool] = False  # the output is [N, C], not [N, C, H, W]

    name: str
    inputs: tuple[Node, ...] = field(repr=False)  # a whole network otherwise
    channels: int

    def check(self) -> None:
        """Raises ValueError if the operator can't read its inputs, or a field is out of range."""
        if self.input_count not in (None, len(self.inputs)):
            raise ValueError(f"{self.name}: reads {len(self.inputs)} operators, not {self.input_count}")
        if not 1 <= self.channels <= _MOST_CHANNELS:
            raise ValueError(f"{self.name}: channels must be from 1 to {_MOST_CHANNELS:,}, not {self.channels}")
        self._check_inputs()

    def _check_inputs(self) -> None:
        """Raises ValueError if the inputs' shapes don't suit; most operators read planes."""
        if any(read.flat for read in self.inputs):
            raise ValueError(f"{self.name}: reads a vector in place of planes")

    def _check_channels(self, expected: int) -> None:
        if self.channels != expected:
            raise ValueError(f"{self.name}: {self.channels} channels, but its inputs make {expected}")

    def _check_range(self, field: str, low: int, high: int) -> None:
        value = getattr(self, field)
        if not low <= value <= high:
            raise ValueError(f"{self.name}: {field} must be from {low} to {high:,}, not {value}")

    def output_size(self, height: int, width: int) -> tuple[int, int]:
        """Height and width of the output, from those of the first input."""
        return height, width

    def tensor_shapes(self) -> dict[str, tuple[int, ...]]:
        """Name and shape of each tensor, as PyTorch's state dict has them."""
        return {}

    @property
    def parameters(self) -> int:
        """Without batch norm's running statistics."""
        return sum(math.prod(s) for name, s in self.tensor_shapes().items() if ".running_" not in name)

    def macs(self, height: int, width: int) -> int:
        """Multiply-adds of a convolution or fully connected layer for an output of ``height`` x ``width``."""
        return 0


class Input(Node):
    """The picture."""

    input_count = 0


@dataclass(frozen=True, eq=False)
class Convolution(Node):
    """Has a bias if it has no batch norm; ``batch_norm`` names that, and is empty if there is none."""

    kernel_size: int
    stride: int
    padding: int
    groups: int
    batch_norm: str
    epsilon: float  # of batch norm
    activation: Activation

    def check(self) -> None:
        super().check()
        self._check_range("kernel_size", 1, _MOST_PIXELS)
        self._check_range("stride", 1, _MOST_PIXELS)
        self._check_range("padding", 0, self.kernel_size - 1)
        self._check_range("groups", 1, _MOST_CHANNELS)
        if not 0 < self.epsilon < 1:
            raise ValueError(f"{self.name}: epsilon must be above 0 and below 1, not {self.epsilon}")
        if self.channels % self.groups or self.in_channels % self.groups:
            raise ValueError(
                f"{self.name}: {self.in_channels} and {self.channels} channels do not divide into {self.groups} groups"
            )

    @property
    def in_channels(self) -> int:
        return self.inputs[0].channels

    @property
    def depthwise(self) -> bool:
        return self.groups == self.in_channels == self.channels

    @property
    def pointwise(self) -> bool:
        """Each pixel depends on the same pixel of the input alone."""
        return self.kernel_size == self.stride == 1 and self.padding == 0

    def output_size(self, height: int, width: int) -> tuple[int, int]:
        def size(pixels: int) -> int:
            return (pixels + 2 * self.padding - self.kernel_size) // self.stride + 1

        return size(height), size(width)

    def tensor_shapes(self) -> dict[str, tuple[int, ...]]:
        taps = self.in_channels // self.groups, self.kernel_size, self.kernel_size
        shapes: dict[str, tuple[int, ...]] = {f"{self.name}.weight": (self.channels, *taps)}
        if not self.batch_norm:
            return {**shapes, f"{self.name}.bias": (self.channels,)}
        statistics = ("weight", "bias", "running_mean", "running_var")
        return {**shapes, **{f"{self.batch_norm}.{tensor}": (self.channels,) for tensor in statistics}}

    def macs(self, height: int, width: int) -> int:
        return self.channels * height * width * (self.in_channels // self.groups) * self.kernel_size**2


@dataclass(frozen=True, eq=False)
class Pool(Node):
    """3x3 with stride 2. The maximum is of values that are not negative; the average counts padding."""

    kernel_size: ClassVar = 3
    stride: ClassVar = 2

    kind: Literal["max", "average"]
    padding: int
    ceil: bool  # a last window may reach over the edge

    def check(self) -> None:
        super().check()
        self._check_channels(self.inputs[0].channels)
        self._check_range("padding", 0, self.kernel_size // 2)

    def output_size(self, height: int, width: int) -> tuple[int, int]:
        def size(pixels: int) -> int:
            return (pixels + 2 * self.padding - self.kernel_size + self.ceil) // self.stride + 1

        return size(height), size(width)


@dataclass(frozen=True, eq=False)
class WindowPool(Node):
    """Windows of any size, as PyTorch has them; the maximum is of the pixels inside.

    Args:
        ceil: a last window that begins inside may reach over the edge.
        counts_padding: an average divides by the window's padding pixels too.
    """

    kind: Literal["max", "average"]
    kernel_size: int
    stride: int
    padding: int
    ceil: bool
    counts_padding: bool

    def check(self) -> None:
        super().check()
        self._check_channels(self.inputs[0].channels)
        self._check_range("kernel_size", 1, _MOST_PIXELS)
        self._check_range("stride", 1, _MOST_PIXELS)
        self._check_range("padding", 0, self.kernel_size // 2)

    def output_size(self, height: int, width: int) -> tuple[int, int]:
        def size(pixels: int) -> int:
            beyond = pixels + 2 * self.padding - self.kernel_size
            if not self.ceil or beyond < 0:
                return beyond // self.stride + 1
            last = -(-beyond // self.stride)
            return last + (last * self.stride < pixels + self.padding)

        return size(height), size(width)


@dataclass(frozen=True, eq=False)
class Pad(Node):
    """Zeros around each plane: ``before`` lines above it and columns to its left, ``after`` below and to its right."""

    before: int
    after: int

    def check(self) -> None:
        super().check()
        self._check_channels(self.inputs[0].channels)
        self._check_range("before", 0, _MOST_PIXELS)
        self._check_range("after", 0, _MOST_PIXELS)

    def output_size(self, height: int, width: int) -> tuple[int, int]:
        return height + self.before + self.after, width + self.before + self.after


@dataclass(frozen=True, eq=False)
class AdaptiveAveragePool(Node):
    """Averages of ``size`` x ``size`` windows that divide each channel's plane, flattened: C * size * size channels."""

    flat = True

    size: int

    def check(self) -> None:
        super().check()
        self._check_range("size", 1, _MOST_PIXELS)
        self._check_channels(self.inputs[0].channels * self.size**2)

    def output_size(self, height: int, width: int) -> tuple[int, int]:
        return 1, 1

    def windows(self, pixels: int) -> list[tuple[int, int]]:
        """The first pixel of each window along a line of ``pixels``, and the one behind its last: some overlap."""
        return [(i * pixels // self.size, -(-(i + 1) * pixels // self.size)) for i in range(self.size)]


@dataclass(frozen=True, eq=False)
class FullyConnected(Node):
    """``pointwise``: the weight has the shape of a 1x1 convolution's, as other programs store some of these layers."""

    flat = True

    activation: Activation
    pointwise: bool

    def _check_inputs(self) -> None:
        if not self.inputs[0].flat:
            raise ValueError(f"{self.name}: reads planes in place of a vector")

    def tensor_shapes(self) -> dict[str, tuple[int, ...]]:
        shape = (self.channels, self.inputs[0].channels, *([1, 1] if self.pointwise else []))
        return {f"{self.name}.weight": shape, f"{self.name}.bias": (self.channels,)}

    def macs(self, height: int, width: int) -> int:
        return self.channels * self.inputs[0].channels


@dataclass(frozen=True, eq=False)
class Add(Node):
    input_count = 2

    activation: Activation

    def check(self) -> None:
        super().check()
        for read in self.inputs:
            self._check_channels(read.channels)


@dataclass(frozen=True, eq=False)
class Scale(Node):
    """Each channel of the first input times the second's value for it."""

    input_count = 2

    activation: Activation

    def check(self) -> None:
        super().check()
        for read in self.inputs:
            self._check_channels(read.channels)

    def _check_inputs(self) -> None:
        planes, factors = self.inputs
        if planes.flat or not factors.flat:
            raise ValueError(f"{self.name}: must read planes and a vector")


class Concat(Node):
    input_count = None

    def check(self) -> None:
        super().check()
        self._check_channels(sum(read.channels for read in self.inputs))


@dataclass(frozen=True, eq=False)
class Split(Node):
    """Some channels of the input, from number ``first`` on."""

    first: int

    def check(self) -> None:
        super().check()
        self._check_range("first", 0, self.inputs[0].channels - self.channels)


@dataclass(frozen=True, eq=False)
class Shuffle(Node):
    """Channel k of group j moves to place k * groups + j. As many groups as a group has channels: the inverse."""

    groups: int

    def check(self) -> None:
        super().check()
        self._check_channels(self.inputs[0].channels)
        self._check_range("groups", 1, self.channels)
        if self.channels % self.groups:
            raise ValueError(f"{self.name}: {self.channels} channels do not divide into {self.groups} groups")

    @property
    def order(self) -> NDArray[np.int64]:
        """For every channel the one of the input that it comes from."""
        return np.arange(self.channels).reshape(self.groups, -1).T.ravel()


AnyNode = TypeVar("AnyNode", bound=Node)


MOVES = Concat | Split | Shuffle | Add  # without a step of their own in the plan


class Graph:
    """A network: its operators in the order of running. Each method adds an operator and returns it.

    Args:
        architecture: the member of a family that the network is; None: of no family.
    """

    def __init__(self, name: str, in_channels: int = 3, architecture: Architecture | None = None) -> None:
        self.name = name
        self.in_channels = in_channels
        self.architecture = architecture
        self.input = Input("input", (), in_channels)
        self.nodes: list[Node] = [self.input]

    @property
    def classes(self) -> int:
        return self.nodes[-1].channels

    @property
    def classifier(self) -> Node:
        """The last operator that has tensors, which depend on the number of classes."""
        return next(node for node in reversed(self.nodes) if node.tensor_shapes())

    def convolution(
        self, name: str, x: Node, channels: int, kernel_size: int = 1, *, stride: int = 1, padding: int | None = None,
        groups: int = 1, batch_norm: str = "", epsilon: float = EPSILON, activation: Activation = "linear",
    ) -> Convolution:  # fmt: skip
        """``padding``: half the kernel unless told otherwise."""
        padding = kernel_size // 2 if padding is None else padding
        return self.append(
            Convolution(name, (x,), channels, kernel_size, stride, padding, groups, batch_norm, epsilon, activation)
        )

    def depthwise(
        self, name: str, x: Node, kernel_size: int = 3, *, stride: int, batch_norm: str, epsilon: float = EPSILON,
        activation: Activation = "linear",
    ) -> Convolution:  # fmt: skip
        return self.convolution(
            name, x, x.channels, kernel_size,
            stride=stride, groups=x.channels, batch_norm=batch_norm, epsilon=epsilon, activation=activation,
        )  # fmt: skip

    def max_pool(self, name: str, x: Node, *, padding: int = 1, ceil: bool = False) -> Pool:
        return self.append(Pool(name, (x,), x.channels, "max", padding, ceil))

    def average_pool(self, name: str, x: Node) -> Pool:
        return self.append(Pool(name, (x,), x.channels, "average", 1, False))

    def global_average_pool(self, name: str, x: Node) -> AdaptiveAveragePool:
        return self.adaptive_average_pool(name, x, 1)

    def adaptive_average_pool(self, name: str, x: Node, size: int) -> AdaptiveAveragePool:
        return self.append(AdaptiveAveragePool(name, (x,), x.channels * size * size, size))

    def fully_connected(
        self, name: str, x: Node, channels: int, activation: Activation = "linear", *, pointwise: bool = False
    ) -> FullyConnected:
        return self.append(FullyConnected(name, (x,), channels, activation, pointwise))

    def add(self, name: str, x: Node, y: Node, *, activation: Activation = "linear") -> Add:
        return self.append(Add(name, (x, y), x.channels, activation))

    def scale(self, name: str, x: Node, factors: Node, *, activation: Activation = "linear") -> Scale:
        return self.append(Scale(name, (x, factors), x.channels, activation))

    def concat(self, name: str, inputs: Sequence[Node]) -> Concat:
        return self.append(Concat(name, tuple(inputs), sum(x.channels for x in inputs)))

    def split(self, name: str, x: Node, first: int, channels: int) -> Split:
        return self.append(Split(name, (x,), channels, first))

    def shuffle(self, name: str, x: Node, groups: int) -> Shuffle:
        return self.append(Shuffle(name, (x,), x.channels, groups))

    def append(self, node: AnyNode) -> AnyNode:
        """Adds ``node``, which reads what was added before.

        Raises:
            ValueError: it can't read its inputs, or a field is out of range.
        """
        node.check()
        self.nodes.append(node)
        return node

    def sizes(self, height: int, width: int) -> dict[Node, tuple[int, int]]:
        """Height and width of every node's output.

        Raises:
            ValueError: pictures of ``height`` x ``width`` are too small, or inputs of one operator differ in size.
        """
        sizes: dict[Node, tuple[int, int]] = {self.input: (height, width)}
        for node in self.nodes[1:]:
            sizes[node] = node.output_size(*sizes[node.inputs[0]])
            if min(sizes[node]) < 1:
                raise ValueError(f"{self.name}: pictures of {width} x {height} pixels leave none behind {node.name}")
            if len({sizes[read] for read in node.inputs if not read.flat}) > 1:
                raise ValueError(
                    f"{self.name}: the inputs of {node.name} differ in size for pictures of {width} x {height} pixels"
                )
        return sizes

    def readers(self) -> dict[Node, list[Node]]:
        """For every node those that read it, in the order of running."""
        readers: dict[Node, list[Node]] = {node: [] for node in self.nodes}
        for node in self.nodes:
            for source in node.inputs:
                readers[source].append(node)
        return readers

    def tensor_shapes(self) -> dict[str, tuple[int, ...]]:
        """Name and shape of every tensor of the network, as PyTorch's state dict has them."""
        return {name: shape for node in self.nodes for name, shape in node.tensor_shapes().items()}


def never_negative(node: Node) -> bool:
    """Whether no value that an operator makes is below zero, be it through what it reads."""
    seen, waiting = {node}, [node]
    while waiting:  # without recursion, since networks can be deep
        each = waiting.pop()
        if isinstance(each, Convolution | FullyConnected | Add | Scale):
            if each.activation not in NEVER_NEGATIVE:
                return False
        elif isinstance(each, Input):
            return False
        else:
            waiting += set(each.inputs) - seen
            seen.update(each.inputs)
    return True


def check_tensors(expected: Mapping[str, tuple[int, ...]], given: Mapping[str, tuple[int, ...]]) -> None:
    """Both by name; PyTorch's ``num_batches_tracked`` may be there.

    Raises:
        ValueError: a tensor is missing, of another shape, or one too many.
    """
    for name, shape in expected.items():
        if name not in given:
            raise ValueError(f"tensor {name!r} is missing")
        if given[name] != shape:
            raise ValueError(f"tensor {name!r} is {list(given[name])}; its architecture says {list(shape)}")
    unknown = sorted(name for name in given.keys() - expected.keys() if not name.endswith(".num_batches_tracked"))
    if unknown:
        raise ValueError(f"tensor {unknown[0]!r} does not belong to this architecture")
