"""The description of an export target, and what all targets share: names, labels and preprocessing beside a network."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from shufflenet import __version__, known
from shufflenet.install_hint import install_hint
from shufflenet.networks import families
from shufflenet.networks.model import Model


class ExportError(ValueError):
    """A model can't be exported. The message is one line and says what to do about it."""


@dataclass(frozen=True)
class Order:
    """A model to export, and the input size to export it for."""

    model: Model
    name: str  # of the result, an `identifier`
    height: int
    width: int
    fixed: bool = True  # the size was asked for; False: write a network for any size where the format can
    folder: str = ""  # name of the folder that will hold the result; "": `name`


@dataclass(frozen=True)
class Runner:
    """An exported network, ready to run on this machine with one thread."""

    logits: Callable[[NDArray[np.float32]], NDArray[np.float32]]  # [3, H, W] -> [classes]
    # uint8 [H, W, 3] of any size -> [classes]; None: the exported network leaves preprocessing to the caller.
    probabilities: Callable[[NDArray[np.uint8]], NDArray[np.float32]] | None = None
    stand_in: str = ""  # what runs in place of a runtime that this machine lacks, and why; its time is not reported


@dataclass(frozen=True)
class Target:
    """A row of the table of targets.

    Args:
        name: the command line's --to, and the extra that installs its packages.
        title: what it writes, for messages.
        suffix: of the file or folder that is written; the model's name goes before it.
        write: writes an order to a path that does not exist yet.
        open: opens the result of an order at a path for running.
        folder: it writes a folder, not a file.
        signature: bytes that every file of this target has, whatever version wrote it, and other files don't have.
        writes_with: packages that must be installed to write.
        runs_with: packages that must be installed besides to compare the result with the engine.
        runs_with_compiler: the comparison builds the result with a C compiler.
        no_int8: why it takes no model in 8 bits; "": it does.
        single_file: how it writes a file instead of a folder; None: it can't.
        writes_int8_with: what must be installed to write one, in place of ``writes_with``; None: the same.
        rounds_int8: its runtimes round to 8 bits in their own ways, so that logits differ from the engine's.
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
    no_int8: str = ""
    single_file: Target | None = None
    writes_int8_with: tuple[str, ...] | None = None
    rounds_int8: bool = False

    @property
    def install(self) -> str:
        """The line that installs the target's packages; "": it needs none."""
        return install_hint(self.name) if self.writes_with + self.runs_with else ""


Layout = Literal["NCHW", "NHWC"]


def describe(model: Model, layout: Layout = "NCHW") -> dict[str, Any]:
    """Architecture, preprocessing, labels and accuracy, as in a model file: what is needed to use the network.

    Of a model that was calibrated to know its classes also its score and the threshold; see `known.calibrate`.
    """
    threshold = {"score": "log(sum(exp(logits)))", "threshold": 0, "kept": known.KEPT}
    return {
        "architecture": families.described(model.graph),
        "preprocessing": {"colour_order": "RGB", "layout": layout, **asdict(model.preprocessing)},
        "labels": model.labels,
        "accuracy": model.accuracy,
        **({"unknown": threshold} if known.is_calibrated(model.training) else {}),
    }


def companions(order: Order, target: str, layout: Layout = "NCHW") -> dict[str, str]:
    """The texts of labels.txt, one label per line, and model.json, the content of `describe`, by file name."""
    description = {
        "made_by": made_by(target),
        **describe(order.model, layout),
        "input": {"height": order.height, "width": order.width},
    }
    return {
        "labels.txt": "".join(f"{label}\n" for label in order.model.labels),
        "model.json": json.dumps(description, indent=2, ensure_ascii=False, allow_nan=False) + "\n",
    }


def write_companions(order: Order, target: str, folder: Path) -> None:
    """Writes the files of `companions` to ``folder``."""
    for name, text in companions(order, target).items():
        (folder / name).write_text(text, encoding="utf-8", newline="\n")


def made_by(target: str) -> str:
    """The line in exported files that says what wrote them."""
    return f"shufflenet {__version__} export --to {target}"


# Names that a result can't have: keywords and headers of C, CMake's targets, and files of an exported folder.
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
    """``text`` as a name that C, CMake and file systems accept: letters, digits and underscores, at most 70.

    >>> identifier("my cat-model.v2")
    'my_cat_model_v2'
    """
    name = re.sub(r"[^A-Za-z0-9_]", "_", text)[:64]
    if not name or not name[0].isalpha() or f" {name.lower()} " in _TAKEN or name.lower().startswith("engine"):
        name = f"model_{name}"
    return name
