"""Pictures for 8 bits: some that all runtimes find their ranges on, and some on which their classes are compared.

Networks with random weights get synthetic pictures, and are made such that these fall into many classes.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from shufflenet.engine.engine import Engine
from shufflenet.networks.graph import FullyConnected
from shufflenet.networks.model import Model
from shufflenet.networks.module import module_with_weights
from shufflenet.networks.network import tensors_of
from shufflenet.networks.shufflenet_v1 import ShuffleNetV1
from shufflenet.pictures.preprocessing import Preprocessing
from shufflenet.quantization.calibration import LEAST_PICTURES
from shufflenet.quantization.quantize import read_pictures
from shufflenet.training.validate import estimate_batch_norm

_SYNTHETIC = 64  # pictures, or fewer large ones
_SYNTHETIC_PIXELS = 64 * 224 * 224
_MOST = 768  # pictures of a user's; a third of them to calibrate on
_BATCH = 16
_SEED = 1812
_LESS_LIKELY = 1  # by this much a class is less likely that is another's double; a picture's own logit is about 1/2


@dataclass(frozen=True)
class Samples:
    """Preprocessed pictures, [N, C, H, W] each; N divides by the batch that runtimes are timed with."""

    calibration: NDArray[np.float32]
    compared: NDArray[np.float32]


def synthetic(batch: int, channels: int, height: int, width: int) -> Samples:
    """Blocks of many sizes in random colours, preprocessed as by default; always the same ones, for both purposes."""
    random = np.random.default_rng(_SEED)
    count = max(LEAST_PICTURES, min(_SYNTHETIC, _SYNTHETIC_PIXELS // (height * width)))
    count = math.ceil(count / batch) * batch
    shape = (count, channels, height, width)
    pixels = random.uniform(40, 215, (count, channels, 1, 1)) + np.zeros(shape, dtype=np.float32)
    for side in (1, 2, 4, 8, 16, 32, 64):
        blocks = random.standard_normal((count, channels, -(-height // side), -(-width // side)), dtype=np.float32)
        strength = random.uniform(0, 60, (count, 1, 1, 1))
        pixels += strength * blocks.repeat(side, axis=2).repeat(side, axis=3)[:, :, :height, :width]
    preprocessing = Preprocessing()
    mean, std = (np.resize(values, channels)[:, None, None] for values in (preprocessing.mean, preprocessing.std))
    x = ((pixels.clip(0, 255).round() / 255 - mean) / std).astype(np.float32)
    return Samples(x, x)


def of_pictures(model: Model, data: Path, batch: int) -> Samples:
    """Some of the pictures below ``data``, as `read_pictures` takes them; every third is calibrated on.

    Raises:
        DataError, CalibrationError: there are too few, or none can be read.
    """
    x = read_pictures(model, data, most=_MOST).x
    calibration, compared = x[::3], np.concatenate((x[1::3], x[2::3]))
    if len(calibration) < LEAST_PICTURES or min(len(calibration), len(compared)) < batch:
        raise ValueError(f"{data}: {len(x)} pictures are too few to calibrate on a third of them")
    return Samples(*(part[: len(part) // batch * batch] for part in (calibration, compared)))


def like_trained(model: Model, samples: Samples) -> Model:
    """A model with random weights made to tell these pictures apart, as training leaves one.

    Batch norm's statistics are those of the pictures, and each class of a fully connected classifier is one of them. A
    random network says nearly the same of every picture, and whether another runtime says it too would tell little.
    """
    network = module_with_weights(model).train()
    estimate_batch_norm(network, torch.split(torch.from_numpy(samples.calibration), _BATCH))
    model = replace(model, tensors=tensors_of(network.eval()))
    last = model.graph.nodes[-1]
    if not isinstance(last, FullyConnected):
        return model
    names = f"{last.name}.weight", f"{last.name}.bias"
    weight, bias = (model.tensors[name] for name in names)
    logits = Engine(model).run(samples.calibration)
    mean = logits.mean(axis=0)
    # The class of the nearest picture, by the squared distance of logits; there are more classes than pictures, and the
    # second class of a picture is never as near.
    known = (logits - mean)[np.arange(len(weight)) % len(logits)]
    scale = np.square(known).sum(axis=1).mean()
    nearest = (known @ (bias - mean) - np.square(known).sum(axis=1) / 2) / scale
    nearest[len(logits) :] -= _LESS_LIKELY
    rows = (known @ weight.reshape(len(weight), -1) / scale).reshape(weight.shape)
    tensors = zip(names, (_as_trained(rows, model), nearest.astype(np.float32)), strict=True)
    return replace(model, tensors={**model.tensors, **dict(tensors)})


def _as_trained(weight: NDArray[np.float32], model: Model) -> NDArray[np.float32]:
    """`shufflenet train` rounds a ShuffleNet's classifier to half precision."""
    return weight.astype(np.float16 if isinstance(model.graph.architecture, ShuffleNetV1) else np.float32).astype(
        np.float32
    )
