"""Features on the engine are PyTorch's, and the commands that use them."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result

import shufflenet
from shufflenet import cli, similarity
from shufflenet.features import feature_model, with_classifier
from shufflenet.networks import families
from shufflenet.networks.model import Model
from shufflenet.pictures.images import ImageError
from shufflenet.pictures.preprocessing import preprocess


def run(*arguments: str | Path) -> Result:
    return CliRunner().invoke(cli.commands, [str(argument) for argument in arguments])


def test_embeddings_are_what_the_last_layer_reads(model_path: Path, photos: Path) -> None:
    classifier = shufflenet.Classifier(model_path)
    paths = [photos / "cat.jpg", photos / "china.jpg"]
    rows = classifier.embed(paths)
    assert rows.shape == (2, classifier.features)
    assert rows.dtype == np.float32
    assert np.array_equal(classifier.embed(paths[0]), rows[:1])
    weight, bias = (shufflenet.load_model(model_path).tensors[f"fc.{name}"] for name in ("weight", "bias"))
    for path, row in zip(paths, rows, strict=True):
        x, _ = classifier._input(path, 10**8)
        np.testing.assert_allclose(row @ weight.T + bias, classifier.logits(x)[0], atol=1e-4)


def test_embeddings_are_pytorchs(model: Model, model_path: Path, photos: Path) -> None:
    torch = pytest.importorskip("torch")
    from shufflenet.networks.module import module_with_weights

    network, seen = module_with_weights(model), []
    network.get_submodule("fc").register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0].numpy()))
    classifier = shufflenet.Classifier(model_path)
    x, _ = classifier._input(photos / "cat.jpg", 10**8)
    with torch.inference_mode():
        network(torch.from_numpy(x)[None])
    np.testing.assert_allclose(classifier.embed(photos / "cat.jpg"), seen[0], rtol=1e-4, atol=1e-5)


def test_embeddings_of_a_model_in_8_bits(model: Model, model_path: Path, photos: Path, tmp_path: Path) -> None:
    """The last layer's bytes, on what was embedded, make the logits of the model in 8 bits."""
    pytest.importorskip("torch")
    from shufflenet import model_file
    from shufflenet.quantization.calibration import calibrate
    from shufflenet.quantization.units import real_weights

    inputs = np.random.default_rng(0).normal(0, 1, (32, 3, 64, 64)).astype(np.float32)
    in_8_bits = replace(model, tensors={}, quantized=calibrate(model, inputs))
    model_file.save(in_8_bits, tmp_path / "int8.safetensors")
    classifier = shufflenet.Classifier(tmp_path / "int8.safetensors")
    row = classifier.embed(photos / "cat.jpg")[0]
    assert in_8_bits.quantized is not None
    weight, bias = (part.numpy() for part in real_weights(model, in_8_bits.quantized, model.graph.nodes[-1]))  # type: ignore[arg-type]
    x, _ = classifier._input(photos / "cat.jpg", 10**8)
    np.testing.assert_allclose(row @ weight.T + bias, classifier.logits(x)[0], rtol=1e-4, atol=1e-4)
    assert np.corrcoef(row, shufflenet.Classifier(model_path).embed(photos / "cat.jpg")[0])[0, 1] > 0.99


@pytest.mark.parametrize("threads", [1, 2])
def test_yielded_errors_keep_the_order(model_path: Path, photos: Path, tmp_path: Path, threads: int) -> None:
    classifier = shufflenet.Classifier(model_path, threads=threads)
    sources = [photos / "cat.jpg", tmp_path / "none.jpg", photos / "cat.jpg"]
    first, error, second = classifier.embed(sources, errors="yield")
    assert isinstance(error, ImageError)
    assert not isinstance(first, ImageError)
    assert np.array_equal(first, second)  # type: ignore[arg-type]
    with pytest.raises(ImageError, match=r"none\.jpg"):
        classifier.embed(sources)
    assert classifier.embed([]).shape == (0, classifier.features)


def test_a_folder_is_embedded_in_the_order_of_its_paths(model_path: Path, photos: Path, tmp_path: Path) -> None:
    from PIL import Image

    holiday, names = tmp_path / "holiday", ["a/z.jpg", "b.jpg", "a.jpeg", "._b.jpg", "notes.txt"]
    (holiday / "a").mkdir(parents=True)
    for name, photo in zip(names, sorted(photos.glob("*.jpg")), strict=False):
        shutil.copy(photo, holiday / name)
    paths = shufflenet.find_pictures(holiday)
    assert paths == [str(holiday / name) for name in ("a.jpeg", "a/z.jpg", "b.jpg")]
    classifier = shufflenet.Classifier(model_path)
    rows = classifier.embed(holiday)
    assert rows.shape == (3, classifier.features)
    assert rows.dtype == np.float32
    assert len(np.unique(rows, axis=0)) == 3
    assert np.array_equal(rows, classifier.embed(paths))
    assert np.array_equal(rows, classifier.embed(str(holiday)))
    for row, yielded in zip(rows, classifier.embed(holiday, errors="yield"), strict=True):
        assert not isinstance(yielded, ImageError)
        assert np.array_equal(row, yielded)
    pictures = [Image.open(path) for path in paths]
    assert np.array_equal(classifier.embed(pictures), np.concatenate([classifier.embed(each) for each in pictures]))
    assert [each.source for each in classifier.predict(paths)] == paths
    with pytest.raises(ImageError, match=r"holiday: a folder, .* shufflenet\.find_pictures"):
        classifier.predict(holiday)


def test_what_is_wrong_in_a_folder_is_named(model_path: Path, photos: Path, tmp_path: Path) -> None:
    classifier = shufflenet.Classifier(model_path)
    shutil.copy(photos / "cat.jpg", tmp_path / "a.jpg")
    (tmp_path / "b.jpg").write_bytes((photos / "cat.jpg").read_bytes()[:5000])
    with pytest.raises(ImageError, match=r"b\.jpg: damaged"):
        classifier.embed(tmp_path)
    row, error = classifier.embed(tmp_path, errors="yield")
    assert not isinstance(row, ImageError)
    assert isinstance(error, ImageError)
    (tmp_path / "empty").mkdir()
    for folder, reason in (
        (tmp_path / "empty", "no pictures in this folder"),
        (tmp_path / "none", "No such file or directory"),
        (tmp_path / "a.jpg", "Not a directory"),
    ):
        with pytest.raises(ImageError, match=f"^{folder}: {reason}$"):
            shufflenet.find_pictures(folder)
    with pytest.raises(ImageError, match="no pictures in this folder"):
        classifier.embed(tmp_path / "empty", errors="yield")


def test_networks_without_a_fully_connected_end_are_refused() -> None:
    graph = families.architecture("squeezenet1_0", classes=3).graph()
    with pytest.raises(ValueError, match="does not end with a fully connected layer"):
        feature_model(Model(graph, {}))


def test_another_last_layer(model: Model) -> None:
    count = feature_model(model).graph.classes
    other = with_classifier(model, np.ones((2, count), np.float32), np.zeros(2, np.float32))
    assert (other.graph.classes, len(other.labels)) == (2, 2)
    assert set(other.tensors) == set(model.tensors)


def test_the_nearest_come_first() -> None:
    random = np.random.default_rng(0)
    rows = list(random.uniform(0, 1, (20, 8)).astype(np.float32))
    found = similarity.nearest(rows[7], rows, 3)
    assert found[0][0] == 7
    assert found[0][1] == pytest.approx(1)
    centred = np.stack(rows) - np.mean(rows, axis=0)
    cosines = centred @ centred[7] / np.linalg.norm(centred, axis=1) / np.linalg.norm(centred[7])
    assert [place for place, _ in found] == np.argsort(-cosines)[:3].tolist()
    assert similarity.nearest(rows[0], [], 3) == []
    assert len(similarity.nearest(rows[0], rows[:1], 3)) == 1


def test_embed(model_path: Path, photos: Path, tmp_path: Path) -> None:
    out = tmp_path / "x.npy"
    done = run(
        "embed", photos / "cat.jpg", tmp_path / "none.jpg", photos / "china.jpg", "--model", model_path, "--out", out
    )
    assert (done.exit_code, "none.jpg: no such file" in done.stderr) == (1, True)
    rows = np.load(out)
    assert np.array_equal(rows, shufflenet.Classifier(model_path).embed([photos / "cat.jpg", photos / "china.jpg"]))
    assert out.with_suffix(".txt").read_text().splitlines() == [str(photos / "cat.jpg"), str(photos / "china.jpg")]
    assert run("embed", photos, "--out", tmp_path / "x.csv").exit_code == 2
    assert run("embed", tmp_path / "*.none", "--out", out).exit_code == 2


def test_embed_to_parquet(model_path: Path, photos: Path, tmp_path: Path) -> None:
    parquet = pytest.importorskip("pyarrow.parquet")
    out = tmp_path / "x.parquet"
    done = run("embed", photos / "cat.jpg", tmp_path / "none.jpg", "--model", model_path, "--out", out)
    assert done.exit_code == 1
    table = parquet.read_table(out).to_pydict()
    assert table["path"] == [str(photos / "cat.jpg"), str(tmp_path / "none.jpg")]
    assert table["embedding"][1] is None
    assert table["error"] == [None, f"{tmp_path / 'none.jpg'}: no such file"]
    np.testing.assert_array_equal(table["embedding"][0], shufflenet.Classifier(model_path).embed(photos / "cat.jpg")[0])


def test_similar(model_path: Path, photos: Path, tmp_path: Path) -> None:
    same = tmp_path / "same.jpg"
    same.write_bytes((photos / "cat.jpg").read_bytes())
    arguments: list[str | Path] = [photos / "cat.jpg", photos, same, "--model", model_path, "--top-k", "2"]
    rows = [json.loads(line) for line in run("similar", *arguments, "--json").stdout.splitlines()]
    assert [rows[0]["source"], len(rows)] == [str(same), 2]
    assert rows[0]["similarity"] == pytest.approx(1)
    assert str(photos / "cat.jpg") not in {row["source"] for row in rows}, "not itself"
    done = run("similar", *arguments, "--sheet", tmp_path / "sheet.png")
    assert done.stdout.splitlines()[0].split() == ["1.000", str(same)]
    assert (tmp_path / "sheet.png").exists()
    assert run("similar", photos / "cat.jpg", tmp_path / "*.none").exit_code == 2


def test_similar_in_python_is_the_command(model_path: Path, photos: Path, tmp_path: Path) -> None:
    holiday = tmp_path / "holiday"
    shutil.copytree(photos, holiday)
    (holiday / "broken.jpg").write_bytes(b"no picture")
    cat = holiday / "cat.jpg"
    done = run("similar", cat, holiday, "--model", model_path, "--json")
    assert (done.exit_code, "broken.jpg: not a picture" in done.stderr) == (1, True)
    rows = [(row["source"], row["similarity"]) for row in map(json.loads, done.stdout.splitlines())]
    errors: list[ImageError] = []
    counts: list[tuple[int, int]] = []
    found = shufflenet.similar(
        cat, holiday, model_path, on_error=errors.append, progress=lambda done, of: counts.append((done, of))
    )
    assert found == rows
    assert [path for path, _ in found] == [path for path, _ in sorted(rows, key=lambda row: -row[1])]
    assert {path for path, _ in found} == {str(path) for path in holiday.glob("*.jpg")} - {
        str(cat),
        str(holiday / "broken.jpg"),
    }
    assert [str(error) in done.stderr for error in errors] == [True]
    assert counts == [(place, 6) for place in range(1, 7)]
    (holiday / "broken.jpg").unlink()
    assert shufflenet.similar(cat, sorted(holiday.glob("*.jpg")), model_path, np.int64(2)) == found[:2]
    first = shufflenet.similar(cat.read_bytes(), str(holiday), model_path)[0]
    assert first.source == str(cat)
    assert first.similarity == pytest.approx(1)


def test_what_is_wrong_with_similar(model_path: Path, photos: Path, tmp_path: Path) -> None:
    shutil.copy(photos / "cat.jpg", tmp_path / "cat.jpg")
    with pytest.raises(ValueError, match="no other pictures"):
        shufflenet.similar(tmp_path / "cat.jpg", tmp_path, model_path)
    with pytest.raises(ImageError, match=r"none\.jpg: no such file"):
        shufflenet.similar(tmp_path / "none.jpg", photos, model_path)
    with pytest.raises(ImageError, match=r"gone\.jpg: no such file"):
        shufflenet.similar(tmp_path / "cat.jpg", [tmp_path / "gone.jpg"], model_path)
    with pytest.raises(ValueError, match="top_k must be at least 1"):
        shufflenet.similar(tmp_path / "cat.jpg", photos, model_path, 0)
    with pytest.raises(shufflenet.ModelFileError):
        shufflenet.similar(tmp_path / "cat.jpg", photos, tmp_path / "none.safetensors")


def test_input_is_shown_as_predict_shows_it(model_path: Path, photos: Path) -> None:
    classifier = shufflenet.Classifier(model_path)
    from PIL import Image

    with Image.open(photos / "cat.jpg") as picture:
        x = preprocess(picture.convert("RGB"), classifier.preprocessing)
        ours = classifier.embed(picture)
    expected = classifier._embedder.run(x[None]) if classifier._embedder else None
    assert expected is not None
    np.testing.assert_allclose(ours, expected, atol=1e-5)
