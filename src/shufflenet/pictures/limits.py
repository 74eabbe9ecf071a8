"""Bounds on the time and memory that one picture file may take, whatever is in it.

Time: at most `MAX_SECONDS` of one core, and until the decoder asks for its next piece of the file. Memory: 10 bytes for
each pixel of the limit, as `images.decode` counts, and some 100 MB for objects that Pillow makes of a file's parts.
Both hold because every decoder that is used is written in C, takes time in proportion to pixels and bytes, and gets its
bytes from a `BoundedReader`. Files for which that is not so are refused before they are decoded.
"""

from __future__ import annotations

import re
import struct
import time
from typing import Any, BinaryIO

from PIL import Image

MAX_SECONDS = 20.0  # of a core, to decode a picture; the largest that are read take about 3
MAX_READS = 1_000_000  # of a file by its decoder; each can become a Python object
MAX_SCANS = 100  # of a JPEG: each passes over all of its coefficients. libtiff has the same limit for JPEG within TIFF
MAX_EXIF_BYTES = 4 << 20
MAX_TAG_VALUES = 1 << 20  # of one TIFF tag, such as the places of strips; each becomes a Python number

_LARGE_READ = 4096  # bytes; after a shorter one the clock is read once in a while only
_READS_BETWEEN = 64
_BLOCK = 1 << 20

_MARKER = re.compile(rb"\xff[^\x00\xd0-\xd7\xff]")  # in a JPEG's entropy-coded data: its end
_START_OF_SCAN, _END_OF_IMAGE, _EXIF_SEGMENT = 0xDA, 0xD9, 0xE1
_BYTE_TYPES = (1, 2, 7)  # of TIFF: bytes and text, which Pillow keeps as they are


class LimitError(ValueError):
    """A file takes more time or memory than a picture needs. The message lacks the picture's name."""


class BoundedReader:
    """A file for a decoder, whose `read` ends the decoding when the thread has used up its time or its reads.

    Raises:
        LimitError: by `read`.
    """

    def __init__(self, file: BinaryIO, seconds: float = MAX_SECONDS) -> None:
        self._file = file
        self._seconds = seconds
        self._end = time.thread_time() + seconds
        self._reads = 0

    def read(self, count: int = -1) -> bytes:
        """Reads at most ``count`` bytes; -1: all that are left."""
        self._reads += 1
        if not 0 <= count < _LARGE_READ or self._reads % _READS_BETWEEN == 0:
            if time.thread_time() > self._end:
                raise LimitError(f"takes more than {self._seconds:g} seconds to decode")
            if self._reads > MAX_READS:
                raise LimitError(f"is cut into more than {MAX_READS:,} parts")
        return self._file.read(count)

    def __getattr__(self, name: str) -> Any:
        """The file's own `seek`, `tell`, `fileno` and the like."""
        return getattr(self._file, name)


def check_decoder(image: Image.Image) -> None:
    """Refuses kinds of pictures that Pillow decodes in Python, slowly and while no other thread can run.

    Raises:
        LimitError: it is of such a kind.
    """
    for tile in getattr(image, "tile", ()):
        if tile[0] in Image.DECODERS:  # the registry of decoders written in Python
            kind = {"bmp_rle": "run-length coded BMP", "ppm_plain": "PNM in plain text"}.get(
                tile[0], f"this kind of {image.format}"
            )
            raise LimitError(f"{kind} is not read: its decoder is too slow for files of unknown origin; save it as PNG")


def components_of_first_scan(file: BinaryIO) -> int:
    """Returns the number of colour components in the first scan of a JPEG; 0 if something odd comes before the scan.

    Raises:
        LimitError: more than `MAX_EXIF_BYTES` of EXIF data, which Pillow would make Python objects of.
    """
    file.seek(2)
    exif_bytes = 0
    while len(head := file.read(4)) == 4 and head[0] == 0xFF and head[1] >= 0xC0 and not 0xD0 <= head[1] <= 0xD9:
        length = int.from_bytes(head[2:], "big")
        if head[1] == _START_OF_SCAN:
            return file.read(1)[0]
        exif_bytes += length if head[1] == _EXIF_SEGMENT else 0
        if exif_bytes > MAX_EXIF_BYTES:
            raise LimitError(f"more than {MAX_EXIF_BYTES:,} bytes of EXIF data")
        file.seek(length - 2, 1)
    return 0


def check_scans(file: BinaryIO) -> None:
    """Counts the scans of a JPEG that has several, from its first byte to the end of the image.

    Raises:
        LimitError: more than `MAX_SCANS`.
    """
    file.seek(2)
    scans = 0
    while len(head := file.read(4)) == 4 and head[0] == 0xFF and head[1] != _END_OF_IMAGE:
        file.seek(int.from_bytes(head[2:], "big") - 2, 1)
        if head[1] == _START_OF_SCAN:
            scans += 1
            if scans > MAX_SCANS:
                raise LimitError(f"a JPEG of more than {MAX_SCANS} scans")
            if not _skip_entropy_coded(file):
                return


def _skip_entropy_coded(file: BinaryIO) -> bool:
    """Moves ``file`` to the next marker; returns False at its end."""
    place = file.tell()
    while len(block := file.read(_BLOCK)) > 1:
        if found := _MARKER.search(block):
            file.seek(place + found.start())
            return True
        place += len(block) - 1  # a marker may begin with the block's last byte
        file.seek(place)
    return False


def check_tiff(file: BinaryIO) -> None:
    """Refuses a TIFF whose first directory has a tag of too many values, before Pillow makes numbers of them.

    Raises:
        LimitError: it has one.
        struct.error: the file is cut.
    """
    file.seek(0)
    order = "<" if file.read(2) == b"II" else ">"
    big = struct.unpack(f"{order}H", file.read(2))[0] == 43
    if big:
        (directory,) = struct.unpack(f"{order}4xQ", file.read(12))
    else:
        (directory,) = struct.unpack(f"{order}I", file.read(4))
    file.seek(directory)
    entries = struct.unpack(f"{order}Q", file.read(8))[0] if big else struct.unpack(f"{order}H", file.read(2))[0]
    layout = struct.Struct(f"{order}HHQ8x" if big else f"{order}HHI4x")
    for _ in range(min(entries, 1 << 16)):
        entry = file.read(layout.size)
        if len(entry) < layout.size:
            return
        tag, kind, count = layout.unpack(entry)
        if kind not in _BYTE_TYPES and count > MAX_TAG_VALUES:
            raise LimitError(f"a TIFF whose tag {tag} has {count:,} values; at most {MAX_TAG_VALUES:,} are read")
