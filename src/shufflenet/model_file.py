"""The model file: one .safetensors file that holds a network and all that is needed to use it right.

The tensors are the network's state dict, float32 or float16. The metadata has one key, ``shufflenet``, with
the JSON object that `Model` describes field by field. Whoever has the file needs no other knowledge.
"""

from __future__ import annotations

import json
import os
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import safetensors
import safetensors.numpy
from numpy.typing import NDArray
from PIL import Image

from shufflenet.arch import Architecture
from shufflenet.images import Preprocessing, preprocess

FORMAT = 1


class ModelFileError(ValueError):
    """A model file can't be used. The message names the file and says why."""


@dataclass
class Model:
    """A trained network, from or for a model file."""

    arch: Architecture
    preprocessing: Preprocessing
    labels: list[str]
    tensors: dict[str, NDArray[np.float32]]
    # Logits of `test_input` by the implementation that wrote the file; empty: not tested.
    self_test: list[float] = field(default_factory=list)
    # Where the weights come from: command, data, recipe, versions.
    training: dict[str, Any] = field(default_factory=dict)
    # Measured, in percent: {"data": ..., "top1_error": ..., "top5_error": ...}.
    accuracy: dict[str, Any] = field(default_factory=dict)


def test_input(how: Preprocessing) -> NDArray[np.float32]:
    """The built-in test picture, 120 x 90 pixels of waves, as the network's input: float32 [3, S, S]."""
    y, x = np.mgrid[0:90, 0:120].astype(np.float64)
    waves = [np.sin(x * (0.05 + 0.02 * c)) * np.cos(y * (0.11 - 0.03 * c)) for c in range(3)]
    pixels = np.floor(127.5 * (1 + np.stack(waves, axis=-1))).astype(np.uint8)
    return preprocess(Image.fromarray(pixels), how)


def save(model: Model, path: Path, dtype: type[np.float32] | type[np.float16] = np.float32) -> None:
    """Writes ``model`` to ``path``, by way of a temporary name: an existing file stays whole if writing fails.

    Raises:
        OSError: the file can't be written.
    """
    description = {
        "format": FORMAT,
        "architecture": {"name": model.arch.name, **asdict(model.arch)},
        "preprocessing": {"colour_order": "RGB", **asdict(model.preprocessing)},
        "labels": model.labels,
        "self_test": model.self_test,
        "training": model.training,
        "accuracy": model.accuracy,
    }
    tensors = {name: tensor.astype(dtype) for name, tensor in model.tensors.items()}
    data = safetensors.numpy.save(tensors, metadata={"shufflenet": json.dumps(description)})
    temporary = path.with_name(path.name + ".tmp")
    try:
        with temporary.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def load(path: Path) -> Model:
    """Reads and checks a model file; tensors come as float32.

    Raises:
        ModelFileError: the file is missing, cut, of another program or format, or contradicts itself.
    """
    try:
        with safetensors.safe_open(path, framework="numpy") as file:
            text = (file.metadata() or {}).get("shufflenet")
            if text is None:
                raise ModelFileError(f"{path}: a .safetensors file, but not a shufflenet model (no metadata)")
            description = json.loads(text)
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except FileNotFoundError:
        raise ModelFileError(f"{path}: no such file") from None
    except (OSError, safetensors.SafetensorError) as error:
        raise ModelFileError(f"{path}: not a whole .safetensors file ({error})") from None
    except json.JSONDecodeError as error:
        raise ModelFileError(f"{path}: its metadata is not JSON ({error})") from None
    try:
        return _checked(description, tensors)
    except KeyError as error:
        raise ModelFileError(f"{path}: its metadata lacks {error}") from None
    except (TypeError, ValueError, AttributeError) as error:
        raise ModelFileError(f"{path}: {error}") from None


def _checked(description: Any, tensors: dict[str, NDArray[Any]]) -> Model:
    if description["format"] != FORMAT:
        raise ValueError(f"model format {description['format']!r}; this version reads format {FORMAT}")
    arch = Architecture(**{k: v for k, v in description["architecture"].items() if k != "name"})
    how = dict(description["preprocessing"])
    if how.pop("colour_order") != "RGB":
        raise ValueError("colour_order must be RGB")
    preprocessing = Preprocessing(**{k: tuple(v) if isinstance(v, list) else v for k, v in how.items()})
    labels = description["labels"]
    if not (isinstance(labels, list) and all(isinstance(label, str) for label in labels)):
        raise ValueError("labels must be a list of strings")
    if len(labels) != arch.classes:
        raise ValueError(f"{len(labels)} labels for {arch.classes} classes")
    self_test = [float(value) for value in description["self_test"]]
    if self_test and len(self_test) != arch.classes:
        raise ValueError(f"self_test has {len(self_test)} logits for {arch.classes} classes")
    return Model(
        arch=arch,
        preprocessing=preprocessing,
        labels=labels,
        tensors=_checked_tensors(arch.tensor_shapes(), tensors),
        self_test=self_test,
        training=dict(description["training"]),
        accuracy=dict(description["accuracy"]),
    )


def _checked_tensors(
    shapes: dict[str, tuple[int, ...]], tensors: dict[str, NDArray[Any]]
) -> dict[str, NDArray[np.float32]]:
    for name in tensors.keys() - shapes.keys():
        raise ValueError(f"tensor {name!r} does not belong to this architecture")
    checked = {}
    for name, shape in shapes.items():
        if name not in tensors:
            raise ValueError(f"tensor {name!r} is missing")
        tensor = tensors[name]
        if tensor.shape != shape:
            raise ValueError(f"tensor {name!r} is {list(tensor.shape)}; its architecture says {list(shape)}")
        if tensor.dtype not in (np.float32, np.float16):
            raise ValueError(f"tensor {name!r} is {tensor.dtype}, neither float32 nor float16")
        if not np.isfinite(tensor).all():
            raise ValueError(f"tensor {name!r} holds values that are not finite")
        if name.endswith("running_var") and tensor.min() < 0:
            raise ValueError(f"tensor {name!r} holds a negative variance")
        checked[name] = tensor.astype(np.float32)
    return checked
