"""Builds the engine's C tests, plainly and with sanitizers, and runs them: kernels by themselves and whole networks."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
import torch

from random_network import random_input, random_network
from shufflenet.arch import STAGE2_CHANNELS, Architecture
from shufflenet.plan import make_plan

ROOT = Path(__file__).parent.parent

ARCHITECTURES = [
    *[Architecture(groups, 0.25, classes=10) for groups in STAGE2_CHANNELS],
    Architecture(3, 0.5, classes=201, stem_stride=1),
    Architecture(8, 0.5, shuffle=False),
    Architecture(4, 0.05, classes=1, in_channels=1),
]
SIZES = [(32, 32), (97, 131), (64, 33)]


@pytest.fixture(scope="module", params=["", "address,undefined"], ids=["release", "sanitized"])
def programs(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the built test programs."""
    build = tmp_path_factory.mktemp("build")
    configure = ["cmake", "-S", str(ROOT), "-B", str(build), "-DSHUFFLENET_TESTS=ON", "-DSHUFFLENET_WERROR=ON"]
    subprocess.run([*configure, f"-DSHUFFLENET_SANITIZE={request.param}"], check=True, capture_output=True)
    subprocess.run(["cmake", "--build", str(build), "--parallel", "2"], check=True, capture_output=True)
    return build


def run(program: Path, *arguments: str) -> str:
    result = subprocess.run([program, *arguments], capture_output=True, text=True)
    assert result.returncode == 0, result.stderr[-5000:]
    return result.stdout


@pytest.mark.parametrize("program", ["test_kernels", "test_kernels_lowered"])
def test_kernels(programs: Path, program: str) -> None:
    assert run(programs / program).endswith(" 0 failures\n")


@torch.inference_mode()
def test_networks(programs: Path, tmp_path: Path) -> None:
    names = []
    for arch in ARCHITECTURES:
        network, model = random_network(arch)
        for height, width in SIZES:
            x = random_input(3, height, width, arch.in_channels)
            name = str(tmp_path / f"{arch.name}_{arch.classes}_{height}x{width}")
            Path(name + ".plan").write_bytes(make_plan(model, height, width))
            Path(name + ".input").write_bytes(x.tobytes())
            Path(name + ".logits").write_bytes(network(torch.from_numpy(x)).numpy().tobytes())
            names.append(name)
    assert run(programs / "test_network", *names).endswith(" 0 failures\n")
