"""A small random network as a model file, and the sample photos."""

from __future__ import annotations

import math
import os
from pathlib import Path

import numpy as np
import pytest

import labelled_shapes
from shufflenet import model_file
from shufflenet.networks.model import Model
from shufflenet.networks.shufflenet_v1 import ShuffleNetV1
from shufflenet.pictures.preprocessing import Preprocessing

if "PYTEST_XDIST_WORKER" in os.environ:
    # Each core has a worker: PyTorch's threads would wait for one another most of the time.
    os.environ.setdefault("OMP_NUM_THREADS", "1")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The longest files come first: the two processes would end far apart if one of these began late."""
    longest = ("test_engine_c", "test_train_resume")
    items.sort(key=lambda item: longest.index(item.path.stem) if item.path.stem in longest else len(longest))


LABELS = ["tabby, tabby cat", "espresso", "käse", "projectile, missile", "rock"]


@pytest.fixture(scope="session")
def photos() -> Path:
    return Path(__file__).parent.parent / "photos"


@pytest.fixture
def model() -> Model:
    """Weights drawn so that logits stay near one; no self-test."""
    arch = ShuffleNetV1(2, 0.25, classes=len(LABELS), stem_stride=1)
    random = np.random.default_rng(0)
    tensors = {}
    for name, shape in arch.graph().tensor_shapes().items():
        if len(shape) > 1:
            tensor = random.normal(0, 1 / math.sqrt(math.prod(shape[1:])), shape)
        else:
            tensor = np.full(shape, 0.0 if name.endswith(("bias", "mean")) else 1.0)
        tensors[name] = tensor.astype(np.float32)
    return Model(arch.graph(), tensors, Preprocessing(size=32, resize=36), LABELS)


@pytest.fixture
def model_path(model: Model, tmp_path: Path) -> Path:
    path = tmp_path / "model.safetensors"
    model_file.save(model, path)
    return path


@pytest.fixture(scope="session")
def shapes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """48 training and 18 validation pictures of three classes."""
    return labelled_shapes.make(tmp_path_factory.mktemp("data") / "shapes")


@pytest.fixture(scope="session")
def unbroken(shapes: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The run folder of `training_runs.RUN`, left alone until its end."""
    from training_runs import RUN, one_thread, run  # not above: it needs PyTorch

    out = tmp_path_factory.mktemp("runs") / "unbroken"
    with one_thread():
        result = run(shapes, "--out", out, *RUN)
    assert result.exit_code == 0, result.output
    assert result.stdout == f"{out / 'model.safetensors'}\n"
    return out
