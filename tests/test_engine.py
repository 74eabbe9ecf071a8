"""The engine against PyTorch: every architecture of the paper, sizes chosen to hurt, every instruction set level."""

from __future__ import annotations

import ctypes
import os
import signal
import statistics
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from float_levels import FAST_ISAS, FLOAT_ISAS
from random_network import random_input, random_network
from shufflenet.engine.engine import Engine, Sizes, _aligned, _library, _Network, isas
from shufflenet.engine.plan import make_plan
from shufflenet.library import run_network
from shufflenet.networks.model import Model
from shufflenet.networks.shufflenet_v1 import SCALES, STAGE2_CHANNELS, ShuffleNetV1
from shufflenet.threads import usable_cores

SIZES = [(32, 32), (64, 64), (97, 131), (224, 224), (160, 320)]


def assert_equal_logits(got: NDArray[np.float32], want: NDArray[np.float32], what: str) -> None:
    error = float(np.abs(got - want).max() / np.abs(want).max())
    assert error < 1e-5, f"{what}: error {error:.2e} of the largest logit"
    assert (got.argmax(axis=1) == want.argmax(axis=1)).all(), f"{what}: another top-1 class"


@torch.inference_mode()
def compare(arch: ShuffleNetV1, sizes: list[tuple[int, int]], levels: list[str]) -> None:
    network, model = random_network(arch)
    for height, width in sizes:
        x = random_input(3, height, width, arch.in_channels)
        want = network(torch.from_numpy(x)).numpy()
        for isa in levels:
            engine = Engine(model, isa)
            assert_equal_logits(engine.run(x), want, f"{arch.name} {height}x{width} {isa}")
            assert_equal_logits(engine.run(x[:1]), want[:1], f"{arch.name} {height}x{width} batch 1 {isa}")


@pytest.mark.parametrize(
    ("groups", "scale"),
    [
        pytest.param(groups, scale, marks=() if (groups, scale) == (3, 0.25) else pytest.mark.slow)
        for groups in STAGE2_CHANNELS
        for scale in SCALES
    ],
)
def test_equals_pytorch(groups: int, scale: float) -> None:
    """The plain reference sees the small pictures of every network, and below some large."""
    compare(ShuffleNetV1(groups, scale), SIZES, FAST_ISAS)
    compare(ShuffleNetV1(groups, scale), [(32, 32)], ["reference"])


@pytest.mark.slow
@pytest.mark.parametrize("groups", STAGE2_CHANNELS)
def test_reference_equals_pytorch_on_all_sizes(groups: int) -> None:
    compare(ShuffleNetV1(groups, 0.25), SIZES, ["reference"])


@pytest.mark.slow
@pytest.mark.parametrize("groups", STAGE2_CHANNELS)
def test_variants_equal_pytorch(groups: int) -> None:
    """Stem stride 1, other input channels, few classes, no shuffle, unusual scales and Conv1 widths."""
    levels = FLOAT_ISAS
    sizes = [(32, 32), (33, 47), (64, 64)]
    compare(ShuffleNetV1(groups, 0.5, classes=1, stem_stride=1), sizes, levels)
    compare(ShuffleNetV1(groups, 0.5, classes=7, in_channels=1), sizes, levels)
    compare(ShuffleNetV1(groups, 0.37, classes=33, in_channels=5, stem_stride=1), sizes, levels)
    compare(ShuffleNetV1(groups, 0.05, classes=201), sizes, levels)
    compare(ShuffleNetV1(groups, 0.25, classes=16, shuffle=False), sizes, levels)
    compare(ShuffleNetV1(groups, 0.25, classes=17, stem_channels=groups * 3), sizes, levels)


def test_shuffle_changes_the_answer() -> None:
    """Otherwise the tests above would not see whether the shuffle is there."""
    _, model = random_network(ShuffleNetV1(3, 0.25))
    unshuffled = Model(ShuffleNetV1(3, 0.25, shuffle=False).graph(), model.tensors)
    x = random_input(1, 64, 64)
    assert np.abs(Engine(model).run(x) - Engine(unshuffled).run(x)).max() > 1e-3


@pytest.mark.timing
def test_shuffle_costs_nothing() -> None:
    """The same steps with other tables: the same time, by interleaved medians.

    Both networks take turns in one piece of memory, since where it happens to lie counts for more than 1 %.
    """
    _, model = random_network(ShuffleNetV1(3, 1.0))
    unshuffled = Model(ShuffleNetV1(3, 1.0, shuffle=False).graph(), model.tensors)
    plans = [make_plan(each, 224, 224) for each in (model, unshuffled)]
    with_shuffle, without = (np.frombuffer(plan, np.uint32) for plan in plans)
    assert not np.array_equal(with_shuffle, without)
    np.testing.assert_array_equal(np.sort(with_shuffle), np.sort(without))  # the same numbers in another order
    library, isa, sizes, handle = _library(), isas()[0].encode(), Sizes(), ctypes.c_void_p()
    assert library.shufflenet_measure(plans[0], len(plans[0]), isa, ctypes.byref(sizes)) == 0
    memory, arena = _aligned(sizes.network_bytes), _aligned(sizes.arena_bytes)
    x, logits = random_input(1, 224, 224), np.empty((1, sizes.output_floats), dtype=np.float32)
    create = (isa, memory.ctypes.data, memory.nbytes, ctypes.byref(handle))

    def seconds(plan: bytes) -> float:
        assert library.shufflenet_create(plan, len(plan), *create) == 0
        samples = []
        for _ in range(4):
            start = time.perf_counter()
            run_network(None, handle.value or 0, arena.ctypes.data, arena.nbytes, x, logits)
            samples.append(time.perf_counter() - start)
        return min(samples[1:])  # the first finds cold caches

    ratios: list[float] = []
    # A busy machine spoils some.
    while len(ratios) < 3 or (len(ratios) < 11 and abs(statistics.median(ratios) - 1) >= 0.01):
        shuffled, plain = zip(*[[seconds(plan) for plan in plans] for _ in range(20)], strict=True)
        ratios.append(statistics.median(shuffled) / statistics.median(plain))
    assert abs(statistics.median(ratios) - 1) < 0.01, f"time with shuffle / without: {ratios}"


def test_pictures_that_lie_anywhere() -> None:
    """At no multiple of four bytes, or backwards."""
    _, model = random_network(ShuffleNetV1(3, 0.25))
    engine, x = Engine(model), random_input(1, 64, 64)
    want = engine.run(x)
    odd = np.empty(x.nbytes + 1, np.uint8)[1:].view(np.float32).reshape(x.shape)
    odd[:] = x
    assert not odd.flags.aligned
    np.testing.assert_array_equal(engine.run(odd), want)
    np.testing.assert_array_equal(engine.run(x[..., ::-1].copy()[..., ::-1]), want)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork")
def test_a_process_forked_while_a_network_is_made() -> None:
    _, model = random_network(ShuffleNetV1(3, 0.25))
    engine, x = Engine(model), random_input(1, 64, 64)
    want = engine.run(x)
    with engine._lock:  # as by another thread, which the forked process does not have
        child = os.fork()
        if not child:
            signal.alarm(20)
            os._exit(0 if np.array_equal(engine.run(x), want) and engine.sizes(96, 64) else 1)
    assert os.waitpid(child, 0)[1] == 0


def test_results_do_not_depend_on_what_ran_before() -> None:
    """The arena is used again and never cleared."""
    _, model = random_network(ShuffleNetV1(3, 0.5))
    engine = Engine(model)
    x, other = random_input(1, 97, 131), random_input(1, 97, 131) * 1e20
    want = engine.run(x)
    engine.run(other)
    np.testing.assert_array_equal(engine.run(x), want)


def test_not_a_number_shows() -> None:
    """Wherever it stands in the windows of the maximum pool, and in the vectors of a line."""
    _, model = random_network(ShuffleNetV1(3, 0.25))
    x = random_input(2, 64, 64)
    for isa in isas():
        engine = Engine(model, isa)
        for row, column in [(0, 0), (10, 10), (9, 10), (10, 9), (8, 8), (11, 11), (63, 63), (33, 30), (20, 31)]:
            bad = x.copy()
            bad[0, 0, row, column] = np.nan
            logits = engine.run(bad)
            assert np.isnan(logits[0]).any(), (isa, row, column)
            assert np.isfinite(logits[1]).all()


def test_threads_share_an_engine() -> None:
    _, model = random_network(ShuffleNetV1(3, 0.25))
    engine = Engine(model)
    inputs = [random_input(1, 64 + i, 64) for i in range(6)] * 4
    want = [engine.run(x) for x in inputs]
    with ThreadPoolExecutor(4) as pool:
        for got, expected in zip(pool.map(engine.run, inputs), want, strict=True):
            np.testing.assert_array_equal(got, expected)


@pytest.mark.parametrize("threads", [2, 3, 5])
def test_any_number_of_threads_gives_the_same_bits(threads: int) -> None:
    _, model = random_network(ShuffleNetV1(3, 0.5))
    for isa in isas():
        alone = Engine(model, isa)
        for height, width in [(32, 32), (97, 131), (224, 224)] if isa != "reference" else [(32, 32)]:
            x = random_input(2, height, width)
            together = Engine(model, isa, threads=threads)  # whose first run is never one thread's alone
            np.testing.assert_array_equal(together.run(x), alone.run(x))
        assert together.run(x[:0]).shape == (0, 1000)


def test_threads_share_an_engine_with_a_pool() -> None:
    _, model = random_network(ShuffleNetV1(3, 0.25))
    engine = Engine(model, threads=2)
    inputs = [random_input(1, 64 + i, 64) for i in range(6)] * 4
    want = [engine.run(x) for x in inputs]
    with ThreadPoolExecutor(3) as pool:
        for got, expected in zip(pool.map(engine.run, inputs), want, strict=True):
            np.testing.assert_array_equal(got, expected)


@pytest.mark.timing
@pytest.mark.skipif(sys.platform != "linux" or usable_cores() < 2, reason="Linux and two processors")
def test_a_team_is_not_held_up_by_other_programs() -> None:
    """When it waited for threads whose processor was taken, a picture took twenty times as long as by one thread."""
    _, model = random_network(ShuffleNetV1(3, 0.5))
    x = random_input(1, 224, 224)
    alone, together = Engine(model), Engine(model, threads=2)
    want = alone.run(x)

    def pictures_in_half_a_second(engine: Engine) -> int:
        pictures, end = 0, time.perf_counter() + 0.5
        while time.perf_counter() < end:
            np.testing.assert_array_equal(engine.run(x), want)
            pictures += 1
        return pictures

    busy_for_a_while = "import time\nend = time.monotonic() + 20\nwhile time.monotonic() < end: pass"
    busy = []
    try:
        for _ in range(usable_cores()):
            busy.append(subprocess.Popen([sys.executable, "-c", busy_for_a_while]))
        pictures_in_half_a_second(together)  # it takes some attempts
        turns = [(pictures_in_half_a_second(alone), pictures_in_half_a_second(together)) for _ in range(4)]
    finally:
        for process in busy:
            process.kill()
            process.wait()
    assert sum(two for _, two in turns) > sum(one for one, _ in turns) / 6


@pytest.mark.parametrize("threads", [0, -1, 1025])
def test_refuses_other_numbers_of_threads(threads: int) -> None:
    _, model = random_network(ShuffleNetV1(3, 0.25))
    with pytest.raises(ValueError, match="threads must be from 1 to 1024"):
        Engine(model, threads=threads)


@pytest.mark.parametrize(
    ("x", "message"),
    [
        (np.zeros((1, 3, 64, 64)), "float32"),
        (np.zeros((3, 64, 64), np.float32), r"\[N, 3, H, W\]"),
        (np.zeros((1, 4, 64, 64), np.float32), r"\[N, 3, H, W\]"),
        (np.zeros((1, 3, 31, 64), np.float32), "at least 32 x 32"),
        (np.zeros((1, 3, 8000, 8000), np.float32), "too large"),
    ],
    ids=["float64", "three dimensions", "four channels", "too small", "too large"],
)
def test_refuses_other_inputs(x: NDArray[np.float32], message: str) -> None:
    _, model = random_network(ShuffleNetV1(3, 0.25))
    with pytest.raises(ValueError, match=message):
        Engine(model).run(x)


def test_empty_batch() -> None:
    _, model = random_network(ShuffleNetV1(3, 0.25, classes=7))
    assert Engine(model).run(np.zeros((0, 3, 64, 64), np.float32)).shape == (0, 7)


def test_isa_can_be_forced(monkeypatch: pytest.MonkeyPatch) -> None:
    _, model = random_network(ShuffleNetV1(3, 0.25))
    for isa in isas():
        monkeypatch.setenv("SHUFFLENET_ISA", isa)
        assert Engine(model).isa == isa
    monkeypatch.setenv("SHUFFLENET_ISA", "mmx")
    with pytest.raises(ValueError, match=r"no instruction set level 'mmx' on this processor; it has .*generic"):
        Engine(model)


def test_working_memory() -> None:
    """1x at 224 x 224 stays within a second-level cache of 2 MB."""
    _, model = random_network(ShuffleNetV1(3, 1.0))
    assert Engine(model).sizes(224, 224).arena_bytes < 2e6


def test_cut_plans_are_refused() -> None:
    """Changed ones: fuzz/plan.c."""
    _, model = random_network(ShuffleNetV1(3, 0.25, classes=10))
    plan = make_plan(model, 32, 32)
    for cut in (0, 1, 3, 4, 39, 40, 41, len(plan) // 2, len(plan) - 4, len(plan) - 1):
        with pytest.raises(RuntimeError, match="damaged"):
            _Network(plan[:cut], isas()[0], (3, 32, 32))


def test_a_wrong_call_of_the_library_is_refused() -> None:
    _, model = random_network(ShuffleNetV1(3, 0.25, classes=10))
    network = _Network(make_plan(model, 32, 32), isas()[0], (3, 32, 32))
    x, logits = random_input(2, 32, 32), np.empty((2, 10), np.float32)
    arena = _aligned(network.sizes.arena_bytes)
    start, size = arena.ctypes.data, arena.nbytes
    run_network(None, network._handle, start, size, x, logits)
    for wrong in (logits[:1], np.empty((), np.float32)):
        with pytest.raises(ValueError, match="as many pictures"):
            run_network(None, network._handle, start, size, x, wrong)
    with pytest.raises((ValueError, BufferError)):
        run_network(None, network._handle, start, size, x[:, :, ::2], logits)
    with pytest.raises(RuntimeError, match="less memory"):
        run_network(None, network._handle, start, size - 1, x, logits)
    with pytest.raises(RuntimeError, match="multiple of 64"):
        run_network(None, network._handle, start + 4, size, x, logits)
    with pytest.raises(TypeError, match="6 arguments"):
        run_network(None)  # type: ignore[call-arg]


def test_an_interrupted_run_gives_its_arena_back(monkeypatch: pytest.MonkeyPatch) -> None:
    engine, x = Engine(random_network(ShuffleNetV1(3, 0.25))[1]), random_input(1, 64, 64)
    engine.run(x)

    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("shufflenet.engine.engine.run_network", interrupted)
        for _ in range(3):
            with pytest.raises(KeyboardInterrupt):
                engine.run(x)
    network = engine._network(64, 64)
    assert len(network._arenas) == len(network._idle_arenas) == 1


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
def test_a_forked_process_has_threads_of_its_own() -> None:
    """The fork is made in a process without PyTorch, whose threads would not survive either."""
    program = """
import os, sys
import numpy as np
from shufflenet.models import DEFAULT_MODEL, load_model
from shufflenet.engine.engine import Engine
engine = Engine(load_model(DEFAULT_MODEL), threads=2)
x = np.ones((1, 3, 64, 64), np.float32)
want = engine.run(x)
for works in (True, False):
    child = os.fork()
    if child == 0:
        sys.exit(0 if not works or (engine.run(x) == want).all() else 1)
    assert os.waitpid(child, 0)[1] == 0
assert (engine.run(x) == want).all()
"""
    subprocess.run([sys.executable, "-c", program], check=True, timeout=60)


def test_a_package_without_its_library_says_so() -> None:
    program = "import sys; sys.modules['shufflenet._engine'] = None; import shufflenet.classifier"
    ran = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert ran.returncode == 1
    assert "the engine is not built" in ran.stderr.splitlines()[-1]


def test_an_arena_that_a_plan_cannot_hold_is_a_size_too_large() -> None:
    model = random_network(ShuffleNetV1(8, 2.0, classes=2))[1]
    with pytest.raises(ValueError, match="4096 x 4096 pixels are too large for one pass of this network"):
        make_plan(model, 4096, 4096)
