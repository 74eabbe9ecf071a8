"""ONNX files and torch.export's programs become graphs that compute the same, or are refused with the place."""

from __future__ import annotations

import json
import subprocess
import sys
import warnings
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from random_network import every_import, random_graph_network, random_input, randomise
from shufflenet import cli, model_file
from shufflenet.engine.engine import Engine
from shufflenet.exporters.onnx import make
from shufflenet.importers.checkpoint import CheckpointError
from shufflenet.importers.network_file import import_network
from shufflenet.importers.programs.program import leading_to
from shufflenet.networks.graph import Graph, Pad, Shuffle, WindowPool
from shufflenet.networks.model import Model
from shufflenet.networks.quantized import check_served

onnx = pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")


class Shuffling(nn.Module):
    """Batch norms before and behind ReLUs, gates, splits, shuffles written in three ways, and uneven padding."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 12, 3, stride=2, bias=False)
        self.bn = nn.BatchNorm2d(12)
        self.wide = nn.Conv2d(12, 12, (1, 5), padding=(0, 2), groups=12)
        self.dilated = nn.Conv2d(12, 12, 3, padding=2, dilation=2, groups=4)
        self.alone = nn.BatchNorm2d(24)
        self.squeeze = nn.Conv2d(24, 6, 1)
        self.excite = nn.Conv2d(6, 24, 1)
        self.leaky = nn.PReLU(24)
        self.head = nn.Linear(24, 7)
        self.drop = nn.Dropout(0.2)

    def forward(self, x: Tensor) -> Tensor:
        x = functional.pad(x, (0, 1, 0, 1))
        x = functional.hardswish(self.bn(self.stem(x)))
        x = functional.max_pool2d(x, 2, ceil_mode=True)
        left, right = functional.gelu(self.wide(x)), self.dilated(x)
        right = right * (functional.relu6(right + 3) / 6)
        x = self.alone(torch.cat((left, right + x), dim=1))
        n, c, h, w = x.shape
        x = functional.silu(x.view(n, 4, c // 4, h, w).transpose(1, 2).reshape(n, c, h, w))
        gate = torch.sigmoid(self.excite(torch.relu(self.squeeze(x.mean((2, 3), keepdim=True)))))
        x = self.leaky(x * gate)
        odd, even = x[:, 1::2], x[:, ::2]
        x = torch.cat((functional.avg_pool2d(odd, 3, 1, 1, count_include_pad=False), even * 0.5 + odd), dim=1)
        x = x[:, torch.tensor([*range(12, 24), *range(12)])]
        logits: Tensor = self.head(self.drop(functional.adaptive_avg_pool2d(x, 1).flatten(1))) / 2
        return logits


def randomised(network: nn.Module) -> nn.Module:
    torch.manual_seed(0)
    network.eval()
    randomise(network)
    for name, parameter in network.named_parameters():
        if name.endswith("leaky.weight"):
            nn.init.uniform_(parameter, -0.5, 0.5)
    return network


@pytest.fixture(scope="module")
def network() -> nn.Module:
    return randomised(Shuffling())


def to_onnx(network: nn.Module, path: Path, size: tuple[int, int], **options: Any) -> Path:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the exporter that needs no package besides onnx is the older one
        torch.onnx.export(network, (torch.zeros(1, 3, *size),), path, dynamo=False, **options)
    return path


def to_pt2(network: nn.Module, path: Path, size: tuple[int, int]) -> Path:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.export.save(torch.export.export(network, (torch.zeros(1, 3, *size),)), path)
    return path


WRITERS: dict[str, Callable[[nn.Module, Path, tuple[int, int]], Path]] = {".onnx": to_onnx, ".pt2": to_pt2}


@pytest.mark.parametrize("suffix", WRITERS)
def test_computes_the_same(network: nn.Module, suffix: str, tmp_path: Path) -> None:
    """At the file's size and, since nothing here depends on it, at another one; through the model file."""
    model = import_network(WRITERS[suffix](network, tmp_path / f"net{suffix}", (64, 64)))
    assert model.training["compared"]["difference"] < 1e-5
    assert model.preprocessing.size == 64
    model_file.save(model, tmp_path / "net.safetensors")
    model = model_file.load(tmp_path / "net.safetensors")
    assert any(isinstance(node, Shuffle) for node in model.graph.nodes)
    for size in ((64, 64), (71, 53)):
        x = random_input(1, *size)
        with torch.inference_mode():
            expected = network(torch.from_numpy(x)).numpy()
        assert np.abs(Engine(model).run(x) - expected).max() < 1e-5 * np.abs(expected).max()


@pytest.mark.parametrize("size", [(64, 64), (45, 38)])
def test_operators_equal_pytorch(size: tuple[int, int]) -> None:
    from shufflenet.engine.engine import isas

    module, model = random_graph_network(every_import())
    x = random_input(2, *size)
    with torch.inference_mode():
        expected = module(torch.from_numpy(x)).numpy()
    for isa in isas():
        logits = Engine(model, isa).run(x)
        assert np.abs(logits - expected).max() < 1e-5 * np.abs(expected).max(), isa
        np.testing.assert_array_equal(Engine(model, isa, threads=3).run(x), logits)


def test_eight_bits_refuse_them_by_name() -> None:
    with pytest.raises(ValueError, match="halved: 8 bits don't serve WindowPool"):
        check_served(every_import())
    graph = Graph("clipped")
    graph.convolution("stem", graph.input, 8, 3, stride=2, activation="relu6")
    with pytest.raises(ValueError, match="stem: 8 bits don't serve Convolution with relu6"):
        check_served(graph)


def test_an_export_comes_back(tmp_path: Path) -> None:
    """What `export --to onnx` writes, with its operators for activations, is imported as the same network."""
    _, model = random_graph_network(every_import())
    (tmp_path / "net.onnx").write_bytes(make(model, "net").SerializeToString())
    again = import_network(tmp_path / "net.onnx", size=64)
    assert {type(node) for node in again.graph.nodes} >= {WindowPool, Pad}
    x = random_input(1, 64, 64)
    np.testing.assert_allclose(Engine(again).run(x), Engine(model).run(x), rtol=1e-5, atol=1e-6)


Weights = NDArray[Any]


def onnx_file(path: Path, nodes: list[Any], shape: list[Any] = [1, 3, 32, 32], **weights: Weights) -> Path:  # noqa: B006
    """An ONNX file of ``nodes``, from "x" to "y"."""
    helper, numpy_helper = onnx.helper, onnx.numpy_helper
    value = helper.make_tensor_value_info
    graph = helper.make_graph(
        nodes,
        "net",
        [value("x", onnx.TensorProto.FLOAT, shape)],
        [value("y", onnx.TensorProto.FLOAT, None)],
        [numpy_helper.from_array(values, name) for name, values in weights.items()],
    )
    proto = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    path.write_bytes(proto.SerializeToString())
    return path


def node(operator: str, inputs: str, output: str, **attributes: Any) -> Any:
    return onnx.helper.make_node(operator, inputs.split(), [output], f"the_{operator}", **attributes)


FILTERS = np.random.default_rng(0).standard_normal((5, 3, 3, 3)).astype(np.float32)


def classifier(*middle: Any, **attributes: Any) -> list[Any]:
    """A convolution, what stands between "a" and "b", and the mean."""
    return [
        node("Conv", "x w", "a", **attributes),
        *middle,
        node("GlobalAveragePool", "b", "m"),
        node("Flatten", "m", "y"),
    ]


@pytest.mark.parametrize(
    ("nodes", "message"),
    [
        (classifier(node("Erf", "a", "b")), "Erf at the_Erf: the engine has no such operator"),
        (classifier(node("Clip", "a", "b")), "Clip at the_Clip: min -inf and max inf"),
        (classifier(node("HardSigmoid", "a", "b")), "HardSigmoid at the_HardSigmoid: alpha 0.2"),
        (classifier(node("Mul", "a a", "b")), "Mul at the_Mul"),
        (classifier(node("Relu", "a", "b"), strides=[1, 2]), "Conv at the_Conv: strides [1, 2]"),
        (classifier(node("Relu", "a", "b"), auto_pad="SAME"), "Conv at the_Conv: auto_pad SAME"),
        (classifier(node("Relu", "missing", "b")), "Relu at the_Relu: reads 'missing'"),
        (classifier(node("Relu", "a", "b"), group=2), "Conv at the_Conv: its weights"),
        (classifier(node("Transpose", "a", "b", perm=[0, 2, 3, 1])), "Transpose at the_Transpose: perm"),
        (classifier(node("Softmax", "a", "b")), "Softmax at the_Softmax"),
        (classifier(node("Relu", "a", "b"))[:2], "depends on no picture"),
    ],
)
def test_names_what_cannot_be_expressed(nodes: list[Any], message: str, tmp_path: Path) -> None:
    file = onnx_file(tmp_path / "net.onnx", nodes, w=FILTERS)
    with pytest.raises(CheckpointError) as error:
        import_network(file)
    assert message in str(error.value)
    assert str(file) in str(error.value)
    assert "\n" not in str(error.value)


def test_names_the_first_layer_that_differs(
    network: nn.Module, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One of two branches is made wrong: its place in the program is told, though the other stands behind it."""
    from shufflenet.importers.programs import translate

    file = to_onnx(network, tmp_path / "net.onnx", (64, 64))
    right = translate.translate

    def wrong(*arguments: Any) -> Any:
        made = right(*arguments)
        made.tensors["wide.bias"] = made.tensors["wide.bias"] + np.float32(0.01)
        return made

    monkeypatch.setattr("shufflenet.importers.network_file.translate", wrong)
    with pytest.raises(CheckpointError, match="the first layer that differs is wide"):
        import_network(file)


def external(path: Path, location: str, length: int = 540) -> Path:
    """An ONNX file whose filters are said to lie in another."""
    onnx_file(path, classifier(node("Relu", "a", "b")), w=FILTERS)
    proto = onnx.load(path)
    tensor = proto.graph.initializer[0]
    tensor.ClearField("raw_data")
    tensor.data_location = onnx.TensorProto.EXTERNAL
    for key, value in (("location", location), ("offset", "0"), ("length", str(length))):
        tensor.external_data.add(key=key, value=value)
    path.write_bytes(proto.SerializeToString())
    return path


def test_weights_beside_the_file(tmp_path: Path) -> None:
    file = external(tmp_path / "net.onnx", "net.data")
    (tmp_path / "net.data").write_bytes(FILTERS.tobytes())
    beside, within = (
        import_network(file),
        onnx_file(tmp_path / "all.onnx", classifier(node("Relu", "a", "b")), w=FILTERS),
    )
    x = random_input(1, 32, 32)
    np.testing.assert_array_equal(Engine(beside).run(x), Engine(import_network(within)).run(x))


@pytest.mark.parametrize("location", ["../net.data", "/etc/passwd", "link.data", "", "folder/../../net.data"])
def test_weights_outside_the_folder_are_not_read(location: str, tmp_path: Path) -> None:
    (tmp_path / "net.data").write_bytes(FILTERS.tobytes())
    inner = tmp_path / "inner"
    inner.mkdir()
    (inner / "link.data").symlink_to(tmp_path / "net.data")
    with pytest.raises(CheckpointError, match="outside its folder"):
        import_network(external(inner / "net.onnx", location))


def test_weights_beside_the_file_that_are_too_few(tmp_path: Path) -> None:
    (tmp_path / "net.data").write_bytes(b"1234")
    with pytest.raises(CheckpointError, match="too short"):
        import_network(external(tmp_path / "net.onnx", "net.data"))
    with pytest.raises(CheckpointError, match="is missing"):
        import_network(external(tmp_path / "net.onnx", "other.data"))


def bomb(path: Path) -> Path:
    """A constant of a million million numbers, from a few bytes."""
    shape = np.array([1 << 20, 1 << 20], np.int64)
    constant = onnx.helper.make_node("ConstantOfShape", ["sizes"], ["big"], "big")
    return onnx_file(path, [constant, *classifier(node("Add", "a big", "b"))], w=FILTERS, sizes=shape)


def huge_shape(path: Path) -> Path:
    proto = onnx.load(onnx_file(path, classifier(node("Relu", "a", "b")), w=FILTERS))
    proto.graph.initializer[0].dims[0] = 1 << 40
    path.write_bytes(proto.SerializeToString())
    return path


def looped(path: Path) -> Path:
    """Operators that read one another."""
    return onnx_file(path, [node("Relu", "b", "a"), node("Relu", "a", "b"), node("Flatten", "b", "y")])


def test_hostile_and_damaged_onnx_files(tmp_path: Path) -> None:
    """Each gives one line that names the file; none takes memory or time."""
    path = tmp_path / "net.onnx"
    whole = onnx_file(tmp_path / "whole.onnx", classifier(node("Relu", "a", "b")), w=FILTERS).read_bytes()
    files: dict[str, Callable[[], Any]] = {
        "damaged": lambda: path.write_bytes(whole[: len(whole) // 2]),
        "none": lambda: path.write_bytes(b"PK\x03\x04 something else"),
        "without operators": lambda: path.write_bytes(b""),
        "don't suit it": lambda: bomb(path),
        "impossible shape": lambda: huge_shape(path),
        "nothing before it makes": lambda: looped(path),
        "takes 2 pictures": lambda: onnx_file(path, classifier(node("Relu", "a", "b")), [2, 3, 32, 32], w=FILTERS),
        "3 x 32 x 40": lambda: onnx_file(path, classifier(node("Relu", "a", "b")), [1, 3, 32, 40], w=FILTERS),
        "not float32": lambda: onnx_file(path, classifier(node("Relu", "a", "b")), [1, 3, 32], w=FILTERS),
    }
    for message, write in files.items():
        write()
        with pytest.raises(CheckpointError, match=message) as error:
            import_network(path)
        assert "\n" not in str(error.value)


def test_hostile_and_damaged_pt2_files(network: nn.Module, tmp_path: Path) -> None:
    whole = to_pt2(network, tmp_path / "whole.pt2", (64, 64))
    path = tmp_path / "net.pt2"

    def changed(change: Callable[[str, bytes], bytes]) -> None:
        with zipfile.ZipFile(whole) as source, zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as target:
            for name in source.namelist():
                target.writestr(name, change(name, source.read(name)))

    def replaced(old: str, new: str) -> Callable[[], None]:
        return lambda: changed(
            lambda name, data: data.replace(old.encode(), new.encode()) if name.endswith("json") else data
        )

    files: dict[str, Callable[[], Any]] = {
        "cut or damaged": lambda: path.write_bytes(whole.read_bytes()[:5000]),
        "no JSON": replaced("{", "["),
        "os.system.default at": replaced("torch.ops.aten.gelu.default", "torch.ops.os.system.default"),
        "aten.set_data.default at": replaced("torch.ops.aten.gelu.default", "torch.ops.aten.set_data.default"),
        "not stored as plain numbers": replaced('"use_pickle": false', '"use_pickle": true'),
        "reaches beyond its data": replaced('"storage_offset": {"as_int": 0}', '"storage_offset": {"as_int": 99999}'),
        "impossible|damaged|beyond|larger": replaced(
            '"sizes": [{"as_int": 12}]', '"sizes": [{"as_int": 1099511627776}]'
        ),
        "training": replaced(
            '"name": "training", "arg": {"as_bool": false}', '"name": "training", "arg": {"as_bool": true}'
        ),
    }
    for message, write in files.items():
        write()
        with pytest.raises(CheckpointError, match=message) as error:
            import_network(path)
        assert "\n" not in str(error.value)


def test_a_pickle_in_a_pt2_file_is_not_touched(network: nn.Module, tmp_path: Path) -> None:
    whole = to_pt2(network, tmp_path / "whole.pt2", (64, 64))
    with zipfile.ZipFile(whole) as source, zipfile.ZipFile(tmp_path / "net.pt2", "w") as target:
        for name in source.namelist():
            target.writestr(name, b"cos\nsystem\n(S'exit 1'\ntR." if "sample_inputs" in name else source.read(name))
    assert import_network(tmp_path / "net.pt2").graph.classes == 7


def test_any_size(network: nn.Module, tmp_path: Path) -> None:
    """A file with open sides takes --size; one with fixed sides refuses others."""
    axes = {"x": {0: "n", 2: "h", 3: "w"}}
    small = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten()).eval()
    file = to_onnx(small, tmp_path / "open.onnx", (64, 64), input_names=["x"], dynamic_axes=axes)
    assert import_network(file, size=48).preprocessing.size == 48
    assert import_network(file).preprocessing.size == 224
    with pytest.raises(CheckpointError, match="64 x 64 pixels only"):
        import_network(to_onnx(small, tmp_path / "fixed.onnx", (64, 64)), size=48)


def test_channels_last_and_softmax(tmp_path: Path) -> None:
    """A file as TensorFlow's converters write it: pictures of [H, W, C], and probabilities at the end."""
    nodes = [
        node("Transpose", "x", "t", perm=[0, 3, 1, 2]),
        *classifier(node("Relu", "a", "b")),
        node("Softmax", "y", "p"),
    ]
    nodes[1].input[0] = "t"
    file = onnx_file(tmp_path / "net.onnx", nodes, [1, 32, 32, 3], w=FILTERS)
    proto = onnx.load(file)
    proto.graph.output[0].name = "p"
    file.write_bytes(proto.SerializeToString())
    x = random_input(1, 32, 32)
    expected = functional.conv2d(torch.from_numpy(x), torch.from_numpy(FILTERS)).relu().mean((2, 3)).numpy()
    np.testing.assert_allclose(Engine(import_network(file)).run(x), expected, rtol=1e-5)


def test_command(network: nn.Module, tmp_path: Path) -> None:
    file = to_onnx(network, tmp_path / "net.onnx", (64, 64))
    out, labels = str(tmp_path / "net.safetensors"), tmp_path / "labels.txt"
    labels.write_text("".join(f"c{i}\n" for i in range(7)))
    run = CliRunner().invoke
    done = run(cli.commands, ["import", str(file), "--out", out, "--labels", str(labels), "--json"])
    assert done.exit_code == 0, done.output
    said = json.loads(done.stdout)
    assert said["classes"] == 7
    assert said["training"]["compared"]["with"] == "ONNX Runtime"
    assert "red, green, blue from 0 to 1" in done.stderr
    assert model_file.load(Path(out)).labels[6] == "c6"
    stated = run(cli.commands, ["import", str(file), "--out", out, "--preprocessing", "0..1"])
    assert stated.stderr == ""
    assert run(cli.commands, ["import", str(file), "--expect", "x.npz"]).exit_code == 2
    assert run(cli.commands, ["import", "pytorchcv:shufflenet_g3_w1", "--size", "64"]).exit_code == 2


def test_blue_green_red(network: nn.Module, tmp_path: Path) -> None:
    small = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten()).eval()
    file = to_onnx(small, tmp_path / "net.onnx", (64, 64))
    x = random_input(1, 64, 64)
    turned: Model = import_network(file, stated={"bgr": True})
    np.testing.assert_allclose(Engine(turned).run(x), Engine(import_network(file)).run(x[:, ::-1].copy()), rtol=1e-5)


def test_a_base_install_runs_the_model_file(network: nn.Module, tmp_path: Path) -> None:
    """Without onnx, onnxruntime and PyTorch."""
    model_file.save(import_network(to_onnx(network, tmp_path / "net.onnx", (64, 64))), tmp_path / "net.safetensors")
    code = (
        "import sys\n"
        "for name in ('torch', 'onnx', 'onnxruntime', 'google.protobuf'): sys.modules[name] = None\n"
        "from shufflenet.classifier import Classifier\n"
        "import numpy as np\n"
        f"classifier = Classifier({str(tmp_path / 'net.safetensors')!r})\n"
        "print(len(next(iter(classifier.predict([np.zeros((70, 70, 3), np.uint8)], 7))).labels))\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.stdout == "7\n", done.stderr


def test_what_is_left_out_leads_to_nothing() -> None:
    """An input and an output that are left out have the same, empty name, which joins no operators."""
    endless, clip = (["x"], ["", "y"]), (["x", "", "most"], ["logits"])
    kept, names = leading_to(["logits"], [endless, clip], lambda each: each[1], lambda each: each[0])
    assert kept == [clip]
    assert names == {"logits", "x", "most"}
