"""What runs in strips gives the bits of whole planes, on every instruction set level and any number of threads."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from random_network import random_graph_network, random_input
from shufflenet.engine import engine, plan
from shufflenet.engine.engine import Engine, isas
from shufflenet.engine.plan import make_plan, step_names
from shufflenet.engine.steps import AVERAGE_POOL, HEADER_FIELDS, STEP_FIELDS
from shufflenet.networks import baselines
from shufflenet.networks.arch import Architecture
from shufflenet.networks.graph import Graph, GraphModel


def random_model(name: str) -> GraphModel:
    graph = Architecture.from_name(name).graph() if name.startswith("shufflenet_g") else baselines.graph(name)
    return random_graph_network(graph)[1]


def logits(model: GraphModel, x: NDArray[np.float32], isa: str, threads: int = 1) -> NDArray[np.float32]:
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
        whole = {isa: logits(model, x, isa) for isa in isas() if isa != "reference"}
    for isa, expected in whole.items():
        for threads in (1, 2, 3, 4, 7, 9):  # more than there are lanes, too
            np.testing.assert_array_equal(logits(model, x, isa, threads), expected)


# Of MobileNet's, first planes of 76, 92 and 136 pixels a line: they end within a vector of 16, and some where one of 4
# or 8 ends. Teams divide planes of 14 lines or more: some have an odd number, and V2's channels that only pass by.
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
    whole = {isa: logits(model, x, isa) for isa in isas()}
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
    x = graph.convolution("a", graph.input, 6, 3, stride=2, relu=True)
    y = graph.convolution("b", x, 6, 3, relu=True)
    factors = graph.fully_connected("se", graph.means("squeeze", y), 6, "sigmoid")
    z = graph.convolution("c", graph.scale("excite", y, factors, relu=False), 4, 3, relu=True)
    graph.fully_connected("fc", graph.means("pool", z), 5)
    network, model = random_graph_network(graph)
    pictures = random_input(1, *size)
    expected = network(torch.from_numpy(pictures)).detach().numpy()
    for isa in isas():
        np.testing.assert_allclose(logits(model, pictures, isa), expected, rtol=1e-4, atol=1e-5)


def test_a_gap_that_another_convolution_asks_for() -> None:
    """32 pixels a line are whole vectors; the second convolution needs a zero behind them."""
    graph = Graph("two", 3)
    first = graph.convolution("a", graph.input, 8, 3, relu=True)
    second = graph.convolution("b", first, 8, 3, relu=True)
    graph.fully_connected("fc", graph.means("pool", second), 5)
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


def test_strips_whose_last_planes_differ_in_pitch_are_refused() -> None:
    """Of all of them neighbouring threads exchange the same pixels."""
    model = random_model("shufflenet_g3_x0_25")
    words = np.frombuffer(make_plan(model, 224, 224), dtype=np.uint32)
    steps = words[HEADER_FIELDS:][: words[2] * (1 + STEP_FIELDS)].reshape(-1, 1 + STEP_FIELDS)
    pool = next(i for i, step in enumerate(steps) if step[0] == AVERAGE_POOL)
    for pitch in (steps[pool, 5], steps[pool, 5] + 1):
        changed = words.copy()
        changed[5] += 1 << 20  # floats of the arena: room for any pitch
        changed[HEADER_FIELDS + pool * (1 + STEP_FIELDS) + 5] = pitch
        if pitch == steps[pool, 5]:
            engine.measure(changed.tobytes(), isas()[0])
        else:
            with pytest.raises(RuntimeError, match="damaged"):
                engine.measure(changed.tobytes(), isas()[0])
