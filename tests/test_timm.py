"""timm's contract of a registered model, as its documentation and its own tests have it, for our networks."""

from __future__ import annotations

import copy
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("timm")
pytest.importorskip("torch")
import timm
import torch

import shufflenet.timm
import training_runs
from shufflenet import create_model, hub_folder, load_model
from shufflenet.importers import pytorchcv
from shufflenet.networks.shufflenet_v1 import ShuffleNetV1

# timm.create_model gives a module whose type it does not tell.
NAMES = ["shufflenet_g3_x0_5", "shufflenet_g3_x1_0", "shufflenet_g8_x1_0"]
EMBEDDED = NAMES[:2]
SIZE = 64
# Threads that share small operations wait for each other.
pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture
def one_thread() -> Iterator[None]:
    with training_runs.one_thread():
        yield


def made(name: str, **options: Any) -> Any:
    torch.manual_seed(0)
    network = timm.create_model(name, **options)
    for module in network.modules():
        if isinstance(module, torch.nn.BatchNorm2d):  # so that units are not the identity
            torch.nn.init.uniform_(module.weight, 0.5, 1)
    return network


def test_every_network_is_registered() -> None:
    listed = set(timm.list_models("shufflenet*"))
    assert {"shufflenet_g1_x0_25", "shufflenet_g8_x2_0", "shufflenet_g3_x0_75", *NAMES} <= listed
    with_weights = timm.list_models("shufflenet*", pretrained=True)
    assert {f"{name}.tiny_imagenet" for name in EMBEDDED} <= set(with_weights)
    assert len(with_weights) == len(EMBEDDED) + len(pytorchcv.SOURCE.networks)


@pytest.mark.parametrize("name", NAMES)
def test_shapes_with_and_without_classifier_and_pool(name: str) -> None:
    network, x = made(name).eval(), torch.randn(2, 3, SIZE, SIZE)
    how = network.pretrained_cfg
    assert (network.num_classes, network.in_chans, how["input_size"], how["pool_size"]) == (
        1000,
        3,
        (3, 224, 224),
        (7, 7),
    )
    assert {f"{how[key]}.weight" for key in ("first_conv", "classifier")} <= network.state_dict().keys()
    assert network(x).shape == (2, 1000)
    unpooled = network.forward_features(x)
    assert unpooled.shape == (2, network.num_features, 2, 2)
    before = network.forward_head(unpooled, pre_logits=True)
    assert before.shape == (2, network.head_hidden_size)
    torch.testing.assert_close(network.get_classifier()(before), network(x))
    network.reset_classifier(7)
    assert network(x).shape == (2, 7)
    network.reset_classifier(7, "catavgmax")
    assert (network(x).shape, network.head_hidden_size) == ((2, 7), 2 * network.num_features)
    network.reset_classifier(0, "avg")
    assert torch.equal(network(x), before)
    network.reset_classifier(0, "")
    assert torch.equal(network(x), unpooled)
    assert made(name, num_classes=0, global_pool="").eval()(x).shape == unpooled.shape


@pytest.mark.parametrize("name", NAMES)
def test_features_only_is_what_hooks_see(name: str) -> None:
    network, x = made(name).eval(), torch.randn(1, 3, 96, SIZE)
    seen: list[torch.Tensor] = []
    for part in ("maxpool", "stage2", "stage3", "stage4"):
        network.get_submodule(part).register_forward_hook(lambda module, inputs, y: seen.append(y))
    final = network.forward_features(x)
    assert len(seen) == 4
    last, levels = network.forward_intermediates(x)
    assert torch.equal(last, final)
    for kind in ("list", "getter", "hook", "fx") if name == NAMES[0] else ("list", "getter"):
        walker = made(name, features_only=True, feature_cls=kind)
        walker.load_state_dict(_state(network, walker))
        found = walker.eval()(x)
        assert walker.feature_info.channels() == [level.shape[1] for level in found], kind
        assert walker.feature_info.reduction() == [96 // level.shape[2] for level in found], kind
        for level, expected, intermediate in zip(found, seen[:4], levels, strict=True):
            torch.testing.assert_close(level, expected, msg=kind)
            assert torch.equal(intermediate, expected)
    assert [level.shape[1] for level in made(name, features_only=True, out_indices=(1, 3))(x)] == [
        network.arch.stage_channels(stage) for stage in (2, 4)
    ]


def _state(network: Any, walker: Any) -> dict[str, torch.Tensor]:
    """The network's tensors by the walker's names, which may have a prefix."""
    state = network.state_dict()
    return {name: state[re.sub("^(model|body|graph_module)[.]", "", name)] for name in walker.state_dict()}


@pytest.mark.parametrize("name", NAMES)
def test_stopping_early_and_pruning_keep_levels(name: str) -> None:
    network, x = made(name).eval(), torch.randn(1, 3, SIZE, SIZE)
    levels = network.forward_intermediates(x, intermediates_only=True)
    for place, level in enumerate(levels):
        early = network.forward_intermediates(x, indices=[place], stop_early=True, intermediates_only=True)
        assert torch.equal(early[0], level)
        pruned = copy.deepcopy(network)
        places = pruned.prune_intermediate_layers([place])
        assert torch.equal(pruned.forward_features(x), level)
        assert torch.equal(pruned.forward_intermediates(x, indices=places, intermediates_only=True)[0], level)
        assert pruned.num_features == level.shape[1]
    with pytest.raises(ValueError, match="NCHW"):
        network.forward_intermediates(x, output_fmt="NHWC")


@pytest.mark.parametrize("name", NAMES)
def test_training(name: str) -> None:
    """All parameters get gradients, the same when activations are computed again; and groups are by layer."""
    network, x = made(name, num_classes=5, drop_rate=0.0).train(), torch.randn(2, 3, SIZE, SIZE)
    network(x).square().mean().backward()
    grads = {key: p.grad.clone() for key, p in network.named_parameters()}
    assert all(grad.abs().sum() > 0 for key, grad in grads.items() if "fc" in key or "conv1" in key)
    network.zero_grad()
    network.set_grad_checkpointing()
    network(x).square().mean().backward()
    for key, parameter in network.named_parameters():
        torch.testing.assert_close(parameter.grad, grads[key], msg=key)
    groups = timm.models.group_parameters(network, network.group_matcher(coarse=False), reverse=True)
    assert groups.keys() == grads.keys()
    assert len(set(groups.values())) == 18, "the stem, 16 units and the classifier"
    assert not torch.equal(made(name, drop_rate=0.5).train()(x), made(name, drop_rate=0.0).train()(x))


@pytest.mark.parametrize("name", EMBEDDED)
@torch.inference_mode()
def test_weights_of_the_package(name: str) -> None:
    ours, x = create_model(name, pretrained=True).eval(), torch.randn(2, 3, 64, 64)
    network = timm.create_model(name, pretrained=True).eval()
    assert torch.equal(network(x), ours(x))
    how = timm.data.resolve_data_config(model=network)
    assert (how["input_size"], how["interpolation"], how["crop_pct"]) == ((3, 64, 64), "bilinear", 1)
    assert network.pretrained_cfg["label_names"] == tuple(load_model(name).labels)
    assert "state_dict" not in network.pretrained_cfg
    fine = timm.create_model(name, pretrained=True, num_classes=5, in_chans=1).eval()
    assert fine(x[:, :1]).shape == (2, 5)
    kept = "stage4.0.pointwise1.weight"
    assert torch.equal(fine.state_dict()[kept], ours.state_dict()[kept])
    levels = timm.create_model(name, pretrained=True, features_only=True).eval()(x)
    assert torch.equal(levels[-1], network.forward_features(x))


def test_public_weights_are_converted_by_the_package(monkeypatch: pytest.MonkeyPatch) -> None:
    """What `import` makes of pytorchcv's file is loaded, and asked for by its name there."""
    asked = []

    def load(name: str) -> Any:
        asked.append(name)
        network = create_model("shufflenet_g8_x1_0")
        return network.to_model()

    monkeypatch.setattr(shufflenet.timm, "load_model", load)
    network = timm.create_model("shufflenet_g8_x1_0", pretrained=True)
    assert asked == ["pytorchcv:shufflenet_g8_w1"]
    assert network.num_classes == 1000
    assert network.pretrained_cfg["license"] == "MIT"


def test_wrong_requests() -> None:
    with pytest.raises(ValueError, match=r"no weights 'in22k'; there are: tiny_imagenet, pytorchcv_in1k"):
        timm.create_model("shufflenet_g3_x0_5.in22k")
    with pytest.raises(ValueError, match="output_stride is 32"):
        timm.create_model("shufflenet_g3_x0_5", output_stride=16)
    with pytest.raises(TypeError):
        timm.create_model("shufflenet_g3_x0_5", not_an_argument=1)
    with pytest.raises(RuntimeError, match="No pretrained weights"):
        timm.create_model("shufflenet_g2_x0_5", pretrained=True)


@torch.inference_mode()
def test_a_folder_for_the_hub_is_read_by_timm(tmp_path: Path) -> None:
    ours = create_model("shufflenet_g3_x0_25", classes=3)
    ours.save_pretrained(tmp_path, labels=["a", "b", "c"])
    network = timm.create_model(f"local-dir:{tmp_path}", pretrained=True).eval()
    x = torch.randn(1, 3, 64, 64)
    assert torch.equal(network(x), ours.eval()(x))
    assert network.pretrained_cfg["label_names"] == ["a", "b", "c"]


def test_what_a_name_does_not_tell_goes_into_the_folder() -> None:
    arch = ShuffleNetV1(3, 0.5, classes=4, stem_stride=1, inverse_shuffle=True)
    assert hub_folder.arguments(arch) == {"stem_stride": 1, "inverse_shuffle": True}
    network = shufflenet.timm.TimmShuffleNet(3, 0.5, 4, stem_stride=1, inverse_shuffle=True)
    assert network.arch == arch
    assert json.dumps(network.feature_info[0]) == '{"num_chs": 12, "reduction": 2, "module": "maxpool"}'


@pytest.mark.filterwarnings("ignore:`torch.jit")
def test_scripts_and_traces() -> None:
    network, x = made("shufflenet_g3_x0_5").eval(), torch.randn(1, 3, SIZE, SIZE)
    torch.testing.assert_close(torch.jit.script(network)(x), network(x))
    assert torch.equal(torch.fx.symbolic_trace(network)(x), network(x))
    on_meta = timm.create_model("shufflenet_g3_x0_5", device="meta", dtype=torch.bfloat16)
    assert {(p.device.type, p.dtype) for p in on_meta.parameters()} == {("meta", torch.bfloat16)}
