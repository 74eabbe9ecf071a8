"""Builds the engine's C tests and runs them: kernels by themselves, and whole networks against PyTorch.

For this processor by the usual compiler, by Clang and with both compilers' sanitizers, since each sees some that the
other's doesn't; for 64-bit Arm in an emulator; for WebAssembly.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from platform import machine

import numpy as np
import pytest
import torch
from torch import nn

import seeds
from random_network import every_operator, random_graph_network, random_input, random_network
from random_quantized import random_quantized
from shufflenet.engine import steps
from shufflenet.engine.engine import isas
from shufflenet.engine.plan import make_plan
from shufflenet.engine.strips import SLIDING_WORDS
from shufflenet.networks import families
from shufflenet.networks.model import Model
from shufflenet.networks.quantized import pixel_input
from shufflenet.networks.shufflenet_v1 import STAGE2_CHANNELS, ShuffleNetV1
from shufflenet.quantization.emulation import Emulation
from shufflenet.threads import usable_cores

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parent.parent

ARCHITECTURES = [
    *[ShuffleNetV1(groups, 0.25, classes=10) for groups in STAGE2_CHANNELS],
    ShuffleNetV1(3, 0.5, classes=201, stem_stride=1),
    ShuffleNetV1(8, 0.5, shuffle=False),
    ShuffleNetV1(4, 0.05, classes=1, in_channels=1),
]
SIZES = [(32, 32), (97, 131), (64, 33), (230, 131)]

# The level of processors whose dot products are of pairs alone: wasmtime uses no others on x86-64.
_PAIRS = ["simd128_pairs"] if machine() in ("x86_64", "AMD64") else []

SANITIZED = ["-DSHUFFLENET_SANITIZE=address,undefined"]
PORTABLE = ["test_kernels", "test_int8_kernels", "test_create", "test_network"]
# Without those of AVX-512's level compiled for lesser processors.
WITHOUT_LOWERED = [*PORTABLE, "test_training", "test_pool", "fuzz_plan", "fuzz_preprocess", "fuzz_exported"]
AARCH64 = ["-DCMAKE_SYSTEM_NAME=Linux", "-DCMAKE_SYSTEM_PROCESSOR=aarch64", "-DCMAKE_EXE_LINKER_FLAGS=-static"]
WASM32 = ["-DCMAKE_SYSTEM_NAME=Generic", "-DCMAKE_SYSTEM_PROCESSOR=wasm32", "-DCMAKE_C_COMPILER_TARGET=wasm32-wasi"]

# Runs one of the programs with arguments; returns what it wrote.
Run = Callable[..., str]


def build(folder: Path, options: list[str], *targets: str) -> None:
    configure = ["cmake", "-S", str(ROOT), "-B", str(folder), "-DSHUFFLENET_TESTS=ON", "-DSHUFFLENET_WERROR=ON"]
    subprocess.run([*configure, *options], check=True, capture_output=True)
    make = ["cmake", "--build", str(folder), "--parallel", "2", *(f"--target={target}" for target in targets)]
    subprocess.run(make, check=True, capture_output=True)


def process(*command: str | Path) -> str:
    result = subprocess.run(command, capture_output=True, text=True)
    assert result.returncode == 0, result.stderr[-5000:]
    return result.stdout


def wasm_process(program: Path, *arguments: str) -> str:
    """A process within this one: WebAssembly with the system interface WASI."""
    import wasmtime

    engine = wasmtime.Engine()
    store, linker = wasmtime.Store(engine), wasmtime.Linker(engine)
    linker.define_wasi()
    system = wasmtime.WasiConfig()
    system.argv = [program.name, *arguments]
    out, errors = program.with_suffix(".out"), program.with_suffix(".err")
    system.stdout_file, system.stderr_file = out, errors
    for folder in {str(Path(argument).parent) for argument in arguments}:
        system.preopen_dir(folder, folder)
    store.set_wasi(system)
    start = linker.instantiate(store, wasmtime.Module.from_file(engine, str(program))).exports(store)["_start"]
    assert isinstance(start, wasmtime.Func)
    try:
        start(store)
    except wasmtime.ExitTrap as end:
        if end.code:
            pytest.fail(errors.read_text()[-5000:])
    return out.read_text()


def sanitizes(compiler: str, folder: Path) -> bool:
    """Whether the compiler is there, and can link what its sanitizers ask for."""
    if not shutil.which(compiler):
        return False
    source = folder / "nothing.c"
    source.write_text("int main(void) { return 0; }\n")
    command = [compiler, "-fsanitize=address,undefined", str(source), "-o", str(source.with_suffix(""))]
    return subprocess.run(command, capture_output=True).returncode == 0


@pytest.fixture(scope="class")
def platform(request: pytest.FixtureRequest) -> str:
    name: str = request.cls.platform
    return name


@pytest.fixture(scope="module")
def seed_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What fuzzing begins with, a folder for each target, and plain C of a network."""
    folder = tmp_path_factory.mktemp("seeds")
    seeds.write(folder)
    return folder


def inputs_of(target: str, seed_folder: Path) -> list[str]:
    """The files from which a fuzz target begins, and those that broke something once."""
    folders = (seed_folder / target, ROOT / "fuzz" / "corpus" / target)
    return [str(path) for folder in folders if folder.is_dir() for path in sorted(folder.iterdir())]


@pytest.fixture(scope="class")
def run(platform: str, seed_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Run:
    folder = tmp_path_factory.mktemp("build")
    if platform == "aarch64":
        for tool in ("aarch64-linux-gnu-gcc", "qemu-aarch64"):
            if not shutil.which(tool):
                pytest.skip(f"{tool} is not installed: Debian's gcc-aarch64-linux-gnu and qemu-user")
        compiler = "-DCMAKE_C_COMPILER=aarch64-linux-gnu-gcc"
        build(folder, [*AARCH64, compiler], *PORTABLE, "test_training")
        return lambda program, *arguments: process("qemu-aarch64", folder / program, *arguments)
    if platform in ("clang", "wasm32", "wasm32_relaxed"):
        ziglang = pytest.importorskip("ziglang")  # Clang with the C libraries of other systems
        zig = Path(ziglang.__file__).parent / "zig"
        options = [f"-DCMAKE_C_COMPILER={zig};cc"]
        if platform != "clang":
            pytest.importorskip("wasmtime")
            options += [*WASM32, "-DSHUFFLENET_QUICK=ON"]
        if platform == "wasm32_relaxed":
            options.append("-DCMAKE_C_FLAGS=-mrelaxed-simd")
        build(folder, options, *PORTABLE)
        if platform != "clang":
            return lambda program, *arguments: wasm_process(folder / program, *arguments)
        return lambda program, *arguments: process(folder / program, *arguments)
    if platform == "clang_sanitized":
        clang = os.environ.get("CLANG", "clang")
        if not sanitizes(clang, folder):
            pytest.skip("no clang with sanitizers is installed: Debian's clang and libclang-rt-14-dev")
        build(folder, [*SANITIZED, f"-DCMAKE_C_COMPILER={clang}"], *PORTABLE)
        return lambda program, *arguments: process(folder / program, *arguments)
    fuzz = ["-DSHUFFLENET_FUZZ=ON", f"-DSHUFFLENET_EXPORTED={seed_folder / 'net'}"]
    counted = os.environ.get("SHUFFLENET_TEST_COVERAGE")  # set by coverage_report.py
    if platform == "release" and counted:
        folder = Path(counted) / "c"
        build(folder, [*fuzz, "-DCMAKE_C_FLAGS=--coverage"])
    else:
        sanitizers = SANITIZED if platform == "sanitized" else []
        build(folder, sanitizers + fuzz, *(WITHOUT_LOWERED if "avx512" in isas() else []))
    return lambda program, *arguments: process(folder / program, *arguments)


@pytest.fixture(scope="module")
def networks(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """Names of plans, inputs and PyTorch's logits in files."""
    folder = tmp_path_factory.mktemp("networks")
    names: list[str] = []

    def write(network: nn.Module, model: Model, height: int, width: int, sliding_words: int = SLIDING_WORDS) -> None:
        x = random_input(3, height, width, model.graph.in_channels)
        name = str(folder / f"{len(names)}_{model.graph.name}_{height}x{width}")
        Path(name + ".plan").write_bytes(make_plan(model, height, width, sliding_words))
        Path(name + ".input").write_bytes(x.tobytes())
        with torch.inference_mode():
            Path(name + ".logits").write_bytes(network(torch.from_numpy(x)).numpy().tobytes())
        names.append(name)

    def write_quantized(model: Model, height: int, width: int) -> None:
        x = random_input(2, height, width, model.graph.in_channels)
        name = str(folder / f"{len(names)}_{model.graph.name}_int8_{height}x{width}")
        Path(name + ".plan").write_bytes(make_plan(model, height, width))
        Path(name + ".input").write_bytes(x.tobytes())
        assert model.quantized is not None
        pixels = pixel_input(model.preprocessing.mean, model.preprocessing.std)
        logits = Emulation(model.graph, model.quantized, pixels).run(x)
        Path(name + ".logits").write_bytes(logits.tobytes())
        names.append(name)

    for arch in ARCHITECTURES:
        for size in SIZES:
            write(*random_network(arch), *size)
    # In 8 bits.
    for arch, size in zip(ARCHITECTURES[:-1], SIZES * 3, strict=False):  # pixels have three colours
        write_quantized(random_quantized(arch.graph()), *size)
    # The special ones. In strips, with a depthwise convolution of stride 1 among them:
    write(*random_graph_network(families.architecture("mobilenet_v1_x0_25", classes=10).graph()), 48, 224)
    write(*random_graph_network(every_operator()), 37, 41)
    for name in ("lcnet_x0_35", "mobilenet_v3_small"):  # with zero points, activations and 5x5 depthwise convolutions
        write_quantized(random_quantized(families.architecture(name, classes=10).graph()), 48, 33)
    # In strips of a few lines, as if caches were small.
    write(*random_network(ShuffleNetV1(4, 0.25, classes=10)), 230, 131, sliding_words=1 << 10)
    return names


def some_of(networks: list[str]) -> list[str]:
    """A seventh, with each of the four sizes, and the special ones."""
    return networks[:-5:7] + networks[-5:]


class EveryPlatform:
    """What is tested on each; a subclass for each, so that a process builds the programs once."""

    platform: str
    slow = False  # an emulator, or sanitizers

    def test_kernels(self, platform: str, run: Run) -> None:
        levels = {
            "aarch64": ["neon_dot", "neon", "generic", "reference"],
            "wasm32": ["simd128", "generic", "reference"],
            "wasm32_relaxed": [*_PAIRS, "simd128", "generic", "reference"],
        }
        expected = " ".join(levels.get(platform, isas()))
        assert re.fullmatch(rf"[1-9]\d* cases on {expected}, 0 failures\n", run("test_kernels"))
        assert re.fullmatch(rf"[1-9]\d* cases on {expected}, 0 failures\n", run("test_int8_kernels"))

    def test_create(self, run: Run) -> None:
        assert run("test_create") == "0 failures\n"

    def test_networks(self, run: Run, networks: list[str]) -> None:
        assert run("test_network", *(some_of(networks) if self.slow else networks)).endswith(" 0 failures\n")


class WithTraining(EveryPlatform):
    def test_training(self, run: Run) -> None:
        assert re.fullmatch(r"[1-9]\d+ checks, 0 failures\n", run("test_training"))


class OnThisProcessor(WithTraining):
    def test_sixteen_lanes_without_avx512(self, run: Run, networks: list[str]) -> None:
        if "avx512" in isas():
            pytest.skip("this processor has AVX-512: see test_kernels")
        assert run("test_kernels_lowered").endswith(" 0 failures\n")
        assert run("test_int8_kernels_lowered").endswith(" 0 failures\n")
        assert run("test_network_lowered", *some_of(networks)).endswith(" 0 failures\n")
        assert re.fullmatch(r"[1-9]\d+ checks, 0 failures\n", run("test_training_lowered"))

    def test_damaged_plans(self, run: Run, seed_folder: Path, networks: list[str]) -> None:
        """Each is refused or run; what it is held to is told in fuzz/plan.c."""
        damaged = 100 if self.slow else 300  # of each
        plans = [*inputs_of("plan", seed_folder), *(f"{name}.plan" for name in (networks[0], *networks[-4:]))]
        said = re.fullmatch(r"(\d+) inputs\n(\d+) plans were run\n", run("fuzz/fuzz_plan", str(damaged), *plans))
        assert said
        assert int(said[1]) == (damaged + 1) * len(plans)
        assert int(said[2]) > damaged * 10 // 3

    def test_words_that_nobody_wrote_show(self, run: Run, seed_folder: Path, tmp_path: Path) -> None:
        """A plan whose second step runs in the place of its first, too, so that what it reads is not there."""
        step = len(steps.COMMON_FIELDS) + max(map(len, steps.KINDS.values()))
        for plan in (seed_folder / "plan" / "0", seed_folder / "plan" / "4"):  # of float32 and of 8 bits
            words = np.fromfile(plan, np.uint32)
            first = len(steps.HEADER) + 3 * int(words[steps.HEADER.index("block_count")])
            words[first : first + step] = words[first + step : first + 2 * step]
            words.tofile(tmp_path / "plan")
            with pytest.raises(AssertionError, match="a word was read that nobody had written"):
                run("fuzz/fuzz_plan", "0", str(tmp_path / "plan"))

    def test_damaged_requests_and_pictures(self, run: Run, seed_folder: Path) -> None:
        """Of preprocessing, and for the example of an exported folder."""
        for target in ("preprocess", "exported"):
            inputs = inputs_of(target, seed_folder)
            assert run(f"fuzz/fuzz_{target}", "200", *inputs) == f"{201 * len(inputs)} inputs\n"


class TestRelease(OnThisProcessor):
    platform = "release"

    @pytest.mark.skipif(sys.platform != "linux" or usable_cores() < 2, reason="Linux and two processors")
    def test_pool(self, run: Run) -> None:
        assert run("test_pool") == "good\n"


class TestSanitized(OnThisProcessor):
    platform = "sanitized"
    slow = True


class TestClang(EveryPlatform):
    platform = "clang"


class TestClangSanitized(EveryPlatform):
    """Clang sees offsets that leave a pointer's memory, or that are added to none, which GCC doesn't."""

    platform = "clang_sanitized"
    slow = True


class TestAarch64(WithTraining):
    platform = "aarch64"
    slow = True


class TestWasm32(EveryPlatform):
    platform = "wasm32"


class TestWasm32Relaxed(EveryPlatform):
    platform = "wasm32_relaxed"


def test_teams_wait_for_one_another(tmp_path: Path, networks: list[str]) -> None:
    """Under a sanitizer that sees what nothing orders: this processor may order it anyhow."""
    # For a processor of no name only the level that any has is built: the others would take a minute.
    options = ["-DSHUFFLENET_SANITIZE=thread", "-DCMAKE_SYSTEM_NAME=Linux", "-DCMAKE_SYSTEM_PROCESSOR=any"]
    build(tmp_path, options, "test_network")
    some = [next(name for name in networks if "_230x131" in name), *networks[-3:]]
    ran = subprocess.run([tmp_path / "test_network", *some], capture_output=True, text=True)
    if "unexpected memory mapping" in ran.stderr:
        pytest.skip("the sanitizer finds no room in this system's address space")
    assert (ran.returncode, ran.stdout.endswith(" 0 failures\n")) == (0, True), ran.stderr[-5000:]
