"""Imported networks compute what they did where they come from; what they can't is refused."""

from __future__ import annotations

import hashlib
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest
from numpy.typing import NDArray

from shufflenet import importers, model_file
from shufflenet.engine.engine import Engine
from shufflenet.importers import catalogue, import_model
from shufflenet.importers.checkpoint import CheckpointError
from shufflenet.importers.source import Source
from shufflenet.labels import imagenet_names
from shufflenet.networks.model import Model
from shufflenet.networks.shufflenet_v1 import ShuffleNetV1
from shufflenet.pictures.images import decode
from shufflenet.pictures.preprocessing import Preprocessing, preprocess, resize_and_crop

torch = pytest.importorskip("torch")
import public_networks  # noqa: E402

TOLERANCE = 1e-5  # of the largest logit
PYTORCHCV = importers.SOURCES["pytorchcv"].networks


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    """Threads that share busy cores take a hundred times as long for these small layers."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def save(network: Any, path: Path, **around: Any) -> Path:
    state = network.state_dict()
    torch.save({"state_dict": state, **around} if around else state, path)
    return path


def logits_of(network: Any, x: NDArray[np.float32]) -> NDArray[np.float32]:
    with torch.no_grad():
        logits: NDArray[np.float32] = network(torch.from_numpy(x[None]))[0].numpy()
    return logits


def pixels(photos: Path) -> NDArray[np.float32]:
    """The cat as float32 [3, 224, 224], 0 to 255, RGB, resized as every network here wants it."""
    picture = resize_and_crop(decode(photos / "cat.jpg"), Preprocessing())
    return np.ascontiguousarray(np.asarray(picture, dtype=np.float32).transpose(2, 0, 1))


def normalised(photos: Path) -> NDArray[np.float32]:
    mean, std = np.array([123.675, 116.28, 103.53]), np.array([58.395, 57.12, 57.375])
    return np.asarray((pixels(photos) - mean[:, None, None]) / std[:, None, None], dtype=np.float32)


def family(model: Model) -> ShuffleNetV1:
    assert isinstance(model.graph.architecture, ShuffleNetV1)
    return model.graph.architecture


def assert_same(model: Model, photos: Path, expected: NDArray[np.float32]) -> None:
    x = preprocess(decode(photos / "cat.jpg"), model.preprocessing)
    found = Engine(model).run(x[None])[0]
    assert np.ptp(expected) > 0.1 * np.abs(expected).max()  # not all about equal
    assert np.abs(found - expected).max() <= TOLERANCE * np.abs(expected).max()


@pytest.mark.parametrize("name", PYTORCHCV)
def test_pytorchcv(name: str, tmp_path: Path, photos: Path) -> None:
    theirs = pytest.importorskip("pytorchcv.models.shufflenet")
    network = public_networks.randomised(getattr(theirs, name)(), seed=1)
    model = import_model("pytorchcv", save(network, tmp_path / "x.pth"))
    assert model.graph.name == PYTORCHCV[name].arch
    assert family(model).stem_channels == int(24 * family(model).scale)
    assert_same(model, photos, logits_of(network, normalised(photos)))


def test_every_network_of_pytorchcv_is_known() -> None:
    theirs = pytest.importorskip("pytorchcv.models.shufflenet")
    assert set(PYTORCHCV) == set(theirs.__all__) - {"ShuffleNet"}


@pytest.mark.parametrize(
    ("name", "stem", "stage2"),
    [
        ("g3_x0_5", 12, 120), ("g3_x1_0", 24, 240), ("g3_x1_5", 24, 360), ("g3_x2_0", 48, 480),
        ("g8_x0_5", 16, 192), ("g8_x1_0", 24, 384), ("g8_x1_5", 24, 576), ("g8_x2_0", 48, 768),
    ],
)  # fmt: skip
def test_megvii(name: str, stem: int, stage2: int, tmp_path: Path, photos: Path) -> None:
    network = public_networks.randomised(public_networks.Megvii(int(name[1]), stem, stage2), seed=2)
    parallel = torch.nn.DataParallel(network)  # prefixes names with "module."
    file = save(parallel, tmp_path / "1.0x.pth.tar", epoch=3)
    model = import_model(f"megvii:shufflenet_{name}", file)
    assert family(model).inverse_shuffle
    assert not model.tensors["fc.bias"].any()
    blue_first = np.ascontiguousarray(pixels(photos)[::-1])
    assert_same(model, photos, logits_of(network, blue_first))
    assert import_model("", file).training["imported"] == "megvii"  # its tensors' names say so


def test_mmpretrain(tmp_path: Path, photos: Path) -> None:
    network = public_networks.randomised(public_networks.MMPretrain(), seed=3)
    model = import_model("mmpretrain", save(network, tmp_path / "x.pth", meta={"epoch": 300, "CLASSES": ["a", "b"]}))
    assert_same(model, photos, logits_of(network, normalised(photos)))


@pytest.mark.parametrize(("g", "stem", "stage2"), [(1, 12, 72), (8, 16, 192), (2, 20, 80), (4, 24, 272)])
def test_any_names_and_biases(g: int, stem: int, stage2: int, tmp_path: Path, photos: Path) -> None:
    network = public_networks.randomised(public_networks.Paper(g, stem, stage2, classes=7), seed=4)
    file = save(network, tmp_path / "x.pth")
    model = import_model("paper", file)
    assert (family(model).groups, family(model).stem_channels, model.graph.classes) == (g, stem, 7)
    assert_same(model, photos, logits_of(network, normalised(photos)))
    with pytest.raises(CheckpointError, match="say whose code it is built like: megvii, pytorchcv, mmpretrain, zcls, "):
        import_model("", file)


def test_own_network(model: Model, tmp_path: Path) -> None:
    """A state dict of `networks.network` comes back as it is; Conv1's stride is no shape."""
    torch.save({name: torch.from_numpy(tensor) for name, tensor in model.tensors.items()}, tmp_path / "x.pth")
    imported = import_model("", tmp_path / "x.pth")
    assert family(imported) == ShuffleNetV1(2, 0.25, classes=5)
    assert "stem stride 2" in imported.training["assumed"]
    stated = import_model("", tmp_path / "x.pth", stated={"stem_stride": 1, "shuffle": "none"})
    assert family(stated) == ShuffleNetV1(2, 0.25, classes=5, stem_stride=1, shuffle=False)
    assert not {"stem stride 1", "no channel shuffle"} & set(stated.training["assumed"])
    for name, tensor in model.tensors.items():
        np.testing.assert_array_equal(imported.tensors[name], tensor)


def test_shuffle_is_the_networks() -> None:
    from shufflenet.networks.network import channel_shuffle

    x = torch.arange(60).view(1, -1, 1, 1)
    for inverse, theirs in ((False, public_networks.shuffle_gn), (True, public_networks.shuffle_ng)):
        unit = next(unit for unit in ShuffleNetV1(3, 1.0, inverse_shuffle=inverse).units() if unit.stride == 1)
        assert torch.equal(channel_shuffle(x, unit.shuffle_groups), theirs(x, 3))


def broken(network: Any, change: str) -> dict[str, Any]:
    state: dict[str, Any] = dict(network.state_dict())
    keys = list(state)
    if change == "shape":
        state["body.5.b.0.weight"] = state["body.5.b.0.weight"][:-1]
    elif change == "bias":
        state["body.2.b.0.bias"] = torch.zeros(7)
    elif change == "variance":
        state["body.2.b.1.running_var"][3] = -1
    elif change == "missing":
        del state["body.5.b.1.running_var"]
    elif change == "norms first":
        state = {key: state[key] for key in sorted(keys, key=lambda key: ".0." in key[6:])}
    elif change == "integers":
        state["entry.0.weight"] = state["entry.0.weight"].to(torch.int64)
    elif change == "nan":
        state["exit.bias"][0] = float("nan")
    elif change == "one unit less":
        state = {key: tensor for key, tensor in state.items() if not key.startswith("body.15.")}
    elif change == "width":
        state["entry.0.weight"] = torch.zeros(26, 3, 3, 3)
    elif change == "not vectors":
        state["entry.1.weight"] = torch.zeros(24, 1)
    return state


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("shape", r"tensor 'body\.5\.b\.0\.weight' is \[119, 1, 3, 3\]; as stage3\.1\.depthwise\.weight of shuffle"),
        ("missing", r"'body\.5\.b\.1' is neither a convolution, a batch norm nor a classifier"),
        ("norms first", "ambiguous"),
        ("bias", r"tensor .body.2.b.0.bias. does not fit"),
        ("variance", r"tensor .body.2.b.1.running_var. holds a negative variance"),
        ("integers", r"tensor 'entry\.0\.weight' holds no floating-point numbers"),
        ("one unit less", "46 convolutions and 1 classifiers, not 49 and 1"),
        ("width", "not a ShuffleNet v1|of a width|as conv1"),
        ("not vectors", "'entry.1' is neither"),
    ],
)
def test_what_is_not_a_shufflenet_v1_is_refused(change: str, message: str, tmp_path: Path) -> None:
    torch.save(broken(public_networks.Paper(3, 24, 240, classes=5), change), tmp_path / "x.pth")
    with pytest.raises(CheckpointError, match=message) as error:
        import_model("paper", tmp_path / "x.pth")
    assert str(error.value).startswith(str(tmp_path / "x.pth"))
    assert "\n" not in str(error.value)


def test_values_that_are_not_finite_are_refused(tmp_path: Path) -> None:
    torch.save(broken(public_networks.Paper(3, 24, 240, classes=5), "nan"), tmp_path / "x.pth")
    with pytest.raises(CheckpointError, match=r"x\.pth: tensor 'exit\.bias' holds values that are not finite"):
        import_model("paper", tmp_path / "x.pth")


def test_conv1_without_batch_norm(tmp_path: Path, photos: Path) -> None:
    """It keeps its bias, and that a ReLU is behind it is said to be assumed."""
    network = public_networks.randomised(public_networks.Paper(3, 24, 240, classes=5, stem_norm=False), seed=6)
    model = import_model("paper", save(network, tmp_path / "x.pth"))
    assert "a ReLU behind the first convolution" in model.training["assumed"]
    assert_same(model, photos, logits_of(network, normalised(photos)))


def test_version_2_is_refused(tmp_path: Path) -> None:
    theirs = pytest.importorskip("torchvision.models")
    file = save(theirs.shufflenet_v2_x0_5(), tmp_path / "x.pth")
    for name in ("", "paper"):  # whatever is claimed
        with pytest.raises(CheckpointError, match="a ShuffleNet v2") as error:
            import_model(name, file)
        assert "create_model('shufflenet_v2_x1_0')" in str(error.value)
    with pytest.raises(CheckpointError, match="ShuffleNet v2"):
        import_model("torchvision:shufflenet_v2_x1_0")


def test_other_networks_are_not_called_version_2(tmp_path: Path) -> None:
    """Branches of the name branch2, and layers conv5 or conv_last, are those of many networks."""
    theirs = pytest.importorskip("torchvision.models")
    file = save(theirs.GoogLeNet(num_classes=5, aux_logits=False, init_weights=False), tmp_path / "x.pth")
    with pytest.raises(CheckpointError, match="not a ShuffleNet v1 with the paper's 16 units: 57 convolutions"):
        import_model("paper", file)
    network = public_networks.randomised(public_networks.Paper(3, 12, 120, classes=5), seed=6)
    state = {f"branch2.conv_last.conv5.{name}": tensor for name, tensor in network.state_dict().items()}
    torch.save(state, file)
    assert import_model("paper", file).graph.name == "shufflenet_g3_x0_5"


def test_bookkeeping_is_no_weight(tmp_path: Path) -> None:
    network = public_networks.randomised(public_networks.Paper(3, 12, 120, classes=5), seed=6)
    expected = import_model("paper", save(network, tmp_path / "x.pth")).self_test
    best = torch.tensor([62.5])
    torch.save(
        {"epoch": 3, "state_dict": network.state_dict(), "best_acc1": best, "best_prec1": best}, tmp_path / "y.pth"
    )
    assert import_model("paper", tmp_path / "y.pth").self_test == expected
    save(torch.optim.swa_utils.AveragedModel(network), tmp_path / "z.pth")  # n_averaged beside the weights
    assert import_model("paper", tmp_path / "z.pth").self_test == expected
    torch.save({**network.state_dict(), "best_acc1": best}, tmp_path / "w.pth")
    assert import_model("paper", tmp_path / "w.pth").self_test == expected


def test_logits_that_overflow_are_said_in_a_users_words(tmp_path: Path) -> None:
    network = public_networks.randomised(public_networks.Paper(3, 12, 120, classes=5), seed=6)
    for module in network.modules():
        if isinstance(module, torch.nn.Conv2d):
            module.weight.data *= 1e9
    with pytest.raises(CheckpointError, match=r"x\.pth: its logits of a test picture are too large for float32"):
        import_model("paper", save(network, tmp_path / "x.pth"))


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("nowhere:net", "no such source; there are megvii, pytorchcv"),
        ("pytorchcv:resnet18", "no such network; pytorchcv has shufflenet_g1_w1"),
        ("pytorchcv", "which of its networks"),
        ("paper", "give the checkpoint with --file"),
        ("megvii:shufflenet_g3_x1_0", "not at an address of its own; get it from https://github.com/megvii-model"),
        ("tensorpack:ShuffleNetV1-0.5x-g3", "not at an address of its own; get it from http://models.tensorpack.com"),
        ("jaxony:shufflenet_g3_x1_0", "not at an address of its own; get it from https://github.com/jaxony"),
        ("ericsun99", "which of its networks"),
    ],
)
def test_names_that_give_no_network(name: str, message: str) -> None:
    with pytest.raises(CheckpointError, match=message):
        import_model(name)


def test_a_name_must_fit_the_file(tmp_path: Path) -> None:
    file = save(public_networks.Megvii(3, 12, 120), tmp_path / "x.pth")
    with pytest.raises(CheckpointError, match="a shufflenet_g3_x0_5, but megvii:shufflenet_g3_x1_0 is a"):
        import_model("megvii:shufflenet_g3_x1_0", file)
    with pytest.raises(CheckpointError, match="names of megvii, so it is not built like paper"):
        import_model("paper", file)
    own = save(public_networks.Megvii(3, 12, 120, classes=10), tmp_path / "own.pth")
    with pytest.raises(CheckpointError, match=r"10 classes, but megvii:shufflenet_g3_x0_5 has 1000"):
        import_model("megvii:shufflenet_g3_x0_5", own)
    assert import_model("megvii", own).graph.classes == 10
    with pytest.raises(CheckpointError, match=r"its sha1 hash begins with .{8}, not dae4bdad"):
        import_model("pytorchcv:shufflenet_g1_wd2", file)


def test_provenance_and_self_test(tmp_path: Path) -> None:
    file = save(public_networks.randomised(public_networks.Megvii(3, 12, 120), seed=5), tmp_path / "x.pth")
    labels = [f"label {index}" for index in range(1000)]
    model = import_model("megvii:shufflenet_g3_x0_5", file, labels)
    assert model.labels == labels
    assert "published" not in model.training  # no hash says that it is the published file
    assert "the inverse of the paper's channel shuffle behind the depthwise convolution" in model.training["assumed"]
    assert model.accuracy == {}  # nobody measured this file
    assert len(model.self_test) == 1000
    model_file.save(model, tmp_path / "x.safetensors")
    assert model_file.load(tmp_path / "x.safetensors").training == model.training


def test_a_known_network_of_imagenet_names_its_classes(tmp_path: Path) -> None:
    file = save(public_networks.Megvii(3, 12, 120), tmp_path / "x.pth")
    model = import_model("megvii:shufflenet_g3_x0_5", file)
    assert (model.classes[0], model.labels[0]) == ("n01440764", "tench, Tinca tinca")
    assert model.labels[704] == "parking meter"
    assert "without names" not in catalogue.sentence(model)
    assert import_model("megvii", file).labels[704] == "class 704", "the file may be anybody's"
    model_file.save(model, tmp_path / "x.safetensors")
    assert model_file.load(tmp_path / "x.safetensors").classes == model.classes


def test_imagenet_names_stand_in_the_order_of_torchvision() -> None:
    meta = pytest.importorskip("torchvision.models._meta")
    folders, labels = imagenet_names()
    assert folders == sorted(folders)
    theirs = meta._IMAGENET_CATEGORIES
    same = [name.lower() in label.lower() for name, label in zip(theirs, labels, strict=True)]
    assert [theirs[index] for index, found in enumerate(same) if not found] == ["crane bird", "maillot tank suit"]


def test_a_known_hash_is_trusted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    network = public_networks.randomised(public_networks.Megvii(3, 12, 120), seed=5)
    file = save(network, tmp_path / "x.pth")
    known = replace(importers.SOURCES["megvii"].networks["shufflenet_g3_x0_5"], hash=f"sha256:{sha256_of(file)}")
    source = replace(importers.SOURCES["megvii"], networks={"shufflenet_g3_x0_5": known})
    monkeypatch.setitem(cast("dict[str, Source]", importers.SOURCES), "megvii", source)
    for name in ("megvii:shufflenet_g3_x0_5", "megvii", ""):
        training = import_model(name, file).training
        assert training["published"] == {"data": "ImageNet validation", "top1_error": 42.7, "top5_error": 20.0}
        assert "assumed" not in training
    with pytest.raises(CheckpointError, match="a known checkpoint of megvii: nothing is to be stated"):
        import_model("megvii", file, stated={"preprocessing": Preprocessing()})


def sha256_of(file: Path) -> str:
    return hashlib.sha256(file.read_bytes()).hexdigest()


def test_imports_without_pytorch(tmp_path: Path) -> None:
    save(public_networks.Megvii(3, 12, 120, classes=5), tmp_path / "x.pth")
    code = (
        "import sys; sys.modules['torch'] = None; from pathlib import Path; from shufflenet import importers;"
        "print(importers.import_model('megvii', Path('x.pth')).graph.name)"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, timeout=60)
    assert (done.stdout, done.stderr) == (b"shufflenet_g3_x0_5\n", b"")
