"""A network goes to the Hugging Face Hub and comes back, against a stand-in; model files from modules; torch.hub."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("torch")
import torch
from torch import nn

import hub_stand_in
import training_runs
from shufflenet import Classifier, ModelFileError, Preprocessing, create_model, hugging_face, load_model
from shufflenet.install_hint import install_hint
from shufflenet.networks.graph_network import GraphNetwork
from shufflenet.networks.network import ShuffleNet

ROOT = Path(__file__).parent.parent
LABELS = ["tulip", "daisy", "rose"]
HOW = Preprocessing(size=64, resize=72, mean=(0.5, 0.5, 0.5))

ROUND_TRIP = """
import sys
import torch
from huggingface_hub import ModelCard
import shufflenet
from shufflenet.networks.network import ShuffleNet
network = shufflenet.create_model("shufflenet_g3_x0_25", classes=3)
how = shufflenet.Preprocessing(size=64, resize=72)
print(network.push_to_hub("me/flowers", ["tulip", "daisy", "rose"], how))
again = ShuffleNet.from_pretrained("me/flowers")
for name, tensor in network.state_dict().items():
    assert torch.equal(again.state_dict()[name], tensor), name
assert (again.labels, again.preprocessing, again.training) == (("tulip", "daisy", "rose"), how, False)
classifier = shufflenet.Classifier("hf:me/flowers@main")
assert classifier.labels == ["tulip", "daisy", "rose"]
x = torch.randn(1, 3, 64, 64)
with torch.inference_mode():
    torch.testing.assert_close(torch.from_numpy(classifier.logits(x.numpy())), again(x), atol=1e-4, rtol=1e-3)
fine = shufflenet.create_model("hf:me/flowers", classes=5, pretrained=True)
assert torch.equal(fine.stage3[0].bn1.weight, network.stage3[0].bn1.weight)
card = ModelCard.load("me/flowers")
assert card.data.library_name == "shufflenet"
try:
    shufflenet.load_model("hf:me/nothing")
except shufflenet.ModelFileError as error:
    print(error)
"""


@pytest.mark.slow
def test_round_trip_by_the_hub(tmp_path: Path) -> None:
    pytest.importorskip("huggingface_hub")
    with hub_stand_in.running() as hub:
        environment = os.environ | {
            "HF_ENDPOINT": hub.address, "HF_HOME": str(tmp_path), "HF_TOKEN": "hf_nobody", "HF_HUB_DISABLE_XET": "1",
            "HF_HUB_DISABLE_TELEMETRY": "1", "NO_PROXY": "127.0.0.1", "OMP_NUM_THREADS": "1",
        }  # fmt: skip
        environment.pop("HF_HUB_OFFLINE", None)
        done = subprocess.run([sys.executable, "-c", ROUND_TRIP], env=environment, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        address, error = done.stdout.splitlines()
        assert "me/flowers" in address
        assert error.startswith("hf:me/nothing: the Hub does not give model.safetensors: ")
        assert hub.files["me/flowers"].keys() == {"model.safetensors", "config.json", "README.md"}
        # Once it is in the cache, it is found without the Hub.
        photos = str(ROOT / "photos")
        command = [sys.executable, "-m", "shufflenet", "predict", photos, "--model", "hf:me/flowers", "--json"]
        alone = environment | {"HF_HUB_OFFLINE": "1", "HF_ENDPOINT": "http://127.0.0.1:9"}
        done = subprocess.run(command, env=alone, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        assert {row["label"] for row in json.loads(done.stdout.splitlines()[0])["predictions"]} == set(LABELS)


def test_the_folder(tmp_path: Path) -> None:
    network = create_model("shufflenet_g8_x0_25", classes=3)
    network.save_pretrained(tmp_path, LABELS, HOW)
    about = json.loads((tmp_path / "config.json").read_text())
    assert about["architecture"] == "shufflenet_g8_x0_25"
    assert about["label_names"] == LABELS
    assert about["pretrained_cfg"]["input_size"] == [3, 64, 64]
    assert about["pretrained_cfg"]["pool_size"] == [2, 2]
    card = (tmp_path / "README.md").read_text()
    assert "library_name: shufflenet" in card
    assert "tulip; daisy; rose" in card
    (tmp_path / "README.md").write_text("mine")
    network.save_pretrained(tmp_path, LABELS, HOW)
    assert (tmp_path / "README.md").read_text() == "mine"
    again = ShuffleNet.from_pretrained(tmp_path)
    again.save_pretrained(tmp_path / "again")
    assert (tmp_path / "again" / "model.safetensors").read_bytes() == (tmp_path / "model.safetensors").read_bytes()


def test_networks_of_other_families(tmp_path: Path) -> None:
    create_model("mobilenet_v1_x0_25", classes=3).save_pretrained(tmp_path, LABELS, HOW)
    assert "pretrained_cfg" not in json.loads((tmp_path / "config.json").read_text())
    assert isinstance(GraphNetwork.from_pretrained(tmp_path), GraphNetwork)
    with pytest.raises(ValueError, match="mobilenet_v1_x0_25 is no ShuffleNet of this module"):
        ShuffleNet.from_pretrained(tmp_path)
    own = create_model("mobilenet_v1_x0_25")
    own.get_submodule("fc").register_parameter("weight", nn.Parameter(torch.randn(2, 256)))
    own.get_submodule("fc").register_parameter("bias", nn.Parameter(torch.randn(2)))
    assert own.to_model().graph.classes == 2


def test_a_model_file_from_a_loop_of_ones_own(tmp_path: Path, photos: Path) -> None:
    """Weights that a step changed, a new classifier, and modes of training that stay as they were."""
    with training_runs.one_thread():
        network = create_model("shufflenet_g3_x0_25", classes=10)
        assert isinstance(network, ShuffleNet)
        network.fc = nn.Linear(network.arch.features, 3)
        network.get_submodule("stage4").eval()
        network(torch.randn(4, 3, 64, 64)).sum().backward()
        torch.optim.SGD(network.parameters(), 0.01).step()
        network.save_model(tmp_path / "m.safetensors", LABELS, HOW)
        assert network.training
        assert not network.get_submodule("stage4.0").training
        classifier = Classifier(tmp_path / "m.safetensors")  # runs the self-test
        assert classifier.preprocessing == HOW
        x = torch.randn(2, 3, 64, 64)
        with torch.inference_mode():
            expected = network.eval()(x).numpy()
        np.testing.assert_allclose(classifier.logits(x.numpy()), expected, rtol=1e-3, atol=1e-5)
    assert set(classifier.predict(photos / "cat.jpg").labels) == set(LABELS)


def test_a_model_that_no_file_can_hold_is_refused(tmp_path: Path) -> None:
    network = create_model("shufflenet_g3_x0_25", classes=3)
    with pytest.raises(ValueError, match="2 labels for 3 classes"):
        network.save_model(tmp_path / "m.safetensors", ["a", "b"])
    network.get_submodule("stage2").add_module("4", nn.Conv2d(1, 1, 1))
    with pytest.raises(ValueError, match=r"stage2\.4\.bias is \[1\], but .*only the classifier may be replaced"):
        network.save_model(tmp_path / "m.safetensors", LABELS)
    assert not list(tmp_path.iterdir())


def test_labels_come_with_weights_and_go_with_the_classifier() -> None:
    network = create_model("shufflenet_g3_x0_5", pretrained=True)
    model = load_model("shufflenet_g3_x0_5")
    assert network.labels == tuple(model.labels)
    assert network.to_model().preprocessing == model.preprocessing
    fine = create_model("shufflenet_g3_x0_5", classes=2, pretrained=True)
    assert fine.labels == ()
    assert fine.preprocessing == model.preprocessing
    assert fine.to_model().labels == ["class 0", "class 1"]


def test_the_hub_needs_its_library(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    with pytest.raises(ModelFileError, match="needs huggingface_hub") as error:
        load_model("hf:me/flowers")
    assert install_hint("hub") in str(error.value)
    with pytest.raises(ImportError, match="needs huggingface_hub"):
        hugging_face.upload(".", "me/flowers")


@pytest.mark.slow
def test_torch_hub(tmp_path: Path) -> None:
    """From a copy of the repository whose engine was not built, in a Python that has not our package."""
    shutil.copy(ROOT / "hubconf.py", tmp_path)
    source = ROOT / "src" / "shufflenet"
    shutil.copytree(source, tmp_path / "src" / "shufflenet", ignore=shutil.ignore_patterns("*.so", "__pycache__"))
    code = f"""
import sys
sys.path[:] = [path for path in sys.path if path != {str(ROOT / "src")!r}]
sys.meta_path[:] = [finder for finder in sys.meta_path if "ScikitBuild" not in type(finder).__name__]
import torch
load = lambda **options: torch.hub.load({str(tmp_path)!r}, "shufflenet_g3_x0_5", source="local", **options)
assert load().fc.out_features == 1000
import hubconf
assert "module shufflenet_g8_x2_0" in hubconf.shufflenet_g8_x2_0.__doc__
network = load(pretrained=True)
assert not network.training and len(network.labels) == 200
assert load(pretrained=True, classes=5)(torch.zeros(2, 3, 64, 64)).shape == (2, 5)
import shufflenet
assert shufflenet.__file__.startswith({str(tmp_path)!r}), shufflenet.__file__
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
