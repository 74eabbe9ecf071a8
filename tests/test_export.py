"""`export` without a compiler: targets, names, which files it replaces, and that it refuses a wrong result."""

from __future__ import annotations

import errno
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result
from numpy.typing import NDArray

from shufflenet import cli, model_file
from shufflenet import exporters as export
from shufflenet.engine.engine import Engine
from shufflenet.exporters import check, report
from shufflenet.exporters.target import ExportError, Order, Runner, Target, identifier
from shufflenet.networks.model import Model

Floats = NDArray[np.float32]


def run(*arguments: str | Path) -> Result:
    return CliRunner().invoke(cli.commands, ["export", *map(str, arguments)])


def write_name(order: Order, path: Path) -> None:
    path.write_bytes(b"made by a test: " + order.name.encode())


def target_that(changes: Callable[[Floats], Floats], folder: bool = False) -> Target:
    """A target whose exported network gives the engine's logits after ``changes``."""

    def open_(order: Order, path: Path) -> Runner:
        assert path.exists()
        engine = Engine(order.model)
        return Runner(lambda x: changes(engine.run(x[None])[0]))

    return Target("test", "a test", ".test", write_name, open_, folder, b"made by a test")


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Times each network once, and puts the engine in PyTorch's place, which is slow to start."""
    monkeypatch.setattr(check, "_RUNS", 1)
    monkeypatch.setattr(check, "_pytorch", lambda model: lambda x: Engine(model).run(x[None])[0])


@pytest.fixture
def exact(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(export, "TARGETS", {"test": target_that(lambda logits: logits)})


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("shufflenet_g3_x0_5", "shufflenet_g3_x0_5"),
        ("my cat-model.v2", "my_cat_model_v2"),
        ("käse/..", "k_se___"),
        ("3cats", "model_3cats"),
        ("_x", "model__x"),
        ("", "model_"),
        ("main", "model_main"),
        ("Double", "model_Double"),
        ("math", "model_math"),
        ("engine_avx2", "model_engine_avx2"),
        ("a" * 300, "a" * 64),
    ],
)
def test_identifier(text: str, name: str) -> None:
    assert identifier(text) == name


def test_help_names_every_target() -> None:
    text = run("--help").stdout
    for target in export.TARGETS.values():
        assert f"  {target.name} " in text
        assert target.title.split()[1] in text
    assert "  shufflenet export " in text.split("Examples:")[1]


def test_unknown_or_missing_target(model_path: Path) -> None:
    there_are = "there are c, onnx, openvino, ncnn, litert, mnn, coreml, executorch, torchscript, web"
    result = run(model_path, "--to", "tensorrt")
    assert (result.exit_code, result.stdout) == (2, "")
    assert result.stderr == f"Error: unknown target 'tensorrt'; {there_are}\n"
    result = run(model_path)
    assert (result.exit_code, result.stdout) == (2, "")
    assert result.stderr == f"Error: --to TARGET is missing; {there_are}\n"


def test_missing_package(model: Model, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    packages = ("no_such_a", "no_such_b")
    target = replace(target_that(lambda logits: logits), writes_with=packages[:1], runs_with=packages)
    monkeypatch.setattr(export, "TARGETS", {"test": target})
    with pytest.raises(ExportError, match="needs no_such_a and no_such_b; install with: pip install "):
        export.export(model, "test", tmp_path / "x", name="x")
    monkeypatch.setattr(export, "TARGETS", {"test": replace(target, writes_with=())})
    with pytest.raises(ExportError, match=r"needs no_such_a and no_such_b \(--no-check needs less\)"):
        export.export(model, "test", tmp_path / "x", name="x")
    assert export.export(model, "test", tmp_path / "x", name="x", check=False).check is None


def test_missing_compiler(model: Model, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("CC", "no_such_compiler")
    with pytest.raises(ExportError, match=r"'no_such_compiler'.*--no-check"):
        export.export(model, "c", tmp_path / "x", name="x")
    assert not list(tmp_path.iterdir())


@pytest.mark.usefixtures("exact")
def test_what_is_replaced(model: Model, tmp_path: Path) -> None:
    path = tmp_path / "x.test"
    path.touch()
    for replaced in (None, "an earlier export"):  # first an empty file, then its own result
        done = export.export(model, "test", path, name="x")
        assert done.ok
        assert done.replaced == replaced
    path.write_bytes(b"somebody's work")
    with pytest.raises(ExportError, match="not from this command"):
        export.export(model, "test", path, name="x")
    assert path.read_bytes() == b"somebody's work"
    with pytest.raises(ExportError, match="folder does not exist"):
        export.export(model, "test", tmp_path / "no" / "x.test", name="x")
    with pytest.raises(ExportError, match="not a file"):
        export.export(model, "test", tmp_path, name="x")
    assert [file.name for file in tmp_path.iterdir()] == ["x.test"]


@pytest.mark.usefixtures("exact")
def test_a_result_is_named_after_the_run(model: Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    model.name = "flowers-2"
    for stem in ("model", "roses"):
        model_file.save(model, Path(f"{stem}.safetensors"))
    assert export.export("model.safetensors", "test").path == Path("flowers_2.test")
    assert export.export("roses.safetensors", "test").path == Path("roses.test")
    assert export.export(model, "test").path == Path("flowers_2.test")
    model.name = ""
    model_file.save(model, Path("model.safetensors"))
    assert export.export("model.safetensors", "test").path == Path("model.test")


def test_what_folder_is_replaced(model: Model, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def write(order: Order, path: Path) -> None:
        (path / "sub").mkdir(parents=True)
        (path / "sub" / "a.txt").write_text(order.name)

    monkeypatch.setattr(
        export, "TARGETS", {"test": replace(target_that(lambda logits: logits, folder=True), write=write)}
    )
    path = tmp_path / "x"
    path.mkdir()
    for name, replaced in (("x", None), ("y", f"x, a {model.graph.name}")):
        done = export.export(model, "test", path, name=name)
        assert done.ok
        assert done.replaced == replaced
    assert f"\nreplaced what was there: x, a {model.graph.name}\n" in report.text(done)
    assert (path / "sub" / "a.txt").read_text() == "y"
    (path / "mine.txt").write_text("work")
    with pytest.raises(ExportError, match=r"holds mine\.txt"):
        export.export(model, "test", path, name="z")
    (path / "mine.txt").unlink()
    (path / "sub" / "a.txt").write_text("edited")
    with pytest.raises(ExportError, match=r"holds sub/a\.txt"):
        export.export(model, "test", path, name="z")
    (path / "EXPORT.json").write_text("[" * 10)
    with pytest.raises(ExportError, match="holds"):
        export.export(model, "test", path, name="z")
    (path / "EXPORT.json").write_text('{"sha256": []}')
    with pytest.raises(ExportError, match="holds"):
        export.export(model, "test", path, name="z")
    link = tmp_path / "link"
    link.symlink_to(path)
    with pytest.raises(ExportError, match="not a folder"):
        export.export(model, "test", link, name="z")
    assert (path / "sub" / "a.txt").read_text() == "edited"
    assert sorted(file.name for file in tmp_path.iterdir()) == ["link", "x"]


@pytest.mark.parametrize(
    "change",
    [
        lambda logits: logits + 3e-4 * np.abs(logits).max(),
        lambda logits: logits[::-1],
        lambda logits: logits * np.nan,
        lambda logits: np.where(logits == logits.max(), np.nan, logits),
    ],
)
def test_wrong_result(
    model: Model, model_path: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, change: object
) -> None:
    monkeypatch.setattr(export, "TARGETS", {"test": target_that(change)})  # type: ignore[arg-type]
    path = tmp_path / "x.test"
    result = run(model_path, "--to", "test", "--out", path)
    assert result.exit_code == 1
    assert "not written, since the result differs" in result.stdout
    assert not path.exists()
    as_json = json.loads(run(model_path, "--to", "test", "--out", path, "--json").stdout, parse_constant=pytest.fail)
    assert (as_json["ok"], path.exists()) == (False, False)
    result = run(model_path, "--to", "test", "--out", path, "--no-check")
    assert (result.exit_code, path.exists()) == (0, True)
    assert result.stdout.endswith("not checked\n")


def test_a_full_disk_names_what_was_to_be_written(
    model: Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(order: Order, path: Path) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(export, "TARGETS", {"test": replace(target_that(lambda logits: logits), write=full)})
    with pytest.raises(OSError, match="No space left on device") as raised:
        export.export(model, "test", tmp_path / "x.test", name="name")
    assert raised.value.filename == str(tmp_path / "x.test")


def test_wrong_preprocessing(model: Model, model_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A target with right logits but wrong probabilities of pixels is refused."""

    def open_(order: Order, path: Path) -> Runner:
        right = target_that(lambda logits: logits).open(order, path)
        return Runner(right.logits, lambda pixels: np.full(5, 0.2, np.float32))

    monkeypatch.setattr(export, "TARGETS", {"test": replace(target_that(lambda logits: logits), open=open_)})
    out = model_path.with_suffix(".test")
    assert run(model_path, "--to", "test", "--out", out).exit_code == 1
    assert not out.exists()


def test_a_picture_that_cannot_be_read_is_found_first(model_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def open_(order: Order, path: Path) -> Runner:
        raise AssertionError("built before the picture was read")

    monkeypatch.setattr(export, "TARGETS", {"test": replace(target_that(lambda logits: logits), open=open_)})
    picture = model_path.with_suffix(".jpg")
    picture.write_bytes(b"no picture")
    result = run(model_path, "--to", "test", "--out", model_path.with_suffix(".test"), "--check-on", picture)
    assert result.exit_code == 2
    assert str(picture) in result.stderr


@pytest.mark.usefixtures("exact")
def test_command(model_path: Path, photos: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    result = run(model_path, "--to", "test", "--check-on", photos / "cat.jpg", "--check-on", photos / "china.jpg")
    assert result.exit_code == 0
    assert Path("model.test").read_bytes() == b"made by a test: model"
    assert result.stdout.splitlines()[0] == "model.test: 21 bytes, a test"
    assert "2 pictures of 32 x 32" in result.stdout
    assert "100.0 %" in result.stdout
    done = json.loads(run(model_path, "--to", "test", "--size", "48x64", "--json").stdout)
    assert (done["path"], done["height"], done["width"], done["ok"]) == ("model.test", 48, 64, True)
    assert {other["name"].split()[0]: other["error"] for other in done["check"]["comparisons"]}["engine"] == 0
    for bad in (["--size", "16"], ["--size", "big"], ["--check-on", tmp_path / "none.jpg"], ["--check-on", model_path]):
        result = run(model_path, "--to", "test", *bad)
        assert (result.exit_code, len(result.stderr.splitlines()), result.stdout) == (2, 1, "")
