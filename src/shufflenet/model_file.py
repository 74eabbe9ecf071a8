"""The model file: one .safetensors file that holds a network and all that is needed to use it right.

The tensors are the network's state dict, float32 or float16, or those of a quantized network (`quantized_tensors`). The
metadata has a key ``sha256``, a hash by which damage
shows (it may be missing), and a key ``shufflenet`` with a JSON object of exactly these keys (``classes`` may be
missing: the labels then; and ``name``):

    format          2
    architecture    name, family, and the family's fields; family "graph": the operators (`networks.stored_graph`)
    preprocessing   colour_order ("RGB"), and every field of `Preprocessing`
    labels          the text of each class: as many as classes, all different
    classes         the class folder names of the training data, likewise, in the same order
    self_test       logits of `test_input` by the implementation that wrote the file; empty: not tested
    training        where the weights come from: command, data, recipe, versions; free form
    accuracy        as measured, in percent: data, top1_error, top5_error; empty: not measured
    name            of the training run
    quantization    of a quantized network only: scheme, and how it was made

Whoever has the file needs no other knowledge. Files of format 1 are read too: their ``architecture`` has the fields of
`ShuffleNetV1` (without those that came later) beside the name.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

import numpy as np
import safetensors
import safetensors.numpy
from numpy.typing import NDArray
from PIL import Image

from shufflenet.atomic_file import atomic_file
from shufflenet.files import printable, regular_file, why_unreadable
from shufflenet.json_object import check_keys, checked_object
from shufflenet.labels import checked_names
from shufflenet.networks import families
from shufflenet.networks.graph import Graph, check_tensors
from shufflenet.networks.model import Model
from shufflenet.networks.quantized import SCHEME, Quantized
from shufflenet.networks.quantized_tensors import quantized_of, tensors_of
from shufflenet.networks.shufflenet_v1 import ShuffleNetV1
from shufflenet.pictures.preprocessing import Preprocessing, preprocess

FORMAT = 2

_DTYPES = ("F32", "F16")  # as safetensors calls them
_QUANTIZED_DTYPES = ("F32", "I8", "I32", "U8")
_KEYS = ("format", "architecture", "preprocessing", "labels", "classes", "self_test", "training", "accuracy", "name")
# The header's JSON becomes Python objects ten times its size. 20,000 classes with long labels take 2 MB.
_MAX_HEADER_BYTES = 16 << 20
_MAX_NAME = 200  # characters, in the name of a run
_MAX_REASON = 300  # characters: a hostile file could put a megabyte into an error message


class ModelFileError(ValueError):
    """A model file can't be used. The message is one line, names the file and says why."""


def test_input(preprocessing: Preprocessing) -> NDArray[np.float32]:
    """The built-in test picture, 120 x 90 pixels of waves, as the network's input: float32 [3, S, S]."""
    y, x = np.mgrid[0:90, 0:120].astype(np.float64)
    waves = [np.sin(x * (0.05 + 0.02 * c)) * np.cos(y * (0.11 - 0.03 * c)) for c in range(3)]
    pixels = np.floor(127.5 * (1 + np.stack(waves, axis=-1))).astype(np.uint8)
    return preprocess(Image.fromarray(pixels), preprocessing)


def check_finite(name: str, logits: NDArray[np.float32]) -> None:
    """Refuses a model whose logits of `test_input` are infinite or NaN, as of weights that overflow.

    Raises:
        ModelFileError: they are; ``name`` is what the message calls the model.
    """
    if not np.isfinite(logits).all():
        raise _error(Path(name), "its logits of the built-in test picture are not finite; its weights are of no use")


def save(model: Model, path: Path, dtype: type[np.float32] | type[np.float16] = np.float32) -> None:
    """Writes ``model`` to ``path``; an existing file stays whole if writing fails.

    Raises:
        ModelFileError: `load` would refuse the file, so it is not written.
        OSError: the file can't be written.
    """
    try:
        text = json.dumps(_description(model), allow_nan=False)
        if len(text) > _MAX_HEADER_BYTES // 2:
            raise ValueError(f"{len(text):,} bytes of metadata, more than {_MAX_HEADER_BYTES // 2:,}")
        _checked_description(json.loads(text))
        tensors = _tensors(model, dtype)
    except (TypeError, ValueError, RecursionError) as error:
        raise _error(path, f"not written, {error}") from None
    with _panics_are_memory_errors():
        data = safetensors.numpy.save(tensors, metadata={"shufflenet": text, "sha256": _digest(text, tensors)})
    with atomic_file(path) as file:
        file.writelines(_in_fixed_order(data))


def _in_fixed_order(data: bytes) -> tuple[bytes, memoryview]:
    """The header and the tensors of a .safetensors file, with the metadata sorted by their keys.

    The library writes them in the order of a hash that changes with every call: equal models would be different files.
    """
    end = 8 + int.from_bytes(data[:8], "little")
    header = json.loads(data[8:end])
    header["__metadata__"] = dict(sorted(header["__metadata__"].items()))
    text = json.dumps(header, separators=(",", ":"), ensure_ascii=False, allow_nan=False).encode()
    text += b" " * (-len(text) % 8)  # tensors are aligned
    return len(text).to_bytes(8, "little") + text, memoryview(data)[end:]


def _tensors(model: Model, dtype: type[np.float32] | type[np.float16]) -> dict[str, NDArray[Any]]:
    """What a file of ``model`` holds, checked."""
    if model.quantized is not None:
        tensors = {name: np.ascontiguousarray(tensor) for name, tensor in tensors_of(model.quantized).items()}
        quantized_of(model.graph, tensors, {})
        return tensors
    with np.errstate(over="ignore"):  # found by the check
        tensors = {name: np.ascontiguousarray(tensor, dtype) for name, tensor in model.tensors.items()}
    check_tensors(model.graph.tensor_shapes(), {name: tensor.shape for name, tensor in tensors.items()})
    for name, tensor in tensors.items():
        _check_values(name, tensor)
    return tensors


def digest(model: Model) -> str:
    """A hash of all that `save` writes of ``model``, 64 hexadecimal digits: the same for equal models."""
    return _digest(json.dumps(_description(model), allow_nan=False), _tensors(model, np.float32))


def load(path: Path) -> Model:
    """Reads and checks a model file; tensors come as float32, or in 8 bits as `Model.quantized`.

    Everything the header says is checked against the file's length and the architecture before a tensor is read.

    Raises:
        ModelFileError: the file is missing, cut, of another program or format, or contradicts itself.
    """
    try:
        _check_start(path)
        with _panics_are_memory_errors(), safetensors.safe_open(path, framework="numpy") as file:
            metadata = file.metadata() or {}
            text = metadata.get("shufflenet")
            if text is None:
                raise ValueError("a .safetensors file, but not a shufflenet model (no metadata)")
            model = _checked_description(_parsed(text))
            stored = {name: file.get_slice(name) for name in file.keys()}  # noqa: SIM118
            shapes = {name: tuple(tensor.get_shape()) for name, tensor in stored.items()}
            if model.quantized is None:
                check_tensors(model.graph.tensor_shapes(), shapes)
            dtypes = _DTYPES if model.quantized is None else _QUANTIZED_DTYPES
            for name, tensor in stored.items():
                if tensor.get_dtype() not in dtypes:
                    raise ValueError(f"tensor {name!r} is {tensor.get_dtype()}, neither {' nor '.join(dtypes)}")
            tensors = {name: file.get_tensor(name) for name in shapes}
            if model.quantized is not None:
                model.quantized = quantized_of(model.graph, tensors, model.quantized.about)
            else:
                for name, values in tensors.items():
                    _check_values(name, values)
            # Files of other programs have none.
            if metadata.get("sha256", digest := _digest(text, tensors)) != digest:
                raise ValueError("damaged: it does not hold what was written")
            if model.quantized is None:
                model.tensors.update((name, values.astype(np.float32, copy=False)) for name, values in tensors.items())
            return model
    except OSError as error:
        reason = why_unreadable(error)
    except safetensors.SafetensorError as error:
        reason = f"cut, damaged or not a .safetensors file ({error})"
    except MemoryError:
        reason = "not enough memory to read it"
    except RecursionError:
        reason = "its metadata is nested too deeply"
    except ValueError as error:
        reason = str(error)
    raise _error(path, reason)


@contextmanager
def _panics_are_memory_errors() -> Iterator[None]:
    """safetensors panics, in Rust's sense, where Python has no memory for an object that it asks for."""
    try:
        yield
    except BaseException as error:
        if type(error).__name__ != "PanicException":  # its module can't be imported
            raise
        raise MemoryError(str(error)) from None


def _error(path: Path, reason: str) -> ModelFileError:
    short = reason if len(reason) <= _MAX_REASON else reason[:_MAX_REASON] + "..."
    return ModelFileError(f"{printable(str(path))}: {printable(short)}")


def _check_start(path: Path) -> None:
    status = regular_file(path, "model file")
    with open(path, "rb") as file:
        start = file.read(9)
    header_bytes = int.from_bytes(start[:8], "little")
    if len(start) < 9:
        raise ValueError("cut, damaged or not a .safetensors file (too short)" if start else "empty file")
    if start[8:] != b"{":
        raise ValueError("not a .safetensors file")
    if header_bytes > status.st_size - 8:
        raise ValueError("cut, damaged or not a .safetensors file (ends within its header)")
    if header_bytes > _MAX_HEADER_BYTES:
        raise ValueError(f"not a model file (a header of {header_bytes:,} bytes; at most {_MAX_HEADER_BYTES:,})")


def _parsed(text: str) -> Any:
    def refuse(constant: str) -> None:
        raise ValueError(f"{constant} is not a number")

    try:
        return json.loads(text, parse_constant=refuse)
    except ValueError as error:
        raise ValueError(f"its metadata is not JSON ({error})") from None


def _description(model: Model) -> dict[str, Any]:
    return {
        "format": FORMAT,
        "architecture": families.described(model.graph),
        "preprocessing": {"colour_order": "RGB", **asdict(model.preprocessing)},
        "labels": model.labels,
        "classes": model.classes,
        "self_test": model.self_test,
        "training": model.training,
        "accuracy": model.accuracy,
        **({"name": model.name} if model.name else {}),
        **({} if model.quantized is None else {"quantization": model.quantized.about}),
    }


def _checked_description(description: Any) -> Model:
    """The metadata as a `Model` that has no tensors yet."""
    _check_format(description)
    description = {"classes": description.get("labels"), "name": "", **description}  # older files have neither
    check_keys("metadata", description, _KEYS + ("quantization",) * ("quantization" in description))
    graph = _checked_graph(description["architecture"], description["format"])
    preprocessing = _checked_preprocessing(description["preprocessing"])
    graph.sizes(preprocessing.size, preprocessing.size)  # refuses a size that is too small for the network
    return Model(
        graph=graph,
        tensors={},
        preprocessing=preprocessing,
        labels=checked_names("label", description["labels"], graph.classes),
        classes=checked_names("class", description["classes"], graph.classes),
        self_test=_checked_self_test(description["self_test"], graph.classes),
        training=checked_object("training", description["training"]),
        accuracy=_checked_accuracy(description["accuracy"]),
        name=_checked_name(description["name"]),
        quantized=_checked_quantization(description.get("quantization")),
    )


def _check_format(description: Any) -> None:
    """Before anything else: a later format may have other keys."""
    version = checked_object("metadata", description).get("format")
    if type(version) is int and version > FORMAT:
        raise ValueError(f"model format {version} is newer than this program, which reads {FORMAT}: update shufflenet")
    if type(version) is not int or not 1 <= version <= FORMAT:
        raise ValueError(f"format must be from 1 to {FORMAT}, not {version!r}")


def _checked_graph(value: Any, format_: int) -> Graph:
    if format_ == 1:
        value = _in_format_2(checked_object("architecture", value))
    check_keys("architecture", value, ("name", "family", "fields"))
    for key in ("name", "family"):
        if not isinstance(value[key], str):
            raise ValueError(f"{key} of the architecture must be a string, not {value[key]!r}")
    graph = families.from_description(value["name"], value["family"], checked_object("fields", value["fields"]))
    if graph.in_channels != 3:
        raise ValueError(f"in_channels must be 3 (red, green, blue), not {graph.in_channels}")
    # 0 means "by the rule", and rules can change.
    if isinstance(graph.architecture, ShuffleNetV1) and value["fields"]["stem_channels"] == 0:
        raise ValueError("stem_channels must be a positive number")
    return graph


def _in_format_2(old: dict[str, Any]) -> dict[str, Any]:
    """The ``architecture`` of a file of format 1, which has ShuffleNets alone, and no `inverse_shuffle` at first."""
    later = {"squeeze_excitation": False, "shallow": False}
    numbers = {"inverse_shuffle": False, **{key: value for key, value in old.items() if key != "name"}}
    name = old.get("name")
    if isinstance(name, str) and numbers.get("shuffle") is False:
        name = f"{name}_no_shuffle"  # names said nothing of it
    return {**({} if name is None else {"name": name}), "family": ShuffleNetV1.family, "fields": numbers | later}


def _checked_preprocessing(value: Any) -> Preprocessing:
    check_keys("preprocessing", value, ("colour_order", *(f.name for f in fields(Preprocessing))))
    if value["colour_order"] != "RGB":
        raise ValueError(f"colour_order must be 'RGB', not {value['colour_order']!r}")
    mean, std = (tuple(v) if isinstance(v, list) else v for v in (value["mean"], value["std"]))
    return Preprocessing(size=value["size"], resize=value["resize"], mean=mean, std=std)


def _checked_self_test(logits: Any, classes: int) -> list[float]:
    if not (isinstance(logits, list) and all(_is_number(value) for value in logits)):
        raise ValueError("self_test must be a list of finite numbers")
    if logits and len(logits) != classes:
        raise ValueError(f"self_test has {len(logits)} logits for {classes} classes")
    return [float(value) for value in logits]


def _checked_accuracy(accuracy: Any) -> dict[str, Any]:
    if accuracy == {}:
        return {}
    check_keys("accuracy", accuracy, ("data", "top1_error", "top5_error"))
    if not isinstance(accuracy["data"], str):
        raise ValueError("accuracy: data must be a string")
    for key in ("top1_error", "top5_error"):
        if not (_is_number(accuracy[key]) and 0 <= accuracy[key] <= 100):
            raise ValueError(f"accuracy: {key} must be a percentage, not {accuracy[key]!r}")
    return dict(accuracy)


def _checked_name(name: Any) -> str:
    if not isinstance(name, str) or len(name) > _MAX_NAME or not name.isprintable():
        raise ValueError(f"name must be one line of at most {_MAX_NAME} characters, not {name!r}")
    return name


def _checked_quantization(about: Any) -> Quantized | None:
    """Without its layers yet."""
    if about is None:
        return None
    scheme = checked_object("quantization", about).get("scheme")
    if scheme != SCHEME:
        raise ValueError(f"quantization: scheme must be {SCHEME!r}, not {scheme!r}")
    return Quantized({}, {}, about)


def _is_number(value: Any) -> bool:
    """A JSON number that fits float32, the engine's type."""
    return type(value) in (int, float) and abs(value) < 3.4e38 and math.isfinite(value)


def _digest(text: str, tensors: Mapping[str, NDArray[Any]]) -> str:
    digest = hashlib.sha256(text.encode())
    for name, tensor in sorted(tensors.items()):
        digest.update(name.encode() + tensor.astype(tensor.dtype.newbyteorder("<"), copy=False).tobytes())
    return digest.hexdigest()


def _check_values(name: str, tensor: NDArray[Any]) -> None:
    if not np.isfinite(tensor).all():
        too_large = " (too large for float16: save as float32)" if tensor.dtype == np.float16 else ""
        raise ValueError(f"tensor {name!r} holds values that are not finite{too_large}")
    if name.endswith("running_var") and tensor.min() < 0:
        raise ValueError(f"tensor {name!r} holds a negative variance")
