"""The C engine seen from Python: a model in, logits out. The interface is engine/shufflenet.h, opened with ctypes."""

from __future__ import annotations

import ctypes
import importlib.util
import os
import threading
from collections import OrderedDict
from functools import cache

import numpy as np
from numpy.typing import NDArray

from shufflenet.model_file import Model
from shufflenet.plan import make_plan

ALIGNMENT = 64  # SHUFFLENET_ALIGNMENT
_SIZES_KEPT = 4  # networks for as many input sizes stay in memory


class _Sizes(ctypes.Structure):
    _fields_ = [(name, ctypes.c_size_t) for name in ("network_bytes", "arena_bytes", "input_floats", "output_floats")]


@cache
def _library() -> ctypes.CDLL:
    spec = importlib.util.find_spec("shufflenet._engine")
    if spec is None or spec.origin is None:
        raise ImportError("the engine is not built; install the package with pip (see the README)")
    library = ctypes.CDLL(spec.origin)
    void, size, text = ctypes.c_void_p, ctypes.c_size_t, ctypes.c_char_p
    library.shufflenet_isas.restype = ctypes.POINTER(text)
    library.shufflenet_measure.argtypes = [text, size, text, ctypes.POINTER(_Sizes)]
    library.shufflenet_create.argtypes = [text, size, text, void, size, ctypes.POINTER(void)]
    library.shufflenet_run.argtypes = [void, void, size, void, size, void]
    library.shufflenet_message.restype = text
    return library


def isas() -> list[str]:
    """Instruction set levels that this processor can run, best first; the last is the plain reference."""
    names = []
    for name in _library().shufflenet_isas():
        if name is None:
            break
        names.append(name.decode())
    return names


class Engine:
    """Runs one model; safe to use from several threads at once, which then run in parallel.

    Args:
        isa: one of `isas`; default: the environment variable SHUFFLENET_ISA, else the best.

    Raises:
        ValueError: this processor has no such instruction set level.
    """

    def __init__(self, model: Model, isa: str | None = None) -> None:
        available = isas()
        self.isa = isa or os.environ.get("SHUFFLENET_ISA") or available[0]
        if self.isa not in available:
            raise ValueError(f"no instruction set level {self.isa!r} on this processor; it has {', '.join(available)}")
        self._model = model
        self._networks: OrderedDict[tuple[int, int], _Network] = OrderedDict()
        self._lock = threading.Lock()

    def run(self, x: NDArray[np.float32]) -> NDArray[np.float32]:
        """float32 [N, C, H, W], H and W from 32 up -> logits float32 [N, classes].

        Raises:
            ValueError: ``x`` has another type, number of dimensions or channels, or is too small.
        """
        channels = self._model.arch.in_channels
        if x.dtype != np.float32 or x.ndim != 4 or x.shape[1] != channels:
            raise ValueError(f"x must be float32 [N, {channels}, H, W], not {x.dtype} {list(x.shape)}")
        return self._network(x.shape[2], x.shape[3]).run(np.ascontiguousarray(x))

    def arena_bytes(self, height: int, width: int) -> int:
        """Working memory for pictures of this size."""
        return int(self._network(height, width).sizes.arena_bytes)

    def _network(self, height: int, width: int) -> _Network:
        with self._lock:
            network = self._networks.get((height, width))
            if network is None:
                network = _Network(make_plan(self._model, height, width), self.isa)
                self._networks[height, width] = network
                if len(self._networks) > _SIZES_KEPT:
                    self._networks.popitem(last=False)
            self._networks.move_to_end((height, width))
            return network


class _Network:
    """A plan's network in the engine's memory, and arenas for as many threads as run it at once."""

    def __init__(self, plan: bytes, isa: str) -> None:
        library, name = _library(), isa.encode()
        self.sizes = _Sizes()
        _check(library.shufflenet_measure(plan, len(plan), name, ctypes.byref(self.sizes)))
        self._memory = _aligned(self.sizes.network_bytes)
        self._handle = ctypes.c_void_p()
        _check(
            library.shufflenet_create(
                plan, len(plan), name, self._memory.ctypes.data, self._memory.nbytes, ctypes.byref(self._handle)
            )
        )
        self._idle_arenas: list[NDArray[np.uint8]] = []

    def run(self, x: NDArray[np.float32]) -> NDArray[np.float32]:
        logits = np.empty((len(x), self.sizes.output_floats), dtype=np.float32)
        try:
            arena = self._idle_arenas.pop()
        except IndexError:
            arena = _aligned(self.sizes.arena_bytes)
        run = _library().shufflenet_run  # ctypes lets other threads run Python meanwhile
        _check(run(self._handle, arena.ctypes.data, arena.nbytes, x.ctypes.data, len(x), logits.ctypes.data))
        self._idle_arenas.append(arena)
        return logits


def _aligned(size: int) -> NDArray[np.uint8]:
    memory = np.empty(size + ALIGNMENT, dtype=np.uint8)
    start = -memory.ctypes.data % ALIGNMENT
    return memory[start : start + size]


def _check(status: int) -> None:
    if status:
        raise RuntimeError(_library().shufflenet_message(status).decode())
