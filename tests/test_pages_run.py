"""What README and the pages tell to type is typed, on small stand-ins for the files that they name."""

from __future__ import annotations

import re
import shlex
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner

pytest.importorskip("torch")

import labelled_shapes
from shufflenet import cli
from training_runs import one_thread

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parent.parent
PAGES = ("README.md", "docs/training.md", "docs/models.md", "docs/quantization.md", "docs/pytorch.md")
# Lines that need the network, another program, or hours.
LEFT_OUT = re.compile(r"pytorchcv:|megvii:|hf:|torchrun|import paper|serve|paper |bench|s3://|--teacher|quantize|MODEL")


def blocks(page: str, language: str) -> Iterator[str]:
    text = (ROOT / page).read_text(encoding="utf-8")
    yield from re.findall(rf"^ *```{language}\n(.*?)^ *```", text, re.DOTALL | re.MULTILINE)


def lines() -> Iterator[tuple[str, str]]:
    """Every command of ours in the pages' blocks, once."""
    found: dict[str, str] = {}
    for page in PAGES:
        for block in blocks(page, ""):
            for line in block.splitlines():
                for part in line.split("&&"):
                    command = part.split("#")[0].split(" > ")[0].strip()
                    if command.startswith("shufflenet ") and not LEFT_OUT.search(command):
                        found.setdefault(command, page)
    yield from found.items()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, photos: Path) -> Path:
    """The files that the pages name: photos, class folders, and a model of the classes."""
    root = tmp_path_factory.mktemp("pages")
    for place in ("holiday", "garden", "other-photos"):
        (root / place).mkdir()
        shutil.copy(photos / "cat.jpg", root / place / "a.jpg")
        shutil.copy(photos / "china.jpg", root / place / "b.jpg")
    (root / "more").mkdir()
    for name in ("flowers", "DATA"):
        labelled_shapes.make(root / name, train=8, val=3)
    shutil.copy(next((root / "flowers").rglob("*.png")), root / "more" / "a.png")
    shutil.copy(photos / "cat.jpg", root / "cat.jpg")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(root)
        done = CliRunner().invoke(cli.commands, ["train", "flowers", "--recipe", "nearest", "--size", "32"])
        assert done.exit_code == 0, done.output
    shutil.copy(root / "runs" / "flowers" / "model.safetensors", root / "model.safetensors")
    (root / "tiny-imagenet-200").mkdir()
    (root / "mine.toml").write_text("epochs = 1\n", encoding="utf-8")
    return root


@pytest.mark.parametrize(("line", "page"), list(lines()))
def test_command(line: str, page: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if "tiny-imagenet-200" in line:
        pytest.skip("a gigabyte of pictures that a clean machine lacks")
    if "--to onnx" in line:
        pytest.importorskip("onnxruntime")
    if ".parquet" in line:
        pytest.importorskip("pyarrow")
    monkeypatch.chdir(folder)
    _, name, *arguments = shlex.split(line)
    if name == "train" and "--recipe nearest" not in line and "--show-recipe" not in line:
        arguments += ["--dry-run", "--size", "32"]
    done = CliRunner().invoke(cli.commands, [name, *arguments])
    finds = 1 if name == "doctor" else 0  # the stand-ins are few pictures, which it says
    assert done.exit_code == finds, f"{page}: {line}: {done.output[-500:]}"


@pytest.mark.parametrize("page", PAGES)
def test_python(page: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each block runs alone as it stands, but for the length of training and what would be downloaded."""
    monkeypatch.chdir(folder)
    with one_thread():
        _run_blocks(page)


def _run_blocks(page: str) -> None:
    for block in blocks(page, "python"):
        if "network.eval()" in block:  # a network of the reader's own
            continue
        for module in ("torchvision", "timm"):
            if f"import {module}" in block or f"from {module}" in block:
                pytest.importorskip(module)
        block = block.replace("epochs=20, size=160", 'epochs=1, size=32, out="runs/python"')
        block = block.replace('weights="DEFAULT"', "weights=None")
        block = block.replace("engine.run(x)", "engine.run(__import__('numpy').zeros((1, 3, 64, 64), 'float32'))")
        exec(compile(block, page, "exec"), {})
