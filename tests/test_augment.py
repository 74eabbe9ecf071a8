"""Random crops, flips and mixes: the same for the same step, whoever makes them, and within the picture."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

pytest.importorskip("torch")
import torch

from shufflenet.pictures.preprocessing import Preprocessing
from shufflenet.training import augment, pixels, training_data
from shufflenet.training.recipe import RECIPES

HOW = Preprocessing(size=32, resize=32)
RECIPE = replace(RECIPES["paper"], batch_size=16)
BATCH = np.random.default_rng(0).permutation(20)[:16]


def pictures(smooth: bool = False) -> pixels.Decoded:
    random = np.random.default_rng(1)
    shapes = random.integers(33, 60, (20, 2))
    parts = [random.integers(0, 256, 3 * int(h) * int(w), dtype=np.uint8) for h, w in shapes]
    if smooth:  # brightness is the place from left to right
        parts = [np.repeat(np.linspace(0, 255, w).astype(np.uint8), 3)[None].repeat(h, 0).ravel() for h, w in shapes]
    ends = np.cumsum([part.size for part in parts])
    return pixels.Decoded(np.concatenate(parts), shapes, ends - [part.size for part in parts])


@pytest.mark.parametrize(("mixup", "cutmix"), [(0, 0), (0.5, 0), (0, 1), (0.5, 1)])
def test_two_processes_make_the_rows_of_one(mixup: float, cutmix: float) -> None:
    recipe, stored = replace(RECIPE, mixup=mixup, cutmix=cutmix), pictures()
    for step in range(4):
        choices = augment.choose(recipe, step)
        whole, share = augment.make_input(stored, BATCH, range(16), choices, 32, HOW)
        assert whole.shape == (16, 3, 32, 32)
        for rows in (range(8), range(8, 16)):
            part, same_share = augment.make_input(stored, BATCH, rows, augment.choose(recipe, step), 32, HOW)
            assert torch.equal(part, whole[rows.start : rows.stop])
            assert share == same_share


def test_steps_and_seeds_differ() -> None:
    drawn = [augment.choose(replace(RECIPE, seed=seed), step).area.tolist() for seed in (0, 1) for step in (0, 1)]
    assert len({tuple(area) for area in drawn}) == 4


def test_choices_are_spread_as_they_should() -> None:
    recipe = replace(RECIPE, mixup=0.4, cutmix=2.0)
    steps = [augment.choose(recipe, step) for step in range(400)]
    assert all(not np.array_equal(step.partner, np.arange(16)) for step in steps)
    for values, low, high in (
        (np.concatenate([step.place for step in steps]), 0, 1),
        (np.concatenate([step.area for step in steps]), recipe.min_crop_area, 1),
        (np.concatenate([step.log_aspect for step in steps]), -np.log(4 / 3), np.log(4 / 3)),
    ):  # uniform
        assert low <= values.min() < values.max() <= high
        assert values.mean() == pytest.approx((low + high) / 2, abs=0.02)
        assert values.std() == pytest.approx((high - low) / 12**0.5, rel=0.03)
    for alpha, shares in (
        (0.4, np.array([step.share for step in steps if step.box is None])),
        (2.0, np.array([step.share for step in steps if step.box is not None])),
    ):  # Beta(alpha, alpha)
        assert 150 < len(shares) < 250
        assert shares.mean() == pytest.approx(0.5, abs=0.08)
        assert shares.std() == pytest.approx((4 * (2 * alpha + 1)) ** -0.5, rel=0.12)
    within = [step for step in steps if step.box is not None and min(step.box) > 0 and max(step.box) < 1]
    assert len(within) > 20
    for step in within:
        assert step.box is not None
        left, top, right, bottom = step.box
        assert (right - left) * (bottom - top) == pytest.approx(1 - step.share)


def test_a_wide_crop_shows_more_of_the_width() -> None:
    stored = pictures(smooth=True)
    choices = replace(augment.choose(RECIPE, 0), area=np.full(16, 0.3), place=np.full((16, 2), 0.5))
    spans = []
    for aspect in (3 / 4, 4 / 3):
        wide = replace(choices, log_aspect=np.full(16, np.log(aspect)))
        x, _ = augment.make_input(stored, BATCH, range(16), wide, 32, HOW)
        spans.append((x[:, 0, 16].max(dim=1).values - x[:, 0, 16].min(dim=1).values).mean())
    assert spans[1] / spans[0] == pytest.approx(4 / 3, rel=0.1)


def test_every_epoch_has_its_order() -> None:
    order = [training_data._order(100, seed, epoch).tolist() for seed in (0, 1) for epoch in (-1, 0, 1)]
    assert len({tuple(one) for one in order}) == 6
    assert all(sorted(one) == list(range(100)) for one in order)


def test_mixup_is_a_mean_and_cutmix_a_paste() -> None:
    stored = pictures()
    choices = replace(augment.choose(RECIPE, 3), share=1.0, box=None)
    plain, _ = augment.make_input(stored, BATCH, range(16), choices, 32, HOW)
    mixed, share = augment.make_input(stored, BATCH, range(16), replace(choices, share=0.75), 32, HOW)
    torch.testing.assert_close(mixed, 0.75 * plain + 0.25 * plain[choices.partner])
    assert share == 0.75
    box = (0.25, 0.5, 0.75, 1.0)
    pasted, share = augment.make_input(stored, BATCH, range(16), replace(choices, share=0.9, box=box), 32, HOW)
    assert share == 0.75, "by the pixels"
    assert torch.equal(pasted[:, :, 16:, 8:24], plain[choices.partner][:, :, 16:, 8:24])
    assert torch.equal(pasted[:, :, :16], plain[:, :, :16])


def test_flips_and_crops_show_parts_of_the_picture() -> None:
    choices = augment.choose(RECIPE, 0)
    x, _ = augment.make_input(pictures(smooth=True), BATCH, range(16), choices, 32, HOW)
    rising = (x[:, 0, 16, -1] > x[:, 0, 16, 0]).numpy()
    np.testing.assert_array_equal(rising, ~choices.flip)
    assert 0 < rising.sum() < 16
    span = (x[:, 0, 16].max(dim=1).values - x[:, 0, 16].min(dim=1).values) * HOW.std[0]
    assert span.min() < 0.6 < span.max(), "some are enlarged"


def test_whole_crops_are_the_central_squares() -> None:
    stored = pictures()
    choices = replace(
        augment.choose(RECIPE, 0),
        area=np.ones(16),
        log_aspect=np.zeros(16),
        place=np.full((16, 2), 0.5),
        flip=np.zeros(16, bool),
    )
    x, _ = augment.make_input(stored, BATCH, range(16), choices, 32, HOW)
    assert torch.equal(x, augment.normalise(augment.centre(stored, BATCH, 32, 1.0), HOW))


def test_flips_are_the_users() -> None:
    plain = augment.choose(RECIPE, 0)
    assert plain.flip.any()
    assert not plain.vertical_flip.any()
    still = augment.choose(replace(RECIPE, flip=False, vertical_flip=True), 0)
    assert not still.flip.any()
    assert 0 < still.vertical_flip.sum() < RECIPE.batch_size
    assert still.area.tolist() == plain.area.tolist(), "the other choices are the same"
    assert still.partner.tolist() == plain.partner.tolist()


def test_a_vertical_flip_turns_the_picture_upside_down() -> None:
    stored = pictures()
    plain = replace(augment.choose(RECIPE, 0), share=1.0, box=None)
    turned = replace(plain, vertical_flip=~plain.vertical_flip)
    rows = range(4)
    x, _ = augment.make_input(stored, BATCH, rows, plain, 32, HOW)
    y, _ = augment.make_input(stored, BATCH, rows, turned, 32, HOW)
    assert torch.equal(x.flip(2), y)


def test_turns_and_colours_are_the_users() -> None:
    plain = augment.choose(RECIPE, 0)
    assert not plain.angle.any()
    assert (plain.colour == 1).all()
    turned = augment.choose(replace(RECIPE, rotate=30, colour=0.4), 0)
    assert 15 < np.abs(turned.angle).max() <= 30
    assert 0.6 <= turned.colour.min() < 0.8
    assert 1.2 < turned.colour.max() <= 1.4
    assert turned.area.tolist() == plain.area.tolist(), "the other choices are the same"


def test_a_turn_shows_what_turning_the_picture_shows() -> None:
    """By right angles the pixels are known; by others the centre stays, and nothing black comes in at the corners."""
    stored = pictures(smooth=True)
    still = replace(
        augment.choose(RECIPE, 0), area=np.full(16, 0.4), log_aspect=np.zeros(16), place=np.full((16, 2), 0.5),
        flip=np.zeros(16, bool),
    )  # fmt: skip
    plain, _ = augment.make_input(stored, BATCH, range(4), still, 32, HOW)
    for angle, turns in ((90, 1), (180, 2), (-90, 3)):
        x, _ = augment.make_input(stored, BATCH, range(4), replace(still, angle=np.full(16, angle)), 32, HOW)
        torch.testing.assert_close(x, torch.rot90(plain, turns, (2, 3)), atol=0.15, rtol=0)
    whole = replace(still, area=np.ones(16), angle=np.full(16, 45.0))
    lit = pixels.Decoded(np.maximum(stored.flat, 60), stored.shapes, stored.starts)
    x, _ = augment.make_input(lit, BATCH, range(16), whole, 32, HOW)
    dark, _ = augment.make_input(lit, BATCH, range(16), replace(whole, angle=np.zeros(16)), 32, HOW)
    assert x.min() >= dark.min() - 1e-6


def test_a_turn_at_a_corner_takes_what_is_there() -> None:
    stored = pictures()
    corner = replace(augment.choose(RECIPE, 0), place=np.zeros((16, 2)), area=np.full(16, 0.05), angle=np.full(16, 33))
    x, _ = augment.make_input(stored, BATCH, range(16), corner, 32, HOW)
    assert x.shape == (16, 3, 32, 32)


def test_colours_are_scaled() -> None:
    stored = pictures(smooth=True)
    choices = augment.choose(RECIPE, 0)
    darker = replace(choices, colour=np.tile([0.5, 1, 1], (16, 1)))
    x, _ = augment.make_input(stored, BATCH, range(4), choices, 32, HOW)
    y, _ = augment.make_input(stored, BATCH, range(4), darker, 32, HOW)
    shift = augment.normalise(np.zeros((1, 1, 1, 3), np.uint8), HOW)
    torch.testing.assert_close(y - shift, (x - shift) / 2, atol=0.02, rtol=0)
    grey = replace(choices, colour=np.tile([1, 1, 0], (16, 1)))
    z, _ = augment.make_input(pictures(), BATCH, range(4), grey, 32, HOW)
    byte = (z - shift) / augment.normalise(np.full((1, 1, 1, 3), 1, np.uint8), HOW).sub(shift)
    torch.testing.assert_close(byte[:, 0], byte[:, 2], atol=0.01, rtol=0)
