"""The memory of a PIL image's pixels, where Pillow (11.3 and later) shows it by way of Arrow; elsewhere a copy."""

from __future__ import annotations

import ctypes
from typing import Any

from PIL import Image


class _ArrowArray(ctypes.Structure):
    """Of Arrow's C data interface."""


_ArrowArray._fields_ = [
    *[(name, ctypes.c_int64) for name in ("length", "null_count", "offset", "n_buffers", "n_children")],
    ("buffers", ctypes.POINTER(ctypes.c_void_p)),
    ("children", ctypes.POINTER(ctypes.POINTER(_ArrowArray))),
]

_pointer = ctypes.PYFUNCTYPE(ctypes.POINTER(_ArrowArray), ctypes.py_object, ctypes.c_char_p)(
    ("PyCapsule_GetPointer", ctypes.pythonapi)
)


def rgbx(picture: Image.Image) -> tuple[int, Any]:
    """The address of an RGB image's pixels, row by row without gaps, four bytes each; and what to hold meanwhile.

    The image must not be changed as long as that is held.
    """
    try:
        capsules = picture.__arrow_c_array__()
    except (AttributeError, ValueError):  # an older Pillow; or a large image, which is not in one piece
        copy = picture.tobytes("raw", "RGBX")
        return ctypes.cast(ctypes.c_char_p(copy), ctypes.c_void_p).value or 0, copy
    array = _pointer(capsules[1], b"arrow_array").contents
    values = array.children[0].contents  # of the list of four that each pixel is
    return (values.buffers[1] or 0) + 4 * array.offset, capsules
