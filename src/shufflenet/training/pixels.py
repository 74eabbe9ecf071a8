"""Pictures decoded once and kept as uint8 in a memory-mapped file of the run folder, or in memory if the disk is full.

If neither has room they are decoded whenever they are needed, from a folder, a .zip or shards of any size.

A training picture is stored with its shorter side at most `Fit.side` pixels and the longer at most half as long again:
enough around the central square for random crops. A validation picture is stored exactly as `preprocess` sees it.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from shufflenet.atomic_file import atomic_file
from shufflenet.pictures import images
from shufflenet.pictures.dataset import Picture, Split
from shufflenet.pictures.preprocessing import Preprocessing, resize_and_crop
from shufflenet.threads import map_in_order

MAX_ASPECT = 1.5
_BLOCK = 512  # pictures between two looks at whether the rest has room
_FREE_BYTES = 256 << 20  # left on the disk for checkpoints
_MEMORY_SHARE = 0.5  # of free memory, for decoded pictures

Progress = Callable[[int, int], None]  # told how many pictures are done, and of how many


@dataclass(frozen=True)
class Fit:
    """How a picture is made ready to be stored."""

    name: str  # what is stored, such as "val 64 72"; with the pictures' fingerprint it names the file
    side: int  # pixels of its shorter side, at most
    resample: Callable[[Image.Image], Image.Image]

    def decode(self, picture: Picture) -> NDArray[np.uint8]:  # [H, W, 3]
        """The pixels as they are stored; raises images.ImageError."""
        return np.asarray(self.resample(picture.decode(self.side)))


@dataclass(frozen=True)
class Decoded:
    """N decoded pictures of various sizes."""

    flat: NDArray[np.uint8]
    shapes: NDArray[np.int64]  # [N, 2] height and width; 0 x 0: the picture is broken
    starts: NDArray[np.int64]  # [N] the place of each picture in `flat`

    def __len__(self) -> int:
        return len(self.shapes)

    def __getitem__(self, index: int) -> NDArray[np.uint8]:  # [H, W, 3]
        height, width = self.shapes[index].tolist()
        start = int(self.starts[index])
        return self.flat[start : start + height * width * 3].reshape(height, width, 3)

    def broken(self) -> list[int]:
        return np.flatnonzero(self.shapes[:, 0] == 0).tolist()

    def without_broken(self) -> Decoded:
        keep = self.shapes[:, 0] > 0
        return Decoded(self.flat, self.shapes[keep], self.starts[keep])


@dataclass(frozen=True)
class OnDemand:
    """N pictures, decoded each time they are asked for."""

    split: Split
    fit: Fit
    broken_ones: frozenset[int]

    def __len__(self) -> int:
        return len(self.split)

    def __getitem__(self, index: int) -> NDArray[np.uint8]:  # [H, W, 3]
        return self.fit.decode(self.split.pictures[index])

    def broken(self) -> list[int]:
        return sorted(self.broken_ones)

    def without_broken(self) -> OnDemand:
        return OnDemand(self.split.without(self.broken_ones), self.fit, frozenset())


Pixels: TypeAlias = "Decoded | OnDemand"


def fit_for_training(side: int) -> Fit:
    """Keeps up to `MAX_ASPECT` of a picture, its shorter side reduced to ``side``; nothing is enlarged."""

    def resample(picture: Image.Image) -> Image.Image:
        width, height = picture.size
        short = min(width, height)
        across, down = min(width, short * MAX_ASPECT), min(height, short * MAX_ASPECT)
        left, top = (width - across) / 2, (height - down) / 2
        scale = min(1.0, side / short)
        size = (max(1, round(across * scale)), max(1, round(down * scale)))
        if size == picture.size:
            return picture
        box = (left, top, left + across, top + down)
        return picture.resize(size, Image.Resampling.BILINEAR, box=box, reducing_gap=3.0)

    return Fit(f"train {side}", side, resample)


def fit_for_validation(preprocessing: Preprocessing) -> Fit:
    """Keeps exactly what the network is shown: a square of `Preprocessing.size`."""
    name = f"val {preprocessing.size} {preprocessing.resize}"
    return Fit(name, preprocessing.resize, lambda picture: resize_and_crop(picture, preprocessing))


def load(split: Split, fit: Fit, folder: Path, progress: Progress, broken_too: bool) -> tuple[Pixels, list[str]]:
    """Decodes every picture, or opens what an earlier run has left in ``folder``.

    Args:
        broken_too: whether to open it if pictures were broken then; if not, all are decoded again, repaired perhaps.

    Returns:
        The pictures, and a message for each broken one; none if they were opened, as an earlier run has named it.
    """
    opened = find(split, fit, folder)
    if opened is not None and (broken_too or not opened.broken()):
        return opened, []
    messages: list[str] = []
    try:
        return _load_to_file(split, fit, _path(split, fit, folder), messages, progress), messages
    except OSError:  # no room: the disk is not needed
        messages.clear()
    try:
        return _load_to_memory(split, fit, messages, progress), messages
    except MemoryError:
        messages.clear()
    broken = set()
    for index, decoded in enumerate(_decoded(split, fit, progress)):
        if isinstance(decoded, str):
            messages.append(decoded)
            broken.add(index)
    return OnDemand(split, fit, frozenset(broken)), messages


def find(split: Split, fit: Fit, folder: Path) -> Decoded | None:
    """The pictures that an earlier run or another process has decoded; None: there are none, or not all."""
    path = _path(split, fit, folder)
    try:
        shapes = np.load(path.with_suffix(".npy"), allow_pickle=False)
        flat = np.memmap(path, dtype=np.uint8, mode="r")
    except (OSError, ValueError, EOFError):
        return None
    pixels = _pixels(flat, shapes)
    whole = len(shapes) == len(split) and flat.size == 3 * int(shapes.prod(axis=1).sum())
    return pixels if whole else None


def _path(split: Split, fit: Fit, folder: Path) -> Path:
    key = hashlib.sha256(f"{split.fingerprint()} {fit.name}".encode()).hexdigest()[:16]
    return folder / f"{fit.name.split()[0]}-{key}.u8"


def _pixels(flat: NDArray[np.uint8], shapes: NDArray[np.int64]) -> Decoded:
    ends = np.cumsum(3 * shapes.prod(axis=1))
    return Decoded(flat, shapes, ends - 3 * shapes.prod(axis=1))


def _load_to_file(split: Split, fit: Fit, path: Path, messages: list[str], progress: Progress) -> Decoded:
    path.parent.mkdir(parents=True, exist_ok=True)
    shapes = np.zeros((len(split), 2), dtype=np.int64)
    with atomic_file(path) as file:
        for index, decoded in enumerate(_decoded(split, fit, progress)):
            if isinstance(decoded, str):
                messages.append(decoded)
                continue
            shapes[index] = decoded.shape[:2]
            if index % _BLOCK == 0:
                needed = _needed_bytes(file.tell(), index, len(split))
                if shutil.disk_usage(path.parent).free < needed + _FREE_BYTES:
                    raise OSError("not enough room on the disk")
            file.write(decoded.tobytes())
        if not file.tell():
            raise OSError("nothing to map")
    with atomic_file(path.with_suffix(".npy")) as file:  # last: it says that the other is complete
        np.save(file, shapes)
    return _pixels(np.memmap(path, dtype=np.uint8, mode="r"), shapes)


def _load_to_memory(split: Split, fit: Fit, messages: list[str], progress: Progress) -> Decoded:
    flat = bytearray()
    shapes = np.zeros((len(split), 2), dtype=np.int64)
    for index, decoded in enumerate(_decoded(split, fit, progress)):
        if isinstance(decoded, str):
            messages.append(decoded)
            continue
        if index % _BLOCK == 0 and _needed_bytes(len(flat), index, len(split)) > _MEMORY_SHARE * _free_memory():
            raise MemoryError
        shapes[index] = decoded.shape[:2]
        flat += decoded.tobytes()
    return _pixels(np.frombuffer(flat, dtype=np.uint8), shapes)


def _needed_bytes(used: int, done: int, of: int) -> float:
    """Bytes for the pictures that are left, by the mean of those done."""
    return used / done * (of - done) if done else 0.0


def _free_memory() -> float:
    """Bytes of free memory, with that in which the system only keeps files."""
    with contextlib.suppress(OSError), open("/proc/meminfo", encoding="ascii") as lines:
        for line in lines:
            if line.startswith("MemAvailable:"):
                return 1024.0 * int(line.split()[1])
    try:
        return float(os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"))
    except (AttributeError, ValueError, OSError):  # a system that does not say
        return float("inf")


def _decoded(split: Split, fit: Fit, progress: Progress) -> Iterator[NDArray[np.uint8] | str]:
    """Each picture in order, uint8 [H, W, 3], or a message that says why it can't be read."""

    def read(index: int) -> NDArray[np.uint8] | str:
        try:
            return fit.decode(split.pictures[index])
        except images.ImageError as error:
            return str(error)

    for done, decoded in enumerate(map_in_order(read, range(len(split))), start=1):
        yield decoded
        if done % _BLOCK == 0 or done == len(split):
            progress(done, len(split))
