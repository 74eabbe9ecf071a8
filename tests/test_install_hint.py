"""The line that installs optional packages, for each way in which this package is installed."""

from __future__ import annotations

import json
from importlib import metadata
from pathlib import Path

import pytest

from shufflenet.install_hint import install_hint

REQUIRES = ["numpy>=1.24", "torch>=2.4; extra == 'train'", 'matplotlib>=3.8; extra == "train"', "ncnn; extra == 'ncnn'"]


class Installed(metadata.Distribution):
    """A distribution that was installed from ``origin``, the content of direct_url.json."""

    def __init__(self, origin: dict[str, object] | None) -> None:
        self.origin = origin

    def read_text(self, filename: str) -> str | None:
        if filename == "direct_url.json":
            return None if self.origin is None else json.dumps(self.origin)
        lines = [f"Requires-Dist: {line}" for line in REQUIRES]
        return "\n".join(["Metadata-Version: 2.1", "Name: shufflenet", *lines]) if filename == "METADATA" else None

    def locate_file(self, path: object) -> Path:
        return Path(str(path))


@pytest.fixture
def installed(monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> None:
    monkeypatch.setattr(metadata, "distribution", lambda name: Installed(request.param))


@pytest.mark.parametrize("installed", [None, {"url": "file:///no/such/folder", "dir_info": {}}], indirect=True)
@pytest.mark.usefixtures("installed")
def test_packages_are_named_where_the_origin_is_gone() -> None:
    assert install_hint("train") == "pip install 'torch>=2.4' 'matplotlib>=3.8'"
    assert install_hint("ncnn") == "pip install ncnn"


def test_a_checkout_or_wheel_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder, wheel = tmp_path / "my code", tmp_path / "shufflenet-0.1.0-cp311-abi3-linux_x86_64.whl"
    folder.mkdir()
    wheel.touch()
    for origin, hint in (
        ({"url": folder.as_uri(), "dir_info": {}}, f"pip install '{folder}[train]'"),
        ({"url": folder.as_uri(), "dir_info": {"editable": True}}, f"pip install -e '{folder}[train]'"),
        ({"url": wheel.as_uri(), "archive_info": {}}, f"pip install '{wheel}[train]'"),
    ):
        monkeypatch.setattr(metadata, "distribution", lambda name, origin=origin: Installed(origin))
        assert install_hint("train") == hint
    monkeypatch.chdir(folder)
    monkeypatch.setattr(metadata, "distribution", lambda name: Installed({"url": folder.as_uri(), "dir_info": {}}))
    assert install_hint("train") == "pip install '.[train]'"
