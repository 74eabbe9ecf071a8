"""Decodes pictures: the one reader that train, evaluate and predict share.

A *source* is a path, the bytes of a file, a PIL image or an array. A *picture* is a PIL image in RGB, upright.
"""

from __future__ import annotations

import io
import math
import os
import re
import struct
import threading
import warnings
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import IO, BinaryIO, TypeAlias, cast

import numpy as np
from numpy.typing import NDArray
from PIL import (
    BmpImagePlugin,
    GifImagePlugin,
    Image,
    JpegImagePlugin,
    PngImagePlugin,
    PpmImagePlugin,
    TiffImagePlugin,
    WebPImagePlugin,
)

from shufflenet.files import NotAFileError, printable, regular_file, why_unreadable
from shufflenet.pictures import limits
from shufflenet.pictures.memory_budget import MemoryBudget
from shufflenet.pictures.silence import silence_decoders

Source: TypeAlias = "str | os.PathLike[str] | bytes | Image.Image | NDArray[np.generic]"

# A picture with more pixels than this is refused before it is decoded: a few KB of PNG can hold gigabytes.
MAX_PIXELS = 100_000_000

# A JPEG decoded at a reduced scale has its shorter side at least this many times as long as it will be: no more labels
# of photos change than by saving them again, a few more of pictures that were enlarged (benchmarks/reduced_scale.py).
DRAFT_GAP = 4

# The endings of picture files' names. Pictures of the last line can't be read; they are reported, not left out.
SUFFIXES = frozenset(
    (
        ".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".gif", ".bmp", ".webp", ".tif", ".tiff",
        ".ppm", ".pgm", ".pbm", ".pnm",
        ".heic", ".heif", ".avif", ".jp2", ".jxl",
    )
)  # fmt: skip

# Decoders by the first bytes of a file, whatever its name says. Pillow's other formats are left out: EPS starts a
# program, ICO hides a PNG of any size, and JPEG 2000 takes 20 bytes per pixel.
_READERS: tuple[tuple[bytes, Callable[[IO[bytes], str], Image.Image]], ...] = (
    (rb"\xff\xd8\xff", JpegImagePlugin.jpeg_factory),
    (rb"\x89PNG\r\n\x1a\n", PngImagePlugin.PngImageFile),
    (rb"GIF8[79]a", GifImagePlugin.GifImageFile),
    (rb"BM", BmpImagePlugin.BmpImageFile),
    (rb"RIFF....WEBPVP8", WebPImagePlugin.WebPImageFile),
    (rb"II[*+]\0|MM\0[*+]", TiffImagePlugin.TiffImageFile),
    (rb"P[1-6]\s", PpmImagePlugin.PpmImageFile),
)
_READABLE = "JPEG, PNG, GIF, BMP, WebP, TIFF or PNM"

_EXIF_ORIENTATION = 0x0112
_UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
_STRIP_TAGS = (
    (TiffImagePlugin.STRIPOFFSETS, TiffImagePlugin.STRIPBYTECOUNTS),
    (TiffImagePlugin.TILEOFFSETS, TiffImagePlugin.TILEBYTECOUNTS),
)
_GREY_16_BIT = ("I;16", "I;16L", "I;16B", "I;16N")

# Bytes for each of max_pixels. At the default limit no picture takes the process over 1 GiB.
_MEMORY_BYTES = 10
_COPIES_BYTES = 8  # of these at most, once decoded: Pillow's 4, and as many for the same picture turned or in RGB
_FILE_BYTES = 4
_SMALL_FILE_BYTES = 64 << 20  # never refused for its length, however low max_pixels is
_STRIP_PIXELS = 1 << 22  # converted at a time

silence_decoders()

_memory = MemoryBudget()
_file_memory = MemoryBudget()  # files out of archives; taken before `_memory`, never while holding some of that
_given_images = threading.Lock()  # a PIL image that is not loaded yet can't be loaded by two threads at once
_decoding = 0  # threads inside `_pillow_settings`
_saved: tuple[warnings.catch_warnings[None], int | None]  # what the last of them puts back
_decoding_lock = threading.Lock()


def _after_fork() -> None:
    """In a forked process, which has none of the threads that were decoding: makes the locks and the settings anew."""
    global _decoding, _decoding_lock, _given_images
    _decoding_lock, _given_images = threading.Lock(), threading.Lock()
    if _decoding:
        _decoding = 0
        _saved[0].__exit__(None, None, None)
        Image.MAX_IMAGE_PIXELS = _saved[1]


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)


class ImageError(ValueError):
    """A picture can't be read. The message is one line, names the picture and says why."""


class TooLargeError(ImageError):
    """A picture is over a limit of bytes or pixels."""


class UnknownFormatError(ImageError):
    """The bytes are no picture, or one in a format that is not read."""


def decode(source: Source, max_pixels: int = MAX_PIXELS, resize: int | None = None) -> Image.Image:
    """Reads a picture as upright 8-bit RGB; transparent parts over white; of an animation the first frame.

    Threads may call it at the same time. While they decode, their pictures take together at most 10 bytes of memory
    for each of ``max_pixels``: large ones wait for each other.

    Args:
        source: a path, the bytes of a picture file, a PIL image, or an array: [H, W], [H, W, 1], [H, W, 3]
            or [H, W, 4] (RGBA), uint8 or uint16.
        max_pixels: larger pictures are refused before they are decoded, and so are files that need more
            memory than a plain picture of that many pixels.
        resize: what the shorter side will be reduced to, as by `preprocess`: a JPEG that is far larger is decoded
            at 1/2, 1/4 or 1/8 of its size, with `DRAFT_GAP` times as many pixels as that at least.

    Raises:
        ImageError: the source is missing, not a picture, cut short, too large, or of a kind whose
            brightness has no fixed scale (floating point, 32-bit integers).
        TypeError: the source is none of the kinds above.
    """
    with decoding(source, max_pixels, resize) as picture:
        return picture


@contextmanager
def decoding(source: Source, max_pixels: int, resize: int | None) -> Iterator[Image.Image]:
    """Decodes as `decode` does, for a block; other threads' large pictures wait until the block ends."""
    with ExitStack() as held:
        yield _decode_or_explain(source, max_pixels, resize, held)


@contextmanager
def file_bytes_held(count: int) -> Iterator[None]:
    """Counts a picture file of ``count`` bytes as in memory for the block; waits while other threads hold too many.

    All threads together hold at most 4 bytes for each of `MAX_PIXELS`. To be entered before `decoding`, not within.
    """
    with _file_memory.taking(count, _FILE_BYTES * MAX_PIXELS):
        yield


def _decode_or_explain(source: Source, max_pixels: int, resize: int | None, held: ExitStack) -> Image.Image:
    """Decodes a picture; ``held`` keeps its share of the threads' memory until it is closed."""
    name = source_name(source)
    kind: type[ImageError] = ImageError
    try:
        with _pillow_settings(max_pixels):
            return _decode(source, max_pixels, resize, held)
    except (ImageError, NotAFileError, limits.LimitError) as error:
        reason, kind = str(error), type(error) if isinstance(error, ImageError) else ImageError
    except MemoryError:
        reason = "not enough memory to decode it"
    except Image.DecompressionBombError:
        reason, kind = f"over the limit of {max_pixels:,} pixels (--max-pixels)", TooLargeError
    except OSError as error:
        # Pillow's own have no number; some say no more than a number of the decoder's.
        said = "" if "decoder error" in str(error) else f" ({error})"
        reason = why_unreadable(error) if error.errno or error.filename else f"damaged picture{said}"
        if "out of memory" in said:
            reason = "not enough memory to decode it"
    except Exception:  # Pillow's decoders raise many kinds for bad data; their texts speak of structs and tuples
        reason = "damaged picture, or of a kind that can't be read"
    raise kind(f"{printable(name)}: {printable(reason)}")


def source_name(source: Source) -> str:
    """The name of a source in messages and results: its path, or the kind of thing it is."""
    if isinstance(source, str | os.PathLike):
        return os.fsdecode(source)
    if isinstance(source, Image.Image):
        return os.fsdecode(getattr(source, "filename", "") or "<PIL image>")
    if isinstance(source, bytes):
        return "<bytes>"
    if isinstance(source, np.ndarray):
        return "<array>"
    raise TypeError(f"a picture is a path, bytes, a PIL image or an array, not {type(source).__name__}")


@contextmanager
def _pillow_settings(max_pixels: int) -> Iterator[None]:
    """Turns Pillow's warnings off, and lifts its own limit on pixels where ours is higher.

    Both are global, so threads share the change: the first one in makes it, the last one out takes it back.
    """
    global _decoding, _saved
    with _decoding_lock:
        if _decoding == 0:
            _saved = (warnings.catch_warnings(), Image.MAX_IMAGE_PIXELS)
            _saved[0].__enter__()
            warnings.filterwarnings("ignore", module=r"PIL\.")
        _decoding += 1
        if Image.MAX_IMAGE_PIXELS is not None:
            Image.MAX_IMAGE_PIXELS = max(Image.MAX_IMAGE_PIXELS, max_pixels)
    try:
        yield
    finally:
        with _decoding_lock:
            _decoding -= 1
            if _decoding == 0:
                _saved[0].__exit__(None, None, None)
                Image.MAX_IMAGE_PIXELS = _saved[1]


def _decode(source: Source, max_pixels: int, resize: int | None, held: ExitStack) -> Image.Image:
    """Decodes a picture; the messages of its errors lack the picture's name."""
    memory_limit = _MEMORY_BYTES * max_pixels
    if isinstance(source, np.ndarray):
        held.enter_context(_memory.taking(_COPIES_BYTES * math.prod(source.shape[:2]), memory_limit))
        return _to_rgb(_from_array(source, max_pixels))
    if isinstance(source, Image.Image):
        _check_size(*source.size, max_pixels)
        limits.check_decoder(source)
        held.enter_context(_memory.taking(_COPIES_BYTES * math.prod(source.size), memory_limit))
        with _given_images:
            return _upright_rgb(source, ours=False)
    with io.BytesIO(source) if isinstance(source, bytes) else _open_file(source) as file:
        file_bytes = file.seek(0, os.SEEK_END)
        limit = max(_FILE_BYTES * max_pixels, _SMALL_FILE_BYTES)
        if file_bytes > limit:
            raise TooLargeError(f"a file of {file_bytes:,} bytes, over the limit of {limit:,} (--max-pixels)")
        reader = _reader(file)
        components = 0
        if reader is JpegImagePlugin.jpeg_factory:
            components = limits.components_of_first_scan(file)
        elif reader is TiffImagePlugin.TiffImageFile:
            limits.check_tiff(file)
        file.seek(0)
        # It has all that Pillow asks of a file.
        image = reader(cast("IO[bytes]", limits.BoundedReader(file)), "")
        _check_size(*image.size, max_pixels)
        limits.check_decoder(image)
        if isinstance(image, TiffImagePlugin.TiffImageFile):
            _check_whole(image, file, file_bytes)
        several_scans = False
        if isinstance(image, JpegImagePlugin.JpegImageFile):
            several_scans = "progressive" in image.info or components != image.layers
            if several_scans:
                place = file.tell()
                limits.check_scans(file)
                file.seek(place)
        stored_pixels = math.prod(image.size)
        if resize is not None and isinstance(image, JpegImagePlugin.JpegImageFile):
            image.draft(image.mode, (DRAFT_GAP * resize, DRAFT_GAP * resize))
        needed = _bytes_to_decode(image, stored_pixels, several_scans, file_bytes)
        if needed > memory_limit:
            size = f"{image.width} x {image.height} pixels of this kind of {image.format}"
            raise TooLargeError(f"{size} take {needed:,} bytes to decode, over the limit (--max-pixels)")
        held.enter_context(_memory.taking(max(needed, _COPIES_BYTES * math.prod(image.size)), memory_limit))
        return _upright_rgb(image, ours=True)


def _open_file(path: str | os.PathLike[str]) -> BinaryIO:
    if os.path.isdir(path):
        raise ImageError("a folder, not a picture; shufflenet.find_pictures gives the paths of those in it")
    regular_file(path, "picture")
    return open(path, "rb")


def _reader(file: BinaryIO) -> Callable[[IO[bytes], str], Image.Image]:
    file.seek(0)
    start = file.read(16)
    file.seek(0)
    for pattern, reader in _READERS:
        if re.match(pattern, start, re.DOTALL):
            return reader
    raise UnknownFormatError(f"not a picture in a format that can be read ({_READABLE})" if start else "empty file")


def _check_size(width: int, height: int, max_pixels: int) -> None:
    if width * height > max_pixels:
        raise TooLargeError(f"{width} x {height} pixels, over the limit of {max_pixels:,} (--max-pixels)")
    if width * height == 0:
        raise ImageError("a picture without pixels")


def _check_whole(image: TiffImagePlugin.TiffImageFile, file: BinaryIO, file_bytes: int) -> None:
    """Finds a cut TIFF before libtiff does, whose reasons are not passed on.

    Raises:
        ImageError: the file ends before its directory or a strip does.
    """
    file.seek(0)
    order, version, directory = struct.unpack("<2sHI" if file.read(1) == b"I" else ">2sHI", _read_at(file, 0, 8))
    ends = [0]
    if version == 42:  # not BigTIFF, whose offsets are longer
        (entries,) = struct.unpack("<H" if order == b"II" else ">H", _read_at(file, directory, 2))
        ends.append(directory + 2 + 12 * entries + 4)
    for offsets, lengths in _STRIP_TAGS:
        pairs = zip(image.tag_v2.get(offsets, ()), image.tag_v2.get(lengths, ()), strict=False)
        ends += [offset + length for offset, length in pairs]
    if max(ends) > file_bytes:
        raise ImageError(f"damaged picture (file is cut short: {file_bytes:,} of {max(ends):,} bytes)")


def _read_at(file: BinaryIO, offset: int, count: int) -> bytes:
    file.seek(offset)
    return file.read(count)


def _bytes_to_decode(image: Image.Image, stored_pixels: int, several_scans: bool, file_bytes: int) -> int:
    """The most bytes that Pillow and the library below it hold while they decode ``image``, reduced or not."""
    pixels = image.width * image.height
    needed = 4 * pixels
    if isinstance(image, WebPImagePlugin.WebPImageFile):
        return 5 * needed + file_bytes  # two canvases, a decoder's frame, a copy as bytes, and the image
    if isinstance(image, JpegImagePlugin.JpegImageFile):
        return needed + (2 * image.layers * stored_pixels if several_scans else 0)  # all coefficients, 16 bits each
    if isinstance(image, TiffImagePlugin.TiffImageFile) and image.tile and image.tile[0][0] == "libtiff":
        tags, height = image.tag_v2, image.height
        tile_width, tile_height = (
            int(tags.get(tag, 0)) for tag in (TiffImagePlugin.TILEWIDTH, TiffImagePlugin.TILELENGTH)
        )
        rows = tile_height or min(int(tags.get(TiffImagePlugin.ROWSPERSTRIP, height)), height)
        bits = max(32, sum(tags.get(TiffImagePlugin.BITSPERSAMPLE, (1,))))
        buffer = max(tile_width, image.width) * rows * bits // 8  # one strip or tile
        turned = needed if tags.get(_EXIF_ORIENTATION, 1) != 1 else 0  # by Pillow, before the buffer is freed
        return needed + buffer + turned + file_bytes  # libtiff maps the file
    return needed + 16 * image.width  # two rows of at most 64 bits per pixel


def _from_array(array: NDArray[np.generic], max_pixels: int) -> Image.Image:
    if array.dtype.kind != "u" or array.dtype.itemsize > 2:
        raise ImageError(f"arrays must be uint8 or uint16, not {array.dtype}")
    if array.ndim == 3 and array.shape[2] == 1:
        array = array[:, :, 0]
    if array.ndim != 2 and not (array.ndim == 3 and array.shape[2] in (3, 4)):
        raise ImageError(f"arrays must be [H, W], [H, W, 1], [H, W, 3] or [H, W, 4], not {list(array.shape)}")
    _check_size(array.shape[1], array.shape[0], max_pixels)
    return Image.fromarray(array if array.dtype == np.uint8 else _high_byte(array, 16))


def _upright_rgb(image: Image.Image, ours: bool) -> Image.Image:
    image.load()
    method = _transposition(image)
    picture = _to_rgb(image)
    if ours and picture is not image:
        image.close()  # frees its pixels before the next copy is made
    if method is None:
        return picture
    picture = picture.transpose(method)
    picture.info = {}  # the orientation is used up: decoding the result again must not turn it again
    return picture


def _transposition(image: Image.Image) -> Image.Transpose | None:
    if len(image.info.get("exif", b"")) > limits.MAX_EXIF_BYTES:
        return None
    try:
        orientation = image.getexif().get(_EXIF_ORIENTATION)
    except Exception:  # damaged EXIF data are no reason to refuse good pixels
        return None
    return _UPRIGHT.get(orientation) if isinstance(orientation, int) else None


def _to_rgb(image: Image.Image) -> Image.Image:
    if image.mode in _GREY_16_BIT or (image.mode == "I" and image.format in ("PNG", "PPM")):
        return _in_strips(image, _grey_16_bit(image))
    if image.mode in ("I", "F"):
        kind = "32-bit integers" if image.mode == "I" else "floating-point values"
        raise ImageError(f"{kind} have no fixed brightness; save the picture with 8 or 16 bits per channel")
    if image.has_transparency_data and _usable_transparency(image):
        return _in_strips(image, _to_rgba)
    return image if image.mode == "RGB" else image.convert("RGB")


def _in_strips(image: Image.Image, convert: Callable[[Image.Image], Image.Image]) -> Image.Image:
    """``image`` over white, converted a strip at a time: a large picture is never held three times."""
    width, height = image.size
    rows = max(1, _STRIP_PIXELS // width)
    result = Image.new("RGB", (width, height), "white")
    for top in range(0, height, rows):
        box = (0, top, width, min(top + rows, height))
        strip = convert(image.crop(box))
        result.paste(strip, box, mask=strip if strip.mode == "RGBA" else None)
    return result


def _to_rgba(strip: Image.Image) -> Image.Image:
    transparent = strip.info.get("transparency")
    if isinstance(transparent, tuple) and max(transparent) > 255:  # of a 16-bit PNG, which Pillow reads as 8-bit
        strip.info["transparency"] = tuple(value >> 8 for value in transparent)
    if strip.mode == "La":
        strip = strip.convert("LA")
    return strip.convert("RGBA")


def _usable_transparency(image: Image.Image) -> bool:
    """Whether the transparency fits the mode: a conversion can leave another mode's in ``image.info``."""
    if image.mode == "RGB":
        transparent = image.info["transparency"]
        return isinstance(transparent, tuple) and len(transparent) == 3
    if image.mode in ("L", "1"):
        return isinstance(image.info["transparency"], int)
    return image.mode in ("P", "PA", "LA", "La", "RGBA", "RGBa")


def _grey_16_bit(image: Image.Image) -> Callable[[Image.Image], Image.Image]:
    bits, white_is_zero = 16, False
    if isinstance(image, TiffImagePlugin.TiffImageFile):
        bits = image.tag_v2.get(TiffImagePlugin.BITSPERSAMPLE, (16,))[0]  # Pillow gives 12 bits unscaled
        white_is_zero = image.tag_v2.get(TiffImagePlugin.PHOTOMETRIC_INTERPRETATION) == 0
    transparent = image.info.get("transparency")

    def convert(strip: Image.Image) -> Image.Image:
        values = np.asarray(strip)
        grey = _high_byte(values, bits)
        if white_is_zero:
            grey = 255 - grey
        if isinstance(transparent, int):
            grey[values == transparent] = 255
        return Image.fromarray(grey).convert("RGB")

    return convert


def _high_byte(values: NDArray[np.generic], bits: int) -> NDArray[np.uint8]:
    """Values of ``bits`` bits scaled to 8, as Pillow does for 16-bit colour; for grey it would clip them."""
    result = np.empty(values.shape, dtype=np.uint8)
    np.right_shift(values, bits - 8, out=result, casting="unsafe")
    return result
