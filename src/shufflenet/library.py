"""The compiled library of the package, opened with ctypes."""

from __future__ import annotations

import ctypes
import importlib.util


def open_library() -> ctypes.CDLL:
    """Raises ImportError if it is not built."""
    spec = importlib.util.find_spec("shufflenet._engine")
    if spec is None or spec.origin is None:
        raise ImportError("the engine is not built; install the package with pip (see the README)")
    return ctypes.CDLL(spec.origin)
