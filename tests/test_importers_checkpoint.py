"""The restricted reader: reads what PyTorch writes as PyTorch does, runs nothing, and refuses hostile files."""

from __future__ import annotations

import io
import os
import pickle
import random
import struct
import tracemalloc
import zipfile
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from shufflenet.importers.checkpoint import CheckpointError, read_bytes, state_dict

torch = pytest.importorskip("torch")

MAGIC = 0x1950A86A20F9469CFC6C
SYSTEM = {"protocol_version": 1001, "little_endian": True, "type_sizes": {"short": 2, "int": 4, "long": 4}}


def tensors() -> OrderedDict[str, Any]:
    base = torch.arange(24, dtype=torch.float32).view(4, 6)
    state = OrderedDict(
        plain=base,
        turned=base.t(),
        part=base[1:3, 2:5],
        half=torch.full((3,), 1.5, dtype=torch.float16),
        double=torch.tensor([2.5], dtype=torch.float64),
        count=torch.tensor(7),
        flags=torch.tensor([True, False]),
        empty=torch.empty(0, 3),
        parameter=torch.nn.Parameter(torch.ones(2, 2)),
    )
    state._metadata = {"": {"version": 1}}  # type: ignore[attr-defined]
    return state


def saved(value: Any, **options: Any) -> bytes:
    file = io.BytesIO()
    torch.save(value, file, **options)
    return file.getvalue()


def legacy(value: Any) -> bytes:
    return saved(value, _use_new_zipfile_serialization=False)


def packed(data: bytes, name: str = "net.pth") -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(name, data)
    return file.getvalue()


def in_zip(pickled: bytes, **storages: bytes) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("archive/data.pkl", pickled)
        for key, storage in storages.items():
            archive.writestr(f"archive/data/{key.removeprefix('s')}", storage)
    return file.getvalue()


def in_legacy(pickled: bytes, keys: tuple[str, ...] = (), storages: bytes = b"") -> bytes:
    head = b"".join(pickle.dumps(value, protocol=2) for value in (MAGIC, 1001, SYSTEM))
    return head + pickled + pickle.dumps(list(keys), protocol=2) + storages


CONTAINERS: dict[str, Callable[[bytes], bytes]] = {
    "zip": in_zip,
    "legacy": in_legacy,
    "packed zip": lambda pickled: packed(in_zip(pickled)),
    "packed legacy": lambda pickled: packed(in_legacy(pickled)),
    "bare pickle": lambda pickled: pickled,
}


def read(data: bytes, path: Path) -> dict[str, Any]:
    path.write_bytes(data)
    return state_dict(read_bytes(path), str(path))


@pytest.mark.parametrize("write", [saved, legacy, lambda value: saved(value, pickle_protocol=4)])
@pytest.mark.parametrize("pack", [False, True])
def test_reads_what_pytorch_writes(write: Callable[[Any], bytes], pack: bool, tmp_path: Path) -> None:
    data = write(tensors())
    found = read(packed(data) if pack else data, tmp_path / "x.pth")
    assert list(found) == list(tensors())
    for name, tensor in tensors().items():
        np.testing.assert_array_equal(found[name], tensor.detach().numpy())
        assert found[name].dtype == tensor.detach().numpy().dtype


@pytest.mark.parametrize("write", [saved, legacy])
def test_finds_the_state_dict_among_other_things(write: Callable[[Any], bytes], tmp_path: Path) -> None:
    weight = torch.nn.Parameter(torch.ones(3))
    optimizer = torch.optim.SGD([weight], lr=0.1, momentum=0.9)
    weight.sum().backward()
    optimizer.step()
    checkpoint = {
        "epoch": 90,
        "arch": "shufflenet",
        "best_prec1": np.float64(62.2),
        "best_acc1": torch.tensor([62.2]),
        "accuracy": torch.tensor(1.0),
        "generator": torch.get_rng_state(),
        "meters": {"loss": torch.tensor(1.5)},
        "state_dict": tensors(),
        "optimizer": optimizer.state_dict(),
    }
    assert list(read(write(checkpoint), tmp_path / "x.pth")) == list(tensors())
    for bad, message in (
        ({"a": tensors(), "b": tensors()}, "several state dicts ('a', 'b')"),
        ({"epoch": 3}, "holds no state dict"),
        ({"best_acc1": torch.tensor([62.2]), "generator": torch.get_rng_state()}, "holds no state dict"),
        ([1, 2], "holds no state dict"),
    ):
        with pytest.raises(CheckpointError) as error:
            read(write(bad), tmp_path / "x.pth")
        assert message in str(error.value)


class Run:
    """Calls a function when it is unpickled the usual way."""

    def __init__(self, function: Callable[..., Any], *arguments: Any) -> None:
        self.call = function, arguments

    def __reduce__(self) -> Any:
        return self.call


@pytest.mark.parametrize("container", CONTAINERS)
@pytest.mark.parametrize("protocol", [0, 1, 2, 4])
def test_malicious_pickles_run_nothing(container: str, protocol: int, tmp_path: Path) -> None:
    victim = tmp_path / "victim"
    for attack, name in ((Run(os.system, f"touch {victim}"), "system"), (Run(eval, "1"), "eval")):
        hidden = {"state_dict": OrderedDict(a=attack)}
        with pytest.raises(CheckpointError) as error:
            read(CONTAINERS[container](pickle.dumps(hidden, protocol=protocol)), tmp_path / "x.pth")
        if protocol >= 2:  # older ones, which PyTorch never wrote, are not followed that far
            assert "refused: loading it would run" in str(error.value)
            assert name in str(error.value)
        assert not victim.exists()
    pickle.loads(pickle.dumps(Run(os.system, f"touch {victim}")))
    assert victim.exists()  # the attack is a real one


@pytest.mark.parametrize(
    "program",
    [
        b"\x80\x02cposix\nsystem\n.",
        b"\x80\x02(S'echo'\niposix\nsystem\n.",  # INST
        b"\x80\x02(cposix\nsystem\nS'echo'\no.",  # OBJ
        b"\x80\x02ccollections\nOrderedDict.__init__.__globals__\n.",
        b"\x80\x02ctorch.storage\n_load_from_bytes\n.",
        b"\x80\x02ctorch\nload\n.",
        b"\x80\x04\x8c\x05posix\x8c\x06system\x93.",  # STACK_GLOBAL
        b"\x80\x02\x82\x01.",  # EXT1
        b"\x80\x02Pid\n.",  # PERSID
    ],
)
@pytest.mark.parametrize("container", ["zip", "legacy"])
def test_functions_and_unknown_instructions_are_refused(program: bytes, container: str, tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"x\.pth: (refused|cut, damaged)"):
        read(CONTAINERS[container](program), tmp_path / "x.pth")


def a_tensor(elements: int, shape: tuple[int, ...], strides: tuple[int, ...], offset: int = 0) -> bytes:
    """The pickle of {"w": tensor} whose storage "0" says to have so many float32."""

    def push(value: Any) -> bytes:
        return pickle.dumps(value, protocol=2)[2:-1]  # without PROTO and STOP

    storage = b"(" + push("storage") + b"ctorch\nFloatStorage\n" + push("0") + push("cpu") + push(elements) + b"tQ"
    arguments = b"(" + storage + push(offset) + push(shape) + push(strides) + b"\x89}t"
    return b"\x80\x02}" + push("w") + b"ctorch._utils\n_rebuild_tensor_v2\n" + arguments + b"Rs."


def test_the_handmade_tensor_is_read(tmp_path: Path) -> None:
    data = np.arange(6, dtype="<f4").tobytes()
    for file in (
        in_zip(a_tensor(6, (2, 3), (3, 1)), s0=data),
        in_legacy(a_tensor(6, (2, 3), (3, 1)), ("0",), struct.pack("<q", 6) + data),
    ):
        np.testing.assert_array_equal(read(file, tmp_path / "x.pth")["w"], np.arange(6).reshape(2, 3))


@pytest.mark.parametrize(
    ("elements", "shape", "strides", "offset"),
    [
        (1 << 40, (1 << 20, 1 << 20), (1 << 20, 1), 0),  # more than there is
        (6, (1 << 20, 1 << 20), (0, 0), 0),  # six numbers repeated a million million times
        (6, (2, 4), (3, 1), 0),
        (6, (2, 3), (3, 1), 1),
        (6, (2, 3), (3, 1), -1),
        (6, (2, 3), (-3, 1), 5),
        (6, (-2, -3), (3, 1), 0),
        (6, (2, 3), (3,), 0),
        (6, (2, 3), (1 << 70, 1), 0),
        (-6, (2, 3), (3, 1), 0),
        (5, (1, 3), (3, 1), 0),
        (7, (2, 3), (3, 1), 0),
    ],
)
@pytest.mark.parametrize("container", ["zip", "legacy"])
def test_sizes_that_the_file_does_not_hold(
    elements: int, shape: tuple[int, ...], strides: tuple[int, ...], offset: int, container: str, tmp_path: Path
) -> None:
    pickled = a_tensor(elements, shape, strides, offset)
    data = np.arange(6, dtype="<f4").tobytes()
    length = struct.pack("<q", elements)
    if container == "legacy" and elements == 5:  # only in the zip layout does a storage's length say otherwise
        return
    file = in_zip(pickled, s0=data) if container == "zip" else in_legacy(pickled, ("0",), length + data)
    tracemalloc.start()
    with pytest.raises(CheckpointError, match=r"x\.pth: "):
        read(file, tmp_path / "x.pth")
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 2_000_000


@pytest.mark.slow
def test_bombs(tmp_path: Path) -> None:
    """Files that ask for far more memory than they have bytes."""
    with pytest.raises(CheckpointError, match="more than weights can"):
        read(packed(bytes(10_000_000)), tmp_path / "x.pth")
    deflated = io.BytesIO()
    with zipfile.ZipFile(deflated, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("archive/data.pkl", a_tensor(2_500_000, (2_500_000,), (1,)))
        archive.writestr("archive/data/0", bytes(10_000_000))
    with pytest.raises(CheckpointError, match="more than weights can"):
        read(deflated.getvalue(), tmp_path / "x.pth")
    for compression in (zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA):  # Python unpacks all of it before it looks at the size
        lying = io.BytesIO()
        with zipfile.ZipFile(lying, "w", compression) as archive:
            archive.writestr("net.pth", bytes(100_000_000))
            archive.infolist()[0].file_size = 500
        tracemalloc.start()
        with pytest.raises(CheckpointError):
            read(lying.getvalue(), tmp_path / "x.pth")
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert peak < 10_000_000
    with pytest.raises(CheckpointError, match="far more than a network's weights"):
        read(in_legacy(b"\x80\x02(" + b"]" * 400_000 + b"t."), tmp_path / "x.pth")
    nested_key = b"\x80\x02}" + b")" + b"\x85" * 100_000 + b"Ns."
    with pytest.raises(CheckpointError, match="cut, damaged"):
        read(in_zip(nested_key), tmp_path / "x.pth")


def test_other_files(tmp_path: Path) -> None:
    def message(data: bytes) -> str:
        with pytest.raises(CheckpointError) as error:
            read(data, tmp_path / "x.pth")
        return str(error.value)

    npz = io.BytesIO()
    np.savez(npz, names=np.array(["conv1/W"]))
    whole = torch.nn.Linear(2, 2)
    assert "empty file" in message(b"")
    assert "not a PyTorch checkpoint" in message(b"<html>404</html>")
    assert "a NumPy archive without numbers" in message(npz.getvalue())
    assert "a zip archive, but not a PyTorch checkpoint" in message(packed(b"text", "a.txt"))
    assert "a pickle, but not a PyTorch checkpoint" in message(pickle.dumps([], protocol=2))
    assert "before 0.1.10" in message(bytes(257) + b"ustar" + bytes(300))
    assert "would run 'torch.nn.modules.linear.Linear'" in message(saved(whole))
    assert "BFloat16Storage" in message(saved({"w": torch.zeros(2, dtype=torch.bfloat16)}))
    with pytest.raises(CheckpointError, match="no such file"):
        read_bytes(tmp_path / "nothing.pth")
    with pytest.raises(CheckpointError, match="a folder"):
        read_bytes(tmp_path)
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(CheckpointError, match="not a regular file"):
        read_bytes(tmp_path / "pipe")


@pytest.mark.parametrize("write", [saved, legacy])
def test_damaged_files_never_crash(write: Callable[[Any], bytes], tmp_path: Path) -> None:
    whole = write({"state_dict": tensors()})
    dice = random.Random(1)
    refused = 0
    for turn in range(400):
        data = bytearray(whole)
        if turn % 2:
            del data[dice.randrange(len(data)) :]
        for _ in range(dice.randrange(1, 4) if data else 0):
            data[dice.randrange(len(data))] = dice.randrange(256)
        try:
            state_dict(bytes(data), "x.pth")
        except CheckpointError:
            refused += 1
    assert refused > 200


def test_members_without_a_name_are_left_out() -> None:
    path = Path(__file__).parent.parent / "fuzz" / "corpus" / "checkpoints" / "indexerror_empty_member_name.pth"
    with pytest.raises(CheckpointError, match=r"indexerror_empty_member_name\.pth: ") as raised:
        read(path.read_bytes(), path)
    assert str(raised.value).isprintable()


def test_a_member_before_the_file_is_damage(tmp_path: Path) -> None:
    data = bytearray(packed(saved(tensors())))
    place = len(data) - 6  # the directory's offset
    data[place : place + 4] = struct.pack("<I", struct.unpack_from("<I", data, place)[0] + 5)
    with pytest.raises(CheckpointError, match=r"x\.pth: a cut or damaged zip archive$"):
        read(bytes(data), tmp_path / "x.pth")
