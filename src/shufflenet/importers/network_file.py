"""From a file with a whole network, ONNX or a program of torch.export, to a model of this package."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from shufflenet import __version__
from shufflenet.files import NotAFileError, printable, why_unreadable
from shufflenet.importers.checkpoint import CheckpointError
from shufflenet.importers.convention import Convention
from shufflenet.importers.programs import beside, exported_program, onnx_program
from shufflenet.importers.programs.patterns import with_activations
from shufflenet.importers.programs.program import Program, ProgramError, without_softmax, without_transposed_input
from shufflenet.importers.programs.translate import Translated, translate
from shufflenet.importers.self_test import self_test
from shufflenet.install_hint import install_hint
from shufflenet.model_file import test_input
from shufflenet.networks.graph import Convolution
from shufflenet.networks.model import Model
from shufflenet.pictures.images import decode
from shufflenet.pictures.preprocessing import Preprocessing, preprocess

READERS = {".onnx": onnx_program.read, ".pt2": exported_program.read}
_RUNTIMES = {".onnx": "ONNX Runtime", ".pt2": "PyTorch"}
_SEED = 1707
_USUAL = Preprocessing()


def is_network_file(name: str) -> bool:
    """Whether the file's name says that it holds a whole network."""
    return Path(name).suffix.lower() in READERS


def import_network(
    file: Path,
    labels: list[str] | None = None,
    *,
    stated: Mapping[str, Any] | None = None,
    size: int | None = None,
    check_on: Sequence[str | Path] = (),
) -> Model:
    """The network of an ONNX file or of a program that torch.export saved, as a model that computes the same.

    It is run beside the program itself, on random numbers and on pictures, and refused if its logits are others.

    Args:
        labels: the classes' texts; default: "class 0" and so on.
        stated: ``preprocessing`` and ``bgr``, as `stated.preprocessing` reads them; default: ImageNet's, and that is
            noted in the model's ``training`` as assumed.
        size: of the input, for a file that takes several; default: the file's, or 224.
        check_on: pictures to compare on, besides random numbers and the built-in test picture.

    Raises:
        CheckpointError: it can't be read or expressed, or computes something else; the message says what and where.
    """
    given = dict(stated or {})
    try:
        preprocessing: Preprocessing | None = given.get("preprocessing")
        program = _read(file, size, preprocessing)
        preprocessing = _of_size(program, preprocessing or Preprocessing())
        translated = translate(program, printable(file.stem)[:100] or "network")
        inputs = _inputs(program, preprocessing, check_on)
        apart = beside.difference(translated, program, inputs)
        tensors = _blue_last(translated) if given.get("bgr") else translated.tensors
        model = Model(graph=translated.graph, preprocessing=preprocessing, tensors=tensors)
        model.training = _provenance(file, apart, len(inputs))
        if "preprocessing" not in given:
            model.training["assumed"] = [f"pictures {Convention(preprocessing=preprocessing).input()}"]
        if labels is not None:
            model.labels = model.classes = labels
        model.self_test = self_test(model)
        return model
    except ModuleNotFoundError as error:
        extra = "train" if error.name == "torch" else "onnx"
        reason = f"{error.name} is needed to import it: {install_hint(extra)}"
    except OSError as error:
        reason = why_unreadable(error)
    except MemoryError:
        reason = "not enough memory to read it"
    except (NotAFileError, ValueError) as error:
        reason = str(error)
    raise CheckpointError(f"{printable(str(file))}: {printable(reason)}")


def _read(file: Path, size: int | None, preprocessing: Preprocessing | None) -> Program:
    if size is None and preprocessing is not None and preprocessing.size != _USUAL.size:
        size = preprocessing.size
    program = READERS[file.suffix.lower()](file, None if size is None else (size, size))
    return with_activations(without_softmax(without_transposed_input(program)))


def _of_size(program: Program, preprocessing: Preprocessing) -> Preprocessing:
    """Of the program's size; the shorter side is resized to as much more as usual, unless that is stated."""
    _, channels, height, width = program.shape
    if height != width or channels != 3:
        raise ProgramError(f"it takes {channels} x {height} x {width}; a model file's pictures are 3 x S x S")
    if height == preprocessing.size:
        return preprocessing
    return replace(preprocessing, size=height, resize=round(height * _USUAL.resize / _USUAL.size))


def _inputs(
    program: Program, preprocessing: Preprocessing, pictures: Sequence[str | Path]
) -> list[NDArray[np.float32]]:
    """Random numbers, the built-in test picture, and the given ones: float32 [1, C, H, W] each."""
    noise = np.random.default_rng(_SEED).standard_normal(program.shape, np.float32)
    decoded = [preprocess(decode(picture), preprocessing) for picture in pictures]
    return [noise, *(each[None] for each in (test_input(preprocessing), *decoded))]


def _blue_last(translated: Translated) -> dict[str, NDArray[np.float32]]:
    """The tensors for pictures of red, green, blue of a network that takes blue, green, red."""
    tensors = dict(translated.tensors)
    for node in translated.graph.readers()[translated.graph.input]:
        if not isinstance(node, Convolution) or node.groups != 1:
            raise ProgramError(
                f"{node.name}: reads the picture, but is no convolution of all colours: BGR can't be had"
            )
        tensors[f"{node.name}.weight"] = np.ascontiguousarray(tensors[f"{node.name}.weight"][:, ::-1])
    return tensors


def _provenance(file: Path, apart: float, inputs: int) -> dict[str, Any]:
    return {
        "imported": file.name,
        "file": file.name,
        "sha256": hashlib.sha256(file.read_bytes()).hexdigest(),
        "imported_by": f"shufflenet {__version__}",
        "compared": {"with": _RUNTIMES[file.suffix.lower()], "inputs": inputs, "difference": apart},
    }
