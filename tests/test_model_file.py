"""Model files: what is written comes back, and every way a file can be wrong is one line that says so."""

from __future__ import annotations

import copy
import json
import os
import struct
import tracemalloc
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.numpy
from numpy.typing import NDArray

from random_network import every_operator
from shufflenet import model_file
from shufflenet.model_file import ModelFileError, load, save
from shufflenet.networks import families
from shufflenet.networks.graph import Graph
from shufflenet.networks.model import Model
from shufflenet.networks.shufflenet_v1 import ShuffleNetV1
from shufflenet.pictures.preprocessing import Preprocessing

ARCH = ShuffleNetV1(groups=1, scale=0.25, classes=2, stem_stride=1)
REST = (
    '"preprocessing": '
    '{"colour_order": "RGB", "size": 64, "resize": 72, "mean": [0.5, 0.5, 0.5], "std": [0.25, 0.25, 0.25]}, '
    '"labels": ["cat", "chien \\u00e0 poil"], "classes": ["n01", "n02"], "self_test": [1.5, -2.0], "training": '
    '{"command": "shufflenet train pets", "recipe": {"epochs": 3}}, '
    '"accuracy": {"data": "pets/val, 50 pictures", "top1_error": 12.5, "top5_error": 0.0}}'
)
TEXT = (
    '{"format": 2, "architecture": {"name": "shufflenet_g1_x0_25", "family": "shufflenet_v1", "fields": '
    '{"classes": 2, "in_channels": 3, "stem_stride": 1, "groups": 1, "scale": 0.25, "stem_channels": 12, '
    '"shuffle": true, "inverse_shuffle": false, "squeeze_excitation": false, "shallow": false}}, ' + REST
)
FORMAT_1 = (
    '{"format": 1, "architecture": {"name": "shufflenet_g1_x0_25", "groups": 1, "scale": 0.25, "classes": 2, '
    '"in_channels": 3, "stem_stride": 1, "stem_channels": 12, "shuffle": true, "inverse_shuffle": false}, ' + REST
)


OTHER_FAMILIES = (
    "shufflenet_g8_x0_25_se", "shufflenet_g3_shallow", "mobilenet_v1_x0_25", "shufflenet_v2_x0_5", "squeezenet1_0",
    "resnext_13m",
)  # fmt: skip


def tiny_model() -> Model:
    random = np.random.default_rng(0)
    return Model(
        graph=ARCH.graph(),
        preprocessing=Preprocessing(size=64, resize=72, mean=(0.5, 0.5, 0.5), std=(0.25, 0.25, 0.25)),
        labels=["cat", "chien à poil"],
        classes=["n01", "n02"],
        tensors={name: random.random(shape, np.float32) for name, shape in ARCH.graph().tensor_shapes().items()},
        self_test=[1.5, -2.0],
        training={"command": "shufflenet train pets", "recipe": {"epochs": 3}},
        accuracy={"data": "pets/val, 50 pictures", "top1_error": 12.5, "top5_error": 0.0},
    )


def description() -> dict[str, Any]:
    return json.loads(TEXT)  # type: ignore[no-any-return]


def write(path: Path, text: str, tensors: dict[str, NDArray[Any]] | None = None) -> None:
    """A file as another program might write it, with nothing checked."""
    path.write_bytes(
        safetensors.numpy.save(tiny_model().tensors if tensors is None else tensors, metadata={"shufflenet": text})
    )


def refusal(path: Path) -> str:
    with pytest.raises(ModelFileError) as raised:
        load(path)
    message = str(raised.value)
    assert message.startswith(f"{path}: ")
    assert message.isprintable(), "one line"
    assert len(message) < len(str(path)) + 320
    return message.removeprefix(f"{path}: ")


@pytest.mark.parametrize("place", range(1, 2000, 97))
def test_one_wrong_byte_of_the_weights_shows(tmp_path: Path, place: int) -> None:
    path = tmp_path / "m.safetensors"
    save(tiny_model(), path)
    data = bytearray(path.read_bytes())
    data[-place] ^= 1
    path.write_bytes(data)
    assert refusal(path) == "damaged: it does not hold what was written"


def test_another_label_shows(tmp_path: Path) -> None:
    path = tmp_path / "m.safetensors"
    save(tiny_model(), path)
    path.write_bytes(path.read_bytes().replace(b"chien", b"chiem"))
    assert refusal(path) == "damaged: it does not hold what was written"


@pytest.mark.parametrize("dtype", [np.float32, np.float16])
def test_round_trip(tmp_path: Path, dtype: type[np.float32] | type[np.float16]) -> None:
    model, path = tiny_model(), tmp_path / "m.safetensors"
    save(model, path, dtype)
    again = load(path)
    assert again.graph.architecture == model.graph.architecture
    for field in ("preprocessing", "labels", "classes", "self_test", "training", "accuracy"):
        assert getattr(again, field) == getattr(model, field), field
    assert again.tensors.keys() == model.tensors.keys()
    for name, tensor in again.tensors.items():
        assert tensor.dtype == np.float32
        np.testing.assert_array_equal(tensor, model.tensors[name].astype(dtype).astype(np.float32), err_msg=name)
    assert os.listdir(tmp_path) == ["m.safetensors"]


def test_exact_metadata(tmp_path: Path) -> None:
    path = tmp_path / "m.safetensors"
    save(tiny_model(), path)
    data = path.read_bytes()
    header = json.loads(data[8 : 8 + int.from_bytes(data[:8], "little")])
    metadata = header.pop("__metadata__")
    assert (metadata.keys(), metadata["shufflenet"]) == ({"shufflenet", "sha256"}, TEXT)
    assert {name: tuple(entry["shape"]) for name, entry in header.items()} == ARCH.graph().tensor_shapes()
    assert {entry["dtype"] for entry in header.values()} == {"F32"}


def test_a_name_is_kept_and_checked(tmp_path: Path) -> None:
    path = tmp_path / "m.safetensors"
    save(replace(tiny_model(), name="flowers-2"), path)
    assert load(path).name == "flowers-2"
    for wrong in (7, "two\nlines", "x" * 201):
        write(path, json.dumps({**description(), "name": wrong}))
        assert refusal(path).startswith("name must be one line of at most 200 characters, not ")


def test_documentation_names_every_key() -> None:
    documented = [line.split()[0] for line in (model_file.__doc__ or "").splitlines() if line.startswith("    ")]
    assert documented == [*description(), "name", "quantization"], "a file of before has no name"


def test_every_key_is_needed_and_no_other_allowed(tmp_path: Path) -> None:
    path = tmp_path / "m.safetensors"
    places: list[tuple[str, ...]] = [
        (),
        ("architecture",),
        ("architecture", "fields"),
        ("preprocessing",),
        ("accuracy",),
    ]
    for place in places:
        keys = list(_at(description(), place))
        for key in [*keys, "surprise"]:
            changed = description()
            if key == "surprise":
                _at(changed, place)[key] = 1
            else:
                del _at(changed, place)[key]
            if key == "classes" and not place:
                continue  # later than the first files
            write(path, json.dumps(changed))
            assert repr(key) in refusal(path) or key == "format"


def test_files_of_format_1_are_read(tmp_path: Path) -> None:
    path, old = tmp_path / "m.safetensors", json.loads(FORMAT_1)
    first = copy.deepcopy(old)
    del first["architecture"]["inverse_shuffle"]  # of the first files: the paper's shuffle
    three = json.loads(FORMAT_1.replace('"groups": 1', '"groups": 3').replace("g1_", "g3_"))
    unshuffled = json.loads(FORMAT_1.replace('"shuffle": true', '"shuffle": false'))
    for changed, arch in (
        (old, ARCH),
        (first, ARCH),
        (three, replace(ARCH, groups=3)),
        (unshuffled, replace(ARCH, shuffle=False)),
    ):
        tensors = {name: np.ones(shape, np.float32) for name, shape in arch.graph().tensor_shapes().items()}
        write(path, json.dumps(changed), tensors)
        model = load(path)
        assert model.graph.architecture == arch
        assert (model.labels, model.classes) == (tiny_model().labels, tiny_model().classes)
        assert all((tensor == 1).all() for tensor in model.tensors.values())
        save(model, path)
        assert load(path).graph.architecture == arch


@pytest.mark.parametrize("key", ["name", "groups", "scale", "classes", "in_channels", "stem_stride", "stem_channels"])
def test_format_1_needs_every_key(key: str, tmp_path: Path) -> None:
    path, old = tmp_path / "m.safetensors", json.loads(FORMAT_1)
    del old["architecture"][key]
    write(path, json.dumps(old))
    assert f"lacks {key!r}" in refusal(path)
    write(path, FORMAT_1.replace('"groups"', '"surprise": 1, "groups"'))
    assert "has an unknown key 'surprise'" in refusal(path)
    write(path, FORMAT_1.replace("g1_x0_25", "g1_x0_5"))
    assert "its fields are those of shufflenet_g1_x0_25" in refusal(path)


@pytest.mark.parametrize(
    "graph",
    [
        *(families.architecture(name, classes=3, stem_stride=1).graph() for name in OTHER_FAMILIES),
        every_operator(),
    ],
    ids=lambda graph: graph.name,
)
def test_other_families(graph: Graph, tmp_path: Path) -> None:
    tensors = {name: np.ones(shape, np.float32) for name, shape in graph.tensor_shapes().items()}
    save(Model(graph, tensors, Preprocessing(size=64, resize=64)), tmp_path / "m.safetensors")
    again = load(tmp_path / "m.safetensors")
    assert (again.graph.name, again.graph.architecture) == (graph.name, graph.architecture)
    assert again.labels == [f"class {index}" for index in range(graph.classes)]
    assert families.described(again.graph) == families.described(graph)
    assert again.tensors.keys() == tensors.keys()


def test_a_network_needs_the_size_of_its_pictures(tmp_path: Path) -> None:
    graph = families.architecture("alexnet", classes=1).graph()
    with pytest.raises(ModelFileError, match=r"alexnet: pictures of 48 x 48 pixels leave none behind features\.\d+"):
        save(Model(graph, {}, Preprocessing(size=48, resize=48)), tmp_path / "m.safetensors")


def test_without_classes_the_labels_are_the_folder_names(tmp_path: Path) -> None:
    path, old = tmp_path / "m.safetensors", description()
    del old["classes"]
    write(path, json.dumps(old))
    assert load(path).classes == old["labels"]
    old["classes"] = ["n01"]
    write(path, json.dumps(old))
    assert refusal(path) == "1 class names for 2 classes"
    old["classes"] = ["n01", "n01"]
    write(path, json.dumps(old))
    assert refusal(path) == "class 'n01' stands for two classes"


def _at(value: dict[str, Any], place: tuple[str, ...]) -> dict[str, Any]:
    for key in place:
        value = value[key]
    return value


# Where, what instead, and a part of the message.
WRONG_VALUES: list[tuple[str, Any, str]] = [
    ("format", 3, "model format 3 is newer than this program, which reads 2: update shufflenet"),
    ("format", 0, "format must be from 1 to 2, not 0"),
    ("format", True, "format must be from 1 to 2, not True"),
    ("format", "1", "format must be from 1 to 2, not '1'"),
    ("architecture", [], "architecture must be a JSON object"),
    ("architecture", None, "architecture must be a JSON object"),
    ("architecture.name", "shufflenet_g3_x1_0", "its fields are those of shufflenet_g1_x0_25"),
    ("architecture.fields.groups", 3, "its fields are those of shufflenet_g3_x0_25"),
    ("architecture.fields.groups", "1", "groups must be a whole number"),
    ("architecture.fields.groups", True, "groups must be a whole number"),
    ("architecture.fields.groups", [1], "groups must be a whole number"),
    ("architecture.fields.groups", 5, "groups must be 1, 2, 3, 4 or 8"),
    ("architecture.fields.scale", 1e308, "scale must be above 0 and at most 16"),
    ("architecture.fields.scale", -1, "scale must be above 0"),
    ("architecture.fields.scale", "0.25", "scale must be a number"),
    ("architecture.fields.scale", True, "scale must be a number"),
    ("architecture.fields.scale", 10**400, "scale must be a number"),
    ("architecture.fields.classes", 10**12, "classes must be from 1 to 1,000,000"),
    ("architecture.fields.classes", 0, "classes must be from 1"),
    ("architecture.fields.classes", 2.0, "classes must be a whole number"),
    ("architecture.fields.classes", 3, "2 labels for 3 classes"),
    ("architecture.fields.in_channels", 1, "in_channels must be 3"),
    ("architecture.fields.in_channels", -3, "in_channels must be from 1"),
    ("architecture.fields.stem_stride", True, "stem_stride must be a whole number"),
    ("architecture.fields.stem_stride", 3, "stem_stride must be 1 or 2"),
    ("architecture.fields.stem_channels", 10**9, "stem_channels must be"),
    ("architecture.fields.stem_channels", 0, "stem_channels must be a positive number"),
    (
        "architecture.fields.stem_channels",
        13,
        "tensor 'conv1.weight' is [12, 3, 3, 3]; its architecture says [13, 3, 3, 3]",
    ),
    ("architecture.fields.shuffle", 1, "shuffle must be true or false"),
    ("architecture.name", 5, "name of the architecture must be a string"),
    ("architecture.family", "shufflenet_v9", "unknown family 'shufflenet_v9'; known are shufflenet_v1, "),
    ("architecture.family", ["shufflenet_v1"], "family of the architecture must be a string"),
    ("architecture.family", "mobilenet_v1", "the fields of mobilenet_v1 has an unknown key 'groups'"),
    ("architecture.fields", [3], "fields must be a JSON object"),
    ("preprocessing", "RGB", "preprocessing must be a JSON object"),
    ("preprocessing.colour_order", "BGR", "colour_order must be 'RGB'"),
    ("preprocessing.size", 10**9, "size must be from 32 to 4096"),
    ("preprocessing.size", "64", "size must be"),
    ("preprocessing.size", True, "size must be"),
    ("preprocessing.resize", 63, "resize must be from size (64)"),
    ("preprocessing.mean", 0.5, "mean must be three numbers"),
    ("preprocessing.mean", [0.5], "mean must be three numbers"),
    ("preprocessing.mean", ["0.5"] * 3, "mean must be three numbers"),
    ("preprocessing.std", [0, 1, 1], "std must be three numbers"),
    ("preprocessing.std", [1e-320] * 3, "std must be three numbers"),
    ("labels", {"0": "cat"}, "labels must be a list of strings"),
    ("labels", ["cat", 1], "labels must be a list of strings"),
    ("labels", ["cat"], "1 labels for 2 classes"),
    ("labels", ["cat", "cat"], "label 'cat' stands for two classes"),
    ("labels", ["cat", " "], "is empty or not one line"),
    ("labels", ["cat", "a\nb"], "is empty or not one line"),
    ("labels", ["cat", "\x1b[2J"], "is empty or not one line"),
    ("labels", ["cat", "\ud800"], "is empty or not one line"),
    ("labels", ["x" * 10**6] * 2, "stands for two classes|label 'xxx"),
    ("self_test", [1.0], "self_test has 1 logits for 2 classes"),
    ("self_test", ["1", "2"], "self_test must be a list of finite numbers"),
    ("self_test", [True, False], "self_test must be a list of finite numbers"),
    ("self_test", [1e300, 0], "self_test must be a list of finite numbers"),
    ("self_test", 7, "self_test must be a list of finite numbers"),
    ("training", [], "training must be a JSON object"),
    ("accuracy", "good", "accuracy must be a JSON object"),
    ("accuracy.data", 5, "data must be a string"),
    ("accuracy.top1_error", "12", "top1_error must be a percentage"),
    ("accuracy.top1_error", 101, "top1_error must be a percentage"),
    ("accuracy.top5_error", True, "top5_error must be a percentage"),
]


@pytest.mark.parametrize(
    ("where", "value", "reason"), WRONG_VALUES, ids=[f"{where}={str(value)[:20]!r}" for where, value, _ in WRONG_VALUES]
)
def test_wrong_metadata(where: str, value: Any, reason: str, tmp_path: Path) -> None:
    changed = description()
    *place, key = where.split(".")
    _at(changed, tuple(place))[key] = value
    path = tmp_path / "m.safetensors"
    write(path, json.dumps(changed))
    message = refusal(path)
    assert any(part in message for part in reason.split("|"))


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "its metadata is not JSON"),
        ("{", "its metadata is not JSON"),
        ("[]", "metadata must be a JSON object, not []"),
        ("null", "metadata must be a JSON object, not None"),
        ("{}", "format must be from 1 to 2, not None"),
        (TEXT.replace("1.5", "NaN"), "NaN is not a number"),
        (TEXT.replace("0.25", "1e999"), "scale must be above 0 and at most 16, not inf"),
        (TEXT.replace("12.5", "9" * 5000), "its metadata is not JSON"),
        ("[" * 100_000, "nested too deeply"),
    ],
    ids=["empty", "cut", "list", "null", "no-keys", "nan", "infinity", "long-number", "deep"],
)
def test_metadata_that_is_not_the_expected_json(text: str, reason: str, tmp_path: Path) -> None:
    path = tmp_path / "m.safetensors"
    write(path, text)
    assert reason in refusal(path)


WRONG_TENSORS: dict[str, tuple[Callable[[dict[str, NDArray[Any]]], object], str]] = {
    "missing": (lambda t: t.pop("fc.bias"), "tensor 'fc.bias' is missing"),
    "none": (lambda t: t.clear(), "tensor 'conv1.weight' is missing"),
    "extra": (lambda t: t.update(extra=t["fc.bias"]), "tensor 'extra' does not belong to this architecture"),
    "extra-with-newline": (lambda t: t.update({"a\nb": t["fc.bias"]}), "does not belong to this architecture"),
    "transposed": (
        lambda t: t.update({"fc.weight": np.ascontiguousarray(t["fc.weight"].T)}),
        "tensor 'fc.weight' is [144, 2]; its architecture says [2, 144]",
    ),
    "flat": (lambda t: t.update({"fc.weight": t["fc.weight"].reshape(-1)}), "tensor 'fc.weight' is [288]"),
    "integers": (lambda t: t.update({"fc.bias": np.zeros(2, np.int64)}), "tensor 'fc.bias' is I64, neither F32 nor"),
    "doubles": (lambda t: t.update({"fc.bias": np.zeros(2)}), "tensor 'fc.bias' is F64, neither F32 nor F16"),
    "nan": (
        lambda t: t.update({"fc.bias": np.array([0, np.nan], np.float32)}),
        "tensor 'fc.bias' holds values that are not finite",
    ),
    "infinity-f16": (
        lambda t: t.update({"fc.bias": np.array([0, np.inf], np.float16)}),
        "tensor 'fc.bias' holds values that are not finite",
    ),
    "negative-variance": (
        lambda t: t.update({"bn1.running_var": -t["bn1.running_var"]}),
        "tensor 'bn1.running_var' holds a negative variance",
    ),
}


@pytest.mark.parametrize("kind", WRONG_TENSORS)
def test_wrong_tensors(kind: str, tmp_path: Path) -> None:
    change, reason = WRONG_TENSORS[kind]
    tensors: dict[str, NDArray[Any]] = dict(tiny_model().tensors)
    change(tensors)
    path = tmp_path / "m.safetensors"
    write(path, TEXT, tensors)
    assert reason in refusal(path)


def with_header(change: Callable[[dict[str, Any]], object]) -> bytes:
    """A good file whose header is changed, its length with it."""
    data = safetensors.numpy.save(tiny_model().tensors, metadata={"shufflenet": TEXT})
    length = int.from_bytes(data[:8], "little")
    header = json.loads(data[8 : 8 + length])
    change(header)
    text = json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + data[8 + length :]


def good() -> bytes:
    return with_header(lambda header: None)


def _lie(name: str, **values: Any) -> Callable[[], bytes]:
    return lambda: with_header(lambda header: header[name].update(values))


WRONG_FILES: dict[str, tuple[Callable[[], bytes], str]] = {
    "empty": (lambda: b"", "empty file"),
    "eight-bytes": (lambda: bytes(8), "too short"),
    "text": (lambda: b"hello, this is no model at all", "not a .safetensors file"),
    "png": (lambda: b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR", "not a .safetensors file"),
    "pytorch-zip": (lambda: b"PK\3\4" + bytes(100), "not a .safetensors file"),
    "pickle": (lambda: b"\x80\x02cos\nsystem\n(S'true'\ntR.", "not a .safetensors file"),
    "cut-in-header": (lambda: good()[:1000], "ends within its header"),
    "cut-in-tensors": (lambda: good()[:-1], "cut, damaged or not a .safetensors file"),
    "cut-to-header": (lambda: good()[: 8 + int.from_bytes(good()[:8], "little")], "cut, damaged"),
    "longer-than-it-says": (lambda: good() + b"\0", "cut, damaged"),
    "header-length-huge": (lambda: struct.pack("<Q", 2**63) + good()[8:], "ends within its header"),
    "header-of-20-megabytes": (
        lambda: struct.pack("<Q", 20 << 20) + b"{" + b" " * ((20 << 20) - 2) + b"}",
        "a header of 20,971,520 bytes; at most 16,777,216",
    ),
    "header-not-json": (lambda: struct.pack("<Q", 9) + b"{nonsense" + bytes(50), "cut, damaged"),
    "no-metadata": (lambda: with_header(lambda h: h.pop("__metadata__")), "not a shufflenet model (no metadata)"),
    "other-metadata": (lambda: with_header(lambda h: h.update(__metadata__={"format": "pt"})), "(no metadata)"),
    "shape-larger-than-data": (_lie("fc.weight", shape=[10**6, 10**6]), "cut, damaged"),
    "shape-overflows": (_lie("fc.weight", shape=[2**62, 2**62]), "cut, damaged"),
    "shape-negative": (_lie("fc.weight", shape=[-2, 144]), "cut, damaged"),
    "offsets-past-the-end": (_lie("fc.weight", data_offsets=[10**12, 10**12 + 1152]), "cut, damaged"),
    "offsets-backwards": (_lie("fc.weight", data_offsets=[1152, 0]), "cut, damaged"),
    "offsets-overlap": (_lie("fc.weight", data_offsets=[0, 1152]), "cut, damaged"),
    "dtype-unknown": (_lie("fc.weight", dtype="F31"), "cut, damaged"),
    "dtype-lies-about-size": (_lie("fc.weight", dtype="F16"), "cut, damaged"),
    "dtype-integers": (_lie("fc.weight", dtype="U32"), "tensor 'fc.weight' is U32, neither F32 nor F16"),
    "dtype-bfloat16": (_lie("fc.weight", dtype="BF16", shape=[4, 144]), "tensor 'fc.weight' is [4, 144]"),
}


@pytest.mark.parametrize("kind", WRONG_FILES)
def test_wrong_files(kind: str, tmp_path: Path) -> None:
    make, reason = WRONG_FILES[kind]
    path = tmp_path / "m.safetensors"
    path.write_bytes(make())
    tracemalloc.start()
    assert reason in refusal(path)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 10 * path.stat().st_size + 200_000


def test_path_troubles(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert refusal(tmp_path / "missing") == "no such file"
    assert refusal(tmp_path) == "a folder, not a model file"
    os.mkfifo(tmp_path / "pipe")
    assert refusal(tmp_path / "pipe") == "not a regular file"
    assert "can't be read" in refusal(tmp_path / ("n" * 300))
    with pytest.raises(ModelFileError, match="no such file") as raised:
        load(tmp_path / "two\nlines")
    assert str(raised.value).isprintable()
    path = tmp_path / "secret"
    path.write_bytes(good())

    def forbidden(*args: object) -> None:  # root may read everything, so chmod would not do
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(os, "stat", forbidden)
    with pytest.raises(ModelFileError, match="secret: no permission to read it"):
        load(path)


BAD_MODELS: dict[str, tuple[Callable[[Model], object], str]] = {
    "duplicate-labels": (lambda m: setattr(m, "labels", ["a", "a"]), "label 'a' stands for two classes"),
    "missing-tensor": (lambda m: m.tensors.pop("fc.bias"), "tensor 'fc.bias' is missing"),
    "diverged": (lambda m: m.tensors["fc.bias"].fill(np.nan), "tensor 'fc.bias' holds values that are not finite"),
    "not-json": (lambda m: m.training.update(path=Path("x")), "not JSON serializable"),
    "nan-accuracy": (lambda m: m.accuracy.update(top1_error=float("nan")), "not JSON compliant"),
    "nan-self-test": (lambda m: setattr(m, "self_test", [float("inf"), 0]), "not JSON compliant"),
    "endless-training": (lambda m: m.training.update(log="x" * (9 << 20)), "bytes of metadata, more than"),
}


@pytest.mark.parametrize("kind", BAD_MODELS)
def test_save_refuses_what_load_would(kind: str, tmp_path: Path) -> None:
    change, reason = BAD_MODELS[kind]
    path = tmp_path / "m.safetensors"
    path.write_bytes(b"old")
    model = copy.deepcopy(tiny_model())
    change(model)
    with pytest.raises(ModelFileError, match=f"not written, .*{reason}"):
        save(model, path)
    assert path.read_bytes() == b"old"
    assert os.listdir(tmp_path) == ["m.safetensors"]


def test_float16_overflow_is_refused(tmp_path: Path) -> None:
    model = tiny_model()
    model.tensors["fc.bias"][0] = 1e5
    save(model, tmp_path / "f32")
    with pytest.raises(ModelFileError, match=r"'fc\.bias' .*too large for float16: save as float32"):
        save(model, tmp_path / "f16", np.float16)
    assert os.listdir(tmp_path) == ["f32"]


def test_equal_models_are_equal_files(tmp_path: Path) -> None:
    files = set()
    for index in range(20):  # safetensors alone gives two different ones
        save(tiny_model(), tmp_path / f"{index}.safetensors")
        files.add((tmp_path / f"{index}.safetensors").read_bytes())
    assert len(files) == 1


@pytest.mark.parametrize("stage", ["write", "rename"])
def test_failed_write_keeps_the_old_file(stage: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "m.safetensors"
    path.write_bytes(b"old")

    def disk_full(*args: object) -> None:
        raise OSError(28, "No space left on device")

    if stage == "write":
        monkeypatch.setattr(os, "fsync", disk_full)
    else:
        monkeypatch.setattr(Path, "replace", disk_full)
    with pytest.raises(OSError, match="No space left"):
        save(tiny_model(), path)
    assert path.read_bytes() == b"old"
    assert os.listdir(tmp_path) == ["m.safetensors"]


def test_save_troubles(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        save(tiny_model(), tmp_path / "no" / "folder")
    with pytest.raises(OSError, match="directory"):
        save(tiny_model(), tmp_path)
    (tmp_path / "real").write_bytes(b"old")
    (tmp_path / "link").symlink_to("real")
    save(tiny_model(), tmp_path / "link")
    assert (tmp_path / "link").is_symlink()
    assert load(tmp_path / "real").labels == tiny_model().labels
    assert sorted(os.listdir(tmp_path)) == ["link", "real"]


def test_panics_of_the_library_are_a_lack_of_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path, panic = tmp_path / "net.safetensors", type("PanicException", (BaseException,), {})
    save(tiny_model(), path)
    before = path.read_bytes()

    def panics(*_: object, **__: object) -> None:
        raise panic("PyObject pointer is null")

    monkeypatch.setattr(safetensors.numpy, "save", panics)
    monkeypatch.setattr(safetensors, "safe_open", panics)
    with pytest.raises(MemoryError):
        save(tiny_model(), path)
    with pytest.raises(ModelFileError, match="not enough memory to read it"):
        load(path)
    assert path.read_bytes() == before


def test_test_input_is_fixed() -> None:
    x = model_file.test_input(Preprocessing(size=64, resize=72))
    assert x.shape == (3, 64, 64)
    assert x.dtype == np.float32
    np.testing.assert_allclose(x[:, 10, 20], [-0.542, 0.188, -0.724], atol=0.02)  # one level of 255 is 0.017
