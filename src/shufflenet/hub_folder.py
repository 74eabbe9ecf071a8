"""A folder as a repository of the Hugging Face Hub: the model file, its card, and config.json, which timm reads."""

from __future__ import annotations

import json
from dataclasses import fields
from pathlib import Path
from typing import Any

from shufflenet import model_file
from shufflenet.atomic_file import atomic_file
from shufflenet.hugging_face import MODEL
from shufflenet.networks.model import Model
from shufflenet.networks.shufflenet_v1 import ShuffleNetV1

CARD, CONFIG = "README.md", "config.json"


def write(model: Model, folder: Path) -> None:
    """Writes the three files; a card that is there stays.

    Raises:
        ModelFileError: the engine does not compute what the model's self-test says.
        OSError: the folder can't be written.
    """
    folder.mkdir(parents=True, exist_ok=True)
    model_file.save(model, folder / MODEL)
    with atomic_file(folder / CONFIG) as file:
        file.write(json.dumps(config(model), indent=2, allow_nan=False).encode())
    if not (folder / CARD).exists():
        from shufflenet import model_card, model_info  # only here: they need the engine

        model_card.write(folder / CARD, model_info.info(folder / MODEL))


def config(model: Model) -> dict[str, Any]:
    """What timm makes the network of (``hf-hub:user/model``, after ``import shufflenet.timm``), for JSON."""
    about: dict[str, Any] = {
        "architecture": model.graph.name,
        "num_classes": model.graph.classes,
        "label_names": model.labels,
    }
    graph, arch, how = model.graph, model.graph.architecture, model.preprocessing
    if isinstance(arch, ShuffleNetV1):
        about["num_features"] = arch.features
        about["model_args"] = arguments(arch)
        about["pretrained_cfg"] = {
            "num_classes": arch.classes,
            "input_size": [arch.in_channels, how.size, how.size],
            "pool_size": list(graph.sizes(how.size, how.size)[graph.nodes[-2].inputs[0]]),
            "crop_pct": how.size / how.resize,
            "interpolation": "bilinear",
            "mean": list(how.mean),
            "std": list(how.std),
            "first_conv": "conv1",
            "classifier": "fc",
        }
    return about


def arguments(arch: ShuffleNetV1) -> dict[str, Any]:
    """The fields of a network that its name does not tell, apart from its classes and the picture's channels."""
    named = ShuffleNetV1(**(ShuffleNetV1.fields_of(arch.name) or {}))
    told = {each.name: getattr(arch, each.name) for each in fields(arch) if each.name not in ("classes", "in_channels")}
    return {name: value for name, value in told.items() if value != getattr(named, name)}
