"""From a float model and pictures to a model in 8 bits."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from shufflenet import model_file
from shufflenet.networks.model import Model
from shufflenet.networks.quantized import Quantized, pixel_input
from shufflenet.pictures.dataset import Picture, training_pictures
from shufflenet.pictures.held_out import pictures_to_measure, taken_apart
from shufflenet.pictures.images import ImageError
from shufflenet.pictures.preprocessing import preprocess
from shufflenet.quantization.calibration import CalibrationError, Method, calibrate, most_pictures
from shufflenet.quantization.emulation import Emulation
from shufflenet.threads import map_in_order

PICTURES = 4096
PICTURES_OF_COSTS = 256


@dataclass(frozen=True)
class CalibrationPictures:
    """Some of the pictures below ``root``, preprocessed.

    Args:
        x: [N, 3, S, S].
        available: pictures below ``root``.
        folders: the names of those that the pictures lie in.
        failures: a message for each picture that can't be read.
    """

    root: Path
    x: NDArray[np.float32]
    available: int
    folders: list[str]
    failures: list[str]


def read_pictures(
    model: Model, root: Path, progress: Callable[[int, int], None] = lambda done, total: None, most: int = PICTURES
) -> CalibrationPictures:
    """Takes pictures evenly from ``root``/train, or ``root`` if it has no train/: the same ones every time.

    Of pictures that the model's training took a part of for validation, that part is left out: `evaluate` measures it.

    Args:
        most: pictures that are taken.

    Raises:
        DataError: there are none.
        CalibrationError: none can be read.
    """
    dataset = taken_apart(root, model.classes, model.training)
    if dataset is not None:
        pictures, folders = dataset.train.pictures, dataset.classes
    else:
        pictures, folders = training_pictures(root)
    return read_some(model, root, pictures, folders, progress, most)


def read_some(
    model: Model, root: Path, pictures: Sequence[Picture], folders: list[str],
    progress: Callable[[int, int], None] = lambda done, total: None, most: int = PICTURES,
) -> CalibrationPictures:  # fmt: skip
    """Takes from these pictures as `read_pictures` does; ``root`` and ``folders`` say where they are.

    Raises:
        CalibrationError: none can be read.
    """
    size = model.preprocessing.size
    chosen = _evenly(len(pictures), min(most, most_pictures(size, size)))
    inputs, failures = [], []
    read = map_in_order(lambda place: _read(model, pictures[place]), chosen)
    for done, result in enumerate(read, 1):
        if isinstance(result, str):
            failures.append(result)
        else:
            inputs.append(result)
        progress(done, len(chosen))
    if not inputs:
        raise CalibrationError(f"{root}: none of {len(chosen)} pictures can be read, such as {failures[0]}")
    return CalibrationPictures(root, np.stack(inputs), len(pictures), folders, failures)


def pictures_of_costs(
    model: Model, calibration: CalibrationPictures, evaluation: Path | None
) -> tuple[NDArray[np.float32], NDArray[np.int64] | None]:
    """A few pictures, preprocessed, that `layer_costs` are measured on, and their classes if they have some.

    Raises:
        DataError: as `pictures_to_measure`.
    """
    if evaluation is None:
        return calibration.x[_evenly(len(calibration.x), PICTURES_OF_COSTS)], None
    split = pictures_to_measure(evaluation, model.classes, model.training, False)
    chosen = _evenly(len(split), PICTURES_OF_COSTS)
    read = [_read(model, split.pictures[place]) for place in chosen]
    good = [place for place, result in enumerate(read) if not isinstance(result, str)]
    inputs = [result for result in read if not isinstance(result, str)]
    return np.stack(inputs), split.targets[np.array(chosen)[good]]


def _evenly(available: int, count: int) -> list[int]:
    return [int(place) for place in np.linspace(0, available - 1, min(available, count))]


def _read(model: Model, picture: Picture) -> NDArray[np.float32] | str:
    """The network's input, or why the picture can't be read."""
    try:
        return preprocess(picture.decode(model.preprocessing.resize), model.preprocessing)
    except ImageError as error:
        return str(error)


def quantize(
    model: Model, pictures: CalibrationPictures, method: Method | None = None,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> Model:  # fmt: skip
    """The model in 8 bits, with its logits of `model_file.test_input` as self-test.

    Raises:
        CalibrationError: nothing can be learned from the pictures.
        ValueError: the model is quantized, or 8 bits don't serve it.
    """
    model.require_float()
    try:
        quantized = calibrate(model, pictures.x, method, progress)
    except CalibrationError as error:
        raise CalibrationError(f"{pictures.root}: {error}") from None
    about = {**quantized.about, "calibration": f"{len(pictures.x)} pictures of {pictures.root.name}"}
    return replace(
        model,
        tensors={},
        quantized=Quantized(quantized.layers, quantized.activations, about),
        self_test=self_test(model, quantized),
        accuracy={},
    )


def self_test(model: Model, quantized: Quantized) -> list[float]:
    """Logits of the built-in test picture."""
    pixels = pixel_input(model.preprocessing.mean, model.preprocessing.std)
    logits = Emulation(model.graph, quantized, pixels).run(model_file.test_input(model.preprocessing)[None])
    return [float(value) for value in logits[0]]


def unknown_folders(pictures: CalibrationPictures, model: Model) -> list[str]:
    """Folders of the pictures that are no class of the model, if none is: they may be of another data set."""
    return [] if set(pictures.folders) & set(model.classes) else pictures.folders
