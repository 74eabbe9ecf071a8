"""The logits of the built-in test picture, which a model file holds."""

from __future__ import annotations

import numpy as np

from shufflenet.model_file import test_input
from shufflenet.networks.model import Model


def self_test(model: Model) -> list[float]:
    """The engine's logits of `model_file.test_input`.

    Raises:
        ValueError: they are not finite.
    """
    from shufflenet.engine.engine import Engine

    logits = Engine(model).run(test_input(model.preprocessing)[None])[0]
    if not np.isfinite(logits).all():
        raise ValueError(
            "its logits of a test picture are too large for float32: its weights, or the numbers that its batch norms "
            "divide by, can't be those of a trained network"
        )
    values: list[float] = logits.tolist()
    return values
