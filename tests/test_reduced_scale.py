"""JPEGs decoded at a reduced scale: when, how much, and that it is the same picture."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from shufflenet import Classifier
from shufflenet.pictures.images import DRAFT_GAP, ImageError, decode
from shufflenet.pictures.preprocessing import Preprocessing, preprocess


def jpeg(picture: Image.Image, **options: object) -> bytes:
    file = io.BytesIO()
    picture.save(file, "JPEG", quality=95, **options)
    return file.getvalue()


def halves(width: int, height: int, mode: str = "RGB") -> Image.Image:
    """Red on the left, blue on the right."""
    picture = Image.new("RGB", (width, height), "red")
    picture.paste("blue", (width // 2, 0, width, height))
    return picture.convert(mode)


@pytest.mark.parametrize(
    ("size", "resize", "expected"),
    [
        ((2000, 1025), 32, (250, 129)),
        ((1001, 2000), 40, (251, 500)),  # an eighth would be 126 pixels wide
        ((1024, 1024), 256, (1024, 1024)),
        ((4096, 2048), 256, (2048, 1024)),
        ((2047, 4096), 256, (2047, 4096)),
        ((1023, 1024), 128, (1023, 1024)),
        ((1024, 1024), 128, (512, 512)),
        ((100, 3000), 32, (100, 3000)),
    ],
)
def test_never_below_the_gap(size: tuple[int, int], resize: int, expected: tuple[int, int]) -> None:
    data = jpeg(Image.new("RGB", size))
    assert decode(data, resize=resize).size == expected
    assert min(expected) >= DRAFT_GAP * resize or expected == size
    assert decode(data).size == size, "in full unless told what for"


def test_only_jpeg(tmp_path: Path) -> None:
    for format in ("PNG", "BMP", "TIFF", "WEBP"):
        halves(640, 520).save(tmp_path / "picture", format)
        assert decode(tmp_path / "picture", resize=32).size == (640, 520)
    picture = halves(640, 520)
    assert decode(picture, resize=32).size == decode(np.asarray(picture), resize=32).size == (640, 520)
    (tmp_path / "picture").write_bytes(jpeg(picture))
    assert decode(tmp_path / "picture", resize=32).size == (160, 130)
    assert decode(Image.open(tmp_path / "picture"), resize=32).size == (640, 520), "someone else's image"


@pytest.mark.parametrize("mode", ["RGB", "CMYK", "L"])
@pytest.mark.parametrize("progressive", [False, True])
def test_colours_and_orientation(mode: str, progressive: bool) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned clockwise: left becomes top
    data = jpeg(halves(640, 520, mode), progressive=progressive, exif=exif)
    reduced, full = decode(data, resize=32), decode(data)
    assert (reduced.mode, reduced.size, full.size) == ("RGB", (130, 160), (520, 640))
    for y in (20, 60, 100, 140):
        for x in (5, 125):
            expected = np.array(full.getpixel((4 * x, 4 * y)))
            np.testing.assert_allclose(np.array(reduced.getpixel((x, y))), expected, atol=3)


def test_a_cut_file_is_an_error_at_any_scale() -> None:
    rows = np.random.default_rng(0).integers(0, 256, (520, 640, 3)).astype(np.uint8)
    data = jpeg(Image.fromarray(rows))
    assert decode(data, resize=32).size == (160, 130)
    for part in (0.3, 0.6, 0.9, 0.99):
        with pytest.raises(ImageError, match="damaged picture"):
            decode(data[: int(len(data) * part)], resize=32)


def test_the_limit_is_on_the_stored_size() -> None:
    with pytest.raises(ImageError, match="640 x 520 pixels, over the limit"):
        decode(jpeg(halves(640, 520)), max_pixels=332_799, resize=32)


# Of this photo the 0.5x model finds two labels nearly equal: which of them comes first is the decoder's to decide.
UNSURE = ("shufflenet_g3_x0_5", 48, "china.jpg")


# At 32 pixels, half of what it was trained for, it does so of more.
@pytest.mark.parametrize(
    ("name", "size", "enlarged"),
    [("shufflenet_g3_x0_5", size, 1.0) for size in (40, 48)]
    + [("shufflenet_g3_x1_0", size, 1.0) for size in (32, 40, 48)]
    + [(name, 64, enlarged) for name in ("shufflenet_g3_x0_5", "shufflenet_g3_x1_0") for enlarged in (1.5, 2.0)],
)
def test_the_photos_keep_their_labels(photos: Path, name: str, size: int, enlarged: float) -> None:
    """What the embedded models say to each, decoded in full and as `Classifier` decodes it."""
    net, preprocessing = Classifier(name), Preprocessing(size=size, resize=size)
    reduced = 0
    for path in sorted(photos.glob("*.jpg")):
        data = path.read_bytes()
        if enlarged > 1:
            photo = decode(path)
            data = jpeg(photo.resize((int(photo.width * enlarged), int(photo.height * enlarged))))
        full, small = decode(data), decode(data, resize=size)
        reduced += small.size < full.size
        expected, found = preprocess(full, preprocessing), preprocess(small, preprocessing)
        assert 255 * 0.23 * np.abs(expected - found).mean() < 1.5, "levels of 255"
        logits, others = net.logits(np.stack([expected, found]))
        assert np.abs(logits - others).max() < 0.1 * np.abs(logits).max()
        if (name, size, path.name) == UNSURE:
            assert set(np.argsort(logits)[-2:]) == set(np.argsort(others)[-2:])
        else:
            assert logits.argmax() == others.argmax()
    assert reduced >= 5
