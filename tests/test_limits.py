"""Picture files that would take far more time or memory than a picture needs."""

from __future__ import annotations

import io
import itertools
import struct
import time
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from shufflenet.pictures import limits
from shufflenet.pictures.images import ImageError, decode

PICTURES = Path(__file__).parent.parent / "fuzz" / "corpus" / "pictures"


def progressive_jpeg(repeated: int) -> bytes:
    """A progressive JPEG whose last scan comes once more for each of ``repeated``."""
    data = io.BytesIO()
    pixels = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(data, "JPEG", progressive=True)
    whole = data.getvalue()
    last = whole.rindex(b"\xff\xda")
    return whole[:-2] + whole[last:-2] * repeated + whole[-2:]


@pytest.mark.filterwarnings("ignore:Image size")  # Pillow's, when the test opens it
@pytest.mark.parametrize("name", ["bmp_rle_eol_slow.bmp", "bmp_fuzz_slow_1043688.bmp"])
def test_no_decoder_in_python_sees_a_file(name: str) -> None:
    began = time.thread_time()
    with pytest.raises(ImageError, match=r"run-length coded BMP is not read: .* save it as PNG"):
        decode(PICTURES / name)
    with Image.open(PICTURES / name) as opened, pytest.raises(ImageError, match="run-length coded BMP"):
        decode(opened)
    assert time.thread_time() - began < 1  # Pillow's own takes more than 10 seconds


def test_scans_of_a_jpeg_are_counted() -> None:
    assert decode(progressive_jpeg(0)).size == (64, 64)
    assert decode(progressive_jpeg(0) + b"\xff\xda" * 1000).size == (64, 64)  # behind the image, as a film may be
    with pytest.raises(ImageError, match="a JPEG of more than 100 scans"):
        decode(progressive_jpeg(100))


def test_a_marker_across_two_blocks_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "_BLOCK", 7)
    with pytest.raises(ImageError, match="a JPEG of more than 100 scans"):
        decode(progressive_jpeg(100))


def test_exif_data_of_any_length_are_refused() -> None:
    plain = progressive_jpeg(0)
    segment = b"\xff\xe1\xff\xffExif\0\0" + bytes(0xFFFF - 8)
    assert decode(plain[:2] + segment * 2 + plain[2:]).size == (64, 64)
    with pytest.raises(ImageError, match="more than 4,194,304 bytes of EXIF data"):
        decode(plain[:2] + segment * 65 + plain[2:])


@pytest.mark.parametrize("big", [False, True])
def test_tags_with_millions_of_values_are_refused(big: bool) -> None:
    entry = struct.pack("<HHQQ" if big else "<HHII", 273, 3, 5_000_000, 8)
    data = struct.pack("<2sHHHQQ", b"II", 43, 8, 0, 16, 1) if big else struct.pack("<2sHIH", b"II", 42, 8, 1)
    with pytest.raises(ImageError, match="a TIFF whose tag 273 has 5,000,000 values"):
        decode(data + entry + bytes(10_000_000))


def test_a_file_cut_into_many_parts_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    data = io.BytesIO()
    Image.new("RGB", (9, 9)).save(data, "PNG")
    private = struct.pack(">I4sI", 0, b"abCd", zlib.crc32(b"abCd"))
    many = data.getvalue()[:33] + private * 2000 + data.getvalue()[33:]
    monkeypatch.setattr(limits, "MAX_READS", 1000)
    with pytest.raises(ImageError, match="is cut into more than 1,000 parts"):
        decode(many)


def test_time_of_one_picture_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = itertools.count(step=15)
    monkeypatch.setattr(time, "thread_time", lambda: next(clock))
    data = io.BytesIO()
    pixels = np.random.default_rng(0).integers(0, 256, (300, 300, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(data, "PNG")
    with pytest.raises(ImageError, match="takes more than 20 seconds to decode"):
        decode(data.getvalue())


def test_decoders_say_nothing_of_their_own(capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(ImageError, match=r"libtiff_stderr\.tif: damaged picture$"):
        decode(PICTURES / "libtiff_stderr.tif")
    assert capfd.readouterr() == ("", "")
