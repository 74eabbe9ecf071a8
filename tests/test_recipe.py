"""The recipes' numbers and the schedules that follow from them."""

from __future__ import annotations

from dataclasses import asdict, replace
from pathlib import Path

import pytest

from shufflenet.training import recipe_file
from shufflenet.training.recipe import RECIPES, Recipe


def test_the_papers_recipe() -> None:
    """Section 4: weight decay 4e-5, learning rate 0.5 for a batch of 1024, linear to zero, 3e5 such batches."""
    paper = RECIPES["paper"]
    assert (paper.weight_decay, paper.learning_rate, paper.momentum) == (4e-5, 0.5, 0.9)
    assert paper.epochs == pytest.approx(3e5 * 1024 / 1.281e6, rel=0.01)
    assert replace(paper, batch_size=1024, warmup_epochs=0).learning_rate_at(0) == 0.5
    assert replace(paper, batch_size=128).learning_rate_at(5) == 0.5 / 8


@pytest.mark.parametrize("recipe", RECIPES.values(), ids=RECIPES)
def test_learning_rate_rises_and_falls_in_straight_lines(recipe: Recipe) -> None:
    recipe = replace(recipe, epochs=recipe.epochs or 4)
    peak, warm = recipe.learning_rate * recipe.batch_size / 1024, recipe.warmup_epochs
    assert recipe.learning_rate_at(warm / 2) == pytest.approx(peak / 2 if warm else peak)
    assert recipe.learning_rate_at(warm) == pytest.approx(peak)
    assert recipe.learning_rate_at((warm + recipe.epochs) / 2) == pytest.approx(peak / 2)
    assert recipe.learning_rate_at(recipe.epochs) == 0


def test_a_short_run_still_warms_up() -> None:
    assert replace(RECIPES["paper"], epochs=2).learning_rate_at(0.5) == 0.5 / 8


def test_input_sizes_grow_to_the_final_one() -> None:
    recipe = RECIPES["short"]
    sizes = [recipe.input_size(epoch, 64) for epoch in range(recipe.epochs)]
    assert sizes == sorted(sizes)
    assert set(sizes) == {40, 48, 56}
    assert recipe.input_size(0, 40) == 32, "the smallest a network takes"
    assert RECIPES["paper"].input_size(15, 100) == 100, "as asked, where sizes don't grow"


@pytest.mark.parametrize(("pictures", "batch"), [(1_000_000, 128), (2048, 128), (2047, 64), (500, 16), (40, 8), (5, 5)])
def test_small_data_takes_small_batches(pictures: int, batch: int) -> None:
    assert RECIPES["paper"].scaled_to(pictures).batch_size == batch


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("epochs", -1),
        ("learning_rate", -1),
        ("min_crop_area", 2),
        ("freeze", "stage5"),
        ("mixup", -1),
        ("rotate", 181),
        ("colour", 2),
        ("progressive", ()),
        ("momentum", 1),
        ("temperature", 0),
    ],
)
def test_out_of_range(field: str, value: object) -> None:
    with pytest.raises(ValueError, match=field):
        replace(RECIPES["paper"], **{field: value})  # type: ignore[arg-type]


@pytest.mark.parametrize("recipe", RECIPES.values(), ids=RECIPES)
def test_a_shown_recipe_is_read_as_itself(recipe: Recipe, tmp_path: Path) -> None:
    file = tmp_path / "mine.toml"
    file.write_text(recipe_file.text(recipe), encoding="utf-8")
    assert recipe_file.read(file) == recipe
    assert set(asdict(recipe)) == {line.split()[0] for line in recipe_file.text(recipe).splitlines()}


def test_a_recipe_file_may_leave_fields_out(tmp_path: Path) -> None:
    file = tmp_path / "mine.toml"
    file.write_text("epochs = 3\nflip = false\ncolour = 1\nprogressive = [0.5, 1]\n", encoding="utf-8")
    expected = replace(RECIPES["paper"], name="mine", epochs=3, flip=False, colour=1.0, progressive=(0.5, 1))
    assert recipe_file.read(file) == expected


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("epoch = 3", "a recipe has no field 'epoch'; did you mean epochs?"),
        ("epochs = 3.5", "epochs must be a whole number, not 3.5"),
        ("epochs = true", "epochs must be a whole number, not True"),
        ("flip = 1", "flip must be true or false, not 1"),
        ("learning_rate = '1'", "learning_rate must be a number, not '1'"),
        ("learning_rate = nan", "learning_rate must be from 0 to 1000, not nan"),
        ("progressive = 1", "progressive must be a list of numbers, not 1"),
        ("progressive = [0]", "progressive must be shares from 0.1 to 4"),
        ("mixup = 101", "mixup must be from 0 to 100, not 101"),
        ("freeze = 'all'", "freeze must be one of none, stem,"),
        ("epochs 3", "not a TOML file"),
    ],
)
def test_a_wrong_recipe_file_is_refused(tmp_path: Path, line: str, message: str) -> None:
    file = tmp_path / "mine.toml"
    file.write_text(line, encoding="utf-8")
    with pytest.raises(ValueError, match=r"mine\.toml") as error:
        recipe_file.read(file)
    assert message in str(error.value)
    assert str(error.value).startswith(str(file))
