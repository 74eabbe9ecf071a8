"""The package's default model as an exported web folder, for all tests that open it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from shufflenet import load_model
from shufflenet.exporters import export
from shufflenet.exporters.target import Order
from shufflenet.exporters.web_model import model_bytes
from shufflenet.networks.model import Model

MODEL = "shufflenet_g3_x0_5"


@pytest.fixture(scope="session")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    pytest.importorskip("ziglang")
    return export(MODEL, "web", tmp_path_factory.mktemp("web") / "site", check=False).path


def shifted(by: float) -> Model:
    """The same model, whose logits are all higher by this, so that it is surer that pictures are of its classes."""
    model = load_model(MODEL)
    return replace(model, tensors={**model.tensors, "fc.bias": model.tensors["fc.bias"] + np.float32(by)})


def model_bin(model: Model) -> bytes:
    """The file that an exported folder has of a model of this network and size."""
    size = model.preprocessing.size
    return model_bytes(Order(model, MODEL, size, size))
