"""The compiled library of the package: a module of Python for the quickest call, opened with ctypes for all others."""

from __future__ import annotations

import ctypes

try:
    from shufflenet import _engine
except ImportError as error:
    raise ImportError(f"the engine is not built ({error}); install the package with pip, see the README") from error

run_network = _engine.run


def open_library() -> ctypes.CDLL:
    return ctypes.CDLL(_engine.__file__)
