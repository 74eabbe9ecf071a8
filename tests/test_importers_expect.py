"""What a state dict doesn't say is proved by an input and its logits, or said; each variant's logits come out."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner, Result
from numpy.typing import NDArray

from shufflenet import cli, model_file
from shufflenet.engine.engine import Engine
from shufflenet.importers import import_model, stated
from shufflenet.importers.checkpoint import CheckpointError
from shufflenet.networks.shufflenet_v1 import ShuffleNetV1

torch = pytest.importorskip("torch")
import public_networks  # noqa: E402
import public_variants  # noqa: E402
from shufflenet.networks.network import ShuffleNet  # noqa: E402

Make = Callable[[], Any]


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def logits_of(network: Any, x: NDArray[np.float32]) -> NDArray[np.float32]:
    with torch.no_grad():
        logits: NDArray[np.float32] = network(torch.from_numpy(x)).numpy()
    return logits


def noise(size: int, pictures: int = 2, seed: int = 0) -> NDArray[np.float32]:
    return np.random.default_rng(seed).normal(size=(pictures, 3, size, size)).astype(np.float32)


def written(folder: Path, network: Any, size: int = 64) -> tuple[Path, Path]:
    """The network's state dict, and an input with its logits."""
    state, expected = folder / "x.pth", folder / "expect.npz"
    torch.save(network.state_dict(), state)
    x = torch.from_numpy(noise(size))
    np.savez(expected, input=x, logits=network.eval()(x).detach())  # as the help says
    return state, expected


def own(**fields: Any) -> Any:
    return public_networks.randomised(ShuffleNet(ShuffleNetV1(3, 0.25, classes=5, **fields)), seed=7)


# network, the source whose code it is, and the size of its pictures
VARIANTS: dict[str, tuple[Make, str, int]] = {
    "weiaicunzai, grouped": (lambda: public_variants.Weiaicunzai(3, 24, 240, 5, first_groups=3), "weiaicunzai", 32),
    "weiaicunzai, ungrouped": (lambda: public_variants.Weiaicunzai(3, 24, 240, 5, first_groups=1), "weiaicunzai", 32),
    "kuangliu g2": (lambda: public_variants.Kuangliu(2, 24, 200, 5), "kuangliu", 32),
    "kuangliu g3": (lambda: public_variants.Kuangliu(3, 24, 240, 5), "kuangliu", 32),
    "jaxony g3": (lambda: public_variants.Jaxony(3, 240, 5), "jaxony", 64),
    "ericsun99 g8": (lambda: public_variants.Jaxony(8, 384, 5), "ericsun99", 64),
    "zcls g3": (lambda: public_variants.ZCls(3, 12, 120, 5), "zcls", 64),
    "zcls g8": (lambda: public_variants.ZCls(8, 16, 192, 5), "zcls", 64),
}


@pytest.mark.parametrize("variant", VARIANTS)
def test_variants_compute_what_their_code_does(variant: str, tmp_path: Path) -> None:
    make, source, size = VARIANTS[variant]
    network = public_networks.randomised(make(), seed=8)
    file, expected = written(tmp_path, network, size)
    x = noise(size, seed=1)
    reference = logits_of(network, x)
    assert np.ptp(reference) > 0.1 * np.abs(reference).max()
    for name, proof in (("", None), (source, expected), ("paper", expected)):
        model = import_model(name, file, expected=proof)
        model_file.save(model, tmp_path / "x.safetensors")
        found = Engine(model_file.load(tmp_path / "x.safetensors")).run(x)
        assert np.abs(found - reference).max() <= 1e-5 * np.abs(reference).max()
        assert len(model.training["assumed"]) == (1 if proof else 9)  # only the preprocessing
    with pytest.raises(CheckpointError, match=r"the names of \w+, so it is not built like paper"):
        import_model("paper", file)


@pytest.mark.parametrize(
    ("fields", "built"),
    [
        ({}, "stem stride 2"),
        ({"stem_stride": 1}, "stem stride 1"),
        ({"shuffle": False}, "no channel shuffle"),
        ({"inverse_shuffle": True}, "the inverse of the paper's channel shuffle before the depthwise convolution"),
        ({"inverse_shuffle": True, "stem_stride": 1}, "stem stride 1"),
    ],
)
def test_own_networks_are_recognised_by_their_logits(fields: dict[str, Any], built: str, tmp_path: Path) -> None:
    network = own(**fields)
    file, expected = written(tmp_path, network)
    model = import_model("", file, expected=expected)
    assert model.graph.architecture == ShuffleNetV1(3, 0.25, classes=5, **fields)
    assert built in model.training["proved_by"]["built"].values()
    assert model.training["proved_by"]["difference"] < 1e-5
    x = noise(64, seed=1)
    reference = logits_of(network, x)
    assert np.abs(Engine(model).run(x) - reference).max() <= 1e-5 * np.abs(reference).max()


def test_another_networks_logits_are_refused(tmp_path: Path) -> None:
    file, expected = written(tmp_path, own())
    other = public_networks.randomised(ShuffleNet(ShuffleNetV1(3, 0.25, classes=5)), seed=9)
    torch.save(other.state_dict(), file)
    with pytest.raises(
        CheckpointError, match=r"x\.pth: its logits differ from the expected ones by \d.\de[+-]\d\d of "
    ):
        import_model("", file, expected=expected)
    with pytest.raises(CheckpointError, match=r"1e-04 is allowed; none of \d+ other ways to build it agrees"):
        import_model("", file, expected=expected)
    torch.save(own(stem_stride=1).state_dict(), file)
    with pytest.raises(CheckpointError, match="its logits differ"):  # what is stated is not tried otherwise
        import_model("", written(tmp_path, own(stem_stride=1))[0], expected=expected, stated={"stem_stride": 2})


def test_logits_that_leave_a_choice_are_refused(tmp_path: Path) -> None:
    network = own()
    for name, tensor in network.state_dict().items():
        if ".bn" in f".{name}" and name.endswith(("bias", "running_mean")):
            tensor.zero_()
    file, expected = written(tmp_path, network)
    assert import_model("", file, expected=expected).graph.architecture == ShuffleNetV1(3, 0.25, classes=5)
    x = noise(64) * np.float32(1e-6)  # leaves the classifier's bias alone, however the network is built
    np.savez(expected, input=x, logits=logits_of(network, x))
    with pytest.raises(CheckpointError, match=r"don't tell .+ from .+: take another input, such as random numbers"):
        import_model("", file, expected=expected)
    for unit in (module for name, module in network.named_modules() if name.endswith("depthwise")):
        unit.weight.data.zero_()  # no input tells where the shuffle is, so nothing depends on it
    file, expected = written(tmp_path, network)
    assert import_model("", file, expected=expected).graph.architecture == ShuffleNetV1(3, 0.25, classes=5)


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"input": noise(64)}, "must hold two arrays, input and logits"),
        ({"input": noise(64), "logits": np.ones((2, 5), np.int64)}, "must be floating-point numbers"),
        ({"input": noise(64), "logits": np.ones((2, 5))}, "all the same number, which proves nothing"),
        ({"input": noise(64), "logits": noise(32)[:, 0, 0, :4]}, "it has 5 classes, but 4 logits are expected"),
        ({"input": noise(64), "logits": noise(32)[:1, 0, 0, :5]}, r"logits are \[1, 5\], not \[2, classes\]"),
        ({"input": noise(31), "logits": noise(32)[:, 0, 0, :5]}, r"input is \[2, 3, 31, 31\]"),
        ({"input": noise(64) * np.inf, "logits": noise(32)[:, 0, 0, :5]}, "not finite"),
        ({"input": np.array([None]), "logits": noise(32)[:, 0, 0, :5]}, "Object arrays cannot be loaded"),
    ],
)
def test_what_proves_nothing_is_refused(arrays: dict[str, Any], message: str, tmp_path: Path) -> None:
    file, expected = written(tmp_path, own())
    np.savez(expected, **arrays)
    with pytest.raises(CheckpointError, match=message) as error:
        import_model("", file, expected=expected)
    assert "\n" not in str(error.value)


def test_files_that_are_no_proof_are_refused(tmp_path: Path) -> None:
    file, expected = written(tmp_path, own())
    expected.write_bytes(expected.read_bytes()[:5000])
    for path, message in ((expected, "not a .npz file, or a damaged one"), (tmp_path / "no.npz", "no such file")):
        with pytest.raises(CheckpointError, match=message):
            import_model("", file, expected=path)


def test_structure_is_stated_of_code_of_ones_own_only(tmp_path: Path) -> None:
    network = public_networks.randomised(public_networks.Megvii(3, 12, 120, classes=5), seed=2)
    torch.save(network.state_dict(), tmp_path / "x.pth")
    with pytest.raises(CheckpointError, match="built like megvii, whose stem_stride is known"):
        import_model("megvii", tmp_path / "x.pth", stated={"stem_stride": 1})
    model = import_model("megvii", tmp_path / "x.pth", stated=stated.preprocessing("0..1"))
    x = noise(64)
    reference = logits_of(network, x)  # red first and not times 255, as stated
    assert np.abs(Engine(model).run(x) - reference).max() <= 1e-5 * np.abs(reference).max()


def test_preprocessing_is_a_name_or_an_object() -> None:
    text = '{"size": 32, "resize": 40, "mean": [0.4, 0.5, 0.6], "colour_order": "BGR"}'
    given = stated.preprocessing(text)
    assert given["bgr"]
    assert (given["preprocessing"].size, given["preprocessing"].mean) == (32, (0.4, 0.5, 0.6))
    pixel, scale = 102, stated.preprocessing("-1..1")["preprocessing"]
    assert (pixel / 255 - scale.mean[0]) / scale.std[0] == pytest.approx(-0.2)
    for wrong, message in (
        ("zero to one", "must be imagenet, 0..1, -1..1, 0..255 or a JSON object"),
        ('{"sise": 32}', "no such field: sise"),
        ('{"size": 1}', "size must be from 32"),
        ('{"colour_order": "GRB"}', "colour_order must be 'RGB' or 'BGR'"),
        ("[1]", "must be a JSON object"),
    ):
        with pytest.raises(CheckpointError, match=message):
            stated.preprocessing(wrong)


# the commands


def run(*arguments: str | Path) -> Result:
    return CliRunner().invoke(cli.commands, [str(argument) for argument in arguments])


@pytest.fixture
def own_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Path, Path]:
    monkeypatch.chdir(tmp_path)
    return written(tmp_path, own(stem_stride=1))


def test_what_was_assumed_is_said_whenever_the_model_is_used(own_files: tuple[Path, Path], photos: Path) -> None:
    result = run("import", "paper", "--file", own_files[0])
    assert result.exit_code == 0
    assert result.stdout.count("\n") == result.stderr.count("\n") == 1
    assert result.stderr.startswith("x.safetensors: imported, and nothing proved what the import assumed")
    for text in ("stem stride 2", "3x3 max pool", "epsilon 1e-05", "red, green, blue from 0 to 1, minus 0.485"):
        assert text in result.stderr
    assert "error" not in result.stdout  # nothing is claimed of it
    for command in (
        ("predict", photos / "cat.jpg", "--model", "x.safetensors"),
        ("export", "x.safetensors", "--to", "c", "--no-check"),
    ):
        again = run(*command)
        assert again.exit_code == 0, again.output
        assert again.stderr == result.stderr


def test_what_is_proved_and_stated_is_not_said(own_files: tuple[Path, Path], photos: Path) -> None:
    arguments = ("import", "paper", "--file", own_files[0], "--expect", own_files[1])
    result = run(*arguments, "--preprocessing", "0..1", "--json")
    assert (result.exit_code, result.stderr) == (0, "")
    training = json.loads(result.stdout)["training"]
    assert training["proved_by"]["built"]["stem_stride"] == "stem stride 1"
    assert run("predict", photos / "cat.jpg", "--model", "x.safetensors").stderr == ""
    result = run(*arguments, "--out", "x.safetensors")
    assert "proved by expect.npz to " in result.stdout
    assert "(stem stride 1)" in result.stdout
    assert result.stderr.count("\n") == 1  # the preprocessing
    assert "stem stride" not in result.stderr


def test_what_is_stated_is_used(own_files: tuple[Path, Path]) -> None:
    arguments = ("import", "--file", own_files[0], "--out", "x.safetensors")
    assert run(*arguments, "--stem-stride", "1", "--no-shuffle").exit_code == 0
    made = model_file.load(Path("x.safetensors")).graph.architecture
    assert made == ShuffleNetV1(3, 0.25, classes=5, stem_stride=1, shuffle=False)
    assert run(*arguments, "--inverse-shuffle").exit_code == 0
    assert model_file.load(Path("x.safetensors")).graph.architecture == ShuffleNetV1(
        3, 0.25, classes=5, inverse_shuffle=True
    )
    for wrong in (("--no-shuffle", "--inverse-shuffle"), ("--stem-stride", "3"), ("--preprocessing", "x")):
        result = run(*arguments, *wrong)
        assert (result.exit_code, result.stdout) == (2, "")
