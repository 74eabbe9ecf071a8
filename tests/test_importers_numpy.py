"""Checkpoints of NumPy arrays, tensorpack's and MegEngine's: their networks compute what they did, or are refused."""

from __future__ import annotations

import io
import os
import pickle
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from shufflenet import model_file
from shufflenet.engine.engine import Engine
from shufflenet.importers import import_model
from shufflenet.importers.checkpoint import CheckpointError, state_dict
from shufflenet.model_file import test_input as built_in_input

torch = pytest.importorskip("torch")
import public_networks  # noqa: E402
from numpy_networks import MegEngine, Tensorpack  # noqa: E402

MEAN, STD = np.array([0.485, 0.456, 0.406]), np.array([0.229, 0.224, 0.225])


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def tensorpack(g: int = 3, stem: int = 12, stage2: int = 120, classes: int = 7) -> Any:
    return public_networks.randomised(Tensorpack(g, stem, stage2, classes), seed=1)


def megengine(g: int = 3, stage2: int = 120, listed: bool = True) -> Any:
    network = public_networks.randomised(MegEngine(g, 12 if g == 3 else 16, stage2, 7, listed), seed=2)
    # Its input is to 128 in size: the logits need not be larger for it.
    torch.nn.init.normal_(network.get_parameter("first_conv.0.conv.weight"), 0, 0.002)
    return network


def logits_of(network: Any, x: NDArray[np.float32]) -> NDArray[np.float32]:
    with torch.no_grad():
        logits: NDArray[np.float32] = network(torch.from_numpy(np.ascontiguousarray(x))).numpy()
    return logits


def assert_same(model: Any, network: Any, pixels_of: Any, folder: Path) -> None:
    """On the built-in test picture and on noise, as pixels of red, green, blue from 0 to 1."""
    model_file.save(model, folder / "x.safetensors")
    engine, preprocessing = Engine(model_file.load(folder / "x.safetensors")), model.preprocessing
    mean, std = (np.array(each).reshape(3, 1, 1) for each in (preprocessing.mean, preprocessing.std))
    picture = built_in_input(preprocessing) * std + mean
    for pixels in (picture[None], np.random.default_rng(3).random((1, 3, 224, 224))):
        expected = logits_of(network, pixels_of(pixels).astype(np.float32))
        found = engine.run(((pixels - mean) / std).astype(np.float32))
        assert np.ptp(expected) > 0.1 * np.abs(expected).max()
        assert np.abs(found - expected).max() <= 1e-5 * np.abs(expected).max()


@pytest.mark.parametrize(("g", "stem", "stage2"), [(3, 12, 120), (8, 24, 384)])
@pytest.mark.parametrize("ending", ["", ":0"])
def test_tensorpack(g: int, stem: int, stage2: int, ending: str, tmp_path: Path) -> None:
    network = tensorpack(g, stem, stage2)
    model = import_model("tensorpack", network.write(tmp_path / "x.npz", ending))
    assert model.graph.name == f"shufflenet_g{g}_x{'0_5' if stem == 12 else '1_0'}_variant"
    assert model.training["assumed"][0].startswith("built as tensorpack's shufflenet.py")

    def pixels_of(x: NDArray[Any]) -> NDArray[Any]:
        normalised: NDArray[Any] = (x - MEAN.reshape(3, 1, 1)) / STD.reshape(3, 1, 1)
        return normalised[:, ::-1]

    assert_same(model, network, pixels_of, tmp_path)


@pytest.mark.parametrize("listed", [True, False])
@pytest.mark.parametrize(("g", "stage2"), [(3, 120), (8, 192)])
def test_megengine(g: int, stage2: int, listed: bool, tmp_path: Path) -> None:
    network = megengine(g, stage2, listed)
    model = import_model("", network.write(tmp_path / "x.pkl", protocol=3 if listed else 4, epoch=3))
    assert model.training["imported"] == "megengine"
    assert_same(model, network, lambda x: (255 * x - 128)[:, ::-1], tmp_path)


@pytest.mark.parametrize("make", [tensorpack, megengine])
def test_proofs(make: Any, tmp_path: Path) -> None:
    network = make()
    file = network.write(tmp_path / "x.bin")
    file = file if file.exists() else file.with_name("x.bin.npz")
    x = np.random.default_rng(0).normal(0, 1, (1, 3, 64, 64)).astype(np.float32)
    np.savez(tmp_path / "expect.npz", input=x, logits=logits_of(network, x))
    model = import_model("", file, expected=tmp_path / "expect.npz")
    assert model.training["proved_by"]["difference"] < 1e-5
    assert len(model.training["assumed"]) == 1  # the preprocessing
    np.savez(tmp_path / "expect.npz", input=x, logits=logits_of(network, x)[:, ::-1])
    with pytest.raises(CheckpointError, match="its logits differ from the expected ones"):
        import_model("", file, expected=tmp_path / "expect.npz")
    with pytest.raises(CheckpointError, match="it is not built like paper"):
        import_model("paper", file, expected=tmp_path / "expect.npz")
    torch.save(public_networks.randomised(public_networks.Megvii(3, 12, 120, 7), 1).state_dict(), tmp_path / "y.pth")
    with pytest.raises(CheckpointError, match="names of megvii, so it is not built like tensorpack"):
        import_model("tensorpack", tmp_path / "y.pth")


def refusal(arrays: dict[str, Any], path: Path) -> str:
    path.write_bytes(pickle.dumps(arrays))
    with pytest.raises(CheckpointError) as refused:
        import_model("", path)
    return str(refused.value)


def test_other_networks_are_refused(tmp_path: Path) -> None:
    arrays, file = megengine().arrays(), tmp_path / "x.pkl"
    key = "features.0.branch_proj.conv"
    assert "quantization-aware training" in refusal({**arrays, f"{key}.act_observer.min_val": np.zeros(1, "f4")}, file)
    assert f"has no '{key}.bias'" in refusal({**arrays, f"{key}.bias": np.zeros(120, "f4")}, file)
    assert f"'{key}.weight' is missing, not" in refusal({**arrays, f"{key}.weight": np.zeros((120, 12), "i4")}, file)
    assert "other tensors" in refusal({f"{key}.weight": arrays[f"{key}.weight"]}, file)
    of_v2: dict[str, Any] = {"stage2/block0/dconv_bn/gamma": np.ones(3, "f4"), "conv1/W": np.ones(3, "f4")}
    np.savez(tmp_path / "v2.npz", **of_v2)
    with pytest.raises(CheckpointError, match="not a ShuffleNet v1 of tensorpack's"):
        import_model("", tmp_path / "v2.npz")


def archive(**members: bytes) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as written:
        for name, data in members.items():
            written.writestr(f"{name}.npy", data)
    return file.getvalue()


def npy(header: bytes) -> bytes:
    return b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header


class Evil:
    def __reduce__(self) -> Any:
        return os.system, ("touch should_not_exist",)


def test_hostile_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    objects = io.BytesIO()
    np.save(objects, np.array([Evil()], object), allow_pickle=True)
    huge = npy(b"{'descr': '<f4', 'fortran_order': False, 'shape': (99999999999999,), }\n")
    plain = pickle.dumps({"w": np.ones((2, 3), "f4")}, 4)
    for data in (
        archive(w=objects.getvalue()),
        archive(w=huge),
        archive(w=npy(b"{'descr': __import__('os')}")),
        archive(w=b"text"),
        pickle.dumps({"w": np.array([Evil()], object)}, 4),
        pickle.dumps({"w": Evil()}, 4),
        pickle.dumps({"w": np.ones(3, ">f4")}, 4),
        plain[: len(plain) // 2],
        plain.replace(b"K\x02K\x03", b"K\x09K\x03"),  # more numbers than are there
        pickle.dumps([1, 2]),
    ):
        with pytest.raises(CheckpointError, match=r"^x: ") as refused:
            state_dict(data, "x")
        assert "\n" not in str(refused.value)
    assert not (tmp_path / "should_not_exist").exists()


@pytest.mark.parametrize("order", ["C", "F"])
def test_arrays_come_back(order: Any) -> None:
    array = np.asarray(np.arange(24).reshape(2, 3, 4), np.float32, order=order)
    file = io.BytesIO()
    np.savez(file, w=array)
    for data in (file.getvalue(), pickle.dumps({"w": array}, 3), pickle.dumps({"w": array}, 4)):
        np.testing.assert_array_equal(state_dict(data, "x")["w"], array)
