"""SECURITY.md: each limit in its table is the code's, and the test named beside it is about it."""

from __future__ import annotations

import importlib
import re
import tomllib
import zipfile
from pathlib import Path

import pytest

from shufflenet import labels
from shufflenet.importers import checkpoint, expect
from shufflenet.importers.checkpoint import CheckpointError

ROOT = Path(__file__).parent.parent
ROWS = re.findall(
    r"^\| .* \| ([\d,]+) \| `([\w.]+)\.(\w+)` \| `(\S+)` \|$", (ROOT / "SECURITY.md").read_text("utf-8"), re.M
)


def test_the_table_is_read() -> None:
    assert len(ROWS) == 16


@pytest.mark.parametrize(("limit", "module", "name", "test"), ROWS)
def test_a_limit_is_the_codes(limit: str, module: str, name: str, test: str) -> None:
    if module.startswith("serve"):
        pytest.importorskip("starlette")
    assert getattr(importlib.import_module(f"shufflenet.{module}"), name) == int(limit.replace(",", ""))
    assert (ROOT / test).is_file()


def test_large_checkpoints_are_refused_unread(tmp_path: Path) -> None:
    path = tmp_path / "large.pth"
    with path.open("wb") as file:
        file.truncate((1 << 30) + 1)  # takes no room on the disk
    with pytest.raises(CheckpointError, match=r"large\.pth: a file of 1,073,741,825 bytes; checkpoints of at most"):
        checkpoint.read_bytes(path)


def test_packed_checkpoints_that_grow_too_much_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "bomb.pth.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("net.pth", bytes(1 << 20))
    with pytest.raises(CheckpointError, match=r"claims to unpack to 1,048,576 bytes, more than weights can"):
        checkpoint.read_bytes(path)


def test_large_files_of_logits_and_labels_are_refused_unread(tmp_path: Path) -> None:
    for read, size in ((expect.read, (1 << 28) + 1), (labels.read_labels, (16 << 20) + 1)):
        path = tmp_path / f"{size}"
        with path.open("wb") as file:
            file.truncate(size)
        with pytest.raises(ValueError, match=r"more than 268,435,456 bytes|not a list of classes"):
            read(path)


def test_no_dependency_lacks_a_licence() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    needed = [project["dependencies"], *project["optional-dependencies"].values()]
    names = {re.match(r"[\w-]+", each)[0] for group in needed for each in group} - {"shufflenet"}  # type: ignore[index]
    table = (ROOT / "SECURITY.md").read_text("utf-8").partition("## Licences")[2]
    assert names <= set(re.findall(r"[\w-]+", table))
