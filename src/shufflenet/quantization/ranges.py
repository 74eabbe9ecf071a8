"""The range that an activation's 8 bits cover, for each channel.

What lies beyond is clipped, what lies within is rounded; all ways but the largest value trade one error for the other.
Pictures come in batches, and of each channel only the outermost values or a sample are kept.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Literal, get_args

import numpy as np
import torch
from torch import Tensor

from shufflenet.networks.graph import (
    Add,
    Concat,
    Convolution,
    Graph,
    Node,
    Pool,
    Shuffle,
    Split,
    never_negative,
)
from shufflenet.networks.quantized import MOST, Activation, activation_of, carriers
from shufflenet.quantization.short_multipliers import SCALE_BITS, short

Way = Literal["percentile", "error", "largest"]
WAYS: tuple[Way, ...] = get_args(Way)

# Values behind a ReLU have the zero point 0, signed ones one of each channel; those that a convolution pads have the
# same in all channels, since padding is made of it.
Kind = Literal["positive", "signed", "padded"]

BEYOND = 1e-4  # share of a channel's values that `percentile` leaves out at each end
_SHARES = torch.linspace(0.3, 1.0, 22)  # of the largest value, tried for the least error
_SAMPLES = 8192  # values of a channel that errors are measured on
_LEAST = 1e-8  # below it a channel counts as always zero


def kind_of(node: Node, readers: Mapping[Node, list[Node]]) -> Kind:
    """``readers``: as `Graph.readers`."""
    return "positive" if never_negative(node) else "padded" if _padded(node, readers) else "signed"


class Range:
    """The range of one operator's output, from its values in the float network.

    Args:
        total: values of each channel that `add` will be given in all.
    """

    def __init__(self, way: Way, kind: Kind, total: int) -> None:
        self.way, self.kind = way, kind
        self._share = min(1.0, _SAMPLES / total)  # of the values, for the sample
        self._outermost = max(1, int(total * BEYOND)) if way == "percentile" else 1
        self._high: Tensor | None = None  # [C, outermost], falling
        self._low: Tensor | None = None  # rising
        self._samples: list[Tensor] = []

    def add(self, values: Tensor) -> None:
        """``values``: of a batch of pictures, [N, C] or [N, C, H, W]."""
        flat = values.reshape(*values.shape[:2], -1).movedim(1, 0).flatten(1)
        self._high = _outermost(flat, self._high, self._outermost, largest=True)
        if self.kind != "positive":
            self._low = _outermost(flat, self._low, self._outermost, largest=False)
        if self.way == "error":
            count = max(1, round(self._share * flat.shape[1]))
            self._samples.append(flat[:, torch.linspace(0, flat.shape[1] - 1, count).long()])

    def activation(self) -> Activation:
        """Scale and zero point of each channel."""
        low, high = self._bounds()
        scale, common = (high - low).double() / MOST, 0
        if self.kind == "padded":
            common, scale = _with_one_zero_point(low.double(), high.double())
        used = scale > _LEAST
        scale[~used] = scale[used].median() if used.any() else 1.0  # any will do
        zero_point = torch.round(-low.double() / scale).clamp(0, MOST)
        if self.kind == "padded":
            zero_point[:] = common
        return Activation(short(scale.numpy(), SCALE_BITS).astype(np.float32), zero_point.numpy().astype(np.uint8))

    def _bounds(self) -> tuple[Tensor, Tensor]:
        """The lowest and the highest value that are kept of each channel, [C] each; 0 is always between them."""
        assert self._high is not None
        outer_high = self._high[:, 0].clamp(min=0)
        outer_low = torch.zeros_like(outer_high) if self._low is None else self._low[:, 0].clamp(max=0)
        if self.way == "error":
            sample = torch.cat(self._samples, dim=1)
            errors = torch.stack([_error(sample, outer_low * share, outer_high * share) for share in _SHARES])
            share = _SHARES[errors.argmin(dim=0)]
            return outer_low * share, outer_high * share
        high = self._high[:, -1].clamp(min=0)
        low = torch.zeros_like(high) if self._low is None else self._low[:, -1].clamp(max=0)
        # A channel that is hardly ever used keeps its largest value.
        return torch.where(low < 0, low, outer_low), torch.where(high > 0, high, outer_high)


def activation(values: Tensor, way: Way, kind: Kind) -> Activation:
    """Scale and zero point of each channel of ``values``, [N, C] or [N, C, H, W]."""
    found = Range(way, kind, values[:, 0].numel())
    found.add(values)
    return found.activation()


def with_shared_scales(graph: Graph, made: Mapping[str, Activation]) -> dict[str, Activation]:
    """The activations with one scale, the largest, for all channels that are added to one another.

    An addition then rounds nothing, and runtimes that can only add bytes have the same result.

    Args:
        made: of all `requantising` operators.
    """
    counts = [len(activation.scale) for activation in made.values()]
    first = dict(zip(made, np.cumsum([0, *counts[:-1]]).tolist(), strict=True))
    scales = np.concatenate([activation.scale for activation in made.values()])
    numbers = {  # in place of scales, so that `activation_of` says which channel each channel is
        name: replace(activation, scale=np.arange(first[name], first[name] + len(activation.scale), dtype=np.float32))
        for name, activation in made.items()
    }
    carried = carriers(graph)
    pairs = [
        (activation_of(add, numbers).scale.astype(int), activation_of(read, numbers).scale.astype(int))
        for add in graph.nodes
        if isinstance(add, Add)
        for read in add.inputs
        if carried.get(read) is not add
    ]
    before = np.zeros_like(scales)
    while not np.array_equal(before, scales):
        before = scales.copy()
        for some, others in pairs:
            scales[some] = scales[others] = np.maximum(scales[some], scales[others])
    return {
        name: replace(activation, scale=scales[first[name] : first[name] + len(activation.scale)])
        for name, activation in made.items()
    }


def sharing_scales(graph: Graph) -> set[Node]:
    """The operators with bytes that are added to others, whose scales are shared."""
    found: set[Node] = set()
    for add in graph.nodes:
        if isinstance(add, Add):
            found |= {add, *_makers(add.inputs)}
    return found


def _makers(sources: Sequence[Node]) -> Iterator[Node]:
    """What the bytes of ``sources`` come from, behind operators that pass them on."""
    for source in sources:
        if _passes_on(source):
            yield from _makers(source.inputs)
        else:
            yield source


def _outermost(flat: Tensor, before: Tensor | None, count: int, *, largest: bool) -> Tensor:
    """The ``count`` outermost values of each channel of [C, values] and of those found before, [C, up to count]."""
    both = flat if before is None else torch.cat((before, flat.topk(min(count, flat.shape[1]), 1, largest).values), 1)
    return both.topk(min(count, both.shape[1]), 1, largest).values


def _with_one_zero_point(low: Tensor, high: Tensor) -> tuple[int, Tensor]:
    """The zero point with which the channels' scales grow least, and those scales: float64 [C]."""
    points = torch.arange(1, MOST, dtype=torch.float64)[:, None]
    scales = torch.maximum(high / (MOST - points), -low / points)
    growth = scales / ((high - low) / MOST).clamp(min=_LEAST)
    best = int(growth.square().mean(dim=1).argmin())
    return best + 1, scales[best]


def _error(sample: Tensor, low: Tensor, high: Tensor) -> Tensor:
    """The mean squared error of each channel if its values from low to high are kept."""
    scale = ((high - low) / MOST).clamp(min=_LEAST)[:, None]
    zero_point = torch.round(-low[:, None] / scale)
    kept = (torch.round(sample / scale) + zero_point).clamp(0, MOST) - zero_point
    return (kept * scale - sample).square().mean(dim=1)


def _padded(node: Node, readers: Mapping[Node, list[Node]]) -> bool:
    """Whether a convolution pads what ``node`` makes, maybe behind operators that pass bytes on."""
    for reader in readers[node]:
        if isinstance(reader, Convolution):
            if reader.padding:
                return True
        elif _passes_on(reader) and _padded(reader, readers):
            return True
    return False


def _passes_on(node: Node) -> bool:
    return isinstance(node, Concat | Split | Shuffle) or (isinstance(node, Pool) and node.kind == "max")
