"""Training by our kernels against the same network by PyTorch in float64, on every instruction set level."""

from __future__ import annotations

import copy
import ctypes
import gc
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from random_network import randomise
from shufflenet import accelerate
from shufflenet.engine.engine import isas
from shufflenet.networks.network import ShuffleNet, ShuffleUnit
from shufflenet.networks.shufflenet_v1 import ShuffleNetV1, Unit
from shufflenet.training import kernels, planar
from shufflenet.training.kernels import rows

LEVELS = [name for name in isas() if name != "reference"]


@pytest.fixture(params=LEVELS)
def level(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setenv("SHUFFLENET_ISA", request.param)
    return str(request.param)


@pytest.fixture
def one_thread() -> Iterator[None]:
    """PyTorch's threads wait for one another on a busy machine."""
    yield from _with_threads(1)


@pytest.fixture
def two_threads() -> Iterator[None]:
    yield from _with_threads(2)


def _with_threads(count: int) -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    yield
    torch.set_num_threads(before)


def relative_error(got: Tensor, want: Tensor, least: float = 0.0) -> float:
    got, want = got.detach().double(), want.detach().double()
    return float((got - want).norm()) / max(float(want.norm()), least, 1e-30)


def run_planar(module: ShuffleUnit, x: Tensor) -> Tensor:
    batch, channels, height, width = x.shape
    activation = rows(channels, batch * height * width)
    planes = planar.Planes(batch, height, width)
    activation[:, : planes.pixels] = x.detach().transpose(0, 1).reshape(channels, -1)
    activation.requires_grad_()
    y, after = planar.units(activation, planes, [module])
    result = y[:, : after.pixels].view(len(y), batch, after.height, after.width).transpose(0, 1)
    weight = torch.linspace(-1, 1, result.numel()).view_as(result)
    (result * weight).sum().backward()  # type: ignore[no-untyped-call]
    assert activation.grad is not None
    x.grad = activation.grad[:, : planes.pixels].view(channels, batch, height, width).transpose(0, 1)
    return result


def run_plain(module: nn.Module, x: Tensor) -> Tensor:
    result: Tensor = module(x)
    (result * torch.linspace(-1, 1, result.numel()).view_as(result)).sum().backward()  # type: ignore[no-untyped-call]
    return result


UNITS = [  # in, bottleneck, out channels, groups 1 and 2, stride
    (12, 6, 12, 3, 3, 1),
    (40, 10, 40, 1, 1, 1),
    (30, 15, 30, 3, 3, 1),  # odd channels per group
    (9, 6, 30, 1, 3, 2),
    (16, 8, 48, 8, 8, 2),
    (16, 26, 16, 2, 2, 1),  # what is left of the weight gradient's tiles: three rows and three columns
]
PLANES = [(1, 4, 4), (3, 7, 7), (2, 5, 11), (5, 1, 3), (2, 16, 16), (3, 33, 20)]


@pytest.mark.parametrize("unit", UNITS)
@pytest.mark.parametrize("planes", PLANES)
@pytest.mark.usefixtures("level", "two_threads")
def test_unit(unit: tuple[int, int, int, int, int, int], planes: tuple[int, int, int]) -> None:
    in_channels, middle, out_channels, groups1, groups2, stride = unit
    torch.manual_seed(1)
    module = ShuffleUnit(Unit(2, 0, in_channels, out_channels, middle, stride, groups1, groups2, groups2)).train()
    randomise(module)
    plain = copy.deepcopy(module).double()
    x = torch.relu(torch.randn(planes[0], in_channels, *planes[1:]))
    other = x.double().requires_grad_()
    got, want = run_planar(module, x), run_plain(plain, other)
    assert relative_error(got, want) < 1e-5
    assert x.grad is not None
    assert other.grad is not None
    seen = (x > 0) | torch.tensor(stride == 1)  # else a ReLU before stops the gradient
    # Few pixels leave batch norm's gradients next to nothing, the rest of what cancels.
    scale = max(float(p.grad.norm()) for p in plain.parameters() if p.grad is not None)
    assert relative_error(x.grad * seen, other.grad * seen, 1e-2 * scale) < 1e-4
    for (name, p), q in zip(module.named_parameters(), plain.parameters(), strict=True):
        assert p.grad is not None
        assert q.grad is not None
        assert relative_error(p.grad, q.grad, 1e-2 * scale) < 1e-4, name
    for (name, buffer), other_buffer in zip(module.named_buffers(), plain.buffers(), strict=True):
        assert relative_error(buffer, other_buffer) < 1e-5, name


@pytest.mark.parametrize(
    ("arch", "size"),
    [
        (ShuffleNetV1(3, 0.25, classes=10, stem_stride=1), (32, 32)),
        (ShuffleNetV1(8, 0.25, classes=10, inverse_shuffle=True), (75, 90)),
        (ShuffleNetV1(1, 0.25, classes=10, in_channels=1, stem_stride=1), (33, 40)),
        (ShuffleNetV1(2, 0.5, classes=3, shuffle=False), (64, 47)),
    ],
)
@pytest.mark.usefixtures("level", "one_thread")
def test_network(arch: ShuffleNetV1, size: tuple[int, int]) -> None:
    torch.manual_seed(2)
    network = ShuffleNet(arch).train()
    randomise(network)
    plain = copy.deepcopy(network).double()
    x = torch.randn(3, arch.in_channels, *size)
    assert not planar.refusal(network, x)
    assert planar.refusal(plain, x.double())
    got, want = run_plain(planar.Planar(network), x), run_plain(plain, x.double())
    assert relative_error(got, want) < 1e-4
    grads = [torch.cat([p.grad.flatten() for p in net.parameters() if p.grad is not None]) for net in (network, plain)]
    assert relative_error(grads[0], grads[1].double()) < 1e-2  # a ReLU may go the other way for some pixel
    for (name, buffer), other_buffer in zip(network.named_buffers(), plain.buffers(), strict=True):
        assert relative_error(buffer, other_buffer) < 1e-4, name


@pytest.mark.usefixtures("one_thread")
def test_nothing_of_a_step_is_kept_for_the_next() -> None:
    """The next forward pass comes while the last step's loss is still there."""
    network = ShuffleNet(ShuffleNetV1(3, 0.25, classes=10, stem_stride=1)).train()
    loss = planar.Planar(network)(torch.randn(2, 3, 32, 32)).square().sum()
    assert any(type(thing) is planar._Unit for thing in gc.get_objects())
    loss.backward()
    assert not any(type(thing) is planar._Unit for thing in gc.get_objects())
    del loss


@pytest.mark.usefixtures("two_threads")
def test_the_same_bits_again() -> None:
    torch.manual_seed(3)
    network, x = ShuffleNet(ShuffleNetV1(3, 0.25, classes=10, stem_stride=1)).train(), torch.randn(5, 3, 40, 40)
    again = copy.deepcopy(network)
    run_plain(planar.Planar(network), x)
    run_plain(planar.Planar(again), x)
    for p, q in zip(network.parameters(), again.parameters(), strict=True):
        assert p.grad is not None
        assert q.grad is not None
        assert torch.equal(p.grad, q.grad)


def test_pytorch_takes_over_what_the_kernels_do_not_do() -> None:
    network, x = ShuffleNet(ShuffleNetV1(3, 0.25, classes=10)).train(), torch.randn(2, 3, 64, 64)
    assert not planar.refusal(network, x)
    huge = torch.zeros(1).expand(7200, 3, 224, 224)  # takes no memory
    assert not planar.refusal(network, huge[:700])
    assert planar.refusal(ShuffleNet(ShuffleNetV1(3, 2.0, classes=10)).train(), huge), "more than 32 bits count"
    with torch.autocast("cpu", torch.bfloat16):
        assert planar.refusal(network, x)
    network.get_submodule("stage2").requires_grad_(False)
    assert planar.refusal(network, x), "frozen"
    network.requires_grad_()
    network.get_submodule("stage2").eval()
    assert planar.refusal(network, x), "statistics kept"
    assert planar.refusal(network.eval(), x)


@pytest.mark.parametrize("shape", [(2, 4, 64, 64), (2, 1, 64, 64), (3, 64, 64), (1, 3, 32, 32)])
def test_a_wrong_input_is_told_by_pytorch(shape: tuple[int, ...]) -> None:
    network = ShuffleNet(ShuffleNetV1(3, 0.25, classes=10)).train()
    with pytest.raises((RuntimeError, ValueError)):
        planar.Planar(network)(torch.randn(shape))


def test_only_the_networks_own_modules_on_a_cpu_suit() -> None:
    x = torch.randn(2, 3, 64, 64)
    with torch.device("meta"):
        assert planar.refusal(ShuffleNet(ShuffleNetV1(3, 0.25, classes=10)).train(), x)
    network = ShuffleNet(ShuffleNetV1(3, 0.25, classes=10)).train()
    network.bn1 = nn.GroupNorm(4, network.arch.stem_channels)  # type: ignore[assignment]
    assert planar.refusal(network, x)


@pytest.mark.usefixtures("one_thread")
def test_weights_changed_before_the_backward_pass_are_told() -> None:
    network = ShuffleNet(ShuffleNetV1(3, 0.25, classes=10, stem_stride=1)).train()
    for weight in (network.conv1.weight, next(network.units()).pointwise1.weight):
        loss = planar.Planar(network)(torch.randn(2, 3, 32, 32)).sum()
        with torch.no_grad():
            weight.add_(1)
        with pytest.raises(RuntimeError, match="modified by an inplace operation"):
            loss.backward()


@pytest.mark.usefixtures("one_thread")
def test_a_second_backward_pass_is_refused() -> None:
    network = ShuffleNet(ShuffleNetV1(3, 0.25, classes=10, stem_stride=1)).train()
    loss = planar.Planar(network)(torch.randn(2, 3, 32, 32)).sum()
    loss.backward(retain_graph=True)
    with pytest.raises(RuntimeError, match="one of them only"):
        loss.backward()


def test_a_wrong_level_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SHUFFLENET_ISA", "reference")
    network = ShuffleNet(ShuffleNetV1(3, 0.25, classes=10)).train()
    with pytest.raises(ValueError, match="SHUFFLENET_ISA=reference"):
        planar.Planar(network)(torch.randn(2, 3, 64, 64))


STRUCT = re.compile(r"^struct shufflenet_(\w+) \{\n(.*?)^\};", re.DOTALL | re.MULTILINE)
C_TYPES = {"uint32_t": ctypes.c_uint32, "size_t": ctypes.c_size_t, "float": ctypes.c_float, "double": ctypes.c_double}


def c_fields(body: str) -> Iterator[tuple[str, object]]:
    """Name and ctypes type of each field of a struct in C; a pointer has a star before its name."""
    for declaration in re.sub(r"//.*", "", body).split(";")[:-1]:
        kind, names = re.fullmatch(r"\s*(?:const )?(\w+) (.*)", declaration, re.DOTALL).groups()  # type: ignore[union-attr]
        for name in names.split(","):
            yield name.strip(" *"), ctypes.c_void_p if "*" in name else C_TYPES[kind]


def test_structures_are_those_of_the_header() -> None:
    header = (Path(__file__).parent.parent / "training" / "training.h").read_text(encoding="utf-8")
    structs = {name: list(c_fields(body)) for name, body in STRUCT.findall(header)}
    for name, fields in structs.items():
        structure = getattr(kernels, "".join(word.capitalize() for word in name.split("_")))
        assert structure._fields_ == fields, name
    assert len(structs) == len(kernels._PASSES) + 2, "and two of batch norm"


@pytest.mark.usefixtures("one_thread")
def test_a_loop_of_ones_own_is_told_once_why_pytorch_trains() -> None:
    network, x = ShuffleNet(ShuffleNetV1(3, 0.25, classes=10, stem_stride=1)).train(), torch.randn(2, 3, 32, 32)
    fast = accelerate(network)
    fast(x).sum().backward()  # no warning, which would be an error
    network.fc.requires_grad_(False)
    with pytest.warns(UserWarning, match=r"PyTorch trains, not the package's faster kernels: fc.weight is frozen"):
        fast(x)
    fast(x)
    network.fc.requires_grad_()
    with pytest.warns(UserWarning, match="the input needs a gradient"):
        fast(x.clone().requires_grad_())
    network.get_submodule("stage3").eval()
    with pytest.warns(UserWarning, match="stage3 is in eval mode"):
        fast(x)
    fast.eval()(x)
    with pytest.warns(UserWarning, match="they are for ShuffleNet, not Linear"):
        assert isinstance(accelerate(nn.Linear(2, 2)), nn.Linear)
