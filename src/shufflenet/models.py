"""Where models come from: the package's own weights, public checkpoints, and files."""

from __future__ import annotations

import os
from collections.abc import Mapping
from importlib import resources
from pathlib import Path
from typing import Any

from shufflenet import hugging_face, model_file
from shufflenet.files import printable
from shufflenet.model_file import ModelFileError
from shufflenet.networks.model import Model

DEFAULT_MODEL = "shufflenet_g3_x0_5"

_MOST_LETTERS = 1000  # of a caution; a hostile file could put a megabyte there


def embedded_models() -> list[str]:
    """Names of the models that come with the package."""
    folder = resources.files("shufflenet") / "weights"
    if not folder.is_dir():
        return []
    return sorted(
        entry.name.removesuffix(".safetensors") for entry in folder.iterdir() if entry.name.endswith(".safetensors")
    )


def load_model(model: str | os.PathLike[str] = DEFAULT_MODEL) -> Model:
    """A model by its name, such as ``shufflenet_g3_x0_5``, the public ``pytorchcv:shufflenet_g3_w1`` or the Hugging
    Face Hub's ``hf:user/model``, or by the path of its file or of the run folder that holds it.

    Raises:
        ModelFileError: none is there, or the file can't be used.
    """
    path = Path(model)
    source, colon, _ = str(model).partition(":")
    if str(model).startswith(hugging_face.PREFIX) and not path.exists():
        return model_file.load(hugging_face.fetch(str(model)))
    if colon and not path.exists():
        from shufflenet import importers  # only here: they bring the network along

        if source in importers.SOURCES:
            return importers.import_model(str(model))
    names = embedded_models()
    # A name has no folder and no suffix; whatever has one, or is there, is a file. Unless it is what `export` makes of
    # a model that comes with the package: a folder of the model's name.
    exported = path.is_dir() and str(model) in names
    if (trained := run_folder_model(path)) is not None:
        return model_file.load(trained)
    if path.is_dir() and not exported:
        raise ModelFileError(
            f"{printable(str(path))}: a folder without model.safetensors, which `shufflenet train` writes at its end"
        )
    if path.suffix or path.name != str(model) or (path.exists() and not exported):
        return model_file.load(path)
    if str(model) not in names:
        raise ModelFileError(
            f"{model}: neither a file nor a model that comes with the package ({', '.join(names) or 'which has none'})"
        )
    with resources.as_file(resources.files("shufflenet") / "weights" / f"{model}.safetensors") as file:
        return model_file.load(file)


def run_folder_model(path: str | os.PathLike[str]) -> Path | None:
    """The model file in a run folder of `shufflenet train`; None: it is no such folder, or its run is not finished."""
    found = Path(path) / "model.safetensors"
    return found if found.is_file() else None


def caution(training: Mapping[str, Any]) -> str:
    """What was assumed when a model was imported and nothing proved, from its ``training``; empty: nothing."""
    assumed = training.get("assumed")
    if not isinstance(assumed, list) or not assumed:
        return ""
    text = ", ".join(map(str, assumed))
    text = text if len(text) <= _MOST_LETTERS else f"{text[:_MOST_LETTERS]}..."
    return f"imported, and nothing proved what the import assumed, so labels may be wrong: {text}"
