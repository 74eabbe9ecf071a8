"""8 bits: the emulation against plain whole numbers; ranges, rounding, files and the gate against what they promise."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.numpy
import torch
from click.testing import CliRunner, Result
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

import quantized_reference
from labelled_shapes import CLASSES, make
from random_network import every_operator, random_graph_network, random_input, random_network
from shufflenet import cli, model_file
from shufflenet.engine.engine import Engine
from shufflenet.networks import families
from shufflenet.networks.graph import Graph, Node
from shufflenet.networks.model import Model
from shufflenet.networks.quantized import Activation, Layer, Quantized, pixel_input, requantising
from shufflenet.networks.quantized_tensors import tensors_of
from shufflenet.networks.shufflenet_v1 import ShuffleNetV1
from shufflenet.pictures.dataset import open_dataset
from shufflenet.pictures.held_out import record
from shufflenet.pictures.preprocessing import Preprocessing
from shufflenet.quantization import gate, ranges, rounding
from shufflenet.quantization.calibration import CalibrationError, Method, calibrate
from shufflenet.quantization.emulation import Emulation
from shufflenet.quantization.layer_costs import layer_costs
from shufflenet.quantization.quantize import read_pictures
from shufflenet.quantization.short_multipliers import SCALE_BITS, short, with_whole_zero
from shufflenet.quantization.step_times import _together, step_times

FEW_OPERATORS = ["shufflenet_g2_x0_25", "every_operator", "shufflenet_v2_x0_5"]


def network(name: str) -> Model:
    """With random weights and batch norm statistics, for 3 classes or 5."""
    if name == "every_operator":
        model = random_graph_network(every_operator())[1]
    elif name.startswith("shufflenet_g"):
        model = random_network(ShuffleNetV1(2, 0.25, classes=3, stem_stride=1))[1]
    else:
        model = random_graph_network(families.architecture(name, classes=3).graph())[1]
    return replace(model, preprocessing=Preprocessing(size=32, resize=32))


def pictures(count: int, height: int = 32, width: int = 32) -> NDArray[np.float32]:
    """Coarse and fine noise, each picture darker or brighter, preprocessed as `Preprocessing` does by default."""
    random, (scale, shift) = np.random.default_rng(count), Preprocessing().scale_and_shift()
    coarse = random.integers(0, 256, (count, 3, 4, 4)).repeat(-(-height // 4), axis=2).repeat(-(-width // 4), axis=3)
    fine = random.integers(0, 256, (count, 3, height, width))
    light = random.uniform(0, 1, (count, 3, 1, 1))
    pixels = np.floor(light * (0.8 * coarse[:, :, :height, :width] + 0.2 * fine)).astype(np.float32)
    return pixels * scale[:, None, None] + shift[:, None, None]


def emulated(model: Model, quantized: Quantized) -> Emulation:
    return Emulation(model.graph, quantized, pixel_input(model.preprocessing.mean, model.preprocessing.std))


@pytest.mark.parametrize("name", [*FEW_OPERATORS, "lcnet_x0_35"])
def test_emulation_equals_plain_whole_numbers(name: str) -> None:
    model = network(name)
    quantized = calibrate(model, pictures(16), Method(weights="nearest"))  # in a fraction of the time
    emulation, x = emulated(model, quantized), random_input(1, 36, 44) * 2
    seen: dict[Node, NDArray[np.float32]] = {}
    emulation.logits(torch.from_numpy(x), lambda node, values: seen.update({node: values[0].numpy().copy()}))
    plain = quantized_reference.run(model.graph, quantized, emulation.pixels, x[0])
    assert len(seen) == len(model.graph.nodes) - 1
    for node, values in seen.items():
        np.testing.assert_array_equal(values, plain[node], err_msg=node.name)
    assert {node.name for node in requantising(model.graph)} == quantized.activations.keys()


@pytest.mark.parametrize("name", [*FEW_OPERATORS, "mobilenet_v1_x0_25"])
def test_logits_are_near_those_of_the_float_network(name: str) -> None:
    model = network(name)
    x = pictures(64)
    quantized = calibrate(model, x)
    wanted, got = Engine(model).run(x), emulated(model, quantized).run(x)
    assert np.square(got - wanted).mean() < 1e-4 * np.square(wanted).mean()
    costs = layer_costs(model, quantized, x[:16])
    assert min(cost.signal_to_noise for cost in costs if cost.signal_to_noise is not None) > 30


def test_sums_beyond_24_bits_are_exact() -> None:
    model = network("every_operator")
    quantized = calibrate(model, pictures(16))
    hidden = next(node for node in model.graph.nodes if node.name == "hidden")
    weight = np.full((20, 32), 127, np.int8)
    weight[:, 0] = 126
    layer = Layer(weight, np.ones(20, np.float32), np.full(20, 20_000_000, np.int32))
    emulation = emulated(model, replace(quantized, layers={"hidden": layer}))
    sums = emulation.sums(hidden, torch.full((1, 32), 127.0))  # type: ignore[arg-type]
    assert sums.double().tolist() == [[20_000_000 + 127 * (31 * 127 + 126)] * 20]


def values_of_channels() -> Tensor:
    """Two channels with a few values far out, one that is always 0."""
    random = torch.Generator().manual_seed(0)
    values = torch.randn(64, 3, 20, 20, generator=random)
    values[:, 2] = 0
    values[0, :2, 0, 0] = 40
    return values


def kept(values: Tensor, activation: Activation) -> Tensor:
    """The values that are left of them in 8 bits."""
    scale, zero = (
        torch.from_numpy(v.astype(np.float32))[:, None, None] for v in (activation.scale, activation.zero_point)
    )
    return ((values / scale + zero).round().clamp(0, 127) - zero) * scale


@pytest.mark.parametrize("way", ranges.WAYS)
@pytest.mark.parametrize("signed", [True, False])
def test_ranges(way: ranges.Way, signed: bool) -> None:
    values = values_of_channels() if signed else values_of_channels().relu()
    kind: ranges.Kind = "signed" if signed else "positive"
    activation = ranges.activation(values, way, kind)
    assert (activation.zero_point[:2] > 0).all() == signed
    assert (activation.scale > 0).all()
    error = (kept(values, activation) - values).square().mean(dim=(0, 2, 3))
    largest = (kept(values, ranges.activation(values, "largest", kind)) - values).square().mean(dim=(0, 2, 3))
    assert error[2] == 0
    if way == "largest":
        assert (kept(values, activation) - values).abs().max() < activation.scale.max()
    elif way == "percentile":
        assert (activation.scale[:2] < 40 / 127 * 0.6).all()
    else:
        assert (error <= largest).all()


def test_the_least_squared_error_clips_long_tails() -> None:
    share = torch.linspace(0.001, 1, 4096).log()
    values = torch.cat((share, -share)).reshape(1, 1, 64, 128)
    largest, least = (ranges.activation(values, way, "signed") for way in ("largest", "error"))
    assert least.scale < largest.scale
    errors = [float((kept(values, each) - values).square().mean()) for each in (largest, least)]
    assert errors[1] < errors[0]


def test_a_range_is_the_same_in_batches() -> None:
    values = values_of_channels()
    for way in ("largest", "percentile"):
        whole, found = ranges.activation(values, way, "signed"), ranges.Range(way, "signed", 64 * 400)
        for start in range(0, 64, 10):
            found.add(values[start : start + 10])
        np.testing.assert_array_equal(found.activation().scale, whole.scale)
        np.testing.assert_array_equal(found.activation().zero_point, whole.zero_point)


def test_one_zero_point_for_what_is_padded() -> None:
    activation = ranges.activation(values_of_channels(), "largest", "padded")
    values = values_of_channels()
    (zero_point,) = set(activation.zero_point.tolist())
    assert 0 < zero_point < 127
    assert (kept(values, activation) - values).abs().max() < activation.scale.max()


def test_least_squares_keeps_sums_nearer_than_rounding_to_the_nearest() -> None:
    random = torch.Generator().manual_seed(0)
    weights = torch.randn(2, 5, 24, generator=random, dtype=torch.float64)
    inputs = torch.randn(2, 24, 6, generator=random).repeat(1, 1, 300) + 0.1 * torch.randn(
        2, 24, 1800, generator=random
    )
    inputs = inputs.double()
    wanted = weights @ inputs
    errors = []
    fitted, moments = rounding.fitted(weights, inputs, inputs)
    torch.testing.assert_close(fitted, weights)
    scale = rounding.least_scale(weights, 15)
    for whole in (rounding.nearest(weights, scale, 15), rounding.in_turn(weights, scale, moments, 15)):
        assert whole.abs().max() <= 15
        assert torch.equal(whole, whole.round())
        off = whole * scale[..., None] @ inputs - wanted
        errors.append(float((off - off.mean(dim=2, keepdim=True)).square().mean()))
    assert errors[1] < errors[0] / 4


def test_least_squares_makes_up_for_changed_inputs() -> None:
    """One input is lost, and another that is equal to it has to count for both."""
    random = torch.Generator().manual_seed(0)
    wanted = torch.randn(1, 3, 1000, generator=random)
    wanted[:, 1] = wanted[:, 0]
    inputs = wanted.clone()
    inputs[:, 1] = 0
    weights = torch.tensor([[[1.0, 0.5, 0.25]]], dtype=torch.float64)
    fitted, moments = rounding.fitted(weights, wanted, inputs)
    scale = rounding.least_scale(fitted, 127)
    whole = rounding.in_turn(fitted, scale, moments, 127)
    assert (whole * scale[..., None])[0, 0].tolist() == pytest.approx([1.5, 0.5, 0.25], abs=0.03)


def test_short() -> None:
    values = np.array([1.0, 63 / 64, 1.001, 33.0, 33.001, 65.0, 1e-30])
    rounded = short(values, 6)
    assert rounded[:6].tolist() == [1.0, 63 / 64, 33 / 32, 33.0, 34.0, 66.0]
    assert values[6] <= rounded[6] <= values[6] * 33 / 32


@pytest.mark.parametrize("movable", [False, True])
def test_zero_points_are_whole_numbers_of_sums(movable: bool) -> None:
    """With a scale that still holds the range, and little larger than it has to be."""
    zero_point = np.arange(128, dtype=np.uint8)
    scale = short(np.random.default_rng(0).uniform(0.01, 0.1, 128), SCALE_BITS).astype(np.float32)
    least = np.random.default_rng(1).uniform(1e-5, 1e-3, 128)
    least[80] = 1e-9
    least[[20, 100]] = 0.2, 0.7  # more than a byte is worth
    made, unit = with_whole_zero(Activation(scale, zero_point), least, movable)
    multiplier = unit / made.scale
    np.testing.assert_array_equal(multiplier, short(multiplier, 6))
    np.testing.assert_array_equal(unit, unit.astype(np.float32))
    sums = made.zero_point / multiplier
    whole = sums == np.round(sums)
    assert whole.all() if movable else (whole | (multiplier > 1)).all()
    assert (unit >= least * (1 - 1e-15)).all()
    assert multiplier.min() >= 2**-11
    before, after = (each.astype(np.float64) for each in (zero_point, made.zero_point))
    assert (made.scale * after >= scale * before * (1 - 1e-9)).all()
    assert (made.scale * (127 - after) >= scale * (127 - before) * (1 - 1e-9)).all()
    assert (np.abs(after - before) <= (2 if movable else 0)).all()
    assert made.zero_point[0] == 0
    assert made.zero_point[127] == 127
    assert unit[0] <= max(least[0], scale[0] / 2**11) * 33 / 32
    cost = (unit / np.maximum(least, made.scale / 2**11) * made.scale / np.maximum(scale, least))[1:127]
    assert cost.max() < (1.6 if movable else 2)
    assert np.median(cost) < (1.1 if movable else 1.3)


def test_every_part_of_the_method_helps() -> None:
    model, x, other = network("every_operator"), pictures(256), pictures(50)
    wanted = Engine(model).run(other)
    bare, unbiased, fitted = (
        float(np.square(emulated(model, calibrate(model, x, method)).run(other) - wanted).mean())
        for method in (
            Method("largest", "nearest", bias_correction=False),
            Method("largest", "nearest", bias_correction=True),
            Method("largest", "least squares", bias_correction=True),
        )
    )
    assert bare > unbiased > fitted


@pytest.mark.parametrize(
    ("x", "reason"),
    [
        (pictures(1), "1 picture to calibrate on, at least 16 are needed"),
        (np.full((20, 3, 32, 32), -1.5, np.float32), "all 20 pictures to calibrate on are of one colour"),
    ],
)
def test_pictures_that_teach_nothing(x: NDArray[np.float32], reason: str) -> None:
    with pytest.raises(CalibrationError, match=reason):
        calibrate(network("shufflenet_g2_x0_25"), x)


def test_what_8_bits_do_not_serve_is_refused() -> None:
    graph = Graph("means")
    x: Node = graph.convolution("stem", graph.input, 8, 3, stride=2, activation="relu")
    x = graph.scale("scale", x, graph.global_average_pool("means", x))
    graph.fully_connected("fc", graph.global_average_pool("pool", x), 3)
    with pytest.raises(ValueError, match=r"^scale: 8 bits don't serve Scale in this place$"):
        calibrate(random_graph_network(graph)[1], pictures(16))


@pytest.fixture(scope="module")
def quantized_model() -> Model:
    model = network("shufflenet_g2_x0_25")
    quantized = calibrate(model, pictures(16))
    return replace(model, tensors={}, quantized=quantized, labels=["a", "b", "c"], classes=["a", "b", "c"])


def test_a_quantized_file_comes_back_as_it_was(quantized_model: Model, tmp_path: Path) -> None:
    path = tmp_path / "m.safetensors"
    model_file.save(quantized_model, path)
    loaded = model_file.load(path)
    assert loaded.tensors == {}
    assert loaded.quantized is not None
    assert quantized_model.quantized is not None
    stored, given = tensors_of(loaded.quantized), tensors_of(quantized_model.quantized)
    assert stored.keys() == given.keys()
    for name, tensor in given.items():
        np.testing.assert_array_equal(stored[name], tensor)
        assert stored[name].dtype == tensor.dtype
    with safetensors.safe_open(path, framework="numpy") as file:
        assert file.get_slice("conv1.weight").get_dtype() == "I8"
        assert file.get_slice("conv1.weight.scale").get_dtype() == "F32"
    with pytest.raises(ValueError, match="the model is in 8 bits"):
        loaded.require_float()


def put(name: str, place: int, value: float) -> Callable[[dict[str, NDArray[Any]]], object]:
    def change(tensors: dict[str, NDArray[Any]]) -> None:
        tensors[name] = tensors[name].copy()
        tensors[name].reshape(-1)[place] = value

    return change


SCALES = "scales are from 1e-18 to 1e+18"
WRONG: dict[str, tuple[Callable[[dict[str, NDArray[Any]]], object], str]] = {
    "zero": (put("fc.weight.scale", 1, 0), f"tensor 'fc.weight.scale' holds 0 at 1; {SCALES}"),
    "nan": (put("fc.weight.scale", 2, np.nan), f"tensor 'fc.weight.scale' holds nan at 2; {SCALES}"),
    "negative": (put("conv1.output.scale", 0, -0.5), f"tensor 'conv1.output.scale' holds -0.5 at 0; {SCALES}"),
    "infinite": (put("conv1.output.scale", 0, np.inf), f"tensor 'conv1.output.scale' holds inf at 0; {SCALES}"),
    "missing": (lambda t: t.pop("fc.weight.scale"), "tensor 'fc.weight.scale' is missing"),
    "missing-output": (lambda t: t.pop("stage2.1.add.output.scale"), "tensor 'stage2.1.add.output.scale' is missing"),
    "too-many": (
        lambda t: t.update({"stage2.1.pointwise2.output.scale": t["stage2.1.add.output.scale"]}),
        "tensor 'stage2.1.pointwise2.output.scale' does not belong to this architecture",
    ),
    "too-many-values": (
        lambda t: t.update({"fc.weight.scale": np.ones(4, np.float32)}),
        "tensor 'fc.weight.scale' is [4]; its architecture says [3]",
    ),
    "float-weights": (
        lambda t: t.update({"fc.weight": t["fc.weight"].astype(np.float32)}),
        "tensor 'fc.weight' is float32, not int8",
    ),
    "doubles": (
        lambda t: t.update({"fc.weight.scale": np.ones(3)}),
        "tensor 'fc.weight.scale' is F64, neither F32 nor",
    ),
    "lowest-byte": (put("fc.weight", 0, -128), "tensor 'fc.weight' holds values beyond -127..127"),
    "stem": (put("conv1.weight", 0, 64), "tensor 'conv1.weight' holds values beyond -63..63"),
    "sums": (put("fc.bias", 0, 2**31 - 1), "tensor 'fc.bias': sums of fc can be beyond 32 bits"),
    "zero-point": (
        put("stage2.0.depthwise.output.zero_point", 0, 128),
        "tensor 'stage2.0.depthwise.output.zero_point' holds values beyond 0..127",
    ),
}


@pytest.mark.parametrize("kind", WRONG)
def test_wrong_quantized_tensors(kind: str, quantized_model: Model, tmp_path: Path) -> None:
    change, reason = WRONG[kind]
    path = tmp_path / "m.safetensors"
    model_file.save(quantized_model, path)
    with safetensors.safe_open(path, framework="numpy") as file:
        metadata = {"shufflenet": file.metadata()["shufflenet"]}
    assert quantized_model.quantized is not None
    tensors = tensors_of(quantized_model.quantized)
    change(tensors)
    path.write_bytes(safetensors.numpy.save(tensors, metadata=metadata))
    with pytest.raises(model_file.ModelFileError) as caught:
        model_file.load(path)
    assert reason in str(caught.value)
    assert "\n" not in str(caught.value)


def test_an_unknown_scheme_is_refused(quantized_model: Model, tmp_path: Path) -> None:
    path = tmp_path / "m.safetensors"
    assert quantized_model.quantized is not None
    other = replace(quantized_model.quantized, about={"scheme": "int4"})
    with pytest.raises(model_file.ModelFileError, match="scheme must be 'int8 weights"):
        model_file.save(replace(quantized_model, quantized=other), path)
    assert not path.exists()


def cut(quantized: Quantized, node: str, reader: str, share: float) -> Quantized:
    """The range of an operator without zero point cut to a share; the weights of what reads it stand for the same."""
    made, read = quantized.activations[node], quantized.layers[reader]
    assert not made.zero_point.any()
    bias = np.clip(read.bias / share, -(2**30), 2**30).astype(np.int32)
    return replace(
        quantized,
        activations={**quantized.activations, node: Activation((made.scale * np.float32(share)), made.zero_point)},
        layers={**quantized.layers, reader: Layer(read.weight, (read.scale * np.float32(share)), bias)},
    )


def folders_by_answer(model: Model, root: Path) -> Path:
    """Pictures of noise in val/, each in the folder of the class that the float model takes it for."""
    random, engine = np.random.default_rng(0), Engine(model)
    scale, shift = model.preprocessing.scale_and_shift()
    for index in range(120):
        noise = random.integers(0, 256, (8, 8, 3), dtype=np.uint8)
        pixels = np.asarray(Image.fromarray(noise).resize((32, 32), Image.Resampling.BICUBIC))
        x = pixels.transpose(2, 0, 1).astype(np.float32) * scale[:, None, None] + shift[:, None, None]
        folder = root / "val" / model.classes[int(engine.run(x[None]).argmax())]
        folder.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels).save(folder / f"{index}.png")
    return root


def test_the_gate_names_the_layer_whose_range_was_cut(tmp_path: Path) -> None:
    model = network("shufflenet_g2_x0_25")
    root = folders_by_answer(model, tmp_path)
    x = pictures(64)
    good = calibrate(model, x)
    loss = gate.measure(model, good, root)
    assert loss.float_accuracy == 100
    assert loss.pictures == 120
    gate.check(loss, 20, [])
    bad = cut(good, "stage3.2.pointwise1", "stage3.2.depthwise", 0.1)
    costs = layer_costs(model, bad, x)
    assert gate.most_costly(costs)[0].name == "stage3.2.pointwise1"
    assert len(costs) == len({*bad.layers, *bad.activations})
    loss = gate.measure(model, bad, root)
    with pytest.raises(gate.GateError, match=r"8 bits lose .* points .* cost most: stage3\.2\.pointwise1 \("):
        gate.check(loss, loss.points - 0.5, costs)


def quantize(*arguments: str | Path) -> Result:
    return CliRunner().invoke(cli.commands, ["quantize", *map(str, arguments)])


@pytest.fixture
def shapes_model(tmp_path: Path) -> Path:
    model = replace(network("shufflenet_g2_x0_25"), labels=CLASSES, classes=CLASSES)
    path = tmp_path / "float.safetensors"
    model_file.save(model, path)
    return path


def test_command(shapes_model: Path, tmp_path: Path) -> None:
    data, out = make(tmp_path / "shapes"), tmp_path / "int8.safetensors"
    arguments = ("--calibrate", data, "--evaluate", data, "--most-loss", "100", "--out", out)
    result = quantize(shapes_model, *arguments, "--report", tmp_path / "report.png")
    assert result.exit_code == 0, result.output
    assert "calibrated on 48 of 48 pictures" in result.stdout
    assert "points lost" in result.stdout
    assert "no class of the model" not in result.stderr
    with Image.open(tmp_path / "report.png") as image:
        assert image.format == "PNG"
    loaded = model_file.load(out)
    assert loaded.quantized is not None
    assert loaded.accuracy["data"] == "shapes, 18 validation pictures"
    logits = emulated(loaded, loaded.quantized).run(model_file.test_input(loaded.preprocessing)[None])
    np.testing.assert_array_equal(logits[0], np.array(loaded.self_test, np.float32))
    assert out.stat().st_size < 0.5 * shapes_model.stat().st_size
    result = quantize(shapes_model, *arguments, "--json", "--report", tmp_path / "report.html")
    assert result.exit_code == 0
    times = json.loads(result.stdout)["times"]
    assert {"fc", "stage4.3.depthwise"} <= {time["name"] for time in times}
    assert all(time["int8_ms"] > 0 for time in times if time["name"] == "fc")
    assert "where time goes" in (tmp_path / "report.html").read_text()
    assert model_file.load(out).self_test == loaded.self_test
    assert "stage4.3.add" in (tmp_path / "report.html").read_text()
    again = quantize(out, "--calibrate", data, "--out", tmp_path / "again.safetensors")
    assert again.exit_code == 2
    assert "the model is in 8 bits" in again.stderr


def test_command_refuses_what_loses_too_much(
    shapes_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data, out = make(tmp_path / "shapes"), tmp_path / "int8.safetensors"
    real = gate.measure

    def measure(*arguments: Any) -> gate.Loss:
        return replace(real(*arguments), float_accuracy=90.0, accuracy=80.0)

    monkeypatch.setattr(gate, "measure", measure)
    result = quantize(shapes_model, "--calibrate", data, "--evaluate", data, "--out", out)
    assert result.exit_code == 1
    assert "8 bits lose 10.00 points" in result.stderr
    assert not out.exists()


def one_picture(root: Path) -> None:
    Image.effect_noise((40, 40), 50).convert("RGB").save(root / "one.png")


def black(root: Path) -> None:
    for index in range(20):
        Image.new("RGB", (40, 40)).save(root / f"{index}.png")


@pytest.mark.parametrize(
    ("fill", "reason"),
    [
        (lambda root: None, "no pictures"),
        (one_picture, "1 picture to calibrate on, at least 16 are needed"),
        (black, "all 20 pictures to calibrate on are of one colour"),
        (lambda root: (root / "a.png").write_bytes(b"\x89PNG\r\n\x1a\n"), "none of 1 pictures can be read, such as"),
    ],
    ids=["none", "one", "black", "broken"],
)
def test_folders_that_teach_nothing(
    fill: Callable[[Path], object], reason: str, shapes_model: Path, tmp_path: Path
) -> None:
    root, out = tmp_path / "pictures", tmp_path / "int8.safetensors"
    root.mkdir()
    fill(root)
    result = quantize(shapes_model, "--calibrate", root, "--out", out)
    assert result.exit_code == 2
    assert reason in result.stderr
    assert "pictures" in result.stderr
    assert result.stderr.count("\n") == 1
    assert not out.exists()


def test_steps_that_one_precision_runs_together_have_one_time(quantized_model: Model) -> None:
    assert _together([("a",), ("b", "c"), ("d",), ("a", "b"), ("e",)]) == [["a", "b", "c"], ["d"], ["e"]]
    assert quantized_model.quantized is not None
    times = step_times(network("shufflenet_g2_x0_25"), quantized_model.quantized, pictures(1))
    assert min(time.int8_ms for time in times if not time.name.startswith("zero")) > 0
    names = [name for time in times for name in time.name.split(" + ")]
    assert len(names) == len(set(names))


def test_what_training_split_off_is_not_calibrated_on(tmp_path: Path) -> None:
    root = make(tmp_path / "shapes", 10, 1) / "train"
    dataset = open_dataset(root)
    model = replace(network("shufflenet_g2_x0_25"), classes=CLASSES, training={"split": record(dataset)})
    assert len(read_pictures(model, root).x) == len(dataset.train) == 24
    assert len(read_pictures(replace(model, training={}), root).x) == 30


def test_pictures_of_another_data_set_are_told(shapes_model: Path, tmp_path: Path) -> None:
    make(tmp_path / "shapes")
    for index, name in enumerate(CLASSES):
        (tmp_path / "shapes" / "train" / name).rename(tmp_path / "shapes" / "train" / f"flower{index}")
    out = tmp_path / "int8.safetensors"
    result = quantize(shapes_model, "--calibrate", tmp_path / "shapes", "--out", out)
    assert result.exit_code == 0
    assert "folder 'flower0' is no class of the model" in result.stderr
    assert json.loads(quantize(shapes_model, "--calibrate", tmp_path / "shapes", "--out", out, "--json").stdout)


def test_wrong_options(shapes_model: Path, tmp_path: Path) -> None:
    data = make(tmp_path / "shapes", 6, 1)
    for more, reason in (
        (("--most-loss", "1"), "needs --evaluate"),
        (("--report", "a.pdf"), "ends with .png or .html"),
    ):
        result = quantize(shapes_model, "--calibrate", data, "--out", tmp_path / "out.safetensors", *more)
        assert result.exit_code == 2
        assert reason in result.stderr
