"""Comparison of an exported network with the package's engine, and with PyTorch where it is installed."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain, islice
from pathlib import Path
from statistics import median
from time import perf_counter

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from shufflenet.engine.engine import Engine
from shufflenet.exporters.target import Order, Target
from shufflenet.model_file import test_input
from shufflenet.networks.model import Model
from shufflenet.networks.quantized import pixel_input
from shufflenet.pictures.preprocessing import preprocess
from shufflenet.probabilities import softmax

TOLERANCE = 1e-4  # accepted error of a logit, relative to the largest logit of the same picture
PROBABILITY_TOLERANCE = 1e-3  # accepted error of a probability
# The same where a runtime may round 8 bits by itself. A value in the middle between two bytes may become either, which
# the last bit of a float32 decides. This is as far as 8 bits themselves change a probability of the float model's; on
# 1,000 pictures no runtime was farther off than 0.15 (docs/export.md).
INT8_PROBABILITY_TOLERANCE = 0.2

_RUNS = 7  # timed runs of each network on each picture

Floats = NDArray[np.float32]


@dataclass(frozen=True)
class Sample:
    """A picture for the comparison."""

    pixels: NDArray[np.uint8] | None  # RGB [H, W, 3] before preprocessing; None: unknown
    x: Floats  # the network's input [3, height, width]


@dataclass(frozen=True)
class Comparison:
    """An exported network compared with another implementation of the same network."""

    name: str  # of the other implementation
    error: float  # largest error of a logit, relative to the largest logit of the same picture
    # Share (0 to 1) of pictures with the same top-1 class. In float32, logits within the tolerance count as equal.
    agreement: float
    probability_error: float  # largest difference of a probability
    ms: float  # the other implementation's time


@dataclass(frozen=True)
class Check:
    """The comparison of an exported network. Times are on one thread: the median over pictures of the best run."""

    pictures: int
    ms: float | None  # the exported network's time; None: another program ran in place of its runtime
    comparisons: tuple[Comparison, ...]
    stand_in: str  # see `Runner.stand_in`
    # Largest error of a probability computed from pixels; None: the exported network has no preprocessing of its own.
    probability_error: float | None
    rounds: bool = False  # see `Target.rounds_int8`; True for models in 8 bits alone

    @property
    def ok(self) -> bool:
        """Whether all errors are within the tolerances and all top-1 classes agree.

        Where a runtime rounds by itself, classes may differ whose probabilities are as near as the tolerance.
        """
        if self.probability_error is not None and self.probability_error > PROBABILITY_TOLERANCE:
            return False
        if self.rounds:
            return all(c.probability_error <= INT8_PROBABILITY_TOLERANCE for c in self.comparisons)
        return all(c.error <= TOLERANCE and c.agreement == 1 for c in self.comparisons)


def samples(model: Model, height: int, width: int, pictures: Iterable[Image.Image] | None) -> Iterator[Sample]:
    """Yields ``pictures`` with their network input of height x width; None: synthetic ones of several shapes.

    Where the size is the model's, the synthetic ones begin with the input of the model file's self-test.
    """
    preprocessing = model.preprocessing
    if pictures is None:
        pictures = [_synthetic(*shape) for shape in ((500, 375), (240, 640), (97, 61), (1700, 1500))]
        if height == width == preprocessing.size:
            yield Sample(None, test_input(preprocessing))
    for picture in pictures:
        yield Sample(np.asarray(picture), preprocess(picture, preprocessing, (height, width)))


def compare(target: Target, order: Order, path: Path, on: Iterable[Sample]) -> Check:
    """Runs the export of ``target`` at ``path``, the engine and PyTorch on every sample and compares their logits.

    Raises:
        ExportError: the export can't be opened.
    """
    on = iter(on)
    first = list(islice(on, 1))  # an unreadable picture fails before the export is built
    runner = target.open(order, path)
    engine = Engine(order.model)
    networks: dict[str, Callable[[Floats], Floats]] = {target.name: runner.logits}
    networks[f"engine ({engine.isa})"] = lambda x: engine.run(x[None])[0]
    if importlib.util.find_spec("torch") is not None:
        networks["PyTorch"] = _pytorch(order.model)
    logits: dict[str, list[Floats]] = {name: [] for name in networks}
    seconds: dict[str, list[float]] = {name: [] for name in networks}
    probability_error = None if runner.probabilities is None else 0.0
    for sample in chain(first, on):
        for name, network in networks.items():
            logits[name].append(network(sample.x))
            seconds[name].append(min(_seconds(network, sample.x) for _ in range(_RUNS)))
        if runner.probabilities is not None and probability_error is not None and sample.pixels is not None:
            expected = softmax(logits[f"engine ({engine.isa})"][-1])
            error = _largest(runner.probabilities(sample.pixels) - expected)
            probability_error = max(probability_error, error)
    own, *others = networks
    ms = {name: 1000 * median(times) for name, times in seconds.items()}
    rounds = target.rounds_int8 and order.model.quantized is not None
    comparisons = tuple(
        Comparison(other, *_difference(logits[own], logits[other], 0 if rounds else TOLERANCE), ms=ms[other])
        for other in others
    )
    own_ms = None if runner.stand_in else ms[own]
    return Check(len(logits[own]), own_ms, comparisons, runner.stand_in, probability_error, rounds)


def _seconds(network: Callable[[Floats], Floats], x: Floats) -> float:
    began = perf_counter()
    network(x)
    return perf_counter() - began


def _pytorch(model: Model) -> Callable[[Floats], Floats]:
    """The model in PyTorch, before folding, or its emulation in 8 bits: [3, H, W] -> logits [classes]."""
    from shufflenet.exporters.graph import logits_of
    from shufflenet.networks.module import module_with_weights
    from shufflenet.quantization.emulation import Emulation

    if model.quantized is not None:
        pixels = pixel_input(model.preprocessing.mean, model.preprocessing.std)
        emulation = Emulation(model.graph, model.quantized, pixels)
        return lambda x: emulation.run(x[None])[0]
    return logits_of(module_with_weights(model))


def _difference(given: Sequence[Floats], expected: Sequence[Floats], tolerance: float) -> tuple[float, float, float]:
    """(error, agreement, probability error) as in `Comparison`, over the logits of all pictures."""
    errors, probability_errors, equal = [], [], 0
    for ours, theirs in zip(given, expected, strict=True):
        largest = max(float(np.abs(theirs).max()), 1e-30)
        errors.append(_largest(ours - theirs) / largest)
        probability_errors.append(_largest(softmax(ours) - softmax(theirs)))
        equal += bool(theirs[int(ours.argmax())] >= theirs.max() - tolerance * largest)
    return max(errors), equal / len(errors), max(probability_errors)


def _largest(differences: NDArray[np.floating]) -> float:
    """The largest absolute value; infinity if any is not a number."""
    value = float(np.abs(differences).max())
    return value if np.isfinite(value) else float("inf")


def _synthetic(width: int, height: int) -> Image.Image:
    """A picture of smooth and square waves with a little noise, always the same for a size."""
    random = np.random.default_rng(width)
    x, y = np.linspace(0, 6.3, width, dtype=np.float32), np.linspace(0, 6.3, height, dtype=np.float32)
    values = random.integers(118, 138, (height, width, 3)).astype(np.float32)
    for channel in range(3):
        for across, down, phase in random.uniform(0.5, 12, (6, 3)).astype(np.float32):
            wave = np.outer(np.sin(down * y), np.sin(across * x + phase))
            values[:, :, channel] += 30 * (wave if across < 8 else np.sign(wave))
    return Image.fromarray(values.clip(0, 255).astype(np.uint8))
