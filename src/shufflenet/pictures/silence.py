"""Keeps what Pillow and libtiff say about a damaged picture off stderr: they don't know its name."""

from __future__ import annotations

import ctypes
import logging
from contextlib import suppress

from PIL import _imaging


def silence_decoders() -> None:
    """Turns off libtiff's messages in this process, and Pillow's log where the program has set up no logging.

    The errors that Pillow raises say the same, and become an `images.ImageError` with the picture's name.
    """
    logging.getLogger("PIL").addHandler(logging.NullHandler())
    with suppress(AttributeError, OSError):  # libtiff is not there, or does not show its functions
        libtiff = ctypes.CDLL(_imaging.__file__)  # a name is looked up in the libraries that the module needs, too
        for name in ("TIFFSetErrorHandler", "TIFFSetWarningHandler"):
            function = getattr(libtiff, name)
            function.argtypes, function.restype = [ctypes.c_void_p], ctypes.c_void_p
            function(None)
