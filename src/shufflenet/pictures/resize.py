"""A picture's square resized to the network's input, in C (python/resize.h): Pillow's bilinear resize, only faster.

A picture that is far too large is first reduced by a whole factor, by Pillow, as its resize does with reducing_gap=3.
"""

from __future__ import annotations

import ctypes
import math
from functools import cache

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from shufflenet.library import open_library
from shufflenet.pictures.pixel_memory import rgbx

_REDUCING_GAP = 3
_LONG = 1 << 16  # pixels; of more, float32 does not tell well where the middle is


class _Picture(ctypes.Structure):
    _fields_ = [("rgbx", ctypes.c_void_p), ("width", ctypes.c_int32), ("height", ctypes.c_int32)]


class _Rectangle(ctypes.Structure):
    _fields_ = [(side, ctypes.c_float) for side in ("left", "top", "right", "bottom")]


@cache
def _library() -> ctypes.CDLL:
    library = open_library()
    void = ctypes.c_void_p
    library.shufflenet_resize_bytes.argtypes = [ctypes.c_int32, ctypes.c_int32]
    library.shufflenet_resize_bytes.restype = ctypes.c_size_t
    library.shufflenet_resize.argtypes = [
        ctypes.POINTER(_Picture), ctypes.POINTER(_Rectangle), ctypes.c_int32, void, void, void,
    ]  # fmt: skip
    return library


def central_square(picture: Image.Image, size: int, resize: int, levels: NDArray[np.float32]) -> NDArray[np.float32]:
    """The central ``size`` x ``size`` pixels of an RGB picture whose shorter side is resized to ``resize``.

    Args:
        levels: [3, 256] without gaps, what each value of red, green and blue becomes.

    Returns:
        [3, size, size]

    Raises:
        ValueError: ``picture`` is not RGB.
    """
    if picture.mode != "RGB":
        raise ValueError(f"the picture must be RGB, not {picture.mode}")
    side = min(picture.size) * size / resize
    left, top = (picture.width - side) / 2, (picture.height - side) / 2
    factor = max(1, int(side / size / _REDUCING_GAP))
    if factor > 1 or max(picture.size) > _LONG:
        reach = max(1.0, side / size / 2)
        box = (
            max(0, int(left - reach)),
            max(0, int(top - reach)),
            min(picture.width, math.ceil(left + side + reach)),
            min(picture.height, math.ceil(top + side + reach)),
        )
        picture = picture.reduce(factor, box) if factor > 1 else picture.crop(box)
        left, top, side = (left - box[0]) / factor, (top - box[1]) / factor, side / factor
    width, height = picture.size
    right, bottom = min(width, left + side), min(height, top + side)  # rounding may take it a little over the edge
    library, (address, held) = _library(), rgbx(picture)
    memory = np.empty(library.shufflenet_resize_bytes(width, size), dtype=np.uint8)
    result = np.empty((3, size, size), dtype=np.float32)
    done = library.shufflenet_resize(
        _Picture(address, width, height),
        _Rectangle(left, top, right, bottom),
        size,
        levels.ctypes.data,
        memory.ctypes.data,
        result.ctypes.data,
    )
    del held
    if not done:
        raise RuntimeError(f"can't resize {side:g} of {width} x {height} pixels to {size}")
    return result
