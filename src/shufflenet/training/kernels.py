"""The C passes of training (training/training.h) on torch tensors, by ctypes.

An activation is planar: float32 [C, pitch], a row for each channel with the planes [N, H, W] one after the other.
"""

from __future__ import annotations

import ctypes
import os
import sys
from functools import cache
from typing import Any

import torch
from torch import Tensor

from shufflenet.engine.engine import Pool
from shufflenet.library import open_library

_TAIL = 16  # SHUFFLENET_TRAINING_TAIL
_NO_MEMORY = 1  # SHUFFLENET_TRAINING_MEMORY
_LINE = 16  # floats in a cache line
_M_MMAP_MAX, _M_TRIM_THRESHOLD = -4, -1  # malloc.h

_u32, _size, _pointer, _float = ctypes.c_uint32, ctypes.c_size_t, ctypes.c_void_p, ctypes.c_float


def _fields(text: str) -> list[tuple[str, Any]]:
    kinds = {"u": _u32, "s": _size, "p": _pointer, "f": _float, "d": ctypes.c_double}
    return [(name, kinds[kind]) for name, kind in (field.split(":") for field in text.split())]


class PointwiseForward(ctypes.Structure):
    _fields_ = _fields(
        "groups:u m:u k:u first:u pixels:s x_pitch:s y_pitch:s w:p out:p raw:p scale:p offset:p shortcut:p x:p y:p"
        " sums:p"
    )


class PointwiseBackward(ctypes.Structure):
    _fields_ = _fields(
        "groups:u m:u k:u add:u relu:u first:u pixels:s x_pitch:s y_pitch:s w:p out:p g:p raw:p grad_scale:p"
        " raw_scale:p constant:p x:p grad_x:p grad_w:p partner:p sums:p"
    )


class DepthwiseForward(ctypes.Structure):
    _fields_ = _fields(
        "channels:u images:u height:u width:u stride:u x_pitch:s y_pitch:s lower_bound:f w:p scale:p offset:p"
        " x:p y:p sums:p"
    )


class DepthwiseBackward(ctypes.Structure):
    _fields_ = _fields(
        "channels:u images:u height:u width:u stride:u x_pitch:s y_pitch:s lower_bound:f w:p g:p raw:p grad_scale:p"
        " raw_scale:p constant:p scale:p offset:p x:p grad_x:p grad_w:p sums:p"
    )


class OutputForward(ctypes.Structure):
    _fields_ = _fields("channels:u pixels:s pitch:s scale:p offset:p raw:p shortcut:p y:p")


class OutputBackward(ctypes.Structure):
    _fields_ = _fields("channels:u pixels:s pitch:s y:p grad_y:p raw:p g:p sums:p")


class StemForward(ctypes.Structure):
    _fields_ = _fields("images:u channels:u height:u width:u stride:u m:u y_pitch:s w:p x:p y:p sums:p")


class StemBackward(ctypes.Structure):
    _fields_ = _fields(
        "images:u channels:u height:u width:u stride:u m:u y_pitch:s g:p raw:p grad_scale:p raw_scale:p constant:p x:p"
        " grad_w:p"
    )


class MaxPoolForward(ctypes.Structure):
    _fields_ = _fields("channels:u images:u height:u width:u x_pitch:s y_pitch:s scale:p offset:p x:p y:p tap:p")


class MaxPoolBackward(ctypes.Structure):
    _fields_ = _fields("channels:u images:u height:u width:u x_pitch:s y_pitch:s x:p y:p g:p tap:p grad_x:p sums:p")


class BatchNormForward(ctypes.Structure):
    _fields_ = _fields(
        "channels:u count:d epsilon:d momentum:d order:p weight:p bias:p shift:p sums:p mean:p inverse:p scale:p"
        " offset:p running_mean:p running_var:p"
    )


class BatchNormBackward(ctypes.Structure):
    _fields_ = _fields(
        "channels:u count:d order:p weight:p sums:p mean:p inverse:p grad_scale:p raw_scale:p constant:p grad_weight:p"
        " grad_bias:p"
    )


_PASSES = {
    PointwiseForward: "shufflenet_train_pointwise_forward",
    PointwiseBackward: "shufflenet_train_pointwise_backward",
    DepthwiseForward: "shufflenet_train_depthwise_forward",
    DepthwiseBackward: "shufflenet_train_depthwise_backward",
    OutputForward: "shufflenet_train_output_forward",
    OutputBackward: "shufflenet_train_output_backward",
    StemForward: "shufflenet_train_stem_forward",
    StemBackward: "shufflenet_train_stem_backward",
    MaxPoolForward: "shufflenet_train_max_pool_forward",
    MaxPoolBackward: "shufflenet_train_max_pool_backward",
}


@cache
def _library() -> ctypes.CDLL:
    library = open_library()
    for name in _PASSES.values():
        getattr(library, name).argtypes = [_pointer, ctypes.c_char_p, _pointer]
    for name in ("shufflenet_train_batch_norm_forward", "shufflenet_train_batch_norm_backward"):
        getattr(library, name).argtypes = [_pointer]
        getattr(library, name).restype = None
    return library


@cache
def _pool(threads: int) -> Pool:
    return Pool(threads)


def run(kind: type[ctypes.Structure], **arguments: int | float | Tensor | None) -> None:
    """Runs a pass on as many threads as PyTorch uses.

    Args:
        kind: the struct of training.h that the pass takes; ``arguments`` are its fields.

    Raises:
        ValueError: the environment variable SHUFFLENET_ISA names no instruction set level that can train here.
        MemoryError: the pass needs more memory than there is.
    """
    isa = os.environ.get("SHUFFLENET_ISA") or None
    pool = _pool(torch.get_num_threads()).handle
    status = getattr(_library(), _PASSES[kind])(
        pool, isa.encode() if isa else None, ctypes.byref(_structure(kind, arguments))
    )
    if status == _NO_MEMORY:
        raise MemoryError("no memory for a pass of training")
    if status:
        raise ValueError(f"SHUFFLENET_ISA={isa}: not an instruction set level that can train on this processor")


def batch_norm_forward(**arguments: int | float | Tensor | None) -> None:
    """Makes batch norm's affine map from sums over pixels, and updates its running statistics."""
    _library().shufflenet_train_batch_norm_forward(ctypes.byref(_structure(BatchNormForward, arguments)))


def batch_norm_backward(**arguments: int | float | Tensor | None) -> None:
    """Makes the affine map of batch norm's backward pass from sums over pixels, and its parameters' gradients."""
    _library().shufflenet_train_batch_norm_backward(ctypes.byref(_structure(BatchNormBackward, arguments)))


def _structure(kind: type[ctypes.Structure], arguments: dict[str, int | float | Tensor | None]) -> ctypes.Structure:
    values = {name: a.data_ptr() if isinstance(a, Tensor) else a for name, a in arguments.items()}
    return kind(**values)


def rows(channels: int, pixels: int) -> Tensor:
    """Memory for a planar activation, float32 [channels, pitch], with zeros behind ``pixels``.

    Rows start an odd number of cache lines apart: with a power of two they would compete for few places of a cache.
    """
    lines = (pixels + _TAIL + _LINE - 1) // _LINE
    activation = torch.empty(channels, (lines | 1) * _LINE)
    activation[:, pixels:] = 0
    return activation


def keep_freed_memory() -> None:
    """Makes glibc keep freed memory for this process: each step of training takes as much again, and new pages from
    the system cost as much time as what is written to them. Other C libraries have no such setting."""
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None) if sys.platform == "linux" else None
    if mallopt is not None:
        mallopt(_M_MMAP_MAX, 0)
        mallopt(_M_TRIM_THRESHOLD, -1)
