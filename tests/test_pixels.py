"""Decoded pictures are the same wherever they are kept, and a broken one is named in each place."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
from PIL import Image

import labelled_shapes
from shufflenet.pictures.dataset import Split, open_dataset
from shufflenet.pictures.preprocessing import Preprocessing, preprocess
from shufflenet.training import pixels


class Room(NamedTuple):
    total: int
    used: int
    free: int


@pytest.fixture
def split(tmp_path: Path) -> Split:
    root = labelled_shapes.make(tmp_path / "shapes", train=3, val=1, side=60)
    (root / "train" / "circle" / "001.png").write_bytes(b"broken")
    return open_dataset(root).train


def load(split: Split, folder: Path, broken_too: bool = True) -> tuple[pixels.Pixels, list[str]]:
    fit = pixels.fit_for_training(40)
    return pixels.load(split, fit, folder, lambda done, of: None, broken_too)


def check(found: pixels.Pixels, messages: list[str], split: Split) -> None:
    assert found.broken() == [1]
    assert [message.split(": ")[0] for message in messages] == [split.pictures[1].name]
    fit, kept = pixels.fit_for_training(40), found.without_broken()
    assert len(kept) == 8
    for index, picture in enumerate(split.without([1]).pictures):
        np.testing.assert_array_equal(kept[index], fit.decode(picture))


def test_in_a_file_and_found_again(split: Split, tmp_path: Path) -> None:
    check(*load(split, tmp_path / "cache"), split)
    for picture in split.pictures:
        Path(picture.name).unlink()
    again, messages = load(split, tmp_path / "cache")
    assert messages == []
    assert again.broken() == [1]


def test_a_picture_that_was_broken_is_read_again(split: Split, tmp_path: Path) -> None:
    check(*load(split, tmp_path), split)
    check(*load(split, tmp_path, broken_too=False), split)
    Path(split.pictures[1].name).write_bytes(Path(split.pictures[0].name).read_bytes())
    found, messages = load(split, tmp_path, broken_too=False)
    assert (found.broken(), messages) == ([], [])


def test_a_cut_file_is_decoded_anew(split: Split, tmp_path: Path) -> None:
    load(split, tmp_path)
    cached = next(tmp_path.glob("*.u8"))
    cached.write_bytes(cached.read_bytes()[:-1])
    check(*load(split, tmp_path), split)


def test_in_memory_without_room_on_the_disk(split: Split, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda path: Room(1, 1, 0))
    found, messages = load(split, tmp_path / "cache")
    check(found, messages, split)
    assert isinstance(found, pixels.Decoded)
    assert not list((tmp_path / "cache").iterdir())


def test_on_demand_without_room_anywhere(split: Split, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda path: Room(1, 1, 0))
    monkeypatch.setattr(pixels, "_free_memory", lambda: -1.0)
    found, messages = load(split, tmp_path / "cache")
    check(found, messages, split)
    assert isinstance(found, pixels.OnDemand)


@pytest.mark.skipif(sys.platform != "linux", reason="what is available is asked of /proc")
def test_files_that_the_system_keeps_are_free_memory() -> None:
    lines = dict(line.split(":") for line in Path("/proc/meminfo").read_text().splitlines())
    available = 1024 * int(lines["MemAvailable"].split()[0])
    assert abs(pixels._free_memory() - available) < available / 4


def test_training_keeps_a_border_around_the_square(tmp_path: Path) -> None:
    root = labelled_shapes.make(tmp_path / "shapes", train=1, val=1)
    picture = open_dataset(root).train.pictures[0].decode()
    fit = pixels.fit_for_training(64)
    assert fit.resample(picture.resize((300, 200))).size == (96, 64)
    assert fit.resample(picture.resize((200, 900))).size == (64, 96), "half as long again at most"
    long = Image.new("RGB", (200, 900))
    long.paste("white", (0, 300, 200, 600))
    assert np.asarray(fit.resample(long)).min() > 200, "of the middle"
    assert fit.resample(picture.resize((50, 60))).size == (50, 60), "nothing is enlarged"


def test_validation_sees_what_predict_sees(tmp_path: Path) -> None:
    root = labelled_shapes.make(tmp_path / "shapes", train=1, val=1, side=90)
    picture = open_dataset(root).val.pictures[0].decode()
    preprocessing = Preprocessing(size=48, resize=56)
    fitted = pixels.fit_for_validation(preprocessing).resample(picture)
    np.testing.assert_array_equal(preprocess(fitted, Preprocessing(48, 48)), preprocess(picture, preprocessing))
