"""Quantized networks on the engine: the bits of PyTorch's emulation at every level, size and number of threads."""

from __future__ import annotations

import numpy as np
import pytest

from random_network import random_input
from random_quantized import random_quantized
from shufflenet.engine.engine import Engine, isas, measure
from shufflenet.engine.plan import make_plan, step_names
from shufflenet.engine.quads import LANES, storage_of
from shufflenet.networks import families
from shufflenet.networks.graph import Convolution, Graph, Node
from shufflenet.networks.model import Model
from shufflenet.networks.quantized import carriers, pixel_input
from shufflenet.networks.shufflenet_v1 import STAGE2_CHANNELS, ShuffleNetV1
from shufflenet.quantization.emulation import Emulation

SMALL = [name for name in isas() if name != "reference"]
ARCHITECTURES = [
    *[ShuffleNetV1(groups, 0.25, classes=10) for groups in STAGE2_CHANNELS],
    ShuffleNetV1(8, 1.0, classes=7),  # the first unit's groups of 45 channels end within other groups' quads
    ShuffleNetV1(4, 0.5, classes=3, stem_stride=1),
    ShuffleNetV1(3, 0.25, classes=10, shuffle=False),
]


def emulated(model: Model, x: np.ndarray) -> np.ndarray:
    assert model.quantized is not None
    pixels = pixel_input(model.preprocessing.mean, model.preprocessing.std)
    return Emulation(model.graph, model.quantized, pixels).run(x)


@pytest.mark.parametrize("arch", ARCHITECTURES, ids=lambda arch: f"{arch.name}_{arch.stem_stride}")
def test_levels_give_the_emulation_s_bits(arch: ShuffleNetV1) -> None:
    model, x = random_quantized(arch.graph()), random_input(2, 48, 33)
    wanted = emulated(model, x)
    assert np.abs(np.diff(wanted)).max() > 0  # the classes differ
    for isa in isas():
        assert np.array_equal(Engine(model, isa=isa).run(x), wanted), isa


@pytest.mark.parametrize(("height", "width"), [(32, 32), (97, 131), (64, 33), (224, 224)])
def test_sizes(height: int, width: int) -> None:
    model, x = random_quantized(ShuffleNetV1(3, 0.25, classes=10).graph()), random_input(1, height, width)
    wanted = emulated(model, x)
    for isa in SMALL:
        assert np.array_equal(Engine(model, isa=isa).run(x), wanted), isa


@pytest.mark.parametrize("threads", [2, 3])
def test_threads_change_no_bit(threads: int) -> None:
    model, x = random_quantized(ShuffleNetV1(3, 0.25, classes=10).graph()), random_input(2, 97, 64)
    wanted = Engine(model).run(x)
    for isa in SMALL:
        assert np.array_equal(Engine(model, isa=isa, threads=threads).run(x), wanted), isa


def test_dense_convolutions_read_shifted_quads() -> None:
    graph = Graph("dense")
    x: Node = graph.convolution("stem", graph.input, 8, 3, stride=2, activation="relu")
    x = graph.convolution("dense", x, 12, 3, activation="relu")
    x = graph.add("add", graph.convolution("grouped", x, 12, 5, groups=2), x, activation="relu")
    graph.fully_connected("fc", graph.adaptive_average_pool("pool", x, 1), 5)
    model, x_ = random_quantized(graph), random_input(2, 39, 50)
    wanted = emulated(model, x_)
    for isa in isas():
        assert np.array_equal(Engine(model, isa=isa).run(x_), wanted), isa


def test_bad_pixels_change_one_picture_alone() -> None:
    """What is not a number counts as the lowest pixel."""
    model, x = random_quantized(ShuffleNetV1(3, 0.25, classes=10).graph()), random_input(2, 40, 40)
    engine = Engine(model)
    wanted = engine.run(x)
    x[0, 0, :5] = np.nan
    bad = engine.run(x)
    x[0, 0, :5] = -1e30
    assert np.array_equal(bad[1], wanted[1])
    assert np.array_equal(bad, engine.run(x))


def test_quads_belong_to_one_group() -> None:
    graph = ShuffleNetV1(8, 1.0).graph()
    storage = storage_of(graph, carriers(graph))
    for writer, places in storage.places.items():
        assert len(set(places.tolist())) == writer.channels
        if isinstance(writer, Convolution) and not writer.depthwise:
            groups = np.arange(writer.channels) // (writer.channels // writer.groups)
            for quad in range(storage.quads(writer)):
                assert len(set(groups[places // LANES == quad])) == 1
    assert {writer.name for writer in storage.in_bytes} == {
        node.name for node in graph.nodes if node.name.endswith("pointwise1")
    }


def test_arena_and_network_are_smaller() -> None:
    arch = ShuffleNetV1(3, 1.0)
    model = random_quantized(arch.graph())
    sizes = measure(make_plan(model, 224, 224), isas()[0])
    floats = {name: np.full(shape, 0.1, np.float32) for name, shape in arch.graph().tensor_shapes().items()}
    float_sizes = measure(make_plan(Model(arch.graph(), floats), 224, 224), isas()[0])
    assert sizes.arena_bytes < 0.5 * float_sizes.arena_bytes
    assert sizes.network_bytes < 0.3 * float_sizes.network_bytes


def test_step_names() -> None:
    names = step_names(random_quantized(ShuffleNetV1(3, 0.25).graph()), 64, 64)
    assert names[:3] == ["input", "conv1", "maxpool"]
    assert names[-2:] == ["global_pool", "fc"]


def signed_everywhere() -> Graph:
    """Convolutions, pools and additions of values that have zero points, with every activation."""
    graph = Graph("signed")
    x: Node = graph.convolution("stem", graph.input, 8, 5, stride=1, padding=1, activation="hard_swish")
    x = graph.max_pool("max", x)
    x = graph.convolution("strided", x, 12, 3, stride=2, activation="hard_swish")
    x = graph.average_pool("average", graph.convolution("dense", x, 12, 3, groups=3))
    x = graph.depthwise("depthwise", x, 5, stride=1, batch_norm="", activation="sigmoid")
    x = graph.depthwise("behind", x, stride=2, batch_norm="", activation="hard_sigmoid")
    branch = graph.convolution("wide", graph.split("half", x, 2, 8), 12, 1)
    x = graph.add("add", branch, x, activation="hard_swish")
    gate = graph.fully_connected("gate", graph.global_average_pool("squeeze", x), 12, "sigmoid")
    x = graph.add("scaled", graph.scale("scale", x, gate), x)
    x = graph.scale("again", graph.concat("both", [x, branch_of(graph, x)]), flat(graph, x), activation="hard_swish")
    x = graph.fully_connected("features", graph.adaptive_average_pool("pool", x, 2), 11, "hard_swish")
    graph.fully_connected("fc", x, 5)
    return graph


def branch_of(graph: Graph, x: Node) -> Node:
    return graph.convolution("branch", x, 4, 3, activation="relu")


def flat(graph: Graph, x: Node) -> Node:
    return graph.fully_connected("factors", graph.global_average_pool("averages", x), 16, "hard_sigmoid")


@pytest.mark.parametrize(("height", "width"), [(40, 33), (57, 64)])
def test_zero_points_and_activations(height: int, width: int) -> None:
    model, x = random_quantized(signed_everywhere()), random_input(2, height, width)
    wanted = emulated(model, x)
    assert np.abs(np.diff(wanted)).max() > 0
    for isa in isas():
        assert np.array_equal(Engine(model, isa=isa, threads=2).run(x), wanted), isa


# The smallest network of each family, and those that differ in their operators.
SMALLEST = [
    "shufflenet_g3_x0_25_se", "shufflenet_v2_x0_5", "mobilenet_v1_x0_25", "mobilenet_v3_small", "lcnet_x0_35",
    "squeezenet1_0", "resnet_13m", "resnext_13m", "vgg_like_13m", "xception_like_13m",
]  # fmt: skip


@pytest.mark.parametrize("name", [*SMALLEST, pytest.param("alexnet", marks=pytest.mark.slow)])
def test_every_family(name: str) -> None:
    model = random_quantized(families.architecture(name, classes=10).graph())
    x = random_input(1, 96 if name == "alexnet" else 64, 64 if name != "alexnet" else 96)
    wanted = emulated(model, x)
    for isa in SMALL:
        assert np.array_equal(Engine(model, isa=isa).run(x), wanted), isa


def test_every_family_is_tried() -> None:
    tried = {families.architecture(name).family for name in [*SMALLEST, "alexnet"]}
    assert tried == {families.architecture(name).family for name in families.names()}


def test_what_the_engine_can_t_run_is_named() -> None:
    graph = Graph("stem")
    x: Node = graph.convolution("stem", graph.input, 8, 3, stride=3, activation="relu")
    graph.fully_connected("fc", graph.adaptive_average_pool("pool", x, 1), 5)
    with pytest.raises(ValueError, match=r"^stem: the engine has no int8 kernel for such a convolution of the picture"):
        make_plan(random_quantized(graph), 64, 64)


def test_factors_out_of_range_are_refused() -> None:
    model = random_quantized(ShuffleNetV1(3, 0.25, classes=10).graph())
    assert model.quantized is not None
    model.quantized.layers["stage3.2.pointwise1"].scale[5] = 1e30
    with pytest.raises(RuntimeError, match="plan is damaged"):
        Engine(model).run(random_input(1, 32, 32))
