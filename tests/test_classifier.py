"""The classifier on the real engine, with a small random network."""

from __future__ import annotations

import io
import pickle
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest
from PIL import Image

from shufflenet import model_file, models
from shufflenet.classifier import Classifier, Prediction
from shufflenet.networks import families
from shufflenet.networks.model import Model
from shufflenet.pictures.images import ImageError, Source, decode
from shufflenet.pictures.preprocessing import Preprocessing, preprocess
from shufflenet.probabilities import softmax
from shufflenet.threads import usable_cores


def test_every_kind_of_source_gives_the_same(model_path: Path, photos: Path, tmp_path: Path) -> None:
    net = Classifier(model_path)
    path = tmp_path / "cat.jpg"
    with Image.open(photos / "cat.jpg") as photo:
        photo.resize((200, 133)).save(path)  # small enough never to be decoded at a reduced scale
    picture = decode(path)
    sources: list[Source] = [path, str(path), path.read_bytes(), Image.open(path), picture, np.asarray(picture)]
    expected = net.predict(path)
    assert expected.source == str(path)
    for source, prediction in zip(sources, net.predict(sources), strict=True):
        assert prediction.probabilities == expected.probabilities
        assert net.predict(source).class_indices == expected.class_indices


def test_prediction_is_the_softmax_of_the_logits(model_path: Path, photos: Path) -> None:
    net = Classifier(model_path)
    logits = net.logits(preprocess(decode(photos / "coffee.jpg", resize=36), net.preprocessing))
    assert logits.shape == (1, 5)
    prediction = net.predict(photos / "coffee.jpg", top_k=3)
    powers = np.exp(logits[0].astype(np.float64))
    order = np.argsort(-powers)[:3]
    assert prediction.class_indices == tuple(order)
    assert prediction.labels == tuple(net.labels[i] for i in order)
    assert prediction.probabilities == pytest.approx(powers[order] / powers.sum())
    assert min(prediction.decode_ms, prediction.preprocess_ms, prediction.network_ms) > 0


def test_logits_of_a_batch(model_path: Path) -> None:
    net = Classifier(model_path)
    x = np.random.default_rng(1).normal(size=(3, 3, 40, 32)).astype(np.float32)
    batch = net.logits(x)
    assert batch.shape == (3, 5)
    for one, row in zip(x, batch, strict=True):
        np.testing.assert_array_equal(net.logits(one)[0], row)
    for bad in (x.astype(np.float64), x[:, :2], x[0, 0], x[..., :31]):
        with pytest.raises(ValueError, match=r".+"):
            net.logits(bad)  # type: ignore[arg-type]


def test_engine_equals_pytorch(model: Model, model_path: Path, photos: Path) -> None:
    torch = pytest.importorskip("torch")
    from shufflenet.networks.module import module_with_weights

    network = module_with_weights(model)
    x = np.stack([preprocess(decode(path), model.preprocessing) for path in sorted(photos.glob("*.jpg"))])
    with torch.inference_mode():
        expected = network(torch.from_numpy(x)).numpy()
    assert np.abs(Classifier(model_path).logits(x) - expected).max() < 1e-5 * np.abs(expected).max()


def test_top_k(model_path: Path, photos: Path) -> None:
    net = Classifier(model_path)
    prediction = net.predict(photos / "cat.jpg", top_k=99)
    assert sorted(prediction.class_indices) == list(range(5))
    assert sum(prediction.probabilities) == pytest.approx(1)
    assert list(prediction.probabilities) == sorted(prediction.probabilities, reverse=True)
    with pytest.raises(ValueError, match="top_k"):
        net.predict(photos / "cat.jpg", top_k=0)


def test_predict_takes_any_iterable_and_stops_at_a_bad_picture(model_path: Path, photos: Path) -> None:
    net = Classifier(model_path)
    assert net.predict([]) == []
    assert [p.source for p in net.predict(str(photos / f"{name}.jpg") for name in ("cat", "china"))] == [
        str(photos / "cat.jpg"),
        str(photos / "china.jpg"),
    ]
    with pytest.raises(ImageError, match=r"missing\.jpg: no such file"):
        net.predict([photos / "cat.jpg", "missing.jpg"])


def test_yielded_errors_keep_the_order(model_path: Path, photos: Path, tmp_path: Path) -> None:
    cut = tmp_path / "cut.jpg"
    cut.write_bytes((photos / "rocket.jpg").read_bytes()[:5000])
    names = [photos / "rocket.jpg", "missing.jpg", photos / "cat.jpg", cut, photos / "flower.jpg"] * 8
    net = Classifier(model_path)
    results = list(net.predict(map(str, names), top_k=1, errors="yield"))
    assert len(results) == len(names)
    for name, result in zip(names, results, strict=True):
        if isinstance(result, ImageError):
            assert name in ("missing.jpg", cut)
            assert str(result).startswith(f"{name}: ")
        else:
            assert result.source == str(name)
            assert result.probabilities == net.predict(str(name), top_k=1).probabilities


def test_few_sources_are_taken_ahead(model_path: Path, photos: Path) -> None:
    taken: list[int] = []

    def sources() -> Iterator[str]:
        while True:
            taken.append(len(taken))
            yield str(photos / "cat.jpg")

    results = Classifier(model_path).predict(sources(), errors="yield")
    for done in range(1, 20):
        next(results)
        assert len(taken) <= done + 3 * usable_cores()


def test_threads_share_one_picture_at_a_time(model_path: Path, photos: Path) -> None:
    """The predictions are those of one thread, to the bit, and no picture is taken before it is asked for."""
    paths = sorted(photos.glob("*.jpg"))
    taken: list[Path] = []

    def sources() -> Iterator[Path]:
        for path in paths:
            taken.append(path)
            yield path

    shared = Classifier(model_path, threads=2)
    assert (shared.threads, pickle.loads(pickle.dumps(shared)).threads) == (2, 2)
    results = shared.predict(sources(), errors="yield")
    for done, expected in enumerate(Classifier(model_path).predict(paths), start=1):
        result = next(results)
        assert isinstance(result, Prediction)
        assert (result.source, result.probabilities) == (expected.source, expected.probabilities)
        assert len(taken) == done
    with pytest.raises(ValueError, match="threads must be from 1 to 1024, not 0"):
        Classifier(model_path, threads=0)


def test_one_picture_can_be_yielded(model_path: Path, photos: Path) -> None:
    net = Classifier(model_path)
    (result,) = net.predict(photos / "cat.jpg", errors="yield")
    assert isinstance(result, Prediction)
    (result,) = net.predict("missing.jpg", errors="yield")
    assert str(result) == "missing.jpg: no such file"
    with pytest.raises(ValueError, match="errors must be 'raise' or 'yield', not 'ignore'"):
        net.predict(photos / "cat.jpg", errors="ignore")  # type: ignore[call-overload]


def test_what_is_no_picture_at_all_is_a_programmers_error(model_path: Path, photos: Path) -> None:
    with pytest.raises(TypeError, match="not int"):
        list(Classifier(model_path).predict([photos / "cat.jpg", 3], errors="yield"))  # type: ignore[call-overload]


def test_one_pil_image_many_times(model_path: Path, photos: Path) -> None:
    net = Classifier(model_path)
    with Image.open(photos / "rocket.jpg") as image:  # not loaded yet
        predictions = net.predict([image] * 20)
    assert {prediction.probabilities for prediction in predictions} == {predictions[0].probabilities}


def test_large_pictures_are_refused(model_path: Path) -> None:
    file = io.BytesIO()
    Image.new("RGB", (40, 40)).save(file, "PNG")
    (result,) = Classifier(model_path).predict([file.getvalue()], errors="yield", max_pixels=1599)
    assert isinstance(result, ImageError)


def test_self_test(model: Model, tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    model_file.save(model, path)
    model.self_test = Classifier(path).logits(model_file.test_input(model.preprocessing))[0].tolist()
    model_file.save(model, path)
    Classifier(path)
    largest = max(map(abs, model.self_test))
    model.self_test[1] += 0.9e-3 * largest
    model_file.save(model, path)
    Classifier(path)
    model.self_test[1] += 0.2e-3 * largest
    model_file.save(model, path)
    with pytest.raises(model_file.ModelFileError, match="failed its self-test"):
        Classifier(path)


def test_a_changed_weight_fails_the_self_test(model: Model, model_path: Path) -> None:
    model.self_test = Classifier(model_path).logits(model_file.test_input(model.preprocessing))[0].tolist()
    model.tensors["stage3.2.pointwise1.weight"][0] *= -1
    model_file.save(model, model_path)
    with pytest.raises(model_file.ModelFileError, match="self-test"):
        Classifier(model_path)


def test_embedded_names(model_path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "weights").mkdir()
    model_path.rename(tmp_path / "weights" / "shufflenet_g2_x0_25.safetensors")
    monkeypatch.setattr("importlib.resources.files", lambda package: tmp_path)
    assert models.embedded_models() == ["shufflenet_g2_x0_25"]
    assert Classifier("shufflenet_g2_x0_25").graph.name == "shufflenet_g2_x0_25"
    with pytest.raises(model_file.ModelFileError, match=r"resnet50: neither a file nor .*shufflenet_g2_x0_25"):
        Classifier("resnet50")
    (tmp_path / "here" / "shufflenet_g2_x0_25").mkdir(parents=True)  # as `export` names a folder
    (tmp_path / "here" / "other").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    assert Classifier("shufflenet_g2_x0_25").graph.name == "shufflenet_g2_x0_25"
    with pytest.raises(model_file.ModelFileError, match="other: a folder"):
        Classifier("other")


@pytest.mark.parametrize("name", ["missing.safetensors", "folder/missing", "."])
def test_missing_model_files(name: str) -> None:
    with pytest.raises(model_file.ModelFileError, match=name):
        Classifier(name)


def test_isa(model_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert Classifier(model_path, isa="generic").isa == "generic"
    monkeypatch.setenv("SHUFFLENET_ISA", "generic")
    assert Classifier(model_path).isa == "generic"
    with pytest.raises(ValueError, match="abacus"):
        Classifier(model_path, isa="abacus")


def test_softmax_of_large_logits() -> None:
    assert softmax(np.array([1e4, 1e4, -1e4], dtype=np.float32)).tolist() == [0.5, 0.5, 0.0]


def test_copies_for_other_processes_give_the_same(model_path: Path, photos: Path) -> None:
    classifier = Classifier(model_path)
    again = pickle.loads(pickle.dumps(classifier))
    assert again.isa == classifier.isa
    source = photos / "cat.jpg"
    assert again.predict(source).probabilities == classifier.predict(source).probabilities


def test_top_k_may_be_numpys(model_path: Path, photos: Path) -> None:
    assert len(Classifier(model_path).predict(photos / "cat.jpg", top_k=np.int64(3)).labels) == 3


def test_top_k_is_a_number(model_path: Path, photos: Path) -> None:
    for wrong in ("3", 2.5):
        with pytest.raises(TypeError, match="top_k must be a whole number"):
            Classifier(model_path).predict(photos / "cat.jpg", top_k=cast(int, wrong))


@pytest.mark.parametrize("wrong", [None, 5, io.BytesIO(b""), bytearray(b"\xff\xd8")])
def test_what_is_no_picture_is_a_type_error(model_path: Path, wrong: Any) -> None:
    with pytest.raises(TypeError, match="a picture is a path, bytes, a PIL image or an array, not"):
        Classifier(model_path).predict(wrong)


@pytest.mark.parametrize("name", ["mobilenet_v1_x0_25", "shufflenet_g8_x0_25_se", "mobilenet_v3_small", "of no family"])
def test_other_families(name: str, photos: Path, tmp_path: Path) -> None:
    """A model file of any network classifies pictures, by the engine as by PyTorch."""
    torch = pytest.importorskip("torch")
    from conftest import LABELS
    from random_network import every_operator, random_graph_network

    graph = every_operator() if name == "of no family" else families.architecture(name, classes=5).graph()
    network, model = random_graph_network(graph)
    path, preprocessing = tmp_path / "m.safetensors", Preprocessing(size=64, resize=72)
    model_file.save(Model(graph, model.tensors, preprocessing, LABELS), path)
    prediction = Classifier(path).predict(photos / "cat.jpg")
    with torch.inference_mode():
        logits = network(torch.from_numpy(preprocess(decode(photos / "cat.jpg"), preprocessing))[None])[0].numpy()
    best = np.argsort(-logits, kind="stable")
    assert prediction.labels == tuple(LABELS[index] for index in best)
    np.testing.assert_allclose(prediction.probabilities, softmax(logits)[best], atol=1e-5)
