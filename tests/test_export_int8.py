"""Models in 8 bits in other runtimes: integer operators, the engine's answers, and what is refused."""

from __future__ import annotations

import importlib.util
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from random_network import random_graph_network, random_input, random_network
from random_quantized import random_quantized
from shufflenet.engine.engine import Engine
from shufflenet.exporters import TARGETS, export
from shufflenet.exporters.check import Check, Comparison
from shufflenet.exporters.target import ExportError, Order
from shufflenet.exporters.whole_numbers import whole_numbers
from shufflenet.networks import families
from shufflenet.networks.graph import Add, Convolution, Graph, Node, Pool
from shufflenet.networks.model import Model
from shufflenet.networks.quantized import activation_of, carriers, constants_of
from shufflenet.networks.shufflenet_v1 import ShuffleNetV1
from shufflenet.pictures.preprocessing import Preprocessing
from shufflenet.quantization.calibration import Method, calibrate

pytestmark = pytest.mark.filterwarnings("ignore")  # warnings of other projects

SIZE = 64


@pytest.fixture(scope="module")
def float_model() -> Model:
    _, model = random_network(ShuffleNetV1(3, 0.25, classes=7))
    return replace(model, preprocessing=Preprocessing(SIZE, SIZE))


@pytest.fixture(scope="module")
def model(float_model: Model) -> Model:
    quantized = calibrate(float_model, random_input(32, SIZE, SIZE), Method(weights="nearest", bias_correction=False))
    return Model(float_model.graph, {}, float_model.preprocessing, quantized=quantized)


def test_what_is_added_has_one_scale(model: Model) -> None:
    assert model.quantized is not None
    carried = carriers(model.graph)
    adds = [node for node in model.graph.nodes if isinstance(node, Add)]
    assert len(adds) == 13
    for node in adds:
        constants = constants_of(node, model.quantized, carried)
        np.testing.assert_array_equal(constants.residual_multiplier, np.float32(1))


def test_multipliers_have_few_bits_and_zero_points_are_whole_numbers_of_sums(model: Model) -> None:
    """So products are exact, and no layer of a calibrated model adds anything behind its multiplier."""
    assert model.quantized is not None
    carried, shifted = carriers(model.graph), 0
    for node in model.graph.nodes:
        if isinstance(node, Convolution):
            constants = constants_of(carried.get(node, node), model.quantized, carried)
            assert not constants.offset.any()
            mantissas, _ = np.frexp(constants.multiplier)
            np.testing.assert_array_equal(mantissas * 64, np.round(mantissas * 64))
            zero = np.zeros(node.channels) if node in carried else model.quantized.activations[node.name].zero_point
            np.testing.assert_array_equal(constants.shift * constants.multiplier.astype(np.float64), zero)
            shifted += int(constants.shift.any())
    assert shifted == 16  # depthwise convolutions, which no ReLU follows


def test_what_is_added_may_be_signed(tmp_path: Path) -> None:
    """Linear bottlenecks: what an addition leaves of two zero points is a whole number of sums too."""
    onnxruntime = pytest.importorskip("onnxruntime")
    pytest.importorskip("onnx")
    graph = Graph("linear_bottlenecks")
    x: Node = graph.convolution("stem", graph.input, 12, 3, stride=2, activation="relu")
    x = graph.convolution("narrow0", x, 8, 1)
    for i in (1, 2, 3):
        wide = graph.convolution(f"wide{i}", x, 24, 1, activation="relu")
        wide = graph.depthwise(f"depthwise{i}", wide, stride=1, batch_norm=f"bn{i}", activation="relu")
        x = graph.add(f"add{i}", x, graph.convolution(f"narrow{i}", wide, 8, 1), activation="linear")
    x = graph.convolution("last", x, 16, 1, activation="relu")
    graph.fully_connected("fc", graph.global_average_pool("pool", x), 5)
    _, float_model = random_graph_network(graph)
    float_model = replace(float_model, preprocessing=Preprocessing(SIZE, SIZE))
    made = replace(float_model, tensors={}, quantized=calibrate(float_model, random_input(32, SIZE, SIZE)))
    assert made.quantized is not None
    carried = carriers(graph)
    assert len(carried) == 3
    for node, add in carried.items():
        other = next(read for read in add.inputs if read is not node)
        zeros = (activation_of(each, made.quantized.activations).zero_point.astype(int) for each in (add, other))
        assert len(set(np.subtract(*zeros).tolist())) > 2
        assert not constants_of(add, made.quantized, carried).offset.any()
    export(made, "onnx", tmp_path / "net.onnx", check=False)
    session = onnxruntime.InferenceSession(tmp_path / "net.onnx", providers=["CPUExecutionProvider"])
    pictures = random_input(16, SIZE, SIZE)
    np.testing.assert_array_equal(session.run(["logits"], {"input": pictures})[0], Engine(made).run(pictures))


def test_onnx_runtime_has_the_engines_bits(model: Model, tmp_path: Path) -> None:
    onnxruntime = pytest.importorskip("onnxruntime")
    pytest.importorskip("onnx")
    export(model, "onnx", tmp_path / "net.onnx", check=False)
    session = onnxruntime.InferenceSession(tmp_path / "net.onnx", providers=["CPUExecutionProvider"])
    for size in (SIZE, 49):
        x = random_input(16, size, size)
        np.testing.assert_array_equal(session.run(["logits"], {"input": x})[0], Engine(model).run(x))


@pytest.mark.parametrize("target", [name for name in TARGETS if TARGETS[name].rounds_int8])
def test_the_engines_answers(target: str, model: Model, tmp_path: Path) -> None:
    writes_with = TARGETS[target].writes_int8_with or TARGETS[target].writes_with
    for package in writes_with + TARGETS[target].runs_with:
        if importlib.util.find_spec(package) is None:
            pytest.skip(f"{package} is not installed")
    order, most = Order(model, "net", SIZE, SIZE), 0.03 if target == "litert" else 1e-6
    TARGETS[target].write(order, tmp_path / "net")
    logits, engine = TARGETS[target].open(order, tmp_path / "net").logits, Engine(model)
    for x in random_input(3, SIZE, SIZE):
        expected = engine.run(x[None])[0]
        assert np.abs(logits(x) - expected).max() < most * np.abs(expected).max()
    wrong = replace(model, preprocessing=replace(model.preprocessing, mean=(0.1, 0.2, 0.3)))
    assert np.abs(logits(x) - Engine(wrong).run(x[None])[0]).max() > 0.03 * np.abs(expected).max()


def test_onnx_runtime_takes_integer_operators(model: Model, tmp_path: Path) -> None:
    """Nothing is left in float32 but the picture and the mean before the classifier."""
    onnx, onnxruntime = pytest.importorskip("onnx"), pytest.importorskip("onnxruntime")
    export(model, "onnx", tmp_path / "net.onnx", check=False)
    options = onnxruntime.SessionOptions()
    options.optimized_model_filepath = str(tmp_path / "optimized.onnx")
    options.log_severity_level = 3
    onnxruntime.InferenceSession(tmp_path / "net.onnx", options, providers=["CPUExecutionProvider"])
    kinds = Counter(node.op_type for node in onnx.load(tmp_path / "optimized.onnx").graph.node)
    nodes = model.graph.nodes
    layers = [n for n in nodes if isinstance(n, Convolution) or (isinstance(n, Pool) and n.kind == "average")]
    assert (kinds["QLinearConv"], kinds["QLinearAdd"], kinds["QGemm"]) == (len(layers), 13, 1)
    assert (kinds["Conv"], kinds["Add"], kinds["QuantizeLinear"]) == (1, 0, 2)
    for size in ((64, 64), (33, 47)):
        session = onnxruntime.InferenceSession(tmp_path / "net.onnx", providers=["CPUExecutionProvider"])
        x = random_input(2, *size)
        assert session.run(["logits"], {"input": x})[0].shape == (2, 7)


@pytest.mark.parametrize("target", [name for name in TARGETS if TARGETS[name].no_int8])
def test_targets_that_refuse(target: str, model: Model, tmp_path: Path) -> None:
    with pytest.raises(ExportError, match=f"^a model in 8 bits can't be written for {target}: .*float32 model$"):
        export(model, target, tmp_path / "net")
    assert not list(tmp_path.iterdir())


def test_what_cannot_be_expressed_is_refused() -> None:
    unequal = random_quantized(ShuffleNetV1(3, 0.25, classes=7).graph())
    with pytest.raises(ExportError, match=r"^stage2\.1\.add: adds bytes of different scales; make the model"):
        whole_numbers(unequal)
    swish = random_quantized(families.architecture("mobilenet_v3_small", classes=7).graph())
    with pytest.raises(ExportError, match=r"^\S+: Convolution with hard_swish in 8 bits can't be exported yet"):
        whole_numbers(swish)


@pytest.mark.parametrize(
    ("probability", "rounds", "ok"), [(0.02, True, True), (0.3, True, False), (0.02, False, False)]
)
def test_other_rounding_is_accepted_where_a_runtime_has_its_own(probability: float, rounds: bool, ok: bool) -> None:
    comparison = Comparison("engine", error=0.05, agreement=0.99, probability_error=probability, ms=1)
    assert Check(100, 1.0, (comparison,), "", None, rounds).ok == ok
