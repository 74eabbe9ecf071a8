"""What runs in blocks of pixels gives the bits of whole planes, at every level and for any number of threads."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from random_network import random_graph_network, random_input
from shufflenet.engine import plan
from shufflenet.engine.engine import Engine, _library, isas
from shufflenet.engine.plan import step_names
from shufflenet.networks import baselines
from shufflenet.networks.arch import Architecture
from shufflenet.networks.graph import Graph, GraphModel

FEW = 1 << 10  # floats: a room for windows that makes any plane too large for it


def random_model(name: str) -> GraphModel:
    graph = Architecture.from_name(name).graph() if name.startswith("shufflenet_g") else baselines.graph(name)
    return random_graph_network(graph)[1]


def blocks_of(model: GraphModel, height: int, width: int, window_floats: int) -> list[str]:
    names = step_names(model, height, width, window_floats)
    return [name for name in names if " + " in name and "input" not in name]


def test_large_planes_run_in_blocks() -> None:
    model, room = random_model("shufflenet_g3_x0_5"), 96 << 10
    assert blocks_of(model, 224, 224, room) == []
    assert blocks_of(model, 480, 640, room) == [
        "stage2.0.pointwise2 + stage2.1.pointwise1",
        "stage2.1.pointwise2 + stage2.2.pointwise1",
        "stage2.2.pointwise2 + stage2.3.pointwise1",
        "stage2.3.pointwise2 + stage3.0.pointwise1",
    ]


def several() -> GraphModel:
    """Three convolutions in one run, of which the second reads a value besides, with zeros around what they write."""
    graph = Graph("several", 3)
    x = graph.convolution("a", graph.input, 8, 3, stride=2, relu=True)
    b = graph.convolution("b", x, 12, 1, groups=4, relu=True)
    c = graph.convolution("c", graph.shuffle("shuffle", graph.concat("concat", [x, b]), 2), 6, 1, relu=True)
    d = graph.convolution("d", c, 6, 1, relu=True)
    e = graph.convolution("e", d, 6, 3, relu=True)
    f = graph.add("add", graph.convolution("f", e, 6, 1), d, relu=True)
    g = graph.convolution("g", f, 20, 1, relu=True)
    graph.fully_connected("fc", graph.means("pool", g), 5)
    return random_graph_network(graph)[1]


def test_a_run_of_several() -> None:
    assert blocks_of(several(), 64, 64, 16) == ["b + c + d", "f + g"]


# Planes that end within a vector, whose lines begin within one, and that teams divide there or not at all.
# Blocks of 80 pixels; of the last planes, with more room, of more.
@pytest.mark.parametrize(
    ("size", "room"),
    [
        ((224, 224), FEW),
        ((75, 333), FEW),
        ((97, 500), FEW),
        ((355, 270), FEW),
        ((33, 320), FEW),
        ((480, 640), 24 << 10),
    ],
)
@pytest.mark.parametrize(
    "name", ["several", "shufflenet_g3_x0_5", "shufflenet_g8_x0_25", "shufflenet_v2_x0_5", "resnext_140m"]
)
def test_gives_the_bits_of_whole_planes(
    name: str, size: tuple[int, int], room: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = several() if name == "several" else random_model(name)
    x = random_input(1, *size)
    assert blocks_of(model, *size, room)
    with monkeypatch.context() as patch:
        patch.setattr(plan, "choose_blocks", lambda *_: [])
        whole = {isa: Engine(model, isa).run(x) for isa in isas() if isa != "reference"}
    for isa, expected in whole.items():
        for threads in (1, 2, 3, 9):  # more than divide planes, too
            engine = Engine(model, isa, threads)
            engine._window_floats = room
            np.testing.assert_array_equal(engine.run(x), expected)


def test_reference() -> None:
    """The plain kernels in blocks against the fast ones without."""
    model, x = several(), random_input(1, 60, 70)
    expected = Engine(model).run(x)
    for threads in (1, 3):
        engine = Engine(model, "reference", threads)
        engine._window_floats = FEW
        np.testing.assert_allclose(engine.run(x), expected, rtol=1e-4, atol=1e-5)


def test_a_step_has_a_name() -> None:
    """That of all convolutions where they take turns: running the named steps one by one gives the logits of a run."""
    model, x = random_model("shufflenet_g3_x0_25"), random_input(1, 224, 224)
    engine = Engine(model)
    engine._window_floats = FEW
    expected = engine.run(x)
    names = [name for name, _ in engine.step_seconds(x, 1)]
    assert names == step_names(model, 224, 224, FEW)
    network, logits = engine._network(224, 224), np.empty_like(expected)
    arena = network._idle_arena()
    for step in range(len(names)):
        where = (network._handle, arena, network._arena_bytes, x.ctypes.data, logits.ctypes.data)
        assert _library().shufflenet_run_steps(*where, step, 1) == 0
    np.testing.assert_array_equal(logits, expected)


def test_a_value_is_not_overwritten_by_what_reads_it() -> None:
    """A convolution adds its own input, nothing else reads that, and each of its outputs needs all channels."""
    graph = Graph("added", 3)
    x = graph.convolution("a", graph.input, 8, 3, stride=2, relu=True)
    y = graph.add("add", graph.convolution("b", x, 8, 1), x, relu=True)
    graph.fully_connected("fc", graph.means("pool", y), 5)
    network, model = random_graph_network(graph)
    pictures = random_input(1, 40, 48)
    with torch.inference_mode():
        expected = network(torch.from_numpy(pictures)).numpy()
    for isa in isas():
        for threads in (1, 2):
            np.testing.assert_allclose(Engine(model, isa, threads).run(pictures), expected, rtol=1e-4, atol=1e-5)
