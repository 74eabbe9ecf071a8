"""Odd and hostile pictures: each gives the right pixels or one line that names it."""

from __future__ import annotations

import io
import os
import signal
import struct
import subprocess
import sys
import warnings
import zlib
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from shufflenet.pictures import images
from shufflenet.pictures.images import ImageError, decode
from shufflenet.pictures.preprocessing import Preprocessing, preprocess

GREY_16 = np.array([[0, 0x8040, 65535]], np.uint16)
MEBIBYTE = 1 << 20


def encode(image: Image.Image, format: str, **options: Any) -> bytes:
    file = io.BytesIO()
    image.save(file, format, **options)
    return file.getvalue()


def png_chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png(width: int, height: int, depth: int, colour: int, rows: bytes, *extra: bytes) -> bytes:
    """A PNG written by hand; ``rows`` are compressed already."""
    header = png_chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + b"".join(extra) + png_chunk(b"IDAT", rows) + png_chunk(b"IEND", b"")


def tiff(bits: int, photometric: int, data: bytes, width: int) -> bytes:
    """A one-row grey little-endian TIFF, of kinds that Pillow reads but does not write."""
    tags = {256: width, 257: 1, 258: bits, 259: 1, 262: photometric, 273: 122, 277: 1, 278: 1, 279: len(data)}
    entries = b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in tags.items())
    return (struct.pack("<2sHIH", b"II", 42, 8, len(tags)) + entries + bytes(4)).ljust(122, b"\0") + data


def noise(mode: str = "RGB") -> Image.Image:
    pixels = np.random.default_rng(0).integers(0, 256, (50, 60, 3)).astype(np.uint8)
    return Image.fromarray(pixels).convert(mode)


def palette(colours: list[int], indices: list[int], mode: str = "RGB") -> Image.Image:
    image = Image.new("P", (len(indices), 1))
    image.putpalette(colours, mode)
    image.putdata(indices)
    return image


def ycck_jpeg() -> bytes:
    """Red: libjpeg turns YCC into the stored (inverted) CMY, and Pillow writes 255 minus what it is given."""
    y, cb, cr = 179, 171, 1  # of (0, 255, 255), the complement of red
    data = encode(Image.new("CMYK", (16, 16), (255 - y, 255 - cb, 255 - cr, 0)), "JPEG", quality=100)
    at = data.index(b"Adobe")
    return data[: at + 11] + b"\x02" + data[at + 12 :]  # the transform byte: 2 is YCCK


def row(picture: Image.Image) -> list[Any]:
    assert picture.mode == "RGB"
    return [picture.getpixel((x, 0)) for x in range(min(picture.width, 3))]


RED, WHITE, BLACK, PINK = (255, 0, 0), (255, 255, 255), (0, 0, 0), (255, 127, 127)
GREYS = [BLACK, (128, 128, 128), WHITE]
TWO_COLOURS = [255, 0, 0, 0, 0, 0]

RIGHT_PIXELS: dict[str, tuple[Callable[[], images.Source], list[tuple[int, int, int]]]] = {
    "cmyk-jpeg": (lambda: encode(Image.new("CMYK", (1, 1), (0, 255, 255, 0)), "JPEG", quality=100), [RED]),
    "ycck-jpeg": (ycck_jpeg, [RED] * 3),
    "cmyk-tiff": (lambda: encode(Image.new("CMYK", (1, 1), (0, 255, 255, 0)), "TIFF"), [RED]),
    "ycbcr-image": (lambda: Image.new("YCbCr", (1, 1), (76, 85, 255)), [RED]),
    "lab-tiff": (lambda: encode(Image.new("LAB", (1, 1), (136, 208, 195)), "TIFF"), [(250, 3, 11)]),
    "hsv-image": (lambda: Image.new("HSV", (1, 1), (0, 255, 255)), [RED]),
    "grey-jpeg": (lambda: encode(Image.new("L", (1, 1), 128), "JPEG"), [(128, 128, 128)]),
    "one-bit-png": (lambda: encode(Image.new("1", (1, 1), 1), "PNG"), [WHITE]),
    "one-bit-fax-tiff": (lambda: encode(Image.new("1", (8, 1), 1), "TIFF", compression="group4"), [WHITE] * 3),
    "palette-png": (lambda: encode(palette(TWO_COLOURS, [0, 1]), "PNG"), [RED, BLACK]),
    "palette-png-transparent-index": (
        lambda: encode(palette(TWO_COLOURS, [0, 1]), "PNG", transparency=1),
        [RED, WHITE],
    ),
    "palette-png-alpha-table": (
        lambda: encode(palette(TWO_COLOURS, [0, 1]), "PNG", transparency=b"\x80\x00"),
        [PINK, WHITE],
    ),
    "palette-gif-transparent": (lambda: encode(palette(TWO_COLOURS, [0, 1]), "GIF", transparency=1), [RED, WHITE]),
    "palette-image-rgba": (lambda: palette([255, 0, 0, 128, 0, 0, 0, 0], [0, 1], "RGBA"), [PINK, WHITE]),
    "rgba-png": (lambda: encode(Image.new("RGBA", (1, 1), (255, 0, 0, 128)), "PNG"), [PINK]),
    "rgba-webp": (lambda: encode(Image.new("RGBA", (1, 1), (255, 0, 0, 128)), "WEBP", lossless=True), [PINK]),
    "premultiplied-image": (lambda: Image.new("RGBa", (1, 1), (128, 0, 0, 128)), [PINK]),
    "la-png": (lambda: encode(Image.new("LA", (1, 1), (0, 0)), "PNG"), [WHITE]),
    "la-premultiplied-image": (lambda: Image.new("La", (1, 1), (0, 0)), [WHITE]),
    "pa-image": (lambda: palette(TWO_COLOURS, [0, 1]).convert("PA"), [RED, BLACK]),
    "rgb-png-transparent-colour": (lambda: encode(Image.new("RGB", (1, 1), RED), "PNG", transparency=RED), [WHITE]),
    "rgb-image-stray-transparency": (lambda: stray_transparency(), [RED]),
    "grey-png-transparent": (lambda: encode(Image.new("L", (1, 1), 9), "PNG", transparency=9), [WHITE]),
    "grey16-png": (lambda: encode(Image.fromarray(GREY_16), "PNG"), GREYS),
    "grey16-png-transparent": (
        lambda: encode(Image.fromarray(GREY_16), "PNG", transparency=0x8040),
        [BLACK, WHITE, WHITE],
    ),
    "grey16-alpha-png": (
        lambda: png(1, 1, 16, 4, zlib.compress(b"\0" + struct.pack(">HH", 0, 0))),
        [WHITE],
    ),
    "rgb16-png": (
        lambda: png(1, 1, 16, 2, zlib.compress(b"\0" + struct.pack(">HHH", 65535, 0x8040, 0))),
        [(255, 128, 0)],
    ),
    "rgb16-png-transparent": (
        lambda: png(
            1,
            1,
            16,
            2,
            zlib.compress(b"\0" + struct.pack(">HHH", 65535, 0x8040, 0)),
            png_chunk(b"tRNS", struct.pack(">HHH", 65535, 0x8040, 0)),
        ),
        [WHITE],
    ),
    "grey16-tiff": (lambda: encode(Image.fromarray(GREY_16), "TIFF"), GREYS),
    "grey16-tiff-lzw": (lambda: encode(Image.fromarray(GREY_16), "TIFF", compression="tiff_lzw"), GREYS),
    "grey16-tiff-big-endian": (lambda: encode(Image.fromarray(GREY_16.astype(">u2")), "TIFF"), GREYS),
    "grey16-tiff-white-is-zero": (lambda: tiff(16, 0, GREY_16.tobytes(), 3), [WHITE, (127, 127, 127), BLACK]),
    "grey12-tiff": (lambda: tiff(12, 1, bytes.fromhex("000804fff000"), 3), GREYS),
    "grey16-image-big-endian": (lambda: Image.fromarray(GREY_16.astype(">u2")), GREYS),
    "grey16-pgm": (lambda: b"P5 3 1 65535\n" + GREY_16.astype(">u2").tobytes(), GREYS),
    "array-grey": (lambda: np.array([[0, 128, 255]], np.uint8), GREYS),
    "array-grey16": (lambda: GREY_16, GREYS),
    "array-grey16-big-endian": (lambda: GREY_16.astype(">u2")[:, :, None], GREYS),
    "array-rgb-strided": (lambda: np.array([[[0, 0, 255]]], np.uint8)[:, :, ::-1], [RED]),
    "array-rgba": (lambda: np.array([[[255, 0, 0, 128], [0, 0, 255, 0]]], np.uint8), [PINK, WHITE]),
    "array-rgba16": (lambda: np.array([[[65535, 0, 0, 65535]]], np.uint16), [RED]),
    "animated-gif": (lambda: animation("GIF"), [RED]),
    "animated-webp": (lambda: animation("WEBP", lossless=True), [RED]),
    "animated-png": (lambda: animation("PNG"), [RED]),
    "multi-picture-jpeg": (lambda: animation("MPO", quality=100), [(254, 0, 0)]),
    "tiff-pages": (lambda: animation("TIFF"), [RED]),
    "wrong-suffix-is-no-matter": (lambda: encode(Image.new("RGB", (1, 1), RED), "BMP"), [RED]),
}


def animation(format: str, **options: Any) -> bytes:
    frames = [Image.new("RGB", (1, 1), colour) for colour in ("red", "blue")]
    return encode(frames[0], format, save_all=True, append_images=frames[1:], **options)


def stray_transparency() -> Image.Image:
    image = Image.new("RGB", (1, 1), RED)
    image.info["transparency"] = 0  # as some conversions from a palette leave it
    return image


@pytest.mark.parametrize("kind", RIGHT_PIXELS)
def test_right_pixels(kind: str) -> None:
    make, expected = RIGHT_PIXELS[kind]
    rounding = 1 if kind in ("ycck-jpeg", "ycbcr-image", "lab-tiff") else 0
    assert np.abs(np.subtract(row(decode(make())), expected)).max() <= rounding


# What a viewer shows, row by row, of a picture stored as AB CD EF.
ORIENTATIONS = {
    1: ["AB", "CD", "EF"],
    2: ["BA", "DC", "FE"],
    3: ["FE", "DC", "BA"],
    4: ["EF", "CD", "AB"],
    5: ["ACE", "BDF"],
    6: ["ECA", "FDB"],
    7: ["FDB", "ECA"],
    8: ["BDF", "ACE"],
}
LETTERS = {"A": RED, "B": (0, 255, 0), "C": (0, 0, 255), "D": WHITE, "E": BLACK, "F": (255, 255, 0)}


def letters(side: int = 1) -> Image.Image:
    colours = np.array([[LETTERS[c] for c in line] for line in ("AB", "CD", "EF")], np.uint8)
    return Image.fromarray(colours.repeat(side, axis=0).repeat(side, axis=1))


def read_letters(picture: Image.Image, side: int = 1) -> list[str]:
    pixels = np.asarray(picture)[side // 2 :: side, side // 2 :: side].astype(int)
    names, colours = list(LETTERS), np.array(list(LETTERS.values()))
    return ["".join(names[np.abs(colours - pixel).sum(axis=1).argmin()] for pixel in line) for line in pixels]


@pytest.mark.parametrize("orientation", ORIENTATIONS)
@pytest.mark.parametrize("format", ["JPEG", "MPO", "PNG", "WEBP", "TIFF", "TIFF-lzw"])
@pytest.mark.parametrize("given", ["bytes", "opened", "loaded"])
def test_exif_orientation(orientation: int, format: str, given: str) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    all_options: dict[str, dict[str, Any]] = {
        "WEBP": {"lossless": True},
        "TIFF-lzw": {"compression": "tiff_lzw"},
        "MPO": {"save_all": True, "append_images": [letters(16)]},
    }
    options = all_options.get(format, {})
    data = encode(letters(16), format.split("-")[0], exif=exif, **options)
    source: images.Source = data
    if given != "bytes":
        source = Image.open(io.BytesIO(data))
        if given == "loaded":
            source.load()
    picture = decode(source)
    assert read_letters(picture, 16) == ORIENTATIONS[orientation]
    assert read_letters(decode(picture), 16) == ORIENTATIONS[orientation], "turned twice"


@pytest.mark.parametrize("mode", ["L", "P", "RGBA", "CMYK", "I;16"])
def test_exif_orientation_of_other_modes(mode: str) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    image = Image.fromarray(GREY_16) if mode == "I;16" else Image.new(mode, (3, 1))
    assert decode(encode(image, "TIFF", exif=exif)).size == (1, 3)


@pytest.mark.parametrize("exif", [b"Exif\0\0garbage", b"Exif\0\0II*\0\xff\xff\xff\xff"])
def test_damaged_exif_is_no_matter(exif: bytes) -> None:
    for format in ("JPEG", "PNG", "WEBP"):
        assert decode(encode(Image.new("RGB", (4, 2), RED), format, exif=exif)).size == (4, 2)


@pytest.mark.parametrize("orientation", [0, 9, 77])
def test_unknown_orientation_is_upright(orientation: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    assert decode(encode(letters(), "PNG", exif=exif)).tobytes() == letters().tobytes()


BOMB = png(60000, 60000, 8, 2, zlib.compress(bytes(60001), 9))
WEBP_12000 = b"RIFF\x16\0\0\0WEBPVP8L\x0a\0\0\0\x2f" + struct.pack("<I", 11999 | 11999 << 14) + bytes(5)
WIDE = png(100_000_000, 1, 8, 6, zlib.compress(b"\0"))

REFUSED: dict[str, tuple[Callable[[], bytes], str]] = {
    "pnm-plain": (lambda: b"P2 3 1 1023\n0 513 1023\n", "PNM in plain text is not read"),
    "pnm-10-bits": (lambda: b"P5 3 1 1023\n" + bytes(6), "this kind of PPM is not read"),
    "empty": (lambda: b"", "empty file"),
    "text": (lambda: b"hello, I am not a picture\n", "not a picture in a format that can be read"),
    "pdf": (lambda: b"%PDF-1.4\n%\xe2\xe3", "not a picture in a format"),
    "postscript": (lambda: b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", "not a picture in a format"),
    "icon-hiding-a-bomb": (
        lambda: struct.pack("<HHHBBBBHHII", 0, 1, 1, 16, 16, 0, 0, 1, 32, len(BOMB), 22) + BOMB,
        "not a picture in a format",
    ),
    "sound": (lambda: b"RIFF\x24\0\0\0WAVEfmt ", "not a picture in a format"),
    "png-signature-only": (lambda: b"\x89PNG\r\n\x1a\n", "damaged"),
    "jpeg-signature-only": (lambda: b"\xff\xd8\xff", "damaged"),
    "gif-signature-only": (lambda: b"GIF89a", "damaged"),
    "bmp-signature-only": (lambda: b"BM", "damaged"),
    "tiff-signature-only": (lambda: b"II*\0", "damaged"),
    "webp-signature-only": (lambda: b"RIFF\x04\0\0\0WEBPVP8 ", "damaged"),
    "pnm-signature-only": (lambda: b"P6 ", "damaged"),
    "png-no-rows": (lambda: png(9, 9, 8, 2, b""), "damaged"),
    "png-no-pixels": (lambda: png(0, 9, 8, 2, zlib.compress(b"")), "damaged"),
    "png-bad-checksum": (lambda: encode(noise(), "PNG").replace(b"IHDR\0", b"IHDR\1"), "damaged"),
    "jpeg-cut": (lambda: encode(noise(), "JPEG")[:1500], r"damaged picture \(image file is truncated"),
    "jpeg-progressive-cut": (lambda: encode(noise(), "JPEG", progressive=True)[:1500], "damaged picture"),
    "tiff-cut": (lambda: encode(noise(), "TIFF")[:2000], "damaged picture .file is cut short"),
    "tiff-strip-past-the-end": (lambda: tiff(16, 1, GREY_16.tobytes(), 3)[:-1], "file is cut short: 127 of 128"),
    "float-tiff": (lambda: encode(Image.new("F", (2, 2), 0.5), "TIFF"), "floating-point values have no fixed"),
    "int32-tiff": (lambda: encode(Image.new("I", (2, 2), 300), "TIFF"), "32-bit integers have no fixed"),
    "png-bomb": (lambda: BOMB, "60000 x 60000 pixels, over the limit of 100,000,000"),
    "png-one-huge-row": (lambda: WIDE, "over the limit"),
    "pnm-bomb": (lambda: b"P6 99999999 99999999 255\n", "99999999 x 99999999 pixels, over the limit"),
    "gif-bomb": (lambda: b"GIF89a\xff\xff\xff\xff\0\0\0,\0\0\0\0\xff\xff\xff\xff\0\x08", "over the limit"),
    "gif-bomb-in-a-frame": (
        lambda: b"GIF89a\1\0\1\0\0\0\0!\xf9\4\x08\0\0\0\0,\0\0\0\0\xff\xff\xff\xff\0\x08",
        "over the limit",
    ),
    "webp-bomb": (lambda: WEBP_12000, "12000 x 12000 pixels, over the limit"),
    "tiff-huge-tile": (lambda: tiff_with_huge_tile(), "of this kind of TIFF take .* over the limit"),
}


def tiff_with_huge_tile() -> bytes:
    tags = {256: 16, 257: 16, 258: 8, 259: 8, 262: 1, 277: 1, 322: 65520, 323: 65520, 324: 134, 325: 8}
    entries = b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in tags.items())
    return (struct.pack("<2sHIH", b"II", 42, 8, len(tags)) + entries + bytes(4)).ljust(134, b"\0") + zlib.compress(b"")


@pytest.mark.parametrize("kind", REFUSED)
def test_refused_in_one_line(kind: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    make, reason = REFUSED[kind]
    path = tmp_path / f"{kind}.jpg"
    path.write_bytes(make())
    for source, name in ((path, str(path)), (path.read_bytes(), "<bytes>")):
        with pytest.raises(ImageError, match=reason) as raised:
            decode(source)
        assert str(raised.value).startswith(f"{name}: ")
        assert str(raised.value).isprintable()
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize(
    ("array", "reason"),
    [
        (np.zeros((0, 3, 3), np.uint8), "without pixels"),
        (np.zeros((3, 3)), "must be uint8 or uint16, not float64"),
        (np.zeros((3, 3), bool), "must be uint8 or uint16, not bool"),
        (np.zeros((3, 3, 2), np.uint8), r"not \[3, 3, 2\]"),
        (np.zeros(3, np.uint8), r"not \[3\]"),
        (np.broadcast_to(np.uint8(0), (60000, 60000)), "60000 x 60000 pixels, over the limit"),
    ],
)
def test_arrays_refused(array: NDArray[Any], reason: str) -> None:
    with pytest.raises(ImageError, match=f"^<array>: .*{reason}"):
        decode(array)


def test_path_troubles(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    os.mkfifo(tmp_path / "pipe.jpg")
    troubles = {
        "missing.jpg": "no such file",
        "two\nlines.jpg": "no such file",
        "null\0byte.jpg": "no such file",
        "n" * 300: "can't be read",
        "pipe.jpg": "not a regular file",
        ".": "a folder, not a picture",
    }
    for name, reason in troubles.items():
        with pytest.raises(ImageError, match=reason) as raised:
            decode(f"{tmp_path}/{name}")
        assert str(raised.value).isprintable()
    path = tmp_path / "secret.png"
    path.write_bytes(encode(noise(), "PNG"))

    def forbidden(*args: object) -> None:  # root may read everything, so chmod would not do
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(os, "stat", forbidden)
    with pytest.raises(ImageError, match="no permission to read it"):
        decode(path)


def test_names_of_sources(tmp_path: Path) -> None:
    path = tmp_path / "cut.jpg"
    path.write_bytes(encode(noise(), "JPEG")[:1500])
    with pytest.raises(ImageError, match=r"cut\.jpg: damaged"), Image.open(path) as opened:
        decode(opened)
    with pytest.raises(ImageError, match=r"^<PIL image>: "):
        decode(Image.new("F", (2, 2)))
    with pytest.raises(TypeError, match="not NoneType"):
        decode(None)  # type: ignore[arg-type]


CUT_FORMATS: dict[str, tuple[str, str, dict[str, Any]]] = {
    "png": ("RGB", "PNG", {}),
    "jpeg": ("RGB", "JPEG", {}),
    "jpeg-progressive": ("RGB", "JPEG", {"progressive": True}),
    "gif": ("P", "GIF", {}),
    "bmp": ("RGB", "BMP", {}),
    "ppm": ("RGB", "PPM", {}),
    "webp": ("RGB", "WEBP", {}),
    "webp-lossless": ("RGB", "WEBP", {"lossless": True}),
    "tiff": ("RGB", "TIFF", {}),
    "tiff-lzw": ("RGB", "TIFF", {"compression": "tiff_lzw"}),
}


@pytest.mark.parametrize("kind", CUT_FORMATS)
def test_cut_anywhere_is_never_grey_pixels(kind: str) -> None:
    mode, format, options = CUT_FORMATS[kind]
    data = encode(noise(mode), format, **options)
    whole = decode(data).tobytes()
    refused = 0
    for length in [*range(0, len(data), len(data) // 100), *range(len(data) - 30, len(data))]:
        try:
            assert decode(data[:length]).tobytes() == whole  # only the end mark may be missing
        except ImageError:
            refused += 1
    assert refused >= 100


@pytest.mark.parametrize("size", [(1, 1), (1, 5000), (5000, 1), (31, 47)])
def test_thin_pictures(size: tuple[int, int]) -> None:
    x = preprocess(decode(encode(Image.new("RGB", size, RED), "PNG")), Preprocessing(mean=(0, 0, 0), std=(1, 1, 1)))
    assert x.shape == (3, 224, 224)
    assert x.dtype == np.float32
    np.testing.assert_allclose(x[0], 1, atol=1e-6)
    np.testing.assert_allclose(x[1:], 0, atol=1e-6)


def test_limit_on_pixels_can_be_set() -> None:
    data = encode(Image.new("L", (100, 100)), "PNG")
    assert decode(data, max_pixels=10_000).size == (100, 100)
    for source in (data, Image.open(io.BytesIO(data)), np.zeros((100, 100), np.uint8)):
        with pytest.raises(ImageError, match="100 x 100 pixels, over the limit of 9,999"):
            decode(source, max_pixels=9_999)


@pytest.mark.parametrize(
    ("mode", "format", "options", "accepted"),
    [
        ("RGB", "JPEG", {"progressive": True}, True),
        ("CMYK", "JPEG", {}, True),
        ("CMYK", "JPEG", {"progressive": True}, False),  # four planes of coefficients
        ("RGB", "WEBP", {}, False),  # two canvases and two copies
        ("RGBA", "TIFF", {"compression": "tiff_lzw"}, True),
        ("RGBA", "TIFF", {"compression": "tiff_lzw", "strip_size": 1 << 20, "exif": b"II*\0\x08\0\0\0\1\0"
         b"\x12\1\3\0\1\0\0\0\6\0\0\0\0\0\0\0"}, False),  # one strip, and turned
    ],
)  # fmt: skip
def test_limit_counts_what_decoding_takes(mode: str, format: str, options: dict[str, Any], accepted: bool) -> None:
    data = encode(Image.new(mode, (100, 100)), format, **options)
    assert decode(data).size == (100, 100)
    if accepted:
        assert decode(data, max_pixels=10_000).size == (100, 100)
    else:
        with pytest.raises(ImageError, match=f"of this kind of {format} take [0-9,]* bytes to decode, over the limit"):
            decode(data, max_pixels=10_000)


def test_limit_on_file_length(tmp_path: Path) -> None:
    path = tmp_path / "padded.png"
    path.write_bytes(encode(noise(), "PNG"))
    os.truncate(path, 500_000_000)  # a hole: takes no room on the disk
    with pytest.raises(ImageError, match="a file of 500,000,000 bytes, over the limit of 400,000,000"):
        decode(path)


def test_limit_above_pillows_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 1000)
    for format in ("GIF", "PNG", "TIFF", "WEBP"):
        assert decode(encode(Image.new("L", (100, 100)), format)).size == (100, 100)
    assert Image.MAX_IMAGE_PIXELS == 1000


def test_pillow_warnings_stay_inside() -> None:
    data = encode(Image.new("RGB", (8, 8), RED), "JPEG", exif=b"Exif\0\0II*\0\x08\0\0\0\xff\0")
    before = list(warnings.filters)
    with warnings.catch_warnings(record=True) as shown:
        warnings.simplefilter("always")
        decode(data)
        decode(encode(palette(TWO_COLOURS, [0, 1]), "PNG", transparency=b"\x80"))
    assert not shown
    assert warnings.filters == before


def test_threads() -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    sources = [encode(letters(16), format, exif=exif) for format in ("PNG", "TIFF")] * 50 + [BOMB] * 20

    def outcome(source: bytes) -> str:
        try:
            return "".join(read_letters(decode(source), 16))
        except ImageError as error:
            return str(error)[:20]

    before = (list(warnings.filters), Image.MAX_IMAGE_PIXELS)
    with ThreadPoolExecutor(8) as pool:
        outcomes = list(pool.map(outcome, sources))
    assert outcomes == ["ECAFDB"] * 100 + ["<bytes>: 60000 x 600"] * 20
    assert (list(warnings.filters), Image.MAX_IMAGE_PIXELS) == before


def test_the_source_is_not_changed() -> None:
    image = Image.new("RGBA", (2, 1), (255, 0, 0, 128))
    image.getexif()[0x0112] = 6
    array = np.zeros((2, 2), np.uint8)
    decode(image)
    decode(array).putpixel((0, 0), RED)
    assert (image.mode, image.size, image.getexif()[0x0112]) == ("RGBA", (2, 1), 6)
    assert not array.any()


@pytest.mark.parametrize(
    "fields",
    [
        {"size": 31},
        {"size": True},
        {"size": 224.0},
        {"size": "224"},
        {"resize": 100},
        {"resize": 10**12},
        {"mean": (0.5, 0.5)},
        {"mean": ("a", "b", "c")},
        {"mean": (float("nan"), 0, 0)},
        {"mean": 0.5},
        {"std": (1, 1, 0)},
        {"std": (1e308, 1, 1)},
        {"std": (True, 1, 1)},
    ],
    ids=str,
)
def test_bad_preprocessing(fields: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=f"{next(iter(fields))} must be"):
        Preprocessing(**fields)


def huge_png(depth: int, colour: int, row_bytes: int, *extra: bytes) -> bytes:
    """10000 x 10000 pixels, all alike."""
    stream, row = zlib.compressobj(1), bytes(1) + bytes([200]) * row_bytes
    rows = b"".join(stream.compress(row * 100) for _ in range(100)) + stream.flush()
    return png(10000, 10000, depth, colour, rows, *extra)


def turned_exif() -> bytes:
    exif = Image.Exif()
    exif[0x0112] = 6
    return exif.tobytes()


HUGE: dict[str, tuple[Callable[[], bytes], str]] = {
    "rgba-turned": (lambda: huge_png(8, 6, 40000, png_chunk(b"eXIf", turned_exif()[6:])), "(10000, 10000)"),
    "grey16": (lambda: huge_png(16, 0, 20000), "(10000, 10000)"),
    "cmyk-jpeg-turned": (
        lambda: encode(Image.new("CMYK", (10000, 10000)), "JPEG", exif=turned_exif()),
        "(10000, 10000)",
    ),
    "one-huge-row": (lambda: WIDE, "over the limit"),
    "bomb": (lambda: BOMB, "over the limit"),
}


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
@pytest.mark.parametrize("kind", HUGE)
def test_peak_memory_of_100_megapixels(kind: str, tmp_path: Path) -> None:
    """Memory stays bounded for one picture, and for two that two threads decode at once."""
    make, expected = HUGE[kind]
    together = 2 if kind == "grey16" else 1
    path = tmp_path / kind
    path.write_bytes(make())
    script = (
        "import re, sys\n"
        "from shufflenet.pictures.images import ImageError, decode\n"
        "from shufflenet.threads import map_in_order\n"
        "def outcome(path):\n"
        "    try: return decode(path).size\n"
        "    except ImageError as error: return error\n"
        "print(*map_in_order(outcome, sys.argv[1:], threads=4), sep='\\n')\n"
        # Not getrusage: its maximum goes back to before exec, to the memory of the tests themselves.
        "print(re.search('VmHWM: *([0-9]+) kB', open('/proc/self/status').read().replace(chr(9), ' '))[1])"
    )
    run = subprocess.run([sys.executable, "-c", script, *[path] * together], capture_output=True, text=True, check=True)
    *outcomes, peak = run.stdout.splitlines()
    assert len(outcomes) == together
    assert all(expected in outcome for outcome in outcomes)
    assert int(peak) * 1024 < 1024 * MEBIBYTE
    assert run.stderr == ""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
def test_a_process_forked_while_threads_decode() -> None:
    source = Image.fromarray(np.zeros((50, 50, 3), np.uint8))
    usual = Image.MAX_IMAGE_PIXELS
    # As by another thread, which the forked process does not have.
    with images._pillow_settings(10**9), images._memory.taking(10**9, 10**9), images._memory._changed:
        with images._given_images, images._decoding_lock:
            child = os.fork()
        if not child:
            signal.alarm(20)
            decode(source)
            os._exit(0 if usual == Image.MAX_IMAGE_PIXELS else 1)
    assert os.waitpid(child, 0)[1] == 0
