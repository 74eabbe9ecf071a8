"""The programs in docs/cluster.md run as they stand, and their rows are those of `shufflenet predict --to`."""

from __future__ import annotations

import importlib.util
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from shufflenet.batch.run import predict_to

parquet = pytest.importorskip("pyarrow.parquet")
pytestmark = pytest.mark.slow

PAGE = Path(__file__).parent.parent / "docs" / "cluster.md"
PROGRAMS = {
    name: code
    for code in re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    for name in re.findall(r"labels-[a-z-]+", code)
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, photos: Path) -> Path:
    """A folder with six photos and one file that is none, and their labels."""
    folder = tmp_path_factory.mktemp("cluster")
    (folder / "photos").mkdir()
    for photo in photos.glob("*.jpg"):
        Image.open(photo).reduce(2).save(folder / "photos" / photo.name)
    (folder / "photos" / "broken.jpg").write_bytes(b"no picture")
    predict_to([str(folder / "photos")], folder / "labels", "shufflenet_g3_x0_5")
    return folder


def rows(path: Path) -> dict[str, dict[str, Any]]:
    """By the picture's name; an engine may call the picture file:/..."""
    found = {}
    for row in parquet.read_table(path).to_pylist():
        row["score"] = None if row["score"] != row["score"] else row["score"]
        row.update({name: list(row[name]) for name in ("labels", "scores") if name in row})
        found[os.path.basename(row.pop("path"))] = row
    return found


def done(command: list[str], folder: Path) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "SPARK_LOCAL_IP": "127.0.0.1", "PYSPARK_PYTHON": sys.executable}
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=300, env=environment)


def test_programs_are_found() -> None:
    assert PROGRAMS.keys() == {"labels-ray", "labels-spark", "labels-spark-udf", "labels-dask"}


@pytest.mark.parametrize("name", PROGRAMS)
def test_program(name: str, folder: Path) -> None:
    for package in {"ray": ("ray",), "spark": ("pyspark",), "dask": ("dask", "pandas")}[name.split("-")[1]]:
        if importlib.util.find_spec(package) is None:
            pytest.skip(f"{package} is not installed")
    if "spark" in name and shutil.which("java") is None:
        pytest.skip("Spark needs Java")
    (folder / "program.py").write_text(PROGRAMS[name], encoding="utf-8")
    program = done([sys.executable, "program.py"], folder)
    assert program.returncode == 0, program.stderr
    (result,) = [path for path in folder.glob(f"{name}*") if path.name in (name, f"{name}.parquet")]
    right = rows(folder / "labels")
    assert len(right) == 7
    found = rows(result)
    if name == "labels-spark-udf":  # which has no lists
        right = {picture: {key: row[key] for key in ("label", "score", "error")} for picture, row in right.items()}
    assert found == right


def test_the_command_on_ray(folder: Path) -> None:
    if importlib.util.find_spec("ray") is None:
        pytest.skip("ray is not installed")
    command = [sys.executable, "-m", "shufflenet", "predict", str(folder / "photos"), "--to", "on-ray", "--on", "ray"]
    assert "7 pictures, 1 errors" in done(command, folder).stderr
    contents = [{path.name: path.read_bytes() for path in (folder / name).iterdir()} for name in ("labels", "on-ray")]
    assert contents[0] == contents[1]
