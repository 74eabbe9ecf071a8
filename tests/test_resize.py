"""The resize in C: exactly its definition, Pillow's pixels, and within its memory."""

from __future__ import annotations

import ctypes
import math
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from shufflenet.pictures import pixel_memory, resize
from shufflenet.pictures.preprocessing import Preprocessing, preprocess, resize_and_crop
from shufflenet.pictures.resize import central_square

LEVELS = np.tile(np.arange(256, dtype=np.float32), (3, 1))


def weights(pixels: int, begin: float, end: float, size: int) -> NDArray[np.int64]:
    """[size, pixels], of 22 bits: a triangle as wide as the reduction around the centre of each output."""
    begin, end = float(np.float32(begin)), float(np.float32(end))
    step = float(np.float32(end) - np.float32(begin)) / size
    reach = max(step, 1.0)
    result = np.zeros((size, pixels), dtype=np.int64)
    for i in range(size):
        centre = begin + (i + 0.5) * step
        low, high = max(0, int(centre - reach + 0.5)), min(pixels, int(centre + reach + 0.5))
        triangle = np.maximum(0, 1 - abs((np.arange(low, high) - centre + 0.5) * (1 / reach)))
        result[i, low:high] = (0.5 + triangle / np.add.accumulate(triangle)[-1] * (1 << 22)).astype(np.int64)
    return result


def expected(pixels: NDArray[np.uint8], size: int, resize: int) -> NDArray[np.int64]:
    """[3, size, size]; for a picture that need not be reduced first."""
    height, width = pixels.shape[:2]
    side = min(width, height) * size / resize
    left, top = (width - side) / 2, (height - side) / 2
    across, down = weights(width, left, left + side, size), weights(height, top, top + side, size)
    rows = (pixels.transpose(2, 0, 1).astype(np.int64) @ across.T + (1 << 21)) >> 22
    return (down @ rows + (1 << 21)) >> 22


def noise(width: int, height: int) -> NDArray[np.uint8]:
    return np.random.default_rng(width * 10_000 + height).integers(0, 256, (height, width, 3)).astype(np.uint8)


SIZES = [
    *[(1, 1, 32, 32), (1, 900, 32, 40), (900, 1, 33, 70), (14, 614, 57, 60), (45, 32, 32, 32), (32, 45, 32, 37)],
    *[(300, 200, 224, 256), (451, 300, 96, 111), (130, 100, 50, 60), (600, 450, 224, 256), (200, 333, 37, 41)],
    *[(190, 190, 32, 32), (500, 191, 32, 32), (223, 224, 65, 130), (777, 100, 99, 100)],
]


@pytest.mark.parametrize(("width", "height", "size", "shorter"), SIZES)
def test_its_definition(width: int, height: int, size: int, shorter: int) -> None:
    pixels = noise(width, height)
    found = central_square(Image.fromarray(pixels), size, shorter, LEVELS)
    np.testing.assert_array_equal(found, expected(pixels, size, shorter))


@pytest.mark.parametrize(("width", "height", "size", "shorter"), [*SIZES, (2000, 1100, 32, 40), (403, 2051, 33, 33)])
def test_pillows_pixels(width: int, height: int, size: int, shorter: int) -> None:
    """Some releases take columns first where that is quicker, and round otherwise then."""
    picture = Image.fromarray(noise(width, height))
    side = min(width, height) * size / shorter
    left, top = (width - side) / 2, (height - side) / 2
    box = (left, top, left + side, top + side)
    pillows = picture.resize((size, size), Image.Resampling.BILINEAR, box=box, reducing_gap=3.0)
    found = central_square(picture, size, shorter, LEVELS).transpose(1, 2, 0)
    difference = np.abs(found - np.asarray(pillows, dtype=np.float32))
    assert difference.max() <= (0 if width >= height else 1)
    assert difference.mean() < 0.5


def test_a_picture_longer_than_float32_counts() -> None:
    pixels = noise(50, 2)
    long = Image.new("RGB", (20_000_000, 2))
    long.paste(Image.fromarray(pixels), (10_000_000 - 25, 0))
    found = central_square(long, 32, 40, LEVELS)
    np.testing.assert_array_equal(found, expected(pixels, 32, 40))


@pytest.mark.parametrize("mode", ["L", "RGBA", "CMYK", "I;16", "P"])
def test_only_rgb(mode: str) -> None:
    with pytest.raises(ValueError, match=f"must be RGB, not {mode}"):
        preprocess(Image.new(mode, (40, 40)), Preprocessing(32, 32))


def test_levels_are_looked_up() -> None:
    picture, preprocessing = Image.fromarray(noise(100, 80)), Preprocessing(32, 36, (0.1, 0.2, 0.3), (0.5, 0.25, 0.1))
    pixels = np.asarray(resize_and_crop(picture, preprocessing), dtype=np.float64)
    normalised = (pixels / 255 - np.array(preprocessing.mean)) / np.array(preprocessing.std)
    np.testing.assert_allclose(preprocess(picture, preprocessing), normalised.transpose(2, 0, 1), atol=1e-6)


def test_a_picture_of_the_right_size_stays() -> None:
    picture = Image.fromarray(noise(48, 48))
    assert resize_and_crop(picture, Preprocessing(48, 48)) is picture
    np.testing.assert_array_equal(central_square(picture, 48, 48, LEVELS), np.asarray(picture).transpose(2, 0, 1))


@pytest.mark.parametrize("size", [(1, 1), (7, 3), (640, 480), (2100, 2100)])  # the last is not in one piece
def test_pixel_memory(size: tuple[int, int], monkeypatch: pytest.MonkeyPatch) -> None:
    pixels = noise(*size)
    picture = Image.fromarray(pixels)

    def seen() -> NDArray[Any]:
        address, held = pixel_memory.rgbx(picture)
        array = np.ctypeslib.as_array((ctypes.c_uint8 * (4 * size[0] * size[1])).from_address(address))
        found = array.reshape(size[1], size[0], 4)[..., :3].copy()
        del held
        return found

    np.testing.assert_array_equal(seen(), pixels)
    monkeypatch.setattr(Image.Image, "__arrow_c_array__", property(lambda _: None), raising=False)
    monkeypatch.delattr(Image.Image, "__arrow_c_array__")
    np.testing.assert_array_equal(seen(), pixels)


@pytest.mark.parametrize(
    ("rectangle", "size"),
    [
        ((-0.5, 0, 5, 5), 4), ((0, 0, 10.5, 5), 4), ((0, -1, 5, 5), 4), ((0, 0, 5, 8.5), 4), ((5, 0, 5, 5), 4),
        ((math.nan, 0, 5, 5), 4), ((0, 0, 10, 8), 1), ((0, 0, 5, 5), 0),
    ],
)  # fmt: skip
def test_what_is_not_within_the_picture_is_refused(rectangle: tuple[float, ...], size: int) -> None:
    library, pixels = resize._library(), np.zeros((8, 10, 4), np.uint8)
    memory = np.zeros(library.shufflenet_resize_bytes(10, 4), np.uint8)
    result = np.full((3, 4, 4), 7, np.float32)
    picture = resize._Picture(pixels.ctypes.data, 10, 8)
    arguments = (picture, resize._Rectangle(*rectangle), size, LEVELS.ctypes.data, memory.ctypes.data)
    assert library.shufflenet_resize(*arguments, result.ctypes.data) == 0
    assert (result == 7).all()


def test_nothing_beyond_its_memory_is_touched() -> None:
    """Surrounded by bytes that must stay as they are."""
    library = resize._library()
    for width, height, size in [(10, 8, 4), (33, 90, 32), (7, 7, 40), (60, 61, 9)]:
        side = min(width, height)
        count = library.shufflenet_resize_bytes(width, size)
        memory, result = np.full(count + 128, 99, np.uint8), np.full(3 * size * size + 32, 99, np.float32)
        start = 64 + -memory.ctypes.data % 8
        pixels = np.zeros((height, width, 4), np.uint8)
        picture = resize._Picture(pixels.ctypes.data, width, height)
        assert library.shufflenet_resize(
            picture, resize._Rectangle(0, 0, side, side), size, LEVELS.ctypes.data,
            memory.ctypes.data + start, result.ctypes.data + 64,
        )  # fmt: skip
        assert (memory[:start] == 99).all()
        assert (memory[start + count :] == 99).all()
        assert (result[:16] == 99).all()
        assert (result[-16:] == 99).all()
        assert (result[16:-16] == 0).all()
