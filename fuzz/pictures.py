"""Picture files for `shufflenet.decode`: each is refused by a line, or becomes RGB and a finite input of a network.

Nothing but that line is said, and no file takes more memory or time than `pictures/limits.py` says.
"""

from __future__ import annotations

import os
import tempfile
from random import Random

import numpy as np

from damage import damaged_bytes, with_png_checksums
from shufflenet.pictures import images
from shufflenet.pictures.preprocessing import Preprocessing, preprocess
from target import check_message, fuzz

_MAX_PIXELS = 1_000_000
_SMALL = Preprocessing(size=32, resize=36)


class _Quiet:
    """Within the block nobody writes to stderr, not even the C libraries of decoders."""

    def __init__(self) -> None:
        self._file, name = tempfile.mkstemp()
        os.unlink(name)
        self._stderr = os.dup(2)

    def __enter__(self) -> None:
        os.dup2(self._file, 2)

    def __exit__(self, *_: object) -> None:
        os.dup2(self._stderr, 2)
        if said := os.fstat(self._file).st_size:
            text = os.pread(self._file, said, 0)
            os.ftruncate(self._file, 0)
            raise AssertionError(f"a decoder wrote {text!r}")


_quiet = _Quiet()


def run(data: bytes) -> None:
    """Decodes ``data``, every second time at a reduced scale.

    Raises:
        AssertionError: what `images.decode` promises is not so.
    """
    with _quiet:
        try:
            picture = images.decode(data, _MAX_PIXELS, resize=16 if len(data) % 2 else None)
        except images.ImageError as error:
            check_message(error, "<bytes>")
            return
    assert picture.mode == "RGB"
    assert 0 < picture.width * picture.height <= _MAX_PIXELS
    assert np.isfinite(preprocess(picture, _SMALL)).all()


def mutate(data: bytes, random: Random) -> bytes | None:
    """Changes bytes; a PNG's checksums are right again, or nothing behind the first of them is looked at."""
    changed = damaged_bytes(data, random)
    return with_png_checksums(changed) if changed.startswith(b"\x89PNG") else changed


if __name__ == "__main__":
    fuzz(run, mutate)
