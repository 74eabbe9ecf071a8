"""The C engine seen from Python: a model in, logits out. The interface is engine/shufflenet.h."""

from __future__ import annotations

import ctypes
import itertools
import operator
import os
import threading
import time
import weakref
from collections import OrderedDict
from functools import cache

import numpy as np
from numpy.typing import NDArray

from shufflenet.engine.plan import make_plan, step_names
from shufflenet.engine.second_level_cache import bytes_of_a_core
from shufflenet.engine.strips import SLIDING_WORDS
from shufflenet.library import open_library, run_network
from shufflenet.networks.model import Model

ALIGNMENT = 64  # SHUFFLENET_ALIGNMENT
WIDEST = "widest"  # SHUFFLENET_WIDEST
_HUGE_PAGE = 2 << 20  # bytes
_HUGE_FROM = 4 << 20  # numpy asks for huge pages from here on
_SIZES_KEPT = 4  # networks for as many input sizes stay in memory
_FLOAT32 = np.dtype(np.float32)


class Sizes(ctypes.Structure):
    """What a network needs for pictures of one size: bytes of memory, floats of a picture and of its logits.

    ``thread_bytes``: for each of several threads that share a picture, besides ``arena_bytes`` for all of them.
    """

    _fields_ = [
        (name, ctypes.c_size_t)
        for name in ("network_bytes", "arena_bytes", "thread_bytes", "input_floats", "output_floats")
    ]


@cache
def _library() -> ctypes.CDLL:
    library = open_library()
    void, size, text = ctypes.c_void_p, ctypes.c_size_t, ctypes.c_char_p
    library.shufflenet_isa.argtypes, library.shufflenet_isa.restype = [size], text
    library.shufflenet_measure.argtypes = [text, size, text, ctypes.POINTER(Sizes)]
    library.shufflenet_create.argtypes = [text, size, text, void, size, ctypes.POINTER(void)]
    library.shufflenet_run_steps.argtypes = [void, void, size, void, void, size, size]
    for peak_of in (library.shufflenet_peak, library.shufflenet_int8_peak):
        peak_of.argtypes, peak_of.restype = [text, size], size
    library.shufflenet_message.restype = text
    library.shufflenet_pool_create.argtypes = [ctypes.c_uint32]
    library.shufflenet_pool_create.restype = void
    library.shufflenet_pool_destroy.argtypes = [void]
    return library


def isas() -> list[str]:
    """Instruction set levels that this processor can run, best first; the last is the plain reference."""
    names = map(_library().shufflenet_isa, itertools.count())
    return [name.decode() for name in itertools.takewhile(lambda name: name is not None, names)]


def peak(isa: str, rounds: int) -> int:
    """Does nothing but float32 multiply-adds in one core's registers, for whoever takes the time; returns how many."""
    return int(_library().shufflenet_peak(isa.encode(), rounds))


def int8_peak(isa: str, rounds: int) -> int:
    """`peak` of 8-bit integers."""
    return int(_library().shufflenet_int8_peak(isa.encode(), rounds))


def measure(plan: bytes, isa: str) -> Sizes:
    """What a network of ``plan`` needs at a level.

    Args:
        isa: one of `isas`, or `WIDEST`: as much as any level needs, whether this processor can run it or not.

    Raises:
        RuntimeError: the plan is damaged.
    """
    sizes = Sizes()
    _check(_library().shufflenet_measure(plan, len(plan), isa.encode(), ctypes.byref(sizes)))
    return sizes


class Engine:
    """Runs one model; safe to use from several threads at once, which then run in parallel if ``threads`` is 1.

    Args:
        isa: one of `isas`; default: the environment variable SHUFFLENET_ISA, else the best.
        threads: how many share the work on each picture; while other programs keep the processors busy, one of them
            works alone. The logits are the same for any number, bit for bit. They take one call of `run` after the
            other; for many pictures at once, calls in many threads of an engine that has one are faster.

    Raises:
        ValueError: this processor has no such instruction set level, or ``threads`` is not from 1 to 1024.
    """

    def __init__(self, model: Model, isa: str | None = None, threads: int = 1) -> None:
        available = isas()
        self.isa = isa or os.environ.get("SHUFFLENET_ISA") or available[0]
        if self.isa not in available:
            raise ValueError(f"no instruction set level {self.isa!r} on this processor; it has {', '.join(available)}")
        threads = operator.index(threads)  # it may be one of NumPy's
        if not 1 <= threads <= 1024:
            raise ValueError(f"threads must be from 1 to 1024, not {threads}")
        self._threads = threads
        self._pool = Pool(threads) if threads > 1 else None
        self._model = model
        # A quarter of a large cache: what strips read besides their sliding buffers, and leave behind, passes as well.
        self._sliding_words = max(SLIDING_WORDS, bytes_of_a_core() // 4 // 4)
        self._networks: OrderedDict[tuple[int, int], _Network] = OrderedDict()
        self._latest: _Network | None = None  # of them
        self._lock = threading.Lock()
        _engines.add(self)

    def run(self, x: NDArray[np.float32]) -> NDArray[np.float32]:
        """float32 [N, C, H, W], H and W from 32 up -> logits float32 [N, classes].

        Raises:
            ValueError: ``x`` has another type, number of dimensions or channels, or is too small.
        """
        latest = self._latest
        if latest is None or x.shape[1:] != latest.shape or x.dtype != _FLOAT32:
            latest = self._network_for(x)
        return latest.run(_as_in_c(x), self._pool)

    def step_seconds(self, x: NDArray[np.float32], runs: int) -> list[tuple[str, list[float]]]:
        """Runs one picture: each step's name as in `plan.step_names`, and the seconds that it took in each run.

        Args:
            x: as for `run`, with N = 1, and with the same errors.
        """
        network = self._network_for(x)
        names = step_names(self._model, *network.shape[1:], self._sliding_words)
        times = network.step_seconds(_as_in_c(x), len(names), runs)
        return [(name, [run[step] for run in times]) for step, name in enumerate(names)]

    def sizes(self, height: int, width: int) -> Sizes:
        """Memory that the network and a run of it take for pictures of this size.

        Raises:
            ValueError: the size is too small or too large.
        """
        return self._network(height, width).sizes

    def _network_for(self, x: NDArray[np.float32]) -> _Network:
        channels = self._model.graph.in_channels
        if x.dtype != _FLOAT32 or x.ndim != 4 or x.shape[1] != channels:
            raise ValueError(f"x must be float32 [N, {channels}, H, W], not {x.dtype} {list(x.shape)}")
        return self._network(x.shape[2], x.shape[3])

    def _network(self, height: int, width: int) -> _Network:
        size = height, width
        with self._lock:
            network = self._networks.get(size)
        if network is None:  # others go on meanwhile; if two make the same one, the first is kept
            plan = make_plan(self._model, height, width, self._sliding_words)
            network = _Network(plan, self.isa, (self._model.graph.in_channels, height, width), self._threads)
        with self._lock:
            network = self._networks.setdefault(size, network)
            self._networks.move_to_end(size)
            if len(self._networks) > _SIZES_KEPT:
                self._networks.popitem(last=False)
            self._latest = network
            return network


_engines: weakref.WeakSet[Engine] = weakref.WeakSet()


def _unlock_engines() -> None:
    """In a forked process, which has no other thread that could."""
    for engine in _engines:
        engine._lock = threading.Lock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_unlock_engines)


class Pool:
    """Threads of the engine; they end with this object, and start anew in a forked process, which has none of them."""

    def __init__(self, threads: int) -> None:
        self._threads = threads
        self._start()

    @property
    def handle(self) -> int:
        """Raises OSError: threads can't be started."""
        if self._process != os.getpid():
            self._start()
        return self._handle

    def _start(self) -> None:
        handle = _library().shufflenet_pool_create(self._threads)
        if handle is None:
            raise OSError(f"can't start {self._threads} threads")
        self._handle: int = handle
        self._process = os.getpid()
        # Not at exit: another thread may be in the middle of a run.
        weakref.finalize(self, _end_pool, handle, self._process).atexit = False


def _end_pool(handle: int, process: int) -> None:
    if process == os.getpid():
        _library().shufflenet_pool_destroy(handle)


class _Network:
    """A plan's network in the engine's memory, and arenas for as many threads as run it at once."""

    def __init__(self, plan: bytes, isa: str, shape: tuple[int, int, int], threads: int = 1) -> None:
        library, handle = _library(), ctypes.c_void_p()
        self.shape = shape  # of a picture
        self.sizes = measure(plan, isa)
        self._memory = _aligned(self.sizes.network_bytes)
        _check(
            library.shufflenet_create(
                plan, len(plan), isa.encode(), self._memory.ctypes.data, self._memory.nbytes, ctypes.byref(handle)
            )
        )
        self._handle = handle.value or 0
        self._classes = self.sizes.output_floats
        self._arena_bytes = self.sizes.arena_bytes + (threads * self.sizes.thread_bytes if threads > 1 else 0)
        self._arenas: list[NDArray[np.uint8]] = []
        self._idle_arenas: list[int] = []  # where they are

    # A small network runs for a quarter of a millisecond, and behind it Python's memory is in no cache: this and
    # Engine.run touch little of it.
    def run(self, x: NDArray[np.float32], pool: Pool | None) -> NDArray[np.float32]:
        logits = np.empty((len(x), self._classes), _FLOAT32)
        arena = self._idle_arena()
        try:
            run_network(None if pool is None else pool.handle, self._handle, arena, self._arena_bytes, x, logits)
        finally:
            self._idle_arenas.append(arena)
        return logits

    def step_seconds(self, x: NDArray[np.float32], steps: int, runs: int) -> list[list[float]]:
        """Behind a run that only fills the caches, of each run the seconds of each step."""
        arena, logits = self._idle_arena(), np.empty(self._classes, _FLOAT32)
        run_steps = _library().shufflenet_run_steps
        where = (self._handle, arena, self._arena_bytes, x.ctypes.data, logits.ctypes.data)

        def seconds(first: int, count: int) -> float:
            began = time.perf_counter()
            _check(run_steps(*where, first, count))
            return time.perf_counter() - began

        try:
            seconds(0, steps)
            calls, passes = [seconds(0, 0) for _ in range(16)], []  # a call that runs no step
            for _ in range(runs):
                passes.append([seconds(step, 1) for step in range(steps)])
                calls.append(seconds(0, 0))
            call = min(calls)
            return [[max(0.0, taken - call) for taken in each] for each in passes]
        finally:
            self._idle_arenas.append(arena)

    def _idle_arena(self) -> int:
        try:
            return self._idle_arenas.pop()
        except IndexError:
            self._arenas.append(arena := _aligned(self._arena_bytes))
            return arena.ctypes.data


def _as_in_c(x: NDArray[np.float32]) -> NDArray[np.float32]:
    x = np.ascontiguousarray(x)
    return x if x.flags.aligned else x.copy()


def _aligned(size: int) -> NDArray[np.uint8]:
    """Memory in huge pages where there are some: planes lie in more small ones than a processor keeps track of."""
    memory = np.empty(max(size, _HUGE_FROM) + _HUGE_PAGE, dtype=np.uint8)  # what is not used stays virtual
    start = -memory.ctypes.data % _HUGE_PAGE
    return memory[start : start + size]


def _check(status: int) -> None:
    if status:
        raise RuntimeError(_library().shufflenet_message(status).decode())
