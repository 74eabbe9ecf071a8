"""The resize in C: exactly its definition, Pillow's pixels, and within its memory."""

from __future__ import annotations

import ctypes
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from shufflenet.engine.engine import isas
from shufflenet.pictures import pixel_memory, resize
from shufflenet.pictures.preprocessing import Preprocessing, preprocess, resize_and_crop
from shufflenet.pictures.resize import resize_central


def central_square(picture: Image.Image, size: int, shorter: int, isa: str | None = None) -> NDArray[np.float32]:
    """Values from 0 to 255."""
    scale, shift = np.ones(3, np.float32), np.zeros(3, np.float32)
    return resize_central(picture, size, shorter, (size, size), scale, shift, isa)


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


@pytest.mark.parametrize("isa", isas())
@pytest.mark.parametrize(("width", "height", "size", "shorter"), SIZES)
def test_its_definition(width: int, height: int, size: int, shorter: int, isa: str) -> None:
    pixels = noise(width, height)
    found = central_square(Image.fromarray(pixels), size, shorter, isa)
    np.testing.assert_array_equal(found, expected(pixels, size, shorter))


@pytest.mark.parametrize("isa", isas())
@pytest.mark.parametrize("pixel_bytes", [3, 4])
@pytest.mark.parametrize(
    ("width", "height", "size"), [(50, 40, 33), (391, 293, 32), (1001, 640, 32), (2000, 2003, 31), (9, 33_000, 1)]
)
def test_every_level_and_any_steps(width: int, height: int, size: int, pixel_bytes: int, isa: str) -> None:
    """Lines that are given some at a time, of three or four bytes a pixel."""
    pixels = np.random.default_rng(0).integers(0, 256, (height, width, pixel_bytes), dtype=np.uint8)
    expected = given_in_steps(pixels, size, "reference", height)
    for lines in (1, 7, 100, height):
        np.testing.assert_array_equal(given_in_steps(pixels, size, isa, lines), expected)


def given_in_steps(pixels: NDArray[np.uint8], size: int, isa: str, step: int) -> NDArray[np.float32]:
    """[3, size, size], values from 0 to 255, by the C functions alone."""
    library, part = resize._library(), resize._Part()
    height, width, pixel_bytes = pixels.shape
    memory = np.full(library.shufflenet_preprocess_bytes(size, size), 99, np.uint8)
    result = np.empty((3, size, size), np.float32)
    assert begin(width, height, size, memory.ctypes.data, result.ctypes.data, part, isa)
    for top in range(part.top, part.top + part.height, step):
        lines = pixels[top : min(top + step, part.top + part.height), part.left :]
        library.shufflenet_preprocess_lines(
            memory.ctypes.data, lines.ctypes.data, pixel_bytes, pixels.strides[0], len(lines)
        )
    return result


def begin(width: int, height: int, size: int, memory: int, result: int, part: Any, isa: str | None = None) -> int:
    as_they_are = resize._Preprocessing(size, size, size, size, (1, 1, 1), (0, 0, 0))
    done: int = resize._library().shufflenet_preprocess_begin(
        resize._kernels(isa), as_they_are, width, height, memory, result, part
    )
    return done


@pytest.mark.parametrize("size", [1, 4])
def test_boxes_of_many_pixels(size: int) -> None:
    """The mean of a million equal pixels is that pixel; of 3 x 1024 x 1024 to one there is still a mean."""
    library, part = resize._library(), resize._Part()
    memory = np.empty(library.shufflenet_preprocess_bytes(size, size), np.uint8)
    result = np.empty((3, size, size), np.float32)
    side = 3074 * size
    line = np.tile(np.array([255, 128, 1], np.uint8), (side, 1))
    assert begin(side, side, size, memory.ctypes.data, result.ctypes.data, part)
    library.shufflenet_preprocess_lines(memory.ctypes.data, line.ctypes.data, 3, 0, part.height)  # the same again
    np.testing.assert_array_equal(result, np.broadcast_to([[[255]], [[128]], [[1]]], result.shape))
    assert begin(3076 * size, 3076 * size, size, memory.ctypes.data, result.ctypes.data, part) == 0


@pytest.mark.parametrize(("width", "height", "size", "shorter"), [*SIZES, (2000, 1100, 32, 40), (403, 2051, 33, 33)])
def test_pillows_pixels(width: int, height: int, size: int, shorter: int) -> None:
    """Some releases take columns first where that is quicker, and round otherwise then."""
    picture = Image.fromarray(noise(width, height))
    side = min(width, height) * size / shorter
    left, top = (width - side) / 2, (height - side) / 2
    box = (left, top, left + side, top + side)
    pillows = picture.resize((size, size), Image.Resampling.BILINEAR, box=box, reducing_gap=3.0)
    found = central_square(picture, size, shorter).transpose(1, 2, 0)
    difference = np.abs(found - np.asarray(pillows, dtype=np.float32))
    assert difference.max() <= (0 if width >= height else 1)
    assert difference.mean() < 0.5


def test_a_picture_longer_than_float32_counts() -> None:
    pixels = noise(50, 2)
    long = Image.new("RGB", (20_000_000, 2))
    long.paste(Image.fromarray(pixels), (10_000_000 - 25, 0))
    found = central_square(long, 32, 40)
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
    np.testing.assert_array_equal(central_square(picture, 48, 48), np.asarray(picture).transpose(2, 0, 1))


@pytest.mark.parametrize("size", [(1, 1), (7, 3), (640, 480), (2100, 2100)])  # the last is not in one piece
def test_pixel_memory(size: tuple[int, int], monkeypatch: pytest.MonkeyPatch) -> None:
    pixels = noise(*size)
    picture = Image.fromarray(pixels)

    left, top, width, height = size[0] // 3, size[1] // 4, (size[0] + 1) // 2, (size[1] + 2) // 3
    part = pixels[top : top + height, left : left + width]

    def seen() -> NDArray[Any]:
        found = []
        for address, line_bytes, lines in pixel_memory.lines_of(picture, left, top, width, height):
            for line in range(lines):
                memory = (ctypes.c_uint8 * (4 * width)).from_address(address + line * line_bytes)
                found.append(np.ctypeslib.as_array(memory).reshape(width, 4)[:, :3].copy())
        return np.stack(found)

    np.testing.assert_array_equal(seen(), part)
    monkeypatch.setattr(Image.Image, "__arrow_c_array__", property(lambda _: None), raising=False)
    monkeypatch.delattr(Image.Image, "__arrow_c_array__")
    np.testing.assert_array_equal(seen(), part)


@pytest.mark.parametrize(("width", "height"), [(0, 5), (5, 0), (-1, 5), (5, -(2**31)), (2**31 - 1, 2**31 - 1)])
def test_what_is_no_picture_is_refused(width: int, height: int) -> None:
    part = resize._Part(1, 2, 3, 4)
    assert begin(width, height, 32, 0, 0, part) == 0
    assert (part.left, part.top, part.width, part.height) == (1, 2, 3, 4)


@pytest.mark.parametrize("numbers", [(0, 1, 32, 32), (33, 32, 32, 32), (32, 32, 0, 32), (32, 32, 32, (1 << 14) + 1)])
def test_what_makes_no_sense_is_refused(numbers: tuple[int, ...]) -> None:
    preprocessing = resize._Preprocessing(*numbers, (1, 1, 1), (0, 0, 0))
    arguments = (resize._kernels(None), preprocessing, 64, 64, 0, 0, resize._Part())
    assert resize._library().shufflenet_preprocess_begin(*arguments) == 0


def test_other_shapes() -> None:
    """The rule for squares goes on for other inputs: in proportions of their own, the same share of the picture."""
    preprocessing = Preprocessing(size=32, resize=64)
    picture = Image.fromarray(np.random.default_rng(0).integers(0, 256, (300, 200, 3), dtype=np.uint8))
    twice = preprocess(picture, preprocessing, (64, 64))
    np.testing.assert_array_equal(twice, preprocess(picture, Preprocessing(size=64, resize=128)))
    # Half of the picture's height, and the width that goes with it.
    tall = preprocess(picture, preprocessing, (50, 32))
    box = (200 / 2 - 48, 75, 200 / 2 + 48, 225)
    resized = picture.resize((32, 50), Image.Resampling.BILINEAR, box=box, reducing_gap=3.0)
    expected = preprocess(resized.crop((0, 9, 32, 41)), Preprocessing(size=32, resize=32))
    np.testing.assert_array_equal(tall[:, 9:41], expected)


def test_nothing_beyond_its_memory_is_touched() -> None:
    """Surrounded by bytes that must stay as they are."""
    library, part = resize._library(), resize._Part()
    for width, height, size in [(10, 8, 4), (33, 90, 32), (7, 7, 40), (60, 61, 9), (600, 599, 33), (1, 1, 1)]:
        count = library.shufflenet_preprocess_bytes(size, size)
        memory, result = np.full(count + 128, 99, np.uint8), np.full(3 * size * size + 32, 99, np.float32)
        start = 64 + -memory.ctypes.data % 8
        pixels = np.zeros((height, width, 4), np.uint8)
        assert begin(width, height, size, memory.ctypes.data + start, result.ctypes.data + 64, part)
        first = pixels.ctypes.data + 4 * (part.top * width + part.left)
        library.shufflenet_preprocess_lines(memory.ctypes.data + start, first, 4, 4 * width, part.height + 5)
        assert (memory[:start] == 99).all()
        assert (memory[start + count :] == 99).all()
        assert (result[:16] == 99).all()
        assert (result[-16:] == 99).all()
        assert (result[16:-16] == 0).all()
