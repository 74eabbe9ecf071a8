"""The engine's preprocessing (engine/preprocess/preprocess.h) of a PIL image: Pillow's bilinear resize, only faster."""

from __future__ import annotations

import ctypes
from functools import cache

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from shufflenet.pictures.pixel_memory import lines_of


class _Preprocessing(ctypes.Structure):
    _fields_ = [
        *[(name, ctypes.c_int32) for name in ("size", "resize", "height", "width")],
        ("scale", 3 * ctypes.c_float),
        ("shift", 3 * ctypes.c_float),
    ]


class _Part(ctypes.Structure):
    _fields_ = [(name, ctypes.c_int32) for name in ("left", "top", "width", "height")]


@cache
def _library() -> ctypes.CDLL:
    from shufflenet.library import open_library  # only here: whoever reads models alone needs no engine

    library = open_library()
    void, int32 = ctypes.c_void_p, ctypes.c_int32
    library.shufflenet_find_kernels.argtypes = [ctypes.c_char_p]
    library.shufflenet_find_kernels.restype = void
    library.shufflenet_preprocess_bytes.argtypes = [int32, int32]
    library.shufflenet_preprocess_bytes.restype = ctypes.c_size_t
    library.shufflenet_preprocess_begin.argtypes = [
        void, ctypes.POINTER(_Preprocessing), int32, int32, void, void, ctypes.POINTER(_Part),
    ]  # fmt: skip
    library.shufflenet_preprocess_lines.argtypes = [void, void, int32, ctypes.c_size_t, int32]
    library.shufflenet_preprocess_lines.restype = None
    return library


@cache
def _kernels(isa: str | None) -> int | None:
    kernels: int | None = _library().shufflenet_find_kernels(None if isa is None else isa.encode())
    return kernels


def preprocess_bytes(height: int, width: int) -> int:
    """The bytes of memory that preprocessing to an input of this size needs beside the input."""
    count: int = _library().shufflenet_preprocess_bytes(height, width)
    return count


def resize_central(
    picture: Image.Image,
    size: int,
    resize: int,
    shape: tuple[int, int],
    scale: NDArray[np.float32],
    shift: NDArray[np.float32],
    isa: str | None = None,
) -> NDArray[np.float32]:
    """Resizes the middle of an RGB picture: of its shorter side's ``resize`` pixels ``size``.

    Args:
        shape: height and width of the result. As much of the picture as has these proportions becomes it.
        scale: [3], for red, green and blue: a value v from 0 to 255 becomes v * scale + shift.
        shift: [3]
        isa: instruction set level; default: the best that this processor has. The result is the same at each.

    Returns:
        [3, *shape]

    Raises:
        ValueError: ``picture`` is not RGB, or over 3,000 times as large as the result.
    """
    if picture.mode != "RGB":
        raise ValueError(f"the picture must be RGB, not {picture.mode}")
    library, part = _library(), _Part()
    preprocessing = _Preprocessing(size, resize, *shape, tuple(scale.tolist()), tuple(shift.tolist()))
    memory = np.empty(preprocess_bytes(*shape), dtype=np.uint8)
    result = np.empty((3, *shape), dtype=np.float32)
    if not library.shufflenet_preprocess_begin(
        _kernels(isa), preprocessing, *picture.size, memory.ctypes.data, result.ctypes.data, part
    ):
        raise ValueError(f"can't resize {picture.width} x {picture.height} pixels to {shape[1]} x {shape[0]}")
    for address, line_bytes, lines in lines_of(picture, part.left, part.top, part.width, part.height):
        library.shufflenet_preprocess_lines(memory.ctypes.data, address, 4, line_bytes, lines)
    return result
