"""What every target of the export says about itself, and how a result is run to be checked."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from shufflenet import __version__
from shufflenet.model_file import described_architecture
from shufflenet.networks.model import Model


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
    stand_in: str = ""  # what runs in place of a runtime that is not for this machine, and why; its time says nothing


@dataclass(frozen=True)
class Target:
    """One row of the table of targets.

    Args:
        suffix: of the file or folder that is written, behind the model's name.
        write: writes an order to a path that is not there yet.
        open: prepares the result of an order, at that path, for running.
        folder: a folder is written, not a file.
        signature: stands in a file that this target wrote, of whatever version, and in no other's.
        writes_with, runs_with: packages that must be installed to write, and besides to check; from the extra of the
            target's name.
        runs_with_compiler: the check builds the result with a C compiler.
    """

    name: str
    title: str
    suffix: str
    write: Callable[[Order, Path], None]
    open: Callable[[Order, Path], Runner]
    folder: bool = False
    signature: bytes = b""
    writes_with: tuple[str, ...] = ()
    runs_with: tuple[str, ...] = ()
    runs_with_compiler: bool = False

    @property
    def install(self) -> str:
        """The line that installs what the target needs; "": nothing."""
        return f"pip install 'shufflenet[{self.name}]'" if self.writes_with + self.runs_with else ""


Layout = Literal["NCHW", "NHWC"]


def describe(model: Model, layout: Layout = "NCHW") -> dict[str, Any]:
    """What must be known to use the network, as in a model file. Softmax over the logits gives probabilities."""
    return {
        "architecture": described_architecture(model.graph),
        "preprocessing": {"colour_order": "RGB", "layout": layout, **asdict(model.preprocessing)},
        "labels": model.labels,
        "accuracy": model.accuracy,
    }


def companions(order: Order, target: str, layout: Layout = "NCHW") -> dict[str, str]:
    """The small files that go with a network, their texts by name: its labels, a line each, and `describe` as JSON."""
    description = {
        "made_by": made_by(target),
        **describe(order.model, layout),
        "input": {"height": order.height, "width": order.width},
    }
    return {
        "labels.txt": "".join(f"{label}\n" for label in order.model.labels),
        "model.json": json.dumps(description, indent=2, ensure_ascii=False) + "\n",
    }


def write_companions(order: Order, target: str, folder: Path) -> None:
    for name, text in companions(order, target).items():
        (folder / name).write_text(text, encoding="utf-8", newline="\n")


def made_by(target: str) -> str:
    return f"shufflenet {__version__} export --to {target}"


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
