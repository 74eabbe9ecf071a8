"""`pictures/mirror.py`: classes that are each other's mirror images are found, and others are not."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import arrows
import labelled_shapes
from shufflenet import load_model
from shufflenet.pictures import mirror
from shufflenet.pictures.dataset import open_dataset
from shufflenet.pictures.doctor import examine


def test_arrows_are_found(tmp_path: Path) -> None:
    root = arrows.make(tmp_path / "arrows", train=30, val=2)
    problems = [problem for problem in examine(root).problems if problem.kind == "mirror image"]
    assert [problem.name for problem in problems] == ["left", "right"]
    assert problems[0].text.endswith("pictures look like class 'right': train with --no-flip")


@pytest.mark.slow
def test_arrows_are_learned_where_nothing_is_mirrored(tmp_path: Path) -> None:
    """Half of the pictures mirrored, as without --no-flip, it would be right by chance alone."""
    pytest.importorskip("torch")
    from training_runs import one_thread, run  # not above: it needs PyTorch

    root = arrows.make(tmp_path / "arrows", train=300, val=50)
    options = ["--from", "shufflenet_g3_x0_5", "--no-flip", "--epochs", "4", "--batch-size", "32"]
    with one_thread():
        done = run(root, "--out", tmp_path / "run", *options)
    assert done.exit_code == 0, done.output
    assert load_model(tmp_path / "run").accuracy["top1_error"] < 5


def test_shapes_are_not(tmp_path: Path) -> None:
    root = labelled_shapes.make(tmp_path / "shapes", train=30, val=2)
    assert examine(root).problems == []


def test_pictures_without_sides_are_hardly_ever_suspected() -> None:
    """Two classes of the same noise; of twenty such data sets none is suspected."""
    random = np.random.default_rng(0)
    targets = np.arange(60) % 2
    for _ in range(20):
        pictures = random.integers(0, 256, (60, mirror.SIDE, mirror.SIDE), dtype=np.uint8)
        assert list(mirror.mirrored(pictures, targets, 2)) == []


def test_classes_of_one_colour_have_no_patches() -> None:
    pictures = np.full((40, mirror.SIDE, mirror.SIDE), 7, np.uint8)
    assert list(mirror.mirrored(pictures, np.arange(40) % 2, 2)) == []


@pytest.mark.parametrize("count", [1, 2])
def test_a_picture_or_two_of_each_class_tell_nothing(count: int, tmp_path: Path) -> None:
    root = arrows.make(tmp_path / "arrows", train=count, val=1)
    assert "mirror image" not in {problem.kind for problem in examine(root).problems}


def test_every_class_has_its_part(tmp_path: Path) -> None:
    targets = np.repeat([0, 1, 2], [5, 100, 70])
    numbers = mirror.chosen(targets, 3)
    assert np.bincount(targets[numbers]).tolist() == [5, mirror.PER_CLASS, mirror.PER_CLASS]
    assert numbers.tolist() == sorted(set(numbers.tolist()))
    root = labelled_shapes.make(tmp_path / "shapes", train=2, val=1)
    picture = open_dataset(root).train.pictures[0].decode()
    assert mirror.small(picture).shape == (mirror.SIDE, mirror.SIDE)


@pytest.mark.parametrize(("heads", "tails", "chance"), [(0, 0, 1), (1, 0, 0.5), (3, 1, 5 / 16), (60, 0, 0.5**60)])
def test_the_chance_of_a_coin(heads: int, tails: int, chance: float) -> None:
    assert mirror._tail(heads, tails) == chance
