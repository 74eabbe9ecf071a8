"""What every target of the export says about itself, and how a result is run to be checked."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from shufflenet.model_file import Model


class ExportError(ValueError):
    """A model can't be exported. The message is one line and says what to do."""


@dataclass(frozen=True)
class Order:
    """What is to be exported, and for which input size."""

    model: Model
    name: str  # an `identifier`
    height: int
    width: int
    fixed: bool = True  # no other size is wanted, even where the target could take any


@dataclass(frozen=True)
class Runner:
    """An exported network, ready to run on this machine with one thread."""

    logits: Callable[[NDArray[np.float32]], NDArray[np.float32]]  # [3, H, W] -> [classes]
    # uint8 [H, W, 3] of any size -> [classes]; None: preprocessing is the caller's.
    probabilities: Callable[[NDArray[np.uint8]], NDArray[np.float32]] | None = None


@dataclass(frozen=True)
class Target:
    """One row of the table of targets.

    Args:
        suffix: of the file that is written; "": a folder is.
        write: writes an order to a path that is not there yet.
        open: prepares the result of an order, at that path, for running.
        signature: stands in the first bytes of a file that this target wrote, and in no other's.
        writes_with, runs_with: packages that must be installed to write, and besides to check, from the extra
            ``export``.
        runs_with_compiler: the check builds the result with a C compiler.
    """

    name: str
    title: str
    suffix: str
    write: Callable[[Order, Path], None]
    open: Callable[[Order, Path], Runner]
    signature: bytes = b""
    writes_with: tuple[str, ...] = ()
    runs_with: tuple[str, ...] = ()
    runs_with_compiler: bool = False


# What a name must not be: words of C and names of its headers, CMake's targets, and files of an exported folder.
_TAKEN = (
    " alignas alignof asm auto bool break case char const constexpr continue default do double else enum extern false"
    " float for goto if inline int long nullptr register restrict return short signed sizeof static static_assert"
    " struct switch thread_local true typedef typeof union unsigned void volatile while"
    " assert complex ctype errno fenv float inttypes iso646 limits locale math setjmp signal stdalign stdarg stdatomic"
    " stdbool stddef stdint stdio stdlib stdnoreturn string tgmath threads time uchar wchar wctype"
    " all clean edit_cache help install m package rebuild_cache test"
    " main shufflenet "
)


def identifier(text: str) -> str:
    """``text`` as a name that C, CMake and file systems take: letters, digits and underscores.

    >>> identifier("my cat-model.v2")
    'my_cat_model_v2'
    """
    name = re.sub(r"[^A-Za-z0-9_]", "_", text)[:64]
    if not name or not name[0].isalpha() or f" {name.lower()} " in _TAKEN or name.lower().startswith("engine"):
        name = f"model_{name}"
    return name
