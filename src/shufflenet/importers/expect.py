"""The proof of an import: an input and the logits that the user's own code computed of it."""

from __future__ import annotations

import zipfile
import zlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from shufflenet.engine.engine import Engine
from shufflenet.files import printable, regular_file, why_unreadable
from shufflenet.importers.checkpoint import CheckpointError
from shufflenet.importers.convention import Convention
from shufflenet.importers.recognised import Recognised
from shufflenet.networks.model import Model

# The engine may differ from the expected logits by this much of the largest of them.
TOLERANCE = 1e-4

_MAX_BYTES = 1 << 28
_MAX_INPUTS = 64
_RECIPE = "numpy.savez(FILE, input=x, logits=network.eval()(x).detach()) makes it of x = torch.randn(1, 3, 224, 224)"


@dataclass(frozen=True)
class Expected:
    """``input`` is float32 [N, 3, H, W] as the user's network takes it, ``logits`` float32 [N, classes]."""

    input: NDArray[np.float32]
    logits: NDArray[np.float32]


def read(path: Path) -> Expected:
    """Reads a .npz file of two arrays, ``input`` and ``logits``; one picture may lack the first dimension.

    Raises:
        CheckpointError: it can't be read, or its arrays can't be what the user's network took and gave.
    """
    try:
        if regular_file(path, ".npz file").st_size > _MAX_BYTES:
            raise ValueError(f"more than {_MAX_BYTES:,} bytes")
        with zipfile.ZipFile(path) as archive:
            members = {member.filename: member.file_size for member in archive.infolist()}
        if not {"input.npy", "logits.npy"} <= members.keys():
            raise ValueError(f"must hold two arrays, input and logits; {_RECIPE}")
        if members["input.npy"] + members["logits.npy"] > _MAX_BYTES:
            raise ValueError(f"unpacks to more than {_MAX_BYTES:,} bytes")
        with np.load(path, allow_pickle=False) as arrays:
            return _checked(arrays["input"], arrays["logits"])
    except OSError as error:
        reason = why_unreadable(error)
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError):
        reason = f"not a .npz file, or a damaged one; {_RECIPE}"
    except MemoryError:
        reason = "not enough memory to read it"
    except ValueError as error:
        reason = str(error)
    raise CheckpointError(f"{printable(str(path))}: {printable(reason)}")


def _checked(x: NDArray[np.generic], logits: NDArray[np.generic]) -> Expected:
    if x.dtype.kind != "f" or logits.dtype.kind != "f":
        raise ValueError("input and logits must be floating-point numbers")
    with np.errstate(over="ignore"):
        x, logits = (each.astype(np.float32) for each in (x, logits))
    x = x[None] if x.ndim == 3 else x
    logits = logits[None] if logits.ndim == 1 else logits
    if x.ndim != 4 or x.shape[1] != 3 or not 1 <= len(x) <= _MAX_INPUTS or min(x.shape[2:]) < 32:
        raise ValueError(
            f"input is {list(x.shape)}, not [N, 3, H, W] with N from 1 to {_MAX_INPUTS}, and H and W from 32 up"
        )
    if logits.ndim != 2 or len(logits) != len(x):
        raise ValueError(f"logits are {list(logits.shape)}, not [{len(x)}, classes]")
    if not (np.isfinite(x).all() and np.isfinite(logits).all()):
        raise ValueError("holds values that are not finite")
    if not (np.ptp(x) and np.ptp(logits)):
        raise ValueError("input or logits are all the same number, which proves nothing")
    return Expected(x, logits)


@dataclass(frozen=True)
class _Attempt:
    convention: Convention
    difference: float  # of the logits, in parts of the largest one expected; infinite if it can't be built so

    @property
    def agrees(self) -> bool:
        return self.difference <= TOLERANCE


def prove(expected: Expected, recognised: Recognised, conventions: list[Convention]) -> tuple[Convention, float]:
    """The convention of the given ones by which the network computes the expected logits, and by how much they differ.

    Raises:
        ValueError: none does, or several do that would differ on another input; the message says which and how much.
    """
    if expected.logits.shape[1] != recognised.classes:
        raise ValueError(f"it has {recognised.classes} classes, but {expected.logits.shape[1]} logits are expected")
    attempts = [_attempt(expected, recognised, convention) for convention in conventions]
    agreeing = [attempt for attempt in attempts if attempt.agrees]
    if not agreeing:
        raise ValueError(_disagreement(attempts))
    first = agreeing[0]
    noise = np.random.default_rng(0).normal(size=expected.input[:1].shape).astype(np.float32)
    logits = [_logits(recognised, attempt.convention, noise) for attempt in agreeing]
    for attempt, other in zip(agreeing[1:], logits[1:], strict=True):
        if np.abs(other - logits[0]).max() > TOLERANCE * np.abs(logits[0]).max():
            raise ValueError(
                f"the expected logits don't tell {difference_in_words(attempt.convention, first.convention)} from "
                f"{difference_in_words(first.convention, attempt.convention)}: take another input, such as random "
                "numbers"
            )
    return first.convention, first.difference


def difference_in_words(convention: Convention, other: Convention) -> str:
    """What ``convention`` says otherwise than ``other``."""
    theirs = other.network()
    return ", ".join(text for key, text in convention.network().items() if text != theirs[key])


def _attempt(expected: Expected, recognised: Recognised, convention: Convention) -> _Attempt:
    try:
        logits = _logits(recognised, convention, expected.input)
    except ValueError:
        return _Attempt(convention, np.inf)
    with np.errstate(invalid="ignore"):
        difference = float(np.abs(logits - expected.logits).max() / np.abs(expected.logits).max())
    return _Attempt(convention, difference if np.isfinite(difference) else np.inf)


def _logits(recognised: Recognised, convention: Convention, x: NDArray[np.float32]) -> NDArray[np.float32]:
    """Logits [N, classes] of the input ``x`` of the network as it was built, by the engine."""
    return Engine(Model(*recognised.build(convention))).run(convention.own_input(x))


def _disagreement(attempts: list[_Attempt]) -> str:
    first, nearest = attempts[0], min(attempts, key=lambda attempt: attempt.difference)
    text = (
        f"its logits differ from the expected ones by {first.difference:.1e} of the largest, {TOLERANCE:.0e} is allowed"
    )
    if len(attempts) > 1:
        text += f"; none of {len(attempts) - 1} other ways to build it agrees"
        if nearest is not first:
            words = difference_in_words(nearest.convention, first.convention)
            text += f", the nearest differs by {nearest.difference:.1e} ({words})"
    return text
