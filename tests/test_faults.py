"""Commands some of whose calls of the system fail: `fuzz/faults.py`, which goes on with thousands, on a few."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("onnx")
pytest.importorskip("pyarrow")

COMMAND = Path(__file__).parent.parent / "fuzz" / "faults.py"


@pytest.mark.skipif(sys.platform != "linux" or not shutil.which("cc"), reason="Linux and a C compiler")
def test_failing_calls_break_no_promise() -> None:
    result = subprocess.run([sys.executable, COMMAND, "--faults", "60"], capture_output=True, text=True)
    assert result.returncode == 0, result.stdout + result.stderr
    assert result.stdout.endswith("60 faults, 0 broken promises\n")
    for kind in ("open", "write", "fsync", "rename", "allocation", "thread"):
        assert f"{kind}: exit code " in result.stdout, "each kind came at least once"
