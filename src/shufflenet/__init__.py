"""ShuffleNet (arXiv 1707.01083): train, run and ship small image classifiers.

    import shufflenet

    prediction = shufflenet.Classifier().predict("cat.jpg")
    print(prediction.labels[0], prediction.probabilities[0])

PyTorch is needed to train only: `create_model` makes a module of any network, `shufflenet.training.train` trains it.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from shufflenet.classifier import Classifier, Prediction
    from shufflenet.model_file import ModelFileError
    from shufflenet.models import load_model
    from shufflenet.networks.complexity import Complexity, summary
    from shufflenet.networks.module import create_model
    from shufflenet.pictures.images import ImageError
    from shufflenet.pictures.preprocessing import Preprocessing
    from shufflenet.sheet import contact_sheet

__version__ = "0.1.0"

__all__ = [
    "Classifier",
    "Complexity",
    "ImageError",
    "ModelFileError",
    "Prediction",
    "Preprocessing",
    "contact_sheet",
    "create_model",
    "load_model",
    "summary",
]

# Loaded when first used, so that `import shufflenet` costs next to nothing.
_MODULES = {
    "Classifier": "classifier",
    "Complexity": "networks.complexity",
    "ImageError": "pictures.images",
    "ModelFileError": "model_file",
    "Prediction": "classifier",
    "Preprocessing": "pictures.preprocessing",
    "contact_sheet": "sheet",
    "create_model": "networks.module",
    "load_model": "models",
    "summary": "networks.complexity",
}


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module 'shufflenet' has no attribute {name!r}")
    return getattr(importlib.import_module(f"shufflenet.{_MODULES[name]}"), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
