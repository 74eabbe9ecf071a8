"""`shufflenet doctor`: each kind of problem is found and named, and good data has none."""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result
from PIL import Image

from shufflenet import cli
from shufflenet.pictures.doctor import examine


def noise(path: Path, seed: int, size: tuple[int, int] = (48, 40)) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(seed).integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)
    Image.fromarray(pixels).save(path)
    return path


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Nothing wrong with it."""
    for split, count in (("train", 20), ("val", 3)):
        for number, name in enumerate(("ant", "bird")):
            for index in range(count):
                noise(
                    tmp_path / "data" / split / name / f"{index:02}.png",
                    1000 * (split == "val") + 100 * number + index + 10,
                )
    return tmp_path / "data"


def run(*arguments: str | Path) -> Result:
    return CliRunner().invoke(cli.commands, ["doctor", *map(str, arguments)])


def layout(root: Path, train: int = 40) -> str:
    """The lines about train, val and classes."""
    return f"train     {train} pictures: {root}/train\nval       6 pictures: {root}/val\nclasses   2: ant, bird\n"


def test_good_data(root: Path) -> None:
    assert examine(root).problems == []
    result = run(root)
    assert (result.exit_code, result.stdout) == (0, f"{layout(root)}46 pictures of 2 classes: no problem found\n")


def test_pictures_that_are_in_no_class_are_read_all_the_same(tmp_path: Path) -> None:
    flat = tmp_path / "flat"
    noise(flat / "a.png", 1)
    shutil.copy(flat / "a.png", flat / "b.png")
    (flat / "cut.jfif").write_bytes(b"\xff\xd8\xff\xe0")
    (flat / "IMG_1.HEIC").write_bytes(b"\0\0\0 ftypheic")
    result = run(flat)
    assert result.exit_code == 1
    assert [line.split()[0] for line in result.stdout.splitlines()] == [
        "data",
        *["unreadable"] * 2,
        "duplicate",
        "4",
    ]


def test_every_kind_is_named(root: Path) -> None:
    ant, bird = root / "train" / "ant", root / "train" / "bird"
    cut = noise(ant / "cut.png", 1, (300, 300))
    cut.write_bytes(cut.read_bytes()[:3000])
    (ant / "empty.jpg").write_bytes(b"")
    noise(ant / "tiny.png", 2, (31, 80))
    noise(ant / "long.png", 3, (200, 40))
    Image.new("RGB", (50, 50), "red").save(ant / "flat.png")
    noise(ant / "x.png", 4).rename(ant / "really.jpg")
    shutil.copy(ant / "05.png", bird / "copy.png")
    with Image.open(bird / "06.png") as picture:
        picture.save(bird / "other-format.bmp")
    shutil.copy(ant / "07.png", root / "val" / "ant" / "leak.png")
    noise(root / "train" / "cat" / "1.png", 5)
    noise(root / "val" / "cat" / "1.png", 6)
    found = {(problem.kind, Path(problem.name).name): problem.text for problem in examine(root).problems}
    assert set(found) == {
        ("unreadable", "cut.png"),
        ("unreadable", "empty.jpg"),
        ("tiny", "tiny.png"),
        ("long", "long.png"),
        ("one colour", "flat.png"),
        ("wrong suffix", "really.jpg"),
        ("duplicate", "copy.png"),
        ("duplicate", "other-format.bmp"),
        ("in both splits", "leak.png"),
        ("few pictures", "cat"),
    }
    assert found["unreadable", "empty.jpg"] == "empty file"
    assert found["duplicate", "copy.png"] == f"the same picture as {ant}/05.png, which is in class 'ant'"
    assert found["wrong suffix", "really.jpg"] == "its content is that of a .png file"
    assert found["few pictures", "cat"] == "1 to train on; at least 20 are needed to learn from"


def test_command(root: Path) -> None:
    (root / "train" / "ant" / "empty.jpg").write_bytes(b"")
    result = run(root)
    assert result.exit_code == 1
    assert result.stdout == (
        f"{layout(root, 41)}unreadable     {root}/train/ant/empty.jpg: empty file\n"
        "47 pictures of 2 classes: 1 problem found\n"
    )
    assert json.loads(run(root, "--json").stdout) == [
        {"kind": "unreadable", "name": f"{root}/train/ant/empty.jpg", "text": "empty file"}
    ]


@pytest.mark.skipif(sys.platform == "win32", reason="no such names")
def test_an_odd_name_stands_there_once(root: Path) -> None:
    (root / "train" / "ant" / "line\nbreak.jpg").write_bytes(b"")
    (problem,) = examine(root).problems
    assert problem.text == "empty file"


def test_a_zip_is_examined_alike(root: Path) -> None:
    noise(root / "train" / "ant" / "x.png", 4).rename(root / "train" / "ant" / "really.jpg")
    (root / "train" / "ant" / "empty.jpg").write_bytes(b"")
    shutil.make_archive(str(root), "zip", root.parent, root.name)
    in_folder, in_zip = examine(root).problems, examine(root.with_suffix(".zip")).problems
    assert [(p.kind, p.text) for p in in_zip] == [(p.kind, p.text) for p in in_folder]
    assert in_zip[0].name == f"{root}.zip/data/train/ant/empty.jpg"


def test_a_folder_that_can_not_be_used(root: Path) -> None:
    shutil.rmtree(root / "val" / "ant")
    result = run(root)
    assert result.exit_code == 1
    assert "class folder 'ant' is in train/, but not in val/" in result.stdout
