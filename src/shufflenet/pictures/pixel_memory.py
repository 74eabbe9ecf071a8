"""The memory of a PIL image's pixels, where Pillow (11.3 and later) shows it by way of Arrow; elsewhere copies."""

from __future__ import annotations

import ctypes
from collections.abc import Iterator
from typing import Any

from PIL import Image

_BAND_PIXELS = 1 << 17  # copied at a time, of an image that is not in one piece


class _ArrowArray(ctypes.Structure):
    """An array in Arrow's C data interface."""


_ArrowArray._fields_ = [
    *[(name, ctypes.c_int64) for name in ("length", "null_count", "offset", "n_buffers", "n_children")],
    ("buffers", ctypes.POINTER(ctypes.c_void_p)),
    ("children", ctypes.POINTER(ctypes.POINTER(_ArrowArray))),
]

_pointer = ctypes.PYFUNCTYPE(ctypes.POINTER(_ArrowArray), ctypes.py_object, ctypes.c_char_p)(
    ("PyCapsule_GetPointer", ctypes.pythonapi)
)


def lines_of(picture: Image.Image, left: int, top: int, width: int, height: int) -> Iterator[tuple[int, int, int]]:
    """Gives the pixels of a part of an RGB image, four bytes each: red, green, blue, and one that doesn't matter.

    The image must not be changed meanwhile.

    Returns:
        (address, bytes from a line to the next, lines) of some lines at a time, from the top down; an address is good
        until the next one is asked for.
    """
    shown = _shown(picture)
    if shown is not None:
        address, held = shown
        yield address + 4 * (top * picture.width + left), 4 * picture.width, height
        del held
        return
    band = max(1, _BAND_PIXELS // width)
    for begin in range(top, top + height, band):
        count = min(band, top + height - begin)
        copy = picture.crop((left, begin, left + width, begin + count))
        address, held = _shown(copy) or _bytes(copy)
        yield address, 4 * width, count
        del held


def _shown(picture: Image.Image) -> tuple[int, Any] | None:
    """The address of all pixels, without gaps, and what to hold meanwhile; None: Pillow does not show it."""
    try:
        capsules = picture.__arrow_c_array__()
    except (AttributeError, ValueError):  # an older Pillow; or a large image, which is not in one piece
        return None
    array = _pointer(capsules[1], b"arrow_array").contents
    values = array.children[0].contents  # of the list of four that each pixel is
    return (values.buffers[1] or 0) + 4 * array.offset, capsules


def _bytes(picture: Image.Image) -> tuple[int, Any]:
    copy = picture.tobytes("raw", "RGBX")
    return ctypes.cast(ctypes.c_char_p(copy), ctypes.c_void_p).value or 0, copy
