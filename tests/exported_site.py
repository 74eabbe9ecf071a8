"""The package's default model as an exported web folder, for all tests that open it."""

from __future__ import annotations

from pathlib import Path

import pytest

from shufflenet.exporters import export

MODEL = "shufflenet_g3_x0_5"


@pytest.fixture(scope="session")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    pytest.importorskip("ziglang")
    return export(MODEL, "web", tmp_path_factory.mktemp("web") / "site", check=False).path
