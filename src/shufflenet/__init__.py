"""ShuffleNet (arXiv 1707.01083): train, run and ship small image classifiers.

    import shufflenet

    prediction = shufflenet.Classifier().predict("cat.jpg")
    print(prediction.labels[0], prediction.probabilities[0])

`train`, `evaluate`, `export`, `similar` and `summary` are the commands of the same names, with the same arguments.
PyTorch is needed for `train`, `create_model` and `accelerate` only.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from shufflenet.classifier import Classifier, Prediction
    from shufflenet.engine.engine import Engine
    from shufflenet.evaluation import Evaluation, evaluate
    from shufflenet.exporters import Export, export
    from shufflenet.exporters.target import ExportError
    from shufflenet.model_file import ModelFileError
    from shufflenet.models import load_model
    from shufflenet.network_summary import summary
    from shufflenet.networks.complexity import Complexity
    from shufflenet.networks.model import Model
    from shufflenet.networks.module import create_model
    from shufflenet.pictures.dataset import DataError
    from shufflenet.pictures.folder import find_pictures
    from shufflenet.pictures.images import ImageError
    from shufflenet.pictures.preprocessing import Preprocessing
    from shufflenet.sheet import contact_sheet
    from shufflenet.similarity import Similar, similar
    from shufflenet.training.planar import accelerate
    from shufflenet.training.run_folder import RunFolder, RunFolderError
    from shufflenet.training.train import TrainingError, train

__version__ = "0.1.0"

__all__ = [
    "Classifier",
    "Complexity",
    "DataError",
    "Engine",
    "Evaluation",
    "Export",
    "ExportError",
    "ImageError",
    "Model",
    "ModelFileError",
    "Prediction",
    "Preprocessing",
    "RunFolder",
    "RunFolderError",
    "Similar",
    "TrainingError",
    "accelerate",
    "contact_sheet",
    "create_model",
    "evaluate",
    "export",
    "find_pictures",
    "load_model",
    "similar",
    "summary",
    "train",
]

# The file of each public name. It is loaded when the name is first used, so that `import shufflenet` costs next to
# nothing.
_MODULES = {
    "Classifier": "classifier",
    "Complexity": "networks.complexity",
    "DataError": "pictures.dataset",
    "Engine": "engine.engine",
    "Evaluation": "evaluation",
    "Export": "exporters",
    "ExportError": "exporters.target",
    "ImageError": "pictures.images",
    "Model": "networks.model",
    "ModelFileError": "model_file",
    "Prediction": "classifier",
    "Preprocessing": "pictures.preprocessing",
    "RunFolder": "training.run_folder",
    "RunFolderError": "training.run_folder",
    "Similar": "similarity",
    "TrainingError": "training.train",
    "accelerate": "training.planar",
    "contact_sheet": "sheet",
    "create_model": "networks.module",
    "evaluate": "evaluation",
    "export": "exporters",
    "find_pictures": "pictures.folder",
    "load_model": "models",
    "similar": "similarity",
    "summary": "network_summary",
    "train": "training.train",
}


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module 'shufflenet' has no attribute {name!r}; it has {', '.join(__all__)}")
    value = getattr(importlib.import_module(f"shufflenet.{_MODULES[name]}"), name)
    globals()[name] = value  # found at once the next time
    return value


def __dir__() -> list[str]:
    return [*__all__, "__version__"]
