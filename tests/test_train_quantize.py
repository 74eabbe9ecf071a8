"""Training in 8 bits: the network is the engine's, its gradients lead somewhere, and a run ends in a model file."""

from __future__ import annotations

import csv
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from click.testing import CliRunner, Result

from labelled_shapes import CLASSES, make
from random_network import random_input, random_network
from shufflenet import cli, known, model_file
from shufflenet.bench.samples import Samples, like_trained, synthetic
from shufflenet.engine.engine import Engine
from shufflenet.networks.model import Model
from shufflenet.networks.quantized import Activation, Layer, Quantized
from shufflenet.networks.quantized_tensors import tensors_of
from shufflenet.networks.shufflenet_v1 import ShuffleNetV1
from shufflenet.pictures.dataset import open_dataset
from shufflenet.pictures.preprocessing import Preprocessing
from shufflenet.quantization.calibration import calibrate
from shufflenet.quantization.quantize import read_some
from shufflenet.quantization.trainable import QuantizedNetwork
from shufflenet.training import train as training_run
from training_runs import one_thread

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def float_model() -> Model:
    model = random_network(ShuffleNetV1(2, 0.25, classes=3, stem_stride=1))[1]
    return replace(model, preprocessing=Preprocessing(size=32, resize=32), labels=CLASSES, classes=CLASSES)


@pytest.fixture(scope="module")
def quantized(float_model: Model) -> Quantized:
    return calibrate(float_model, random_input(32, 32, 32))


def in_8_bits(model: Model, quantized: Quantized) -> Engine:
    return Engine(replace(model, tensors={}, quantized=quantized))


def test_it_begins_as_what_was_calibrated(float_model: Model, quantized: Quantized) -> None:
    network, x = QuantizedNetwork(float_model, quantized), random_input(4, 32, 32)
    wanted = tensors_of(quantized)
    for name, tensor in tensors_of(network.quantized()).items():
        np.testing.assert_array_equal(tensor, wanted[name], err_msg=name)
    logits = network(torch.from_numpy(x)).detach().numpy()
    np.testing.assert_array_equal(logits, in_8_bits(float_model, quantized).run(x))


def coarse(quantized: Quantized, node: str, reader: str, share: float) -> Quantized:
    """One operator's range cut to a share; the weights of what reads it stand for the same."""
    made, read = quantized.activations[node], quantized.layers[reader]
    bias = np.clip(read.bias / share, -(2**30), 2**30).astype(np.int32)
    return replace(
        quantized,
        activations={**quantized.activations, node: Activation(made.scale * np.float32(share), made.zero_point)},
        layers={**quantized.layers, reader: Layer(read.weight, read.scale * np.float32(share), bias)},
    )


def test_training_makes_up_for_a_coarse_range() -> None:
    x = synthetic(1, 3, 32, 32).calibration[:32]
    model = like_trained(random_network(ShuffleNetV1(2, 0.25, classes=3, stem_stride=1))[1], Samples(x, x))
    bad = coarse(calibrate(model, x), "stage3.2.pointwise1", "stage3.2.depthwise", 0.1)
    wanted, network = torch.from_numpy(Engine(model).run(x)), QuantizedNetwork(model, bad)
    spread = (wanted - wanted.mean(dim=0)).square().mean()
    optimizer = torch.optim.SGD(network.parameters(), lr=0.001, momentum=0.9)
    with one_thread():
        for _ in range(8):
            loss = (network(torch.from_numpy(x)) - wanted).square().mean() / spread
            optimizer.zero_grad()
            loss.backward()
            assert all(p.grad is not None and bool(p.grad.isfinite().all()) for p in network.parameters())
            optimizer.step()
    before, after = (np.square(in_8_bits(model, q).run(x) - wanted.numpy()).mean() for q in (bad, network.quantized()))
    assert after < 0.6 * before


def train(*arguments: str | Path) -> Result:
    return CliRunner().invoke(cli.commands, ["train", *map(str, arguments)])


def test_says_what_is_lost(float_model: Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data, start = make(tmp_path / "shapes", 6, 2), tmp_path / "float.safetensors"
    model_file.save(float_model, start)
    for bound, told in ((-101, True), (101, False)):  # as if more than so many points were too many
        monkeypatch.setattr(training_run, "MOST_LOSS", bound)
        with one_thread():
            result = train(data, "--from", start, "--quantize", "--epochs", "1", "--out", tmp_path / str(told))
        assert result.exit_code == 0, result.output
        assert ("points to float32: lower --learning-rate" in result.stderr) == told


def test_without_epochs_the_last_layer_is_trained(float_model: Model, tmp_path: Path) -> None:
    data, start, out = make(tmp_path / "shapes", 6, 2), tmp_path / "float.safetensors", tmp_path / "run"
    model_file.save(float_model, start)
    with one_thread():
        result = train(data, "--from", start, "--quantize", "--out", out)
        assert result.exit_code == 0, result.output
        assert "only the last layer is trained" in result.stderr
        assert (
            "this run is finished" in train(data, "--from", start, "--quantize", "--epochs", "0", "--out", out).stderr
        )
        pictures = open_dataset(data).train.pictures
        calibrated = calibrate(float_model, read_some(float_model, data, pictures, CLASSES).x)
    model = model_file.load(out / "model.safetensors")
    assert model.quantized is not None
    assert known.is_calibrated(model.training)
    for name, layer in calibrated.layers.items():
        same = np.array_equal(layer.weight, model.quantized.layers[name].weight)
        assert same == (name != "fc")


def test_command(float_model: Model, tmp_path: Path) -> None:
    data, start, out = make(tmp_path / "shapes", 6, 2), tmp_path / "float.safetensors", tmp_path / "run"
    model_file.save(float_model, start)
    with one_thread():
        result = train(data, "--from", start, "--quantize", "--epochs", "2", "--out", out, "--name", "shapes-int8")
        assert result.exit_code == 0, result.output
        again = train(data, "--from", start, "--quantize", "--epochs", "2", "--out", out, "--name", "shapes-int8")
    assert "this run is finished" in again.stderr
    assert "float32   top-1 error" in result.stderr
    assert ", calibrated" in result.stderr
    model = model_file.load(out / "model.safetensors")
    assert model.quantized is not None
    assert (model.name, model.classes) == ("shapes-int8", CLASSES)
    logits = Engine(model).run(model_file.test_input(model.preprocessing)[None])
    np.testing.assert_array_equal(logits[0], np.array(model.self_test, np.float32))
    with (out / "metrics.csv").open() as file:
        assert len(list(csv.DictReader(file))) == 2
    for more, reason in (
        ((), "--quantize needs --from: a trained float model"),
        (("--from", out / "model.safetensors"), "the model is in 8 bits"),
        (("--from", "shufflenet_g3_x0_5"), "--quantize needs a model of the same classes as DATA"),
        (("--from", start, "--size", "64"), "--quantize keeps the model's input size, 32"),
        (("--from", start, "--freeze", "stem"), "--freeze does not go with --quantize"),
        (("--from", start, "--teacher", start), "--epochs 0 trains the last layer alone: leave --teacher out"),
    ):
        refused = train(data, "--quantize", "--out", tmp_path / "other", *more)
        assert refused.exit_code == 2
        assert reason in refused.stderr
        assert refused.stderr.count("\n") == 1
