"""Labels of many pictures as Parquet files: from all kinds of sources, in parts that survive whatever stops a run."""

from __future__ import annotations

import io
import json
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image

from shufflenet import Classifier, cli, model_file
from shufflenet.batch import Classify, plan, shards
from shufflenet.batch.parts import Job, PartsError
from shufflenet.batch.plan import SourceError
from shufflenet.batch.run import Progress, finished_here, predict_to
from shufflenet.networks.model import Model

fsspec = pytest.importorskip("fsspec")
pyarrow = pytest.importorskip("pyarrow")
parquet = pytest.importorskip("pyarrow.parquet")

PICTURES = 9
BROKEN = 4  # the number of the one that can't be read


@pytest.fixture(autouse=True)
def small_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(plan, "_FEWEST", 2)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Pictures 0.png to 8.png in two folders, of which one is no picture."""
    random = np.random.default_rng(1)
    for number in range(PICTURES):
        path = tmp_path / "pictures" / ("a" if number < 5 else "b") / f"{number}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        if number == BROKEN:
            path.write_bytes(b"no picture")
        else:
            Image.fromarray(random.integers(0, 255, (40, 40 + number, 3), dtype=np.uint8)).save(path)
    return tmp_path / "pictures"


def files(folder: Path) -> list[Path]:
    return sorted(folder.rglob("*.png"))


def rows(labels: Path) -> list[dict[str, Any]]:
    found = []
    for path in sorted(labels.glob("*.parquet")):
        found += parquet.read_table(path).to_pylist()
    return found


def expected(folder: Path, model: Path, top_k: int = 5) -> list[dict[str, Any]]:
    classifier = Classifier(model)
    result: list[dict[str, Any]] = []
    for number, path in enumerate(files(folder)):
        if number == BROKEN:
            nothing: list[Any] = []
            error = "not a picture in a format that can be read (JPEG, PNG, GIF, BMP, WebP, TIFF or PNM)"
            result.append(
                {"path": str(path), "label": None, "score": None, "labels": nothing, "scores": nothing, "error": error}
            )
        else:
            p = classifier.predict(path, top_k)
            labels, scores = list(p.labels), list(p.probabilities)
            best = {"label": labels[0], "score": scores[0]}
            result.append(dict(path=str(path), **best, labels=labels, scores=scores, error=None))
    return result


def without_paths(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [{name: value for name, value in row.items() if name != "path"} for row in rows]


# Sources


def test_a_folder_becomes_rows_in_its_order(folder: Path, model_path: Path, tmp_path: Path) -> None:
    done = predict_to([str(folder)], tmp_path / "labels", model_path, top_k=2)
    assert rows(tmp_path / "labels") == expected(folder, model_path, top_k=2)
    assert (done.parts, done.parts_done, done.pictures, done.errors, done.total) == (5, 5, 9, 1, 9)
    assert len(list((tmp_path / "labels").iterdir())) == 5


def test_metadata_tell_the_model_and_its_preprocessing(folder: Path, model_path: Path, tmp_path: Path) -> None:
    predict_to([str(folder)], tmp_path / "labels", model_path)
    for path in (tmp_path / "labels").glob("*.parquet"):
        said = json.loads(parquet.read_schema(path).metadata[b"shufflenet"])
        assert said["model_hash"] == model_file.digest(model_file.load(model_path))
        assert said["preprocessing"]["size"] == 32
        assert said["pictures"] == parquet.read_metadata(path).num_rows


def test_a_list_may_name_pictures_of_any_suffix_and_missing_ones(
    folder: Path, model_path: Path, tmp_path: Path
) -> None:
    (tmp_path / "odd name").write_bytes(files(folder)[0].read_bytes())
    listing = tmp_path / "list.txt"
    listing.write_text(f"{tmp_path / 'odd name'}\n{tmp_path / 'missing.png'}\n\n{tmp_path / 'odd name'}\n")
    predict_to([str(listing)], tmp_path / "labels", model_path)
    good, missing = rows(tmp_path / "labels")
    assert good["labels"] == expected(folder, model_path)[0]["labels"]
    assert missing["error"] == "no such file"


def make_tar(path: Path, pictures: list[Path], mode: str = "w") -> Path:
    with tarfile.open(path, mode) as tar:  # type: ignore[call-overload]
        for picture in pictures:
            tar.add(picture, picture.name)
            label = tarfile.TarInfo(f"{picture.stem}.cls")
            label.size = 1
            tar.addfile(label, io.BytesIO(b"3"))
    return path


@pytest.mark.parametrize(("name", "mode"), [("x.tar", "w"), ("x.tar.gz", "w:gz")])
def test_tar_shards(folder: Path, model_path: Path, tmp_path: Path, name: str, mode: str) -> None:
    shard = make_tar(tmp_path / name, files(folder), mode)
    predict_to([str(shard)], tmp_path / "labels", model_path)
    (part,) = (tmp_path / "labels").iterdir()
    assert part.name.startswith(f"shard-{name}-")
    found = rows(tmp_path / "labels")
    assert without_paths(found) == without_paths(expected(folder, model_path))
    assert [row["path"] for row in found] == [f"{shard}/{path.name}" for path in files(folder)]


@pytest.mark.parametrize("nested", [False, True], ids=["bytes", "struct of bytes and path"])
def test_parquet_shards(folder: Path, model_path: Path, tmp_path: Path, nested: bool) -> None:
    contents: list[Any] = [path.read_bytes() for path in files(folder)]
    columns: dict[str, Any] = {"url": [f"u{number}" for number in range(PICTURES)], "bytes": contents}
    if nested:
        columns = {"image": [{"bytes": content, "path": None} for content in contents]}
    parquet.write_table(pyarrow.table(columns), tmp_path / "x.parquet")
    predict_to([str(tmp_path / "x.parquet")], tmp_path / "labels", model_path)
    found = rows(tmp_path / "labels")
    assert without_paths(found) == without_paths(expected(folder, model_path))
    assert found[3]["path"] == (f"{tmp_path}/x.parquet/3" if nested else "u3")


def test_urls_are_read_and_written(folder: Path, model_path: Path) -> None:
    memory = fsspec.filesystem("memory")
    for path in files(folder):
        memory.pipe(f"/in/{path.parent.name}/{path.name}", path.read_bytes())
    for _ in range(2):
        done = predict_to(["memory://in"], "memory://out/labels", model_path)
    assert done.parts_before == done.parts == 5
    found = []
    for name in sorted(memory.ls("/out/labels", detail=False)):
        assert name.endswith(".parquet")
        found += parquet.read_table(io.BytesIO(memory.cat(name))).to_pylist()
    assert without_paths(found) == without_paths(expected(folder, model_path))
    assert found[0]["path"] == "memory:///in/a/0.png"


def test_shards_and_pictures_of_one_folder(folder: Path, model_path: Path, tmp_path: Path) -> None:
    make_tar(folder / "x.tar", files(folder)[:3])
    done = predict_to([str(folder)], tmp_path / "labels", model_path)
    assert (done.parts, done.pictures, done.total) == (6, 12, None)


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("missing", "missing: no such file"),
        ("empty", "empty: no pictures, and no shards (.tar, .tar.gz, .tgz, .parquet)"),
        ("x.bin", "x.bin: neither a picture nor a shard by its name, and no text with a path on each line"),
        ("nothing://x", "nothing://x: Protocol not known: nothing"),
    ],
)
def test_sources_that_are_refused(
    model_path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, source: str, message: str
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "empty").mkdir()
    (tmp_path / "x.bin").write_bytes(b"\0\1")
    with pytest.raises(SourceError) as caught:
        predict_to([source], "labels", model_path)
    assert str(caught.value) == message
    assert not (tmp_path / "labels").exists()


def test_a_folder_inside_the_source_is_refused(folder: Path, model_path: Path) -> None:
    with pytest.raises(SourceError, match="the next run would take labels for pictures"):
        predict_to([str(folder)], folder / "labels", model_path)


def test_damaged_shards_keep_what_can_be_read(folder: Path, model_path: Path, tmp_path: Path) -> None:
    shard = make_tar(tmp_path / "x.tar", files(folder))
    shard.write_bytes(shard.read_bytes()[:15_000])
    (tmp_path / "y.parquet").write_bytes(b"PAR1 no more")
    parquet.write_table(pyarrow.table({"label": [1]}), tmp_path / "z.parquet")
    done = predict_to(
        [str(tmp_path / f"{name}") for name in ("x.tar", "y.parquet", "z.parquet")], tmp_path / "l", model_path
    )
    found = rows(tmp_path / "l")
    whole = [row for row in found if row["error"] is None]
    assert without_paths(whole) == without_paths(expected(folder, model_path))[: len(whole)]
    assert 1 <= len(whole) < BROKEN
    errors = [row["error"] for row in found if row["error"]]
    assert len(errors) == done.errors == 3
    assert all(error.startswith("damaged shard, pictures may be missing (") for error in errors)
    assert "no column bytes, content, image, jpg, data; it has label" in errors[2]


# Stops


class _StoppedError(Exception):
    pass


@pytest.mark.parametrize("after", [1, 2, 5, 8])
def test_a_stopped_run_goes_on(folder: Path, model_path: Path, tmp_path: Path, after: int) -> None:
    predict_to([str(folder)], tmp_path / "unbroken", model_path)

    def stop(progress: Progress) -> None:
        if progress.pictures + progress.begun >= after:
            raise _StoppedError

    with pytest.raises(_StoppedError):
        predict_to([str(folder)], tmp_path / "labels", model_path, progress=stop)
    written = {path: path.stat().st_mtime_ns for path in (tmp_path / "labels").iterdir()}
    assert len(written) == (after - 1) // 2
    done = predict_to([str(folder)], tmp_path / "labels", model_path)
    assert (done.parts_before, done.pictures, done.errors) == (len(written), 9, 1)
    assert all(path.stat().st_mtime_ns == when for path, when in written.items())
    contents = [
        {path.name: path.read_bytes() for path in (tmp_path / name).iterdir()} for name in ("unbroken", "labels")
    ]
    assert contents[0] == contents[1]


def test_a_damaged_part_is_made_again(folder: Path, model_path: Path, tmp_path: Path) -> None:
    predict_to([str(folder)], tmp_path / "labels", model_path)
    part = min((tmp_path / "labels").iterdir())
    content = part.read_bytes()
    part.write_bytes(content[:-20])
    done = predict_to([str(folder)], tmp_path / "labels", model_path)
    assert (done.parts_before, done.parts_done) == (4, 5)
    assert part.read_bytes() == content


def test_other_models_options_and_pictures_are_refused(
    folder: Path, model: Model, model_path: Path, tmp_path: Path
) -> None:
    labels = tmp_path / "labels"
    predict_to([str(folder)], labels, model_path)
    other = tmp_path / "other.safetensors"
    model.tensors["fc.bias"] = model.tensors["fc.bias"] + 1
    model_file.save(model, other)
    before = sorted(labels.iterdir())
    for arguments, message in (
        ({"model": other}, f"was made by another model, {model_path} ("),
        ({"model": model_path, "top_k": 3}, "was made by --top-k 5; name another folder"),
        ({"model": model_path, "max_pixels": 10}, "was made by --max-pixels 100000000; name another folder"),
    ):
        with pytest.raises(PartsError) as caught:
            predict_to([str(folder)], labels, **arguments)
        assert message in str(caught.value)
    files(folder)[-1].unlink()
    with pytest.raises(PartsError, match="has 1 files that are not of these pictures, such as part-000004-"):
        predict_to([str(folder)], labels, model_path)
    assert sorted(labels.iterdir()) == before


def test_a_shard_that_cannot_be_read_now_is_tried_again(
    folder: Path, model_path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tars = [make_tar(tmp_path / f"{name}.tar", files(folder)[:2]) for name in "xy"]
    read = shards.pictures_in

    def failing(shard: str) -> Iterator[Any]:
        yield from read(shard)
        if shard == str(tars[0]):
            raise OSError(5, "Input/output error")

    monkeypatch.setattr(plan, "pictures_in", failing)
    done = predict_to(map(str, tars), tmp_path / "labels", model_path)
    assert done.failed == [f"{tars[0]}: can't be read (Input/output error)"]
    assert (done.pictures, done.begun, done.parts_done) == (2, 0, 1)
    monkeypatch.undo()
    done = predict_to(map(str, tars), tmp_path / "labels", model_path)
    assert (done.failed, done.pictures, done.parts_before) == ([], 4, 1)


# Batches of other engines


def test_batches_of_every_kind(folder: Path, model_path: Path) -> None:
    classify = Classify(model_path, top_k=2)
    paths = list(map(str, files(folder)))
    contents = np.empty(PICTURES, dtype=object)
    contents[:] = [path.read_bytes() for path in files(folder)]
    contents[0] = bytearray(contents[0])
    right = expected(folder, model_path, top_k=2)
    table = classify(pyarrow.table({"bytes": contents, "path": paths}))
    assert table.to_pylist() == right
    arrays = classify({"content": contents, "path": np.array(paths)})
    assert list(arrays) == ["path", "label", "score", "labels", "scores", "error"]
    assert arrays["score"].dtype == np.float64
    assert np.isnan(arrays["score"][BROKEN])
    for i, row in enumerate(right):
        assert {name: arrays[name][i] for name in row if name != "score"} == {
            k: v for k, v in row.items() if k != "score"
        }
    by_path = classify({"path": paths})
    assert by_path["labels"].tolist() == arrays["labels"].tolist()
    no_paths = classify({"bytes": [contents[1], None]})
    assert no_paths["path"].tolist() == [None, None]
    assert no_paths["error"].tolist() == [None, "no picture in this row"]
    with pytest.raises(ValueError, match=r"a batch needs a column bytes, .* or path; it has x"):
        classify({"x": [1]})


def test_a_worker_with_another_model_refuses(model: Model, model_path: Path) -> None:
    classify = Classify(model_path)
    model.tensors["fc.bias"] = model.tensors["fc.bias"] + 1
    model_file.save(model, model_path)
    with pytest.raises(model_file.ModelFileError, match="another model here than where the job was started"):
        classify({"path": ["x.png"]})


def test_a_node_with_another_model_refuses_a_job(folder: Path, model: Model, model_path: Path) -> None:
    job = Job.of(str(model_path), top_k=1, max_pixels=1000)
    model.tensors["fc.bias"] = model.tensors["fc.bias"] + 1
    model_file.save(model, model_path)
    with pytest.raises(model_file.ModelFileError, match="another model here than where the job was started"):
        list(finished_here(plan.plan([str(folder)]), job))


# The command


def test_command(folder: Path, model_path: Path, tmp_path: Path) -> None:
    arguments = ["predict", str(folder), "--model", str(model_path), "--to", str(tmp_path / "labels")]
    result = CliRunner().invoke(cli.commands, arguments)
    assert (result.exit_code, result.stdout) == (1, f"{tmp_path / 'labels'}\n")
    assert result.stderr.startswith("9 pictures, 1 errors, ")
    result = CliRunner().invoke(cli.commands, [*arguments, "--json"])
    said = json.loads(result.stdout)
    assert (said["parts"], said["parts_before"], said["pictures"], said["errors"]) == (5, 5, 9, 1)
    result = CliRunner().invoke(cli.commands, [*arguments, "--top-k", "2"])
    assert (result.exit_code, result.stdout) == (2, "")
    assert "was made by --top-k 5" in result.stderr


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--to", "x", "--csv"], "--to and --csv exclude each other."),
        (["--on", "ray"], "--on needs --to, the folder of the result."),
        (["--to", "x", "--on", "spark"], "--on takes ray or ray:ADDRESS, not spark."),
    ],
)
def test_options_that_exclude_each_other(options: list[str], message: str) -> None:
    result = CliRunner().invoke(cli.commands, ["predict", "photos", *options])
    assert (result.exit_code, message in result.stderr) == (2, True)
