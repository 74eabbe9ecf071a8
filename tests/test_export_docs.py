"""The examples in docs/export-*.md run as they stand, and give the package's label."""

from __future__ import annotations

import contextlib
import importlib.util
import re
import subprocess
import sys
from math import log
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from page_blocks import blocks
from shufflenet import Classifier
from shufflenet.exporters import TARGETS, export
from shufflenet.models import load_model

pytestmark = pytest.mark.slow

DOCS = Path(__file__).parent.parent / "docs"
MODEL = "shufflenet_g3_x0_5"


def page_code(target: str) -> str:
    """The page's program from a model file to a first label."""
    text = (DOCS / f"export-{target}.md").read_text(encoding="utf-8").split("## A first label")[1]
    return re.findall(r"```python\n(.*?)```", text, re.DOTALL)[0]  # type: ignore[no-any-return]


@pytest.mark.parametrize("target", TARGETS)
def test_page(target: str) -> None:
    text = (DOCS / f"export-{target}.md").read_text(encoding="utf-8")
    assert f"shufflenet export {MODEL} --to {target}" in text
    install = TARGETS[target].install
    assert not install or f"pip install '.[{target}]'" in text  # the page installs from a checkout
    assert bool(install) == (f"\n{target} = [" in (DOCS.parent / "pyproject.toml").read_text(encoding="utf-8"))


def test_none_of_these(photos: Path, tmp_path: Path) -> None:
    """ONNX's page says it of one of two photos: the model's logits are shifted to have its threshold between them."""
    pytest.importorskip("onnx")
    pytest.importorskip("onnxruntime")
    known = {name: Classifier(MODEL).predict(photos / f"{name}.jpg").known for name in ("cat", "coffee")}
    model = load_model(MODEL)
    between = np.mean([log(sure / (1 - sure)) for sure in known.values()])
    model.tensors["fc.bias"] = model.tensors["fc.bias"] - np.float32(between)
    export(model, "onnx", tmp_path / f"{MODEL}.onnx", name=MODEL, check=False)
    for name in known:
        (tmp_path / "cat.jpg").write_bytes((photos / f"{name}.jpg").read_bytes())
        done = subprocess.run([sys.executable, "-c", page_code("onnx")], cwd=tmp_path, capture_output=True, text=True)
        label = Classifier(MODEL).predict(photos / f"{name}.jpg").labels[0]
        assert done.stdout.splitlines() == ["none of these"] * (name == "cat") + [label], done.stderr


def test_size_of_the_onnx_page(tmp_path: Path) -> None:
    """A session that was told the picture's size, as the page does it, takes pictures of that size alone."""
    pytest.importorskip("onnx")
    onnxruntime = pytest.importorskip("onnxruntime")
    export(MODEL, "onnx", tmp_path / f"{MODEL}.onnx", check=False)
    (code,) = (block.text for block in blocks("docs/export-onnx.md") if "free_dimension" in block.text)
    names: dict[str, Any] = {}
    with contextlib.chdir(tmp_path):
        exec(code, names)
    (taken,) = names["session"].get_inputs()
    assert taken.shape == ["batch", 3, 224, 224]
    assert onnxruntime.InferenceSession(tmp_path / f"{MODEL}.onnx").get_inputs()[0].shape[2:] == ["height", "width"]


@pytest.mark.parametrize("target", [name for name in TARGETS if name not in ("c", "web")])
def test_first_label(target: str, photos: Path, tmp_path: Path) -> None:
    for package in TARGETS[target].writes_with + TARGETS[target].runs_with:
        if importlib.util.find_spec(package) is None:
            pytest.skip(f"{package} is not installed")
    command = [sys.executable, "-m", "shufflenet", "export", MODEL, "--to", target, "--no-check"]
    subprocess.run(command, cwd=tmp_path, check=True, capture_output=True)
    (tmp_path / "cat.jpg").write_bytes((photos / "cat.jpg").read_bytes())
    done = subprocess.run([sys.executable, "-c", page_code(target)], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    expected = Classifier(MODEL).predict(photos / "cat.jpg").labels[0]
    if target == "coreml":  # Core ML needs Apple's systems
        expected = str(load_model(MODEL).preprocessing.size)
    assert done.stdout.splitlines()[-1] == expected
