"""What runs in strips gives the bits of whole planes, on every instruction set level and any number of threads."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from float_levels import FAST_ISAS, FLOAT_ISAS
from random_network import random_graph_network, random_input
from shufflenet.engine import engine, plan
from shufflenet.engine.engine import Engine, _library, isas
from shufflenet.engine.plan import step_names
from shufflenet.networks import families
from shufflenet.networks.graph import Graph
from shufflenet.networks.model import Model


def random_model(name: str) -> Model:
    return random_graph_network(families.architecture(name).graph())[1]


def logits(model: Model, x: NDArray[np.float32], isa: str, threads: int = 1) -> NDArray[np.float32]:
    return Engine(model, isa, threads).run(x)


@pytest.mark.parametrize(
    ("name", "first"),
    [
        (
            "shufflenet_g3_x0_5",
            "input + conv1 + maxpool + stage2.0.pointwise1 + stage2.0.depthwise + stage2.0.shortcut",
        ),
        ("squeezenet1_0", "input + features.0 + features.2"),
        ("mobilenet_v1_x0_25", "input + conv1 + units.0.depthwise + units.0.pointwise + units.1.depthwise"),
    ],
)
def test_what_runs_in_strips(name: str, first: str) -> None:
    assert step_names(random_model(name), 224, 224)[0] == first


def test_small_pictures_need_none() -> None:
    assert step_names(random_model("shufflenet_g3_x0_25"), 64, 64)[0] == "input"


def test_a_depthwise_convolution_of_stride_1_needs_lines_of_whole_vectors() -> None:
    assert step_names(random_model("mobilenet_v1_x0_25"), 224, 230)[0] == "input"  # 115 pixels


# First planes of 112, 16, 160 and 496 pixels a line; of 167 and 500 with gaps; and of 35, too few for whole vectors.
@pytest.mark.parametrize("size", [(224, 224), (640, 32), (33, 320), (128, 992), (75, 333), (481, 70), (97, 1000)])
@pytest.mark.parametrize(
    "name", ["shufflenet_g3_x0_5", "shufflenet_g8_x0_25", "shufflenet_v2_x0_5", "squeezenet1_0", "mobilenet_v1_x0_25"]
)
def test_gives_the_bits_of_whole_planes(name: str, size: tuple[int, int], monkeypatch: pytest.MonkeyPatch) -> None:
    model, x = random_model(name), random_input(1, *size)
    with monkeypatch.context() as patch:
        patch.setattr(plan, "choose_strips", lambda *_: None)
        whole = {isa: logits(model, x, isa) for isa in FAST_ISAS}
    for isa, expected in whole.items():
        for threads in (1, 2, 3, 4, 7, 9):  # more than there are lanes, too
            np.testing.assert_array_equal(logits(model, x, isa, threads), expected)


# MobileNet's first planes then have 76, 92 and 136 pixels a line, which end within a vector of 16, and some where a
# vector of 4 or 8 ends.
@pytest.mark.parametrize(
    ("name", "size"),
    [
        ("mobilenet_v1_x0_25", (152, 152)),
        ("mobilenet_v1_x0_25", (184, 184)),
        ("mobilenet_v1_x0_25", (64, 272)),
        ("shufflenet_g3_x0_25", (224, 224)),
        ("shufflenet_g8_x0_25", (355, 270)),
        ("shufflenet_v2_x0_5", (500, 260)),
    ],
)
def test_nothing_is_read_that_was_not_written(
    name: str, size: tuple[int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    model, x = random_model(name), random_input(1, *size)
    assert " + " in step_names(model, *size)[0]
    whole = {isa: logits(model, x, isa) for isa in FLOAT_ISAS}
    aligned = engine._aligned

    def not_numbers(bytes_: int) -> NDArray[np.uint8]:
        memory = aligned(bytes_)
        memory[:] = 255
        return memory

    monkeypatch.setattr(engine, "_aligned", not_numbers)
    for isa, expected in whole.items():
        for threads in (1, 2, 3, 4):
            np.testing.assert_array_equal(logits(model, x, isa, threads), expected)


def test_windows_of_one_line_that_are_too_large_leave_operators_out() -> None:
    names = step_names(random_model("mobilenet_v1_x1_0"), 64, 2048)
    assert names[0] == "input"
    assert "units.0.depthwise" in names


@pytest.mark.parametrize("size", [(32, 32), (48, 70)])
def test_gaps_behind_a_scale_are_zeros(size: tuple[int, int]) -> None:
    graph = Graph("scaled", 3)
    x = graph.convolution("a", graph.input, 6, 3, stride=2, activation="relu")
    y = graph.convolution("b", x, 6, 3, activation="relu")
    factors = graph.fully_connected("se", graph.global_average_pool("squeeze", y), 6, "sigmoid")
    z = graph.convolution("c", graph.scale("excite", y, factors, activation="linear"), 4, 3, activation="relu")
    graph.fully_connected("fc", graph.global_average_pool("pool", z), 5)
    network, model = random_graph_network(graph)
    pictures = random_input(1, *size)
    expected = network(torch.from_numpy(pictures)).detach().numpy()
    for isa in isas():
        np.testing.assert_allclose(logits(model, pictures, isa), expected, rtol=1e-4, atol=1e-5)


def test_a_gap_that_another_convolution_asks_for() -> None:
    """32 pixels a line are whole vectors; the second convolution needs a zero behind them."""
    graph = Graph("two", 3)
    first = graph.convolution("a", graph.input, 8, 3, activation="relu")
    second = graph.convolution("b", first, 8, 3, activation="relu")
    graph.fully_connected("fc", graph.global_average_pool("pool", second), 5)
    network, model = random_graph_network(graph)
    x = random_input(1, 32, 32)
    expected = network(torch.from_numpy(x)).detach().numpy()
    for isa in isas():
        np.testing.assert_allclose(logits(model, x, isa), expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", ["shufflenet_g3_x0_25", "mobilenet_v1_x0_25"])
def test_reference(name: str) -> None:
    """The plain kernels in strips against the fast ones without."""
    model, x = random_model(name), random_input(1, 150, 320)
    expected = logits(model, x, isas()[0])
    for threads in (1, 3):
        np.testing.assert_allclose(logits(model, x, "reference", threads), expected, rtol=1e-4, atol=1e-5)


def test_steps_one_by_one_give_the_logits_of_a_run() -> None:
    """Every name of `step_names` is one step, a fused group too."""
    model, x = random_model("shufflenet_g3_x0_25"), random_input(1, 224, 224)
    runner = Engine(model)
    expected = runner.run(x)
    names = [name for name, _ in runner.step_seconds(x, 1)]
    assert names == step_names(model, 224, 224)
    network, values = runner._network(224, 224), np.empty_like(expected)
    arena = network._idle_arena()
    for step in range(len(names)):
        where = (network._handle, arena, network._arena_bytes, x.ctypes.data, values.ctypes.data)
        assert _library().shufflenet_run_steps(*where, step, 1) == 0
    np.testing.assert_array_equal(values, expected)


def test_a_value_is_not_overwritten_by_what_reads_it() -> None:
    """A convolution adds its own input, nothing else reads that, and each of its outputs needs all channels."""
    graph = Graph("added", 3)
    x = graph.convolution("a", graph.input, 8, 3, stride=2, activation="relu")
    y = graph.add("add", graph.convolution("b", x, 8, 1), x, activation="relu")
    graph.fully_connected("fc", graph.global_average_pool("pool", y), 5)
    network, model = random_graph_network(graph)
    pictures = random_input(1, 40, 48)
    with torch.inference_mode():
        expected = network(torch.from_numpy(pictures)).numpy()
    for isa in isas():
        for threads in (1, 2):
            np.testing.assert_allclose(logits(model, pictures, isa, threads), expected, rtol=1e-4, atol=1e-5)


def test_large_planes_whose_lines_end_within_a_vector() -> None:
    """Convolutions on planes beyond any second-level cache add values and read gaps, alone and by a team."""
    graph = Graph("several", 3)
    x = graph.convolution("a", graph.input, 8, 3, stride=2, activation="relu")
    b = graph.convolution("b", x, 12, 1, groups=4, activation="relu")
    c = graph.convolution("c", graph.shuffle("shuffle", graph.concat("concat", [x, b]), 2), 6, 1, activation="relu")
    d = graph.convolution("d", c, 6, 1, activation="relu")
    e = graph.convolution("e", d, 6, 3, activation="relu")
    f = graph.add("add", graph.convolution("f", e, 6, 1), d, activation="relu")
    g = graph.convolution("g", f, 20, 1, activation="relu")
    graph.fully_connected("fc", graph.global_average_pool("pool", g), 5)
    network, model = random_graph_network(graph)
    pictures = random_input(1, 355, 270)
    with torch.inference_mode():
        expected = network(torch.from_numpy(pictures)).numpy()
    for isa in isas():
        alone = logits(model, pictures, isa)
        np.testing.assert_allclose(alone, expected, rtol=1e-4, atol=1e-5)
        for threads in (2, 3, 9):
            np.testing.assert_array_equal(logits(model, pictures, isa, threads), alone)
