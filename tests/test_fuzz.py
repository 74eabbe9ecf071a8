"""The fuzz targets in Python on what broke once, on seeds and on damaged ones, from which `make fuzz` goes on.

Those in C are run by `tests/test_engine_c.py`.
"""

from __future__ import annotations

import importlib
import random
from pathlib import Path
from types import ModuleType

import pytest

pytest.importorskip("torch")  # of the seeds

import damage
import seeds
from shufflenet import model_file
from shufflenet.importers.checkpoint import CheckpointError
from shufflenet.importers.network_file import import_network
from shufflenet.importers.programs import onnx_program, program, translate, translation

FUZZ = Path(__file__).parent.parent / "fuzz"
DAMAGED = 10  # inputs made of each seed


@pytest.fixture(params=["pictures", "model_files", "checkpoints", "archives", "http_requests", "programs"])
def target(request: pytest.FixtureRequest) -> ModuleType:
    return importlib.import_module(request.param)


@pytest.fixture(scope="module")
def seed_files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("seeds")
    seeds.write_inputs(folder)
    return folder


def test_what_broke_once(target: ModuleType) -> None:
    files = sorted((FUZZ / "corpus" / target.__name__).iterdir())
    assert files
    for file in files:
        target.run(file.read_bytes())


def test_seeds_and_damaged_ones(target: ModuleType, seed_files: Path) -> None:
    chance = random.Random(1707)
    changed = 0
    for file in sorted((seed_files / target.__name__).iterdir()):
        data = file.read_bytes()
        target.run(data)
        for _ in range(DAMAGED):
            damaged = target.mutate(data, chance)
            changed += damaged not in (None, data)
            target.run(data if damaged is None else damaged)
    assert changed > 30


def test_model_files_are_damaged_behind_their_first_checks(seed_files: Path, tmp_path: Path) -> None:
    """Otherwise fuzzing would see little more than JSON and checksums."""
    import model_files

    chance, path, reasons = random.Random(3), tmp_path / "model.safetensors", set()
    for _ in range(60):
        path.write_bytes(model_files.mutate((seed_files / "model_files" / "0").read_bytes(), chance) or b"")
        try:
            model_file.load(path)
            reasons.add("")
        except model_file.ModelFileError as error:
            reasons.add(str(error).partition(": ")[2][:20])
    assert len(reasons) > 10
    assert "" in reasons


def test_network_files_are_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """SECURITY.md tells the limits; what is over one is refused by it, before it is computed."""
    import program_seeds

    said = " ".join((FUZZ.parent / "SECURITY.md").read_text("utf-8").split())
    for text in (
        f"{program.MOST_OPERATIONS:,} operators",
        f"{translation.MOST_NUMBERS:,} numbers",
        f"{translate.MOST_WORK:,} multiplications or comparisons",
    ):
        assert text in said
    file = tmp_path / "net.onnx"
    file.write_bytes(program_seeds.onnx_of_many_operators())
    import_network(file)
    for module, name, message in (
        (onnx_program, "MOST_OPERATIONS", "more than 20 operators"),
        (translation, "MOST_NUMBERS", "compute more than 20 numbers"),
        (translate, "MOST_WORK", "multiplications or comparisons a picture, more than 20"),
    ):
        with monkeypatch.context() as patch:
            patch.setattr(module, name, 20)
            with pytest.raises(CheckpointError, match=rf"net\.onnx: .*{message}$"):
                import_network(file)


def test_a_damaged_png_has_right_checksums(seed_files: Path) -> None:
    data = (seed_files / "pictures" / "0").read_bytes()
    assert damage.with_png_checksums(data) == data
    place = data.index(b"IHDR") + 4
    other = data[:place] + b"\0\0\0\x09" + data[place + 4 :]
    repaired = damage.with_png_checksums(other)
    assert repaired[: place + 13] == other[: place + 13]
    assert repaired != other
