"""Builds and runs the engine's C tests: every kernel of every level against the plain reference."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent


@pytest.mark.parametrize("sanitize", ["", "address,undefined"], ids=["release", "sanitized"])
def test_kernels(sanitize: str, tmp_path: Path) -> None:
    configure = ["cmake", "-S", str(ROOT), "-B", str(tmp_path), "-DSHUFFLENET_TESTS=ON", "-DSHUFFLENET_WERROR=ON"]
    subprocess.run([*configure, f"-DSHUFFLENET_SANITIZE={sanitize}"], check=True, capture_output=True)
    subprocess.run(["cmake", "--build", str(tmp_path), "--parallel", "2"], check=True, capture_output=True)
    for program in ("test_kernels", "test_kernels_lowered"):
        result = subprocess.run([tmp_path / program], capture_output=True, text=True)
        assert result.returncode == 0, result.stderr[-5000:]
        assert result.stdout.endswith(" 0 failures\n")
